"""Values of many sequences by one or several models, in passes of one shape."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.targets import Statistic
from drg_hpc.attribution.targets_make import make_statistic
from drg_hpc.attribution.views import View, make_views
from drg_hpc.attribution.word_scan import scanned_by_words
from drg_hpc.genome.random_words import compiled
from drg_hpc.models.compute import module_place
from drg_hpc.runs.signals import check_stop

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT_BYTES = 1 << 30


class Predictor:
    """Values of a statistic, means over strands and shifts.

    Parameters
    ----------
    params : of the plan: target, rc_average, shifts
    rows : sequences of a pass; the last one is filled up
    """

    def __init__(self, modules: Sequence[torch.nn.Module], params: Mapping[str, Any], *, rows: int) -> None:
        _keep_freed_memory()
        self._rows = rows
        views = make_views(rc_average=params["rc_average"], shifts=params["shifts"])
        modules = [scanned_by_words(module) for module in modules]
        self._models = [(module_place(module), _statistics(module, params["target"], views)) for module in modules]
        self._count = len(params["target"]["names"])

    def __call__(self, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Values (n, models, k) of sequences (n, L)."""
        out = np.empty((len(codes), len(self._models), self._count))
        for first in range(0, len(codes), self._rows):
            check_stop()
            part = slice(first, first + self._rows)
            onehot = np.zeros((self._rows, 4, codes.shape[1]), np.float32)
            _expand(codes[part], onehot)
            with torch.inference_mode():
                for number, (place, statistics) in enumerate(self._models):
                    x = torch.from_numpy(onehot).to(*place)
                    found = [statistic([view.apply(x).contiguous()]) for view, statistic in statistics.items()]
                    mean = found[0] if len(found) == 1 else torch.stack(found).double().mean(dim=0)
                    out[part, number] = mean[: len(codes[part])].cpu().numpy()
        return out


@compiled
def _expand(codes: NDArray[np.uint8], onehot: NDArray[np.float32]) -> None:
    """Set the bases of sequences (n, L) in zeros (rows, 4, L); unknown ones, and rows beyond n, stay zeros."""
    for row in range(codes.shape[0]):
        for at in range(codes.shape[1]):
            if codes[row, at] < 4:
                onehot[row, codes[row, at], at] = 1


def _keep_freed_memory() -> None:
    """Let the C library keep what is freed for the next tensors: by default glibc gives large pieces back to the system
    at once, and taking new pages for every activation costs several times what computing it does."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries have no such thing
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def _statistics(module: torch.nn.Module, target: Mapping[str, Any], views: Sequence[View]) -> dict[View, Statistic]:
    """The statistic as each view is to be asked for it."""
    statistic = make_statistic(target, module)
    return {view: statistic.seen_by(view) for view in views}
