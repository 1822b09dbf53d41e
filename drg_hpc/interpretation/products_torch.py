"""The largest of several matrix products on a GPU; only its inputs and the end result travel."""

from __future__ import annotations

import numpy as np
import torch

from drg_hpc.errors import InputError
from drg_hpc.interpretation.similarity import Float32


class LargestByTorch:
    """As numpy's in :mod:`.products`, on a device of torch; sums may differ in the last bits.

    Raises
    ------
    InputError : no such device here; there is no fall-back
    """

    def __init__(self, rows: int, columns: int, device: str) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise InputError(f"--device {device}: torch finds no GPU here", fix="check nvidia-smi, or --device cpu")
        self._device = torch.device(device)
        self._best = torch.full((rows, columns), -torch.inf, dtype=torch.float32, device=self._device)

    def add(self, left: Float32, right: Float32) -> None:
        """Take ``left @ right.T`` into account."""
        first, second = (torch.from_numpy(np.ascontiguousarray(item)).to(self._device) for item in (left, right))
        torch.maximum(self._best, first @ second.T, out=self._best)

    def value(self) -> Float32:
        """What was the largest, (rows, columns)."""
        found: Float32 = self._best.cpu().numpy()
        return found
