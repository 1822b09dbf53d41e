"""Kernels as tensor operations, for any device: rows are gathered, never scattered, so that sums have one order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from drg_hpc.attribution.incremental.kernels import SoftmaxTables, Windows, check, check_blocks, whole_blocks
from drg_hpc.attribution.incremental.tables import outer_max, softmax_tables


class Places(NamedTuple):
    """Windows on a device.

    Attributes
    ----------
    edit, position : (total,) of every row
    lo, widths, first : (E,) first position, number of positions and first row of every edit
    """

    edit: Tensor
    position: Tensor
    lo: Tensor
    widths: Tensor
    first: Tensor

    def rows_at(self, edit: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of these positions, 0 where there is none; and whether there is one."""
        own = position - self.lo[edit]
        found = (own >= 0) & (own < self.widths[edit])
        return torch.where(found, self.first[edit] + own, 0), found


def _rows(table: Tensor, index: Tensor, found: Tensor, otherwise: Tensor | float = 0.0) -> Tensor:
    """Rows of a table, and something else where none was found."""
    if not len(table):
        table, index = table.new_zeros((1, table.shape[1])), torch.zeros_like(index)
    return torch.where(found[:, None], table.index_select(0, index), otherwise)


class TorchKernels:
    """See :class:`drg_hpc.attribution.incremental.kernels.Kernels`."""

    def __init__(self) -> None:
        self._places: WeakKeyDictionary[Windows, tuple[torch.device, Places]] = WeakKeyDictionary()

    def _on(self, w: Windows, like: Tensor) -> Places:
        known = self._places.get(w)
        if known is not None and known[0] == like.device:
            return known[1]
        lo, widths, first = (torch.from_numpy(x).to(like.device) for x in (w.lo, w.widths, w.offsets[:-1]))
        edit = torch.repeat_interleave(torch.arange(len(w), device=like.device), widths, output_size=w.total)
        position = torch.arange(w.total, device=like.device) - first[edit] + lo[edit]
        places = Places(edit, position, lo, widths, first)
        self._places[w] = like.device, places
        return places

    def take(self, ref: Tensor, w: Windows) -> Tensor:
        check(None, w, ref=ref)
        return ref.index_select(0, self._on(w, ref).position)

    def add_ref(self, delta: Tensor, ref: Tensor, w: Windows) -> Tensor:
        check(delta, w)
        return delta + self.take(ref, w)

    def sub_ref(self, value: Tensor, ref: Tensor, w: Windows) -> Tensor:
        check(value, w)
        return value - self.take(ref, w)

    def refit(self, rows: Tensor, w: Windows, into: Windows, ref: Tensor | None = None) -> Tensor:
        check(rows, w)
        out = self._on(into, rows)
        fill = 0.0 if ref is None else self.take(ref, into)
        return _rows(rows, *self._on(w, rows).rows_at(out.edit, out.position), fill)

    def accumulate(self, target: Tensor, w_target: Windows, rows: Tensor, w: Windows) -> None:
        check(target, w_target)
        target += self.refit(rows, w, w_target)

    def taps(
        self, parts: Tensor, w_in: Windows, w_out: Windows, *, shifts: Sequence[int], stride: int = 1, up: int = 1,
        which: Tensor | None = None, base: Tensor | None = None, relu: bool = False, less: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        check(parts if which is None else which, w_in)
        taps = len(shifts)
        flat = parts.reshape(len(parts) * taps, parts.shape[1] // taps)
        inside, out = self._on(w_in, parts), self._on(w_out, parts)
        total = flat.new_zeros((w_out.total, flat.shape[1])) if base is None else self.take(base, w_out)
        for k, shift in enumerate(shifts):
            moved = out.position * stride - shift
            index, found = inside.rows_at(out.edit, moved if up == 1 else moved.div(up, rounding_mode="floor"))
            if up != 1:
                found &= moved % up == 0
            if which is not None and len(which):
                index = which[index].long()
            total += _rows(flat, index * taps + k, found)
        if relu:
            total = total.relu()
        return total if less is None else total - self.take(less, w_out)

    def taps_narrow(
        self, parts: Tensor, w_in: Windows, w_out: Windows, *, shifts: Sequence[int], stride: int = 1, up: int = 1,
        which: Tensor | None = None, base: Tensor | None = None, relu: bool = False, less: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        return self.taps(parts.T, w_in, w_out, shifts=shifts, stride=stride, up=up, which=which, base=base,
                         relu=relu, less=less)  # fmt: skip

    def max_pool(
        self, value: Tensor, ref: Tensor, w_in: Windows, w_out: Windows, *,
        size: int, stride: int, pad: int, dilation: int = 1,
    ) -> Tensor:  # fmt: skip
        check(value, w_in, ref=ref)
        inside, out = self._on(w_in, value), self._on(w_out, value)
        largest = value.new_full((w_out.total, value.shape[1]), -torch.inf)
        for t in range(size):
            at = out.position * stride - pad + t * dilation
            given = _rows(ref, at.clamp(0, max(len(ref) - 1, 0)), (at >= 0) & (at < len(ref)), -torch.inf)
            largest = torch.maximum(largest, _rows(value, *inside.rows_at(out.edit, at), given))
        return largest

    def pool_sum(
        self, delta: Tensor, w_in: Windows, w_out: Windows, *, size: int, stride: int, pad: int, weight: Tensor
    ) -> Tensor:
        check(delta, w_in)
        check(None, w_out, ref=weight)
        inside, out = self._on(w_in, delta), self._on(w_out, delta)
        total = delta.new_zeros((w_out.total, delta.shape[1]))
        for t in range(size):
            total += _rows(delta, *inside.rows_at(out.edit, out.position * stride - pad + t))
        return total * weight.to(delta.dtype)[out.position][:, None]

    def _padded(self, rows: Tensor, w: Windows, fill: float) -> Tensor:
        """(E, widest, F)."""
        check(rows, w)
        places, widest = self._on(w, rows), int(w.widths.max(initial=0))
        step = torch.arange(widest, device=rows.device)
        found = step < places.widths[:, None]
        index = torch.where(found, places.first[:, None] + step, 0)
        return _rows(rows, index.view(-1), found.view(-1), fill).view(len(w), widest, rows.shape[1])

    def segment_sum(self, rows: Tensor, w: Windows) -> Tensor:
        return self._padded(rows, w, 0.0).sum(1)

    def segment_max(self, rows: Tensor, w: Windows) -> Tensor:
        padded = self._padded(rows, w, -torch.inf)
        return padded.amax(1) if padded.shape[1] else rows.new_full((len(w), rows.shape[1]), -torch.inf)

    def place(self, ref: Tensor, rows: Tensor, w: Windows) -> Tensor:
        check(rows, w, ref=ref)
        made = ref.expand(len(w), *ref.shape).clone()
        places = self._on(w, ref)
        made[places.edit, places.position] = rows
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
        inside, out, length = self._on(w_in, a), self._on(w_out, a), len(tables.a)
        begin, end = out.position * size, ((out.position + 1) * size).clamp(max=length)
        first = torch.maximum(begin, inside.lo[out.edit])
        last = torch.minimum(end, (inside.lo + inside.widths)[out.edit])
        apart = last <= first  # the block is as it was: its own rows are none, all is after
        first, last = torch.where(apart, begin, first), torch.where(apart, begin, last)
        before = _table(tables.before, a, first, first > begin)
        after = _table(tables.after, a, last, last < end)
        # the largest number of own rows of a block
        steps = range(min(size, int(w_in.widths.max(initial=0))))
        places = [inside.rows_at(out.edit, torch.where(first + j < last, first + j, -1)) for j in steps]
        top = torch.maximum(before[0], after[0])
        for place in places:
            top = torch.maximum(top, _rows(a, *place, -torch.inf))
        share = (before[0] - top).exp()
        below, above = before[1] * share, before[2] * share
        for place in places:
            share = torch.where(place[1][:, None], (_rows(a, *place) - top).exp(), 0.0)
            below, above = below + share, above + share * _rows(v, *place)
        share = (after[0] - top).exp()
        return (above + after[2] * share) / (below + after[1] * share)


def _table(table: Tensor | None, like: Tensor, at: Tensor, found: Tensor) -> Tensor:
    """(3, blocks, F) of a table (3, L, F): nothing, (-inf, 0, 0), where it is not read."""
    none = like.new_tensor([-torch.inf, 0.0, 0.0]).view(3, 1, 1)
    if table is None:
        return none.expand(3, len(at), like.shape[1])
    rows = table.index_select(1, torch.where(found, at, 0))
    return torch.where(found[:, None], rows, none)
