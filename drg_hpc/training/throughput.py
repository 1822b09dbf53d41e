"""How fast a training is, against what its devices can do."""

from __future__ import annotations

import logging
import resource
import sys
import time

import torch

from drg_hpc.models.base import SequenceModel
from drg_hpc.models.operations import macs_per_row
from drg_hpc.training.compute_options import autocast, products
from drg_hpc.training.config import Precision
from drg_hpc.training.distributed import Group

log = logging.getLogger(__name__)
_SIZE = {"cpu": 512, "cuda": 4096}
_SECONDS = 0.1
_PASSES = 3  # the gradients of inputs and of weights cost as much as the forward pass, each


def product_rate(device: torch.device, precision: Precision) -> float:
    """Floating-point operations a second of square matrix products, the best of those that fit in 0.1 s."""
    size = _SIZE.get(device.type, 512)
    a = torch.full((size, size), 0.5, device=device)
    best, end = 0.0, time.perf_counter() + _SECONDS
    with torch.no_grad(), products(precision), autocast(precision, device):
        while time.perf_counter() < end or not best:
            torch.mm(a, a)  # also takes the device out of its sleep
            _wait(device)
            started = time.perf_counter()
            torch.mm(a, a)
            _wait(device)
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> int:
    """Most bytes held so far: on a GPU by tensors there, else by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Meter:
    """Says how fast epochs were. Every rank makes one, and asks at the same epochs.

    Parameters
    ----------
    measure : time matrix products now, on all ranks at once; without it there is no ``flop_share``
    """

    def __init__(self, model: SequenceModel, *, group: Group, precision: Precision, measure: bool) -> None:
        self._group = group
        self._flops_per_row = 2 * _PASSES * macs_per_row(model, model.shape)
        self._rate: float | None = None
        if measure:
            group.barrier()
            self._rate = group.sum([product_rate(group.device, precision)])[0]
            if group.main:
                log.info("matrix products in %s reach %.4g GFLOP/s", precision, self._rate / 1e9)

    def row(self, *, rows: int, seconds: float, waited: float) -> dict[str, float | None]:
        """A line of speed.tsv.

        - samples_per_s: of all ranks
        - data_wait: share of the time that batches were waited for
        - flop_share: multiplications and additions of three forward passes a sample, over the time, against the rate
          of matrix products measured at the start
        - memory_mib: most memory of one rank so far

        Parameters
        ----------
        rows : samples of all ranks
        seconds, waited : of this rank
        """
        pace = rows / seconds
        return {
            "samples_per_s": pace,
            "data_wait": waited / seconds,
            "flop_share": None if self._rate is None else self._flops_per_row * pace / self._rate,
            "memory_mib": self._group.max(peak_memory(self._group.device)) / 2**20,
        }
