"""Borzoi's transforms of coverage, forward (data preparation) and inverse.

From the reduced value X of a bin (sum or mean of its base pairs, scale s, soft clip c, hard clip h):

- ``new``: X <- s X; sqrt(1 + X) - 1 for ``*_sqrt``, (1 + X)^0.75 - 1 for ``sum_exp75``; above c:
  c - 1 + sqrt(X - c + 1); clip to +-h.
- ``old`` (Linder et al. 2025, Nat Genet 57:949, and all weights published with it): X^0.75 for ``*_sqrt``; above c:
  c + sqrt(X - c); clip to +-h; then times s.

``peak`` is sqrt(4 X) limited to [0, 1], of the mean, in both orders. ``sum``, ``mean``, ``median`` and ``max`` have no
power of their own.

Domain. Negative coverage (minus strands stored with a minus sign) is an error for a root, not NaN: X >= 0 for the old
roots and for ``peak``, s X >= -1 for the new ones. Tracks without a root may be negative: the soft clip acts above +c
alone, the hard clip on both sides. NaN (a masked bin) stays NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.genome.targets import Order, Stat

Floats = NDArray[np.float64]

_POWERS = {"sum_sqrt": 0.5, "mean_sqrt": 0.5, "sum_exp75": 0.75}


@dataclass(frozen=True, slots=True)
class Transform:
    """Transform of one track. ``Transform(**info)`` reads what ``targets.transform_info`` wrote.

    Parameters
    ----------
    order : "new" or "old"
    stat : the table's sum_stat
    scale : above 0
    clip_soft, clip : thresholds, or None
    """

    order: Order
    stat: Stat
    scale: float = 1.0
    clip_soft: float | None = None
    clip: float | None = None

    @property
    def reduce(self) -> Literal["mean", "sum", "max", "median"]:
        """How base pairs become X."""
        if self.stat in ("median", "max"):
            return self.stat
        return "sum" if self.stat.startswith("sum") else "mean"

    def forward(self, reduced: Floats, *, name: str) -> Floats:
        """Transformed values of reduced ones, any shape; ``name`` of the track is for messages.

        Raises
        ------
        InputError : a value is outside the domain of the root
        """
        values = np.array(reduced, np.float64)
        new = self.order == "new"
        if new:
            values *= self.scale
        values = self._root(values, name)
        if self.clip_soft is not None:
            start = self.clip_soft - new  # where the square root starts
            above = values > self.clip_soft
            values[above] = start + np.sqrt(values[above] - start)
        if self.clip is not None:
            np.clip(values, -self.clip, self.clip, out=values)
        if not new:
            values *= self.scale
        return values

    def inverse(self, transformed: Floats, *, name: str) -> Floats:
        """Reduced values of transformed ones, the exact inverse of ``forward``; the hard clip is not undone.

        ``peak`` is inverted below its limit: a mean of 0.25 and more comes back as 0.25.

        Raises
        ------
        InputError : a value that ``forward`` cannot give (below 0, or below -1 for the new roots)
        """
        values = np.array(transformed, np.float64)
        new = self.order == "new"
        if not new:
            values /= self.scale
        if self.clip_soft is not None:
            start = self.clip_soft - new
            above = values > self.clip_soft
            values[above] = start + (values[above] - start) ** 2
        values = self._unroot(values, name)
        if new:
            values /= self.scale
        return values

    def _root(self, values: Floats, name: str) -> Floats:
        if self.stat == "peak":
            self._check(values, 0.0, name)
            return np.minimum(np.sqrt(4 * values), 1.0)
        if self.stat not in _POWERS:
            return values
        if self.order == "old":
            self._check(values, 0.0, name)
            return np.asarray(values**0.75)
        self._check(values, -1.0, name)
        return np.asarray((1 + values) ** _POWERS[self.stat] - 1)

    def _unroot(self, values: Floats, name: str) -> Floats:
        if self.stat == "peak":
            self._check(values, 0.0, name)
            return np.asarray(values**2 / 4)
        if self.stat not in _POWERS:
            return values
        if self.order == "old":
            self._check(values, 0.0, name)
            return np.asarray(values ** (4 / 3))
        self._check(values, -1.0, name)
        return np.asarray((1 + values) ** (1 / _POWERS[self.stat]) - 1)

    def _check(self, values: Floats, least: float, name: str) -> None:
        low = np.nanmin(values) if np.isfinite(values).any() else least
        if low < least:
            raise InputError(
                f"{name}: {low:g} is below {least:g}, where sum_stat {self.stat} ({self.order} order) has no root",
                fix="store the track's coverage as positive values, or use sum_stat sum or mean",
            )
