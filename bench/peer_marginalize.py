"""tangermeme's side of bench/marginalize; runs in .venv-peers: NET WEIGHTS.pt IN.npz OUT.npz.

IN has ``x`` (n, 4, L) and ``motifs`` (texts). A line of JSON with the CPU seconds of marginalize over all motifs for
each line on standard input; OUT gets ``changes`` (motifs, n, 1) of the last one.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings

import marginalize_nets
import numpy as np
import torch

marginalize = importlib.import_module("tangermeme.marginalize").marginalize

warnings.simplefilter("ignore")
torch.set_num_threads(1)
net = getattr(marginalize_nets, sys.argv[1])()
net.load_state_dict(torch.load(sys.argv[2], weights_only=True))
net.eval()
given = dict(np.load(sys.argv[3]))
x = torch.from_numpy(given["x"])
for _ in sys.stdin:
    changes = []
    started = time.process_time()
    for motif in given["motifs"].tolist():
        before, after = marginalize(net, x, motif, device="cpu")
        changes.append((after - before).numpy())
    print(json.dumps({"seconds": time.process_time() - started}), flush=True)
    np.savez(sys.argv[4], changes=np.stack(changes))
