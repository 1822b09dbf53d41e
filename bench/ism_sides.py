"""The sides of bench/ism: ours in this process, tangermeme's in one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import ROOT
from ism_nets import Net
from numpy.typing import NDArray
from stores_windows import peers_python

from drg_hpc.attribution.edits import Edits, sequence_codes, substitutions
from drg_hpc.attribution.full import FullEvaluator
from drg_hpc.attribution.incremental.evaluator import IncrementalEvaluator

BATCHES = (8, 16, 32, 48, 96, 288)
"""Rows of a pass that are tried; all divide :data:`SOME`."""
SOME = 288
"""Mutants of a short run of a slow side."""
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""Wall time; or CPU time of the whole process, which with one thread is the same on a machine that does nothing else,
and does not count what others do."""


class Ours:
    """Both evaluators on one sequence, as drg-ism has them."""

    def __init__(self, net: Net, dtype: torch.dtype = torch.float32, device: str = "cpu") -> None:
        net.module.to(device=device, dtype=dtype)
        self.statistic, self.x = net.statistic(), net.sequence(dtype).to(device)
        self.codes = sequence_codes(net.sequence()[0].numpy())
        self.everything = substitutions(self.codes, np.arange(net.length))
        started = time.perf_counter()
        self.evaluator = IncrementalEvaluator(self.statistic, [self.x], [])
        self.capture = time.perf_counter() - started
        self.clock = "wall"

    def _now(self) -> float:
        return CLOCKS[self.clock]()

    def middle(self, mutants: int) -> Edits:
        """Substitutions in the middle of the sequence."""
        mutants = min(mutants, len(self.everything))
        first = (len(self.everything) - mutants) // 2 // 3 * 3
        return self.everything[first : first + mutants]

    def full(self, batch: int, mutants: int) -> tuple[float, torch.Tensor]:
        """Seconds per mutant of whole passes, and the values; the sequence itself takes the place of a mutant."""
        edits = self.middle(mutants // batch * batch - 1)
        evaluator = FullEvaluator(self.statistic, batch=batch)
        started = self._now()
        _, values = evaluator.values([self.x], [], edits)
        return (self._now() - started) / len(edits), values

    def incremental(self) -> tuple[float, torch.Tensor]:
        """Seconds per mutant of the whole sequence, its own pass included, and the values."""
        started = self._now()
        _, values = self.evaluator.values([self.x], [], self.everything)
        return (self._now() - started) / len(self.everything), values


class Theirs:
    """tangermeme, in a process of its own."""

    def __init__(self, net: Net, scratch: Path) -> None:
        python = peers_python()
        if python is None:
            sys.exit("bench/ism needs .venv-peers with tangermeme (DRG_MAKE_PEERS=1 bench/stores windows makes it)")
        self.answer = scratch / "out.npz"
        net.save(scratch / "in.npz")
        line = [python, ROOT / "bench/peer_ism.py", scratch / "in.npz", self.answer]
        self._process = subprocess.Popen(
            [str(item) for item in line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.about: dict[str, Any] = self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit(f"tangermeme ended with {self._process.wait()}")
        return json.loads(answer)

    def seconds(self, side: str, threads: int, clock: str, batch: int, mutants: int) -> float:
        """Per mutant, of ``slow`` or ``fast``."""
        assert self._process.stdin is not None
        asked = {"side": side, "threads": threads, "clock": clock, "batch": batch, "mutants": mutants}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return float(self._read())

    def values(self) -> dict[str, NDArray[Any]]:
        """Of the last mutants."""
        return dict(np.load(self.answer))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
