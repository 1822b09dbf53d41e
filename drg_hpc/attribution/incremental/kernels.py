"""Windows of changed positions, and what the kernels that work on them must do.

Each edit ``e`` of a chunk changes a layer's values at positions ``[lo[e], hi[e])`` alone. ``rows`` has the values of
all edits after each other, positions outermost: ``(total, F)``, float32 or float64, contiguous. ``ref`` is the layer of
the unedited sequence, ``(L, F)``, of the same type. *Value rows* are values; *delta rows* are values minus the
reference's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, device

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Windows:
    """Positions ``[lo[e], hi[e])`` of each edit; a window may be empty.

    Attributes
    ----------
    lo, hi : (E,) int64
    """

    lo: Integers
    hi: Integers

    def __post_init__(self) -> None:
        # one memory layout, so that compiled code has one version
        for name in ("lo", "hi"):
            values = np.require(getattr(self, name), np.int64, ["C", "W"])
            object.__setattr__(self, name, values)
        if self.lo.ndim != 1 or self.lo.shape != self.hi.shape or (self.hi < self.lo).any():
            raise ValueError("windows: lo and hi must be (E,) with hi >= lo")

    def __len__(self) -> int:
        return len(self.lo)

    @cached_property
    def widths(self) -> Integers:
        return self.hi - self.lo

    @cached_property
    def offsets(self) -> Integers:
        """(E + 1,): rows of edit ``e`` are ``offsets[e]`` to ``offsets[e + 1] - 1``."""
        offsets = np.zeros(len(self.lo) + 1, np.int64)
        np.cumsum(self.widths, out=offsets[1:])
        return offsets

    @cached_property
    def positions(self) -> Integers:
        """(total,): position of each row."""
        return np.arange(self.total) - np.repeat(self.offsets[:-1] - self.lo, self.widths)

    @cached_property
    def total(self) -> int:
        return int(self.offsets[-1])

    @cached_property
    def span(self) -> tuple[int, int]:
        """The shortest interval that holds every window that is not empty; (0, 0) when all are."""
        kept = self.widths > 0
        if not kept.any():
            return 0, 0
        return int(self.lo[kept].min()), int(self.hi[kept].max())


def check(rows: Tensor | None, w: Windows, *, ref: Tensor | None = None) -> None:
    """Kernels do not look at bounds in their loops.

    Raises
    ------
    ValueError
        the rows are not those of the windows, or a window leaves the reference
    """
    if rows is not None and rows.shape[0] != w.total:
        raise ValueError(f"{rows.shape[0]} rows for windows of {w.total} positions")
    first, last = w.span
    if ref is not None and (first < 0 or last > ref.shape[0]):
        raise ValueError(f"windows over [{first}, {last}) of a reference of {ref.shape[0]} positions")


@dataclass(frozen=True)
class SoftmaxTables:
    """The reference's logits and values, (L, F) each, and its softmax sums over parts of long blocks.

    Attributes
    ----------
    before : None where blocks are short and are summed as a whole; else (3, L, F): of position i, over the positions of
        its block before i: m = max a, sum exp(a - m), sum v exp(a - m); (-inf, 0, 0) where there are none or all are
        -inf
    after : (3, L, F): the same over the positions of its block from i on
    """

    a: Tensor
    v: Tensor
    before: Tensor | None = None
    after: Tensor | None = None


def check_blocks(tables: SoftmaxTables, w_out: Windows, size: int) -> None:
    """Raises ValueError where a window goes beyond the reference's blocks."""
    blocks = -(-len(tables.a) // size)
    if w_out.span[0] < 0 or w_out.span[1] > blocks:
        raise ValueError(f"windows over [{w_out.span[0]}, {w_out.span[1]}) of {blocks} blocks")


def whole_blocks(
    kernels: Kernels, a: Tensor, v: Tensor, tables: SoftmaxTables, w_in: Windows, w_out: Windows, size: int
) -> tuple[Tensor, Tensor, Windows]:
    """Logits, values and windows of all positions of the blocks; as they are where there are tables."""
    if tables.before is not None:
        return a, v, w_in
    into = Windows(w_out.lo * size, np.minimum(w_out.hi * size, np.maximum(len(tables.a), w_out.lo * size)))
    fitted = kernels.refit(a, w_in, into, tables.a)
    alike = v is a and tables.v is tables.a  # padded logits and padded values share their rows, not their pads
    return fitted, fitted if alike else kernels.refit(v, w_in, into, tables.v), into


class Kernels(Protocol):
    """Functions of rows on windows. All give new tensors, but for ``accumulate``; none adds in an undefined order."""

    def take(self, ref: Tensor, w: Windows) -> Tensor:
        """The reference's rows of every window."""

    def add_ref(self, delta: Tensor, ref: Tensor, w: Windows) -> Tensor:
        """Value rows of delta rows."""

    def sub_ref(self, value: Tensor, ref: Tensor, w: Windows) -> Tensor:
        """Delta rows of value rows."""

    def refit(self, rows: Tensor, w: Windows, into: Windows, ref: Tensor | None = None) -> Tensor:
        """Rows on other windows: cut where these are narrower, and where wider zeros, or the reference's rows."""

    def accumulate(self, target: Tensor, w_target: Windows, rows: Tensor, w: Windows) -> None:
        """``target[q] += rows[q]`` at positions in both windows of an edit, in place."""

    def taps(
        self, parts: Tensor, w_in: Windows, w_out: Windows, *, shifts: Sequence[int], stride: int = 1, up: int = 1,
        which: Tensor | None = None, base: Tensor | None = None, relu: bool = False, less: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Sum a convolution's products over its K taps.

        ``out[q] = base[q] + sum_k parts[i, k]`` over the ``i`` of w_in with ``i up + shifts[k] = q stride``, in the
        order of k; then, where asked, ``max(0, out)`` (NaN stays), and ``out - less[q]``.

        Parameters
        ----------
        parts : (R, K * C), tap by tap; rows are those of w_in, or with ``which`` those of a table
        which : (w_in.total,) int32, the row of ``parts`` of each row of w_in, from 0 to R - 1
        base, less : (L_out, C)

        Returns
        -------
        (w_out.total, C)
        """

    def taps_narrow(
        self, parts: Tensor, w_in: Windows, w_out: Windows, *, shifts: Sequence[int], stride: int = 1, up: int = 1,
        which: Tensor | None = None, base: Tensor | None = None, relu: bool = False, less: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """:meth:`taps` of few channels: ``parts`` is ``(K * C, R)``."""

    def max_pool(
        self, value: Tensor, ref: Tensor, w_in: Windows, w_out: Windows, *,
        size: int, stride: int, pad: int, dilation: int = 1,
    ) -> Tensor:  # fmt: skip
        """Largest value of positions ``i = q stride - pad + t dilation`` in [0, L), t < size; NaN where one is NaN.

        A position's value is the edit's in w_in and the reference's elsewhere.
        """

    def pool_sum(
        self, delta: Tensor, w_in: Windows, w_out: Windows, *, size: int, stride: int, pad: int, weight: Tensor
    ) -> Tensor:
        """``weight[q]`` times the sum of the delta rows at positions ``q stride - pad`` to ``... + size - 1``.

        Parameters
        ----------
        weight : (L_out,) of the type of delta
        """

    def segment_sum(self, rows: Tensor, w: Windows) -> Tensor:
        """(E, F): sums over each window; 0 where it is empty."""

    def segment_max(self, rows: Tensor, w: Windows) -> Tensor:
        """(E, F): largest over each window; NaN where one is NaN; -inf where it is empty."""

    def place(self, ref: Tensor, rows: Tensor, w: Windows) -> Tensor:
        """(E, L, F): the reference with each edit's rows put in."""

    def outer_max(self, ref: Tensor) -> tuple[Tensor, Tensor]:
        """(L + 1, F) each: largest of ``ref[:i]``, and of ``ref[i:]``; -inf when there are none."""

    def softmax_tables(self, a: Tensor, v: Tensor, size: int) -> SoftmaxTables:
        """Tables for :meth:`softmax_pool` of the reference's logits and values, (L, F) each."""

    def softmax_pool(
        self, a: Tensor, v: Tensor, tables: SoftmaxTables, w_in: Windows, w_out: Windows, size: int
    ) -> Tensor:
        """``sum_j softmax(a)_j v_j`` over the positions j of blocks q of w_out: ``[q size, (q + 1) size)`` in [0, L).

        Parameters
        ----------
        a, v : (w_in.total, F) value rows of logits and of what is pooled; one tensor may be both. A logit may be -inf
            where v is 0; a block where all are gives NaN, as torch's softmax does.
        """


@lru_cache(maxsize=8)
def _of(device_type: str, index: int | None) -> Any:
    if device_type == "cpu":
        from drg_hpc.attribution.incremental.kernels_cpu import CpuKernels

        return CpuKernels()
    from drg_hpc.attribution.incremental.kernels_torch import TorchKernels

    return TorchKernels()


def kernels_for(device: device) -> Kernels:
    """Compiled loops on CPUs, tensor operations on any other device."""
    kernels: Kernels = _of(device.type, device.index)
    return kernels
