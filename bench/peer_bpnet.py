"""bpnet-lite's side of bench/train_peers.py; runs in .venv-peers: FASTA PEAKS BACKGROUND BIGWIG BATCH STEPS WORKERS.

bpnet-lite's own BPNet.fit over its own PeakGenerator. Before every STEPS batches the data loader waits for a line on
standard input, and afterwards says the seconds they took, in JSON. The end of standard input ends the process.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from bpnetlite import BPNet
from bpnetlite.io import PeakGenerator


class Gate:
    """The data loader, a few batches at a time."""

    def __init__(self, loader: Any, steps: int, out: Any) -> None:
        self._loader, self._steps, self._out = loader, steps, out

    def __iter__(self) -> Iterator[Any]:
        started = 0.0
        number = 0
        while True:
            for batch in self._loader:
                if number % self._steps == 0:
                    if number:
                        print(json.dumps(time.perf_counter() - started), file=self._out, flush=True)
                    if not sys.stdin.readline():
                        os._exit(0)
                    started = time.perf_counter()
                number += 1
                yield batch


fasta, peaks, background, bigwig = sys.argv[1:5]
batch, steps, workers = map(int, sys.argv[5:])
torch.set_num_threads(1)
torch.manual_seed(0)
out, silent = sys.stdout, io.StringIO()
with contextlib.redirect_stdout(silent):
    loader = PeakGenerator(
        peaks=peaks, negatives=background, sequences=fasta, signals=[bigwig], max_jitter=1, batch_size=batch,
        pin_memory=False, num_workers=workers, random_state=0,
    )  # fmt: skip
    model = BPNet(n_outputs=1, n_control_tracks=0, trimming=(2114 - 1000) // 2, verbose=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    print(json.dumps(sum(p.numel() for p in model.parameters())), file=out, flush=True)
    model.fit(Gate(loader, steps, out), optimizer, batch_size=batch, device="cpu", max_epochs=1)
