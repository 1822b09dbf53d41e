"""What the predictions lose without each kernel: sums over rows, and the statistics that they make.

With f the predictions, f_k those without kernel k, d = f - f_k, y the measured values (DRG's ``kernel_assessment``):

- ``correlation``: R(f, y) - R(f_k, y), Pearson over rows, per track; positive where the kernel helps
- ``rmse``: RMSE(f_k, y) - RMSE(f, y), per track
- ``effect``: sum over rows of d, per track
- ``impact``: sum over rows of d^3 / sum over tracks of d^2, per track
- ``class_correlation``: Pearson over the tracks of a class, of each row: mean of R(f, y) - R(f_k, y) over the rows
  whose R(f, y) is at least a cut; a row whose f_k does not vary counts with R(f_k, y) = 0
- ``region_effect``: ``effect`` over the rows of each class of regions

Rows without a measured value are left out, track by track, where y is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Sums = dict[str, Float64]


@dataclass(frozen=True)
class Shape:
    """Sizes of the sums.

    Parameters
    ----------
    kernels, tracks : numbers
    classes : numbers of the tracks of each class
    regions : number of classes of regions
    cut : least correlation of a row that counts
    measured : there are measured values
    """

    kernels: int
    tracks: int
    classes: tuple[tuple[int, ...], ...] = ()
    regions: int = 0
    cut: float = 0.3
    measured: bool = True


class Collector:
    """Adds up blocks of rows in double precision."""

    def __init__(self, shape: Shape, device: str | torch.device = "cpu") -> None:
        self._shape = shape
        k, t, c = shape.kernels, shape.tracks, len(shape.classes)
        sizes: dict[str, tuple[int, ...]] = {"effect": (k, t), "impact": (k, t), "rows": ()}
        if shape.regions:
            sizes |= {"region_effect": (shape.regions, k, t), "region_rows": (shape.regions,)}
        if shape.measured:
            sizes |= {"n": (t,), "y": (t,), "yy": (t,), "f": (t,), "ff": (t,), "fy": (t,)}
            sizes |= {"kf": (k, t), "kff": (k, t), "kfy": (k, t), "class_loss": (k, c), "class_rows": (c,)}
        self._sums = {name: torch.zeros(size, dtype=torch.float64, device=device) for name, size in sizes.items()}

    def rows(self, f: torch.Tensor, y: torch.Tensor | None, regions: torch.Tensor | None) -> None:
        """Begin a block of n rows: predictions and measured values (n, tracks), class of each region (n,), or -1."""
        s, self._f = self._sums, f.double()
        s["rows"] += float(len(f))
        if regions is not None:
            number = torch.arange(self._shape.regions, device=f.device)
            self._regions = (regions[:, None] == number).double()
            s["region_rows"] += self._regions.sum(0)
        if y is None:
            return
        self._known = (~torch.isnan(y)).double()
        self._y = torch.nan_to_num(y.double())
        known = self._f * self._known
        for name, value in {"n": self._known, "y": self._y, "yy": self._y**2, "f": known, "ff": known * self._f,
                            "fy": known * self._y}.items():  # fmt: skip
            s[name] += value.sum(0)
        self._points = [self._class_rows(tracks) for tracks in self._shape.classes]
        for at, (_, counted) in enumerate(self._points):
            s["class_rows"][at] += counted.sum()

    @property
    def row_correlations(self) -> torch.Tensor:
        """R(f, y) of the block's rows over the tracks of each class, (n, classes)."""
        return torch.stack([full for full, _ in self._points], 1)

    def without(self, kernels: slice, predictions: torch.Tensor) -> torch.Tensor | None:
        """Predictions of the block's rows without some kernels, (kernels, n, tracks).

        Returns
        -------
        (kernels, n, classes) R(f, y) - R(f_k, y) of each row, whatever its R(f, y); None where there are no classes
        """
        s, fk = self._sums, predictions.double()
        d = self._f - fk
        s["effect"][kernels] += d.sum(1)
        square = d * d
        total = square.sum(2, keepdim=True)
        s["impact"][kernels] += (square * d / torch.where(total > 0, total, 1.0)).sum(1)
        if self._shape.regions:
            s["region_effect"][:, kernels] += torch.einsum("nc,rnt->crt", self._regions, d)
        if not self._shape.measured:
            return None
        known = fk * self._known
        s["kf"][kernels] += known.sum(1)
        s["kff"][kernels] += (known * fk).sum(1)
        s["kfy"][kernels] += torch.einsum("rnt,nt->rt", fk, self._y)
        losses = []
        for number, tracks in enumerate(self._shape.classes):
            full, counted = self._points[number]
            losses.append(full - self._row_correlation(fk, tracks))
            s["class_loss"][kernels, number] += torch.where(counted, losses[-1], 0.0).sum(1)
        return torch.stack(losses, 2) if losses else None

    def _class_rows(self, tracks: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        full = self._row_correlation(self._f[None], tracks)[0]
        return full, full >= self._shape.cut

    def _row_correlation(self, f: torch.Tensor, tracks: Sequence[int]) -> torch.Tensor:
        """Pearson over tracks with measured values, (…, n); 0 where one side does not vary."""
        known, y = self._known[:, tracks], self._y[:, tracks]
        count = known.sum(1).clamp(min=1)
        f = f[:, :, tracks] * known
        f = (f - (f.sum(2) / count)[:, :, None]) * known
        y = (y - (y.sum(1) / count)[:, None]) * known
        spread = torch.sqrt((f * f).sum(2) * (y * y).sum(1))
        return torch.where(spread > 1e-30, (f * y).sum(2) / torch.where(spread > 1e-30, spread, 1.0), 0.0)

    def sums(self) -> Sums:
        """The sums so far."""
        return {name: value.cpu().numpy() for name, value in self._sums.items()}


def _correlation(n: Float64, f: Float64, ff: Float64, fy: Float64, y: Float64, yy: Float64) -> Float64:
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(np.maximum(ff - f * f / n, 0) * np.maximum(yy - y * y / n, 0))
        return np.asarray((fy - f * y / n) / spread)


def _rmse(n: Float64, ff: Float64, fy: Float64, yy: Float64) -> Float64:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(np.maximum(ff - 2 * fy + yy, 0) / n)


def statistics(sums: Mapping[str, Float64]) -> Sums:
    """The statistics of the module's text, and ``base_correlation`` and ``base_rmse`` (tracks,) with all kernels.

    NaN where fewer than two rows are measured, or where they or the predictions do not vary.
    """
    found: Sums = {name: sums[name] for name in ("effect", "impact", "region_effect", "region_rows") if name in sums}
    if "n" not in sums:
        return found
    n, y, yy = (sums[name] for name in ("n", "y", "yy"))
    base = _correlation(n, sums["f"], sums["ff"], sums["fy"], y, yy)
    error = _rmse(n, sums["ff"], sums["fy"], yy)
    with np.errstate(invalid="ignore", divide="ignore"):
        classes = sums["class_loss"] / sums["class_rows"]
    return found | {
        "base_correlation": base,
        "base_rmse": error,
        "correlation": base - _correlation(n, sums["kf"], sums["kff"], sums["kfy"], y, yy),
        "rmse": _rmse(n, sums["kff"], sums["kfy"], yy) - error,
        "class_correlation": classes,
        "class_rows": sums["class_rows"],
    }
