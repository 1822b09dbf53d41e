"""Kernels on CPUs: one compiled pass over memory each, on tensors' own memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from drg_hpc.attribution.incremental import loops, loops_pool, loops_taps
from drg_hpc.attribution.incremental.kernels import SoftmaxTables, Windows, check, check_blocks, whole_blocks
from drg_hpc.attribution.incremental.tables import outer_max, softmax_tables

_NO_ROWS = np.empty(0, np.int32)


def _flat(tensor: Tensor) -> loops.Flat:
    values: loops.Flat = tensor.detach().contiguous().view(-1).numpy()
    return values


def _rows(like: Tensor, *shape: int) -> tuple[Tensor, loops.Flat]:
    made = torch.empty(shape, dtype=like.dtype)
    return made, made.view(-1).numpy()


class CpuKernels:
    """See :class:`drg_hpc.attribution.incremental.kernels.Kernels`."""

    def take(self, ref: Tensor, w: Windows) -> Tensor:
        check(None, w, ref=ref)
        made, out = _rows(ref, w.total, ref.shape[1])
        loops.take(_flat(ref), w.lo, w.offsets, ref.shape[1], out)
        return made

    def _shifted(self, rows: Tensor, ref: Tensor, w: Windows, sign: int) -> Tensor:
        check(rows, w, ref=ref)
        made, out = _rows(rows, *rows.shape)
        loops.shift(_flat(rows), _flat(ref), sign, w.lo, w.offsets, ref.shape[1], out)
        return made

    def add_ref(self, delta: Tensor, ref: Tensor, w: Windows) -> Tensor:
        return self._shifted(delta, ref, w, 1)

    def sub_ref(self, value: Tensor, ref: Tensor, w: Windows) -> Tensor:
        return self._shifted(value, ref, w, -1)

    def refit(self, rows: Tensor, w: Windows, into: Windows, ref: Tensor | None = None) -> Tensor:
        check(rows, w)
        check(None, into, ref=ref)
        size = rows.shape[1]
        made, out = _rows(rows, into.total, size)
        fill = _flat(rows if ref is None else ref)
        loops.refit(_flat(rows), w.lo, w.offsets, into.lo, into.offsets, size, fill, ref is not None, out)
        return made

    def accumulate(self, target: Tensor, w_target: Windows, rows: Tensor, w: Windows) -> None:
        check(target, w_target)
        check(rows, w)
        # a view, so that a target with gaps raises instead of being copied
        flat = target.detach().view(-1).numpy()
        loops.accumulate(flat, w_target.lo, w_target.offsets, _flat(rows), w.lo, w.offsets, rows.shape[1])

    def _taps(
        self, loop: Callable[..., None], parts: Tensor, columns: int, w_in: Windows, w_out: Windows, *,
        shifts: Sequence[int], stride: int, up: int, which: Tensor | None, base: Tensor | None, relu: bool,
        less: Tensor | None,
    ) -> Tensor:  # fmt: skip
        for table in (base, less):
            check(None, w_out, ref=table)
        flat, size = _flat(parts), columns // len(shifts)
        made, out = _rows(parts, w_out.total, size)
        table_rows: Any = _NO_ROWS if which is None else which.to(torch.int32).contiguous().numpy()
        loop(
            flat, table_rows, which is not None, w_in.lo, w_in.offsets, w_out.lo, w_out.offsets,
            np.array(shifts, np.int64), stride, up, size, flat if base is None else _flat(base), base is not None,
            relu, flat if less is None else _flat(less), less is not None, out,
        )  # fmt: skip
        return made

    def taps(
        self, parts: Tensor, w_in: Windows, w_out: Windows, *, shifts: Sequence[int], stride: int = 1, up: int = 1,
        which: Tensor | None = None, base: Tensor | None = None, relu: bool = False, less: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        check(parts if which is None else which, w_in)
        return self._taps(loops_taps.taps, parts, parts.shape[1], w_in, w_out, shifts=shifts, stride=stride, up=up,
                          which=which, base=base, relu=relu, less=less)  # fmt: skip

    def taps_narrow(
        self, parts: Tensor, w_in: Windows, w_out: Windows, *, shifts: Sequence[int], stride: int = 1, up: int = 1,
        which: Tensor | None = None, base: Tensor | None = None, relu: bool = False, less: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        check(parts.T if which is None else which, w_in)
        return self._taps(loops_taps.taps_narrow, parts, parts.shape[0], w_in, w_out, shifts=shifts, stride=stride,
                          up=up, which=which, base=base, relu=relu, less=less)  # fmt: skip

    def max_pool(
        self, value: Tensor, ref: Tensor, w_in: Windows, w_out: Windows, *,
        size: int, stride: int, pad: int, dilation: int = 1,
    ) -> Tensor:  # fmt: skip
        check(value, w_in, ref=ref)
        features = value.shape[1]
        made, out = _rows(value, w_out.total, features)
        loops_pool.max_pool(_flat(value), _flat(ref), w_in.lo, w_in.offsets, w_out.lo, w_out.offsets, features, size,
                            stride, pad, dilation, out)  # fmt: skip
        return made

    def pool_sum(
        self, delta: Tensor, w_in: Windows, w_out: Windows, *, size: int, stride: int, pad: int, weight: Tensor
    ) -> Tensor:
        check(delta, w_in)
        check(None, w_out, ref=weight)
        features = delta.shape[1]
        made, out = _rows(delta, w_out.total, features)
        loops_pool.pool_sum(_flat(delta), w_in.lo, w_in.offsets, w_out.lo, w_out.offsets, features, size, stride, pad,
                            _flat(weight.to(delta.dtype)), out)  # fmt: skip
        return made

    def _segments(self, loop: Callable[..., None], rows: Tensor, w: Windows) -> Tensor:
        check(rows, w)
        made, out = _rows(rows, len(w), rows.shape[1])
        loop(_flat(rows), w.offsets, rows.shape[1], out)
        return made

    def segment_sum(self, rows: Tensor, w: Windows) -> Tensor:
        return self._segments(loops_pool.segment_sum, rows, w)

    def segment_max(self, rows: Tensor, w: Windows) -> Tensor:
        return self._segments(loops_pool.segment_max, rows, w)

    def place(self, ref: Tensor, rows: Tensor, w: Windows) -> Tensor:
        check(rows, w, ref=ref)
        made, out = _rows(ref, len(w), *ref.shape)
        loops_pool.place(_flat(ref), _flat(rows), w.lo, w.offsets, ref.shape[1], out)
        return made

    def outer_max(self, ref: Tensor) -> tuple[Tensor, Tensor]:
        return outer_max(ref)

    def softmax_tables(self, a: Tensor, v: Tensor, size: int) -> SoftmaxTables:
        return softmax_tables(a, v, size)

    def softmax_pool(
        self, a: Tensor, v: Tensor, tables: SoftmaxTables, w_in: Windows, w_out: Windows, size: int
    ) -> Tensor:
        check(a, w_in, ref=tables.a)
        check_blocks(tables, w_out, size)
        a, v, w_in = whole_blocks(self, a, v, tables, w_in, w_out, size)
        length, features = tables.a.shape
        where = w_in.lo, w_in.offsets, w_out.lo, w_out.offsets
        n = 0 if tables.before is None else loops_pool.count_edges(*where, size, length)
        # own rows, then entries of the tables; their exponentials in one vectorised pass
        shares = torch.empty(w_in.total + n, features, dtype=a.dtype)
        own, edges = _flat(shares[: w_in.total]), _flat(shares[w_in.total :])
        before, after = (_flat(a if table is None else table) for table in (tables.before, tables.after))
        loops_pool.softmax_logits(_flat(a), before, after, *where, features, size, length, own, edges)
        shares.exp_()
        made, out = _rows(a, w_out.total, features)
        loops_pool.softmax_sums(_flat(v), before, after, *where, features, size, length, own, edges, out)
        return made
