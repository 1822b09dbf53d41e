"""tangermeme's side of bench/vocabulary_seqlets.py; runs in .venv-peers: IN.npy.

For every line on standard input, a line: seconds of CPU of one call of recursive_seqlets, and its number of seqlets.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import time
import warnings

import numpy as np

warnings.simplefilter("ignore")
recursive_seqlets = importlib.import_module("tangermeme.seqlet").recursive_seqlets
values = np.load(sys.argv[1])
recursive_seqlets(values[:100])  # compiles
sys.stdout.write(f"{importlib.metadata.version('tangermeme')}\n")
sys.stdout.flush()
for _ in sys.stdin:
    started = time.process_time()
    found = recursive_seqlets(values)
    sys.stdout.write(f"{time.process_time() - started} {len(found)}\n")
    sys.stdout.flush()
