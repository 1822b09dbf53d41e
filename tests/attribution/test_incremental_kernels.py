"""Kernels of incremental mutagenesis, compiled and as tensor operations, against plain loops and torch's layers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as nnf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from drg_hpc.attribution.incremental.kernels import Kernels, Windows, kernels_for
from drg_hpc.attribution.incremental.kernels_cpu import CpuKernels
from drg_hpc.attribution.incremental.kernels_torch import TorchKernels

Array = NDArray[np.float64]
BOTH = pytest.mark.parametrize("kernels", [CpuKernels(), TorchKernels()], ids=["cpu", "torch"])
CHANNELS = st.sampled_from([1, 2, 7, 64])
SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=60, deadline=None)


def windows_in(length: int, edits: int) -> st.SearchStrategy[Windows]:
    """Windows of all kinds: empty, of one position, at the ends, of the whole."""
    ends = st.tuples(st.integers(0, length), st.integers(0, length)).map(sorted)
    return st.lists(ends, min_size=edits, max_size=edits).map(
        lambda pairs: Windows(np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64))
    )


@st.composite
def layers(draw: st.DrawFn) -> tuple[int, int, Windows, Windows, np.random.Generator]:
    """Length, features, two windows for each edit, and a source of values."""
    length, edits = draw(st.integers(1, 24)), draw(st.integers(1, 4))
    features, rng = draw(CHANNELS), np.random.default_rng(draw(SEEDS))
    return length, features, draw(windows_in(length, edits)), draw(windows_in(length, edits)), rng


def tensor(values: NDArray[Any], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(dtype)


def pieces(rows: Array, w: Windows) -> list[Array]:
    """Rows of each edit."""
    return [rows[w.offsets[e] : w.offsets[e + 1]] for e in range(len(w))]


def mutants(ref: Array, rows: Array, w: Windows) -> list[Array]:
    """The layer of each edit as a whole."""
    made = []
    for e, own in enumerate(pieces(rows, w)):
        value = ref.copy()
        value[w.lo[e] : w.hi[e]] = own
        made.append(value)
    return made


def cut(whole: list[Array], w: Windows) -> Array:
    return np.concatenate([value[lo:hi] for value, lo, hi in zip(whole, w.lo, w.hi, strict=True)])


def same(given: Tensor, expected: NDArray[Any], rtol: float = 1e-12, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(given.numpy(), expected, rtol=rtol, atol=atol)


@BOTH
@few
@given(layer=layers())
def test_rows_are_taken_put_back_and_fitted_to_other_windows(kernels: Kernels, layer: Any) -> None:
    length, features, w, into, rng = layer
    ref, rows = rng.normal(size=(length, features)), rng.normal(size=(w.total, features))
    t_ref, t_rows = tensor(ref), tensor(rows)
    same(kernels.take(t_ref, w), cut([ref] * len(w), w), 0, 0)
    same(kernels.add_ref(t_rows, t_ref, w), rows + cut([ref] * len(w), w), 0, 0)
    same(kernels.sub_ref(t_rows, t_ref, w), rows - cut([ref] * len(w), w), 0, 0)
    same(kernels.place(t_ref, t_rows, w), np.stack(mutants(ref, rows, w)), 0, 0)
    same(kernels.refit(t_rows, w, into, t_ref), cut(mutants(ref, rows, w), into), 0, 0)
    fitted = cut(mutants(np.zeros_like(ref), rows, w), into)
    same(kernels.refit(t_rows, w, into), fitted, 0, 0)
    target = rng.normal(size=(into.total, features))
    t_target = tensor(target.copy())
    kernels.accumulate(t_target, into, t_rows, w)
    same(t_target, target + fitted, 0, 0)


@BOTH
@few
@given(layer=layers(), holes=st.booleans())
def test_sums_and_largest_of_windows(kernels: Kernels, layer: Any, holes: bool) -> None:
    length, features, w, _, rng = layer
    ref, rows = rng.normal(size=(length, features)), rng.normal(size=(w.total, features))
    if holes:
        rows[rng.random(rows.shape) < 0.1] = np.nan
        ref[rng.random(ref.shape) < 0.05] = np.nan
    own = pieces(rows, w)
    same(kernels.segment_sum(tensor(rows), w), np.stack([x.sum(0) for x in own]))
    inside = kernels.segment_max(tensor(rows), w)
    same(inside, np.stack([x.max(0, initial=-np.inf) for x in own]), 0, 0)
    before, after = kernels.outer_max(tensor(ref))
    assert before.shape == after.shape == (length + 1, features)
    whole = torch.maximum(torch.maximum(before[torch.from_numpy(w.lo)], inside), after[torch.from_numpy(w.hi)])
    same(whole, np.stack([x.max(0) for x in mutants(ref, rows, w)]), 0, 0)


def plain_taps(parts: Array, w_in: Windows, w_out: Windows, *, shifts: list[int], stride: int, up: int,
               base: Array) -> Array:  # fmt: skip
    """From parts (rows of w_in, K, C), one product after the other."""
    out = []
    for e, own in enumerate(pieces(parts, w_in)):
        for q in range(w_out.lo[e], w_out.hi[e]):
            total = base[q].copy()
            for k, shift in enumerate(shifts):
                for i, products in enumerate(own, start=w_in.lo[e]):
                    if i * up + shift == q * stride:
                        total += products[k]
            out.append(total)
    return np.array(out).reshape(w_out.total, base.shape[1])


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    edits, length, channels = draw(st.integers(1, 3)), draw(st.integers(1, 24)), draw(CHANNELS)
    length_out = draw(st.integers(1, 24))
    dilation, first, taps = draw(st.integers(1, 3)), draw(st.integers(-12, 6)), draw(st.integers(1, 12))
    shifts = [first + k * dilation for k in range(taps)]
    if draw(st.booleans()):
        shifts.reverse()
    return {
        "w_in": draw(windows_in(length, edits)), "w_out": draw(windows_in(length_out, edits)), "shifts": shifts,
        "stride": draw(st.integers(1, 3)), "up": draw(st.integers(1, 3)), "length_out": length_out,
        "channels": channels, "rng": np.random.default_rng(draw(SEEDS)), "by_table": draw(st.booleans()),
        "base": draw(st.booleans()), "relu": draw(st.booleans()), "less": draw(st.booleans()),
    }  # fmt: skip


@BOTH
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@settings(max_examples=80, deadline=None)
@given(c=convolutions())
def test_taps_are_summed(kernels: Kernels, dtype: torch.dtype, c: dict[str, Any]) -> None:
    rng, w_in, w_out, taps, channels = c["rng"], c["w_in"], c["w_out"], len(c["shifts"]), c["channels"]
    place = {name: c[name] for name in ("shifts", "stride", "up")}
    table = rng.normal(size=(5 if c["by_table"] else w_in.total, taps, channels))
    which = rng.integers(0, 5, w_in.total) if c["by_table"] else np.arange(w_in.total)
    base, less = rng.normal(size=(2, c["length_out"], channels))
    expected = plain_taps(table[which], w_in, w_out, base=base if c["base"] else np.zeros_like(base), **place)
    expected = np.maximum(expected, 0) if c["relu"] else expected
    expected -= cut([less if c["less"] else np.zeros_like(less)] * len(w_out), w_out)
    options: dict[str, Any] = {
        "which": torch.from_numpy(which.astype(np.int32)) if c["by_table"] else None,
        "base": tensor(base, dtype) if c["base"] else None, "less": tensor(less, dtype) if c["less"] else None,
        "relu": c["relu"],
    }  # fmt: skip
    parts = tensor(table.reshape(len(table), taps * channels), dtype)
    close = (1e-12, 1e-12) if dtype == torch.float64 else (1e-5, 1e-5)
    given = kernels.taps(parts, w_in, w_out, **place, **options)
    narrow = kernels.taps_narrow(parts.T.contiguous(), w_in, w_out, **place, **options)
    assert given.dtype == narrow.dtype == dtype
    same(given, expected, *close)
    # sums in one order everywhere: the same bits
    assert torch.equal(given, narrow)
    assert torch.equal(given, TorchKernels().taps(parts, w_in, w_out, **place, **options))


@BOTH
@pytest.mark.parametrize("width", [1, 9])
def test_a_nan_stays_where_it_is(kernels: Kernels, width: int) -> None:
    w_in, w_out = Windows(np.array([4]), np.array([4 + width])), Windows(np.array([0]), np.array([20]))
    parts, base = torch.zeros(width, 3 * 8, dtype=torch.float64), torch.zeros(20, 8, dtype=torch.float64)
    base[10, 3] = torch.nan
    parts[0, 8 + 5] = torch.nan  # the tap without a shift
    for less in (None, torch.ones_like(base)):
        options: dict[str, Any] = {"shifts": [-1, 0, 1], "base": base, "relu": True, "less": less}
        for rows in (
            kernels.taps(parts, w_in, w_out, **options),
            kernels.taps_narrow(parts.T.contiguous(), w_in, w_out, **options),
        ):
            assert torch.isnan(rows).nonzero().tolist() == [[4, 5], [10, 3]]
            assert torch.equal(rows[15], torch.zeros(8) if less is None else -torch.ones(8))


@st.composite
def network_layers(draw: st.DrawFn) -> dict[str, Any]:
    length, edits = draw(st.integers(8, 30)), draw(st.integers(1, 3))
    return {
        "w": draw(windows_in(length, edits)), "length": length, "rng": np.random.default_rng(draw(SEEDS)),
        "taps": draw(st.integers(1, 5)), "stride": draw(st.integers(1, 3)), "dilation": draw(st.integers(1, 2)),
        "pad": draw(st.integers(0, 2)), "channels": draw(CHANNELS),
    }  # fmt: skip


def reached(w: Windows, *, first: Callable[[int], int], last: Callable[[int], int], length: int) -> Windows:
    """Outputs that the positions of the windows reach, from functions of the first and the last position."""
    lo, hi = w.lo.copy(), w.hi.copy()
    for e in range(len(w)):
        if hi[e] > lo[e]:
            lo[e] = min(max(first(int(lo[e])), 0), length)
            hi[e] = min(max(last(int(hi[e]) - 1) + 1, lo[e]), length)
        else:
            lo[e] = hi[e] = 0
    return Windows(lo, hi)


@BOTH
@few
@given(c=network_layers(), transposed=st.booleans())
def test_products_and_taps_are_a_convolution(kernels: Kernels, c: dict[str, Any], transposed: bool) -> None:
    rng, w, taps, step, d, pad = (c[name] for name in ("rng", "w", "taps", "stride", "dilation", "pad"))
    ref, value = tensor(rng.normal(size=(c["length"], 3))), tensor(rng.normal(size=(w.total, 3)))
    weight = tensor(rng.normal(size=(3, taps, c["channels"])))  # inputs, taps, outputs
    bias = tensor(rng.normal(size=c["channels"]))

    def layer(x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        if transposed:
            y = nnf.conv_transpose1d(x, weight.permute(0, 2, 1), bias, stride=step, dilation=d, padding=pad)
        else:
            y = nnf.conv1d(x, weight.permute(2, 0, 1), bias, stride=step, dilation=d, padding=pad)
        return y.transpose(1, 2)

    if transposed and (c["length"] - 1) * step + d * (taps - 1) + 1 <= 2 * pad:
        return
    base = layer(ref[None])[0].contiguous()
    full = layer(kernels.place(ref, value, w))
    reach = d * (taps - 1)
    if transposed:
        place: dict[str, Any] = {"shifts": [k * d - pad for k in range(taps)], "up": step}
        out = reached(w, first=lambda i: i * step - pad, last=lambda i: i * step + reach - pad, length=len(base))
    else:
        place = {"shifts": [pad - k * d for k in range(taps)], "stride": step}
        out = reached(w, first=lambda i: -((reach - pad - i) // step), last=lambda i: (i + pad) // step,
                      length=len(base))  # fmt: skip
    delta = kernels.sub_ref(value, ref, w)
    rows = kernels.taps(delta @ weight.view(3, -1), w, out, base=base, **place)
    # all positions, so that none that changes is missing from the windows
    same(kernels.place(base, rows, out), full.numpy(), 1e-10, 1e-10)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@few
@given(layer=layers(), size=st.integers(1, 4), stride=st.integers(1, 3), dilation=st.integers(1, 3), data=st.data())
def test_largest_of_pooling_windows_is_torch_s(
    kernels: Kernels, dtype: torch.dtype, layer: Any, size: int, stride: int, dilation: int, data: st.DataObject
) -> None:
    length, features, w, _, rng = layer
    pad = data.draw(st.integers(0, size // 2))
    length_out = (length + 2 * pad - dilation * (size - 1) - 1) // stride + 1
    if length_out < 1:
        return
    out = data.draw(windows_in(length_out, len(w)))
    ref, rows = (tensor(x, dtype) for x in (rng.normal(size=(length, features)), rng.normal(size=(w.total, features))))
    rows[tensor(rng.random(rows.shape)) < 0.05] = torch.nan
    whole = kernels.place(ref, rows, w).transpose(1, 2)
    full = nnf.max_pool1d(whole, size, stride, pad, dilation).transpose(1, 2)
    given = kernels.max_pool(rows, ref, w, out, size=size, stride=stride, pad=pad, dilation=dilation)
    assert given.dtype == dtype
    same(given, cut(list(full.numpy()), out), 0, 0)


@BOTH
@few
@given(layer=layers(), size=st.integers(1, 5), stride=st.integers(1, 3), pad=st.integers(0, 2), data=st.data())
def test_weighted_sums_of_pooling_windows(
    kernels: Kernels, layer: Any, size: int, stride: int, pad: int, data: st.DataObject
) -> None:
    length, features, w, _, rng = layer
    out = data.draw(windows_in(length, len(w)))
    delta, weight = rng.normal(size=(w.total, features)), rng.normal(size=length)
    given = kernels.pool_sum(tensor(delta), w, out, size=size, stride=stride, pad=pad, weight=tensor(weight))
    expected = []
    for e, whole in enumerate(mutants(np.zeros((length, features)), delta, w)):
        for q in range(out.lo[e], out.hi[e]):
            inside = [i for i in range(q * stride - pad, q * stride - pad + size) if 0 <= i < length]
            expected.append(weight[q] * whole[inside].sum(0))
    same(given, np.array(expected).reshape(out.total, features))


@BOTH
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@few
@given(layer=layers(), size=st.integers(1, 14), one=st.booleans(), scale=st.sampled_from([1.0, 300.0]), data=st.data())
def test_softmax_of_blocks_is_torch_s(
    kernels: Kernels, dtype: torch.dtype, layer: Any, size: int, one: bool, scale: float, data: st.DataObject
) -> None:
    length, features, w, _, rng = layer
    blocks = -(-length // size)
    out = data.draw(windows_in(blocks, len(w)))
    a, a_rows = (tensor(scale * rng.normal(size=(n, features)), dtype) for n in (length, w.total))
    v, v_rows = (tensor(rng.normal(size=x.shape), dtype) for x in (a, a_rows))
    if one:
        v, v_rows = a, a_rows
    else:
        for logits, values in ((a, v), (a_rows, v_rows)):
            masked = torch.from_numpy(rng.random(len(logits)) < 0.3)
            logits[masked], values[masked] = -torch.inf, 0.0
    given = kernels.softmax_pool(a_rows, v_rows, kernels.softmax_tables(a, v, size), w, out, size)
    assert given.dtype == dtype
    # torch in float64 on sequences filled up with masked positions
    fill = (0, 0, 0, blocks * size - length)
    logits, values = (kernels.place(x, y, w).double() for x, y in ((a, a_rows), (v, v_rows)))
    logits, values = nnf.pad(logits, fill, value=-torch.inf), nnf.pad(values, fill)
    shape = (len(w), blocks, size, features)
    full = (logits.view(shape).softmax(2) * values.view(shape)).sum(2)
    close = (1e-11, 1e-11 * scale) if dtype == torch.float64 else (3e-5, 3e-6 * scale)
    same(given, cut(list(full.numpy()), out), *close)


@BOTH
@pytest.mark.parametrize("length", [4, 20])
def test_softmax_keeps_small_parts_when_a_large_one_goes(kernels: Kernels, length: int) -> None:
    """The reference's block is ruled by one position; the edit takes it away, and what is left is exact."""
    left = np.linspace(-3, 2, length).astype(np.float32)
    a = torch.from_numpy(left.copy())[:, None]
    a[1] = 80.0
    w, out = Windows(np.array([1]), np.array([2])), Windows(np.array([0]), np.array([1]))
    rows = torch.from_numpy(left[1:2])[:, None]
    given = kernels.softmax_pool(rows, rows, kernels.softmax_tables(a, a, length), w, out, length)
    doubles = left.astype(np.float64)
    assert given.item() == pytest.approx(float((np.exp(doubles) * doubles).sum() / np.exp(doubles).sum()), rel=2e-6)


@BOTH
def test_threads_at_once_give_the_same(kernels: Kernels) -> None:
    lo = np.arange(8) * 3
    w_in, w_out = Windows(lo, lo + 11), Windows(np.maximum(lo - 5, 0), lo + 16)
    parts, base = torch.randn(w_in.total, 11 * 16), torch.randn(40, 16)

    def once(_: int) -> Tensor:
        return kernels.taps(parts, w_in, w_out, shifts=range(-5, 6), base=base, relu=True)

    first = once(0)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(first, other) for other in pool.map(once, range(16)))


@BOTH
def test_rows_that_do_not_fit_are_refused(kernels: Kernels) -> None:
    w, ref = Windows(np.array([2, 5]), np.array([4, 9])), torch.zeros(8, 3)
    with pytest.raises(ValueError, match=r"windows over \[2, 9\) of a reference of 8 positions"):
        kernels.take(ref, w)
    with pytest.raises(ValueError, match="5 rows for windows of 6 positions"):
        kernels.segment_sum(torch.zeros(5, 3), w)
    with pytest.raises(ValueError, match=r"windows over \[2, 9\) of 4 blocks"):
        tables = kernels.softmax_tables(ref, ref, 2)
        one = Windows(np.array([1]), np.array([2]))
        kernels.softmax_pool(torch.zeros(1, 3), torch.zeros(1, 3), tables, one, w, 2)
    with pytest.raises(ValueError, match="hi >= lo"):
        Windows(np.array([3]), np.array([2]))


def test_windows_count_their_rows() -> None:
    w = Windows(np.array([5, 2, 90]), np.array([9, 3, 90]))
    assert w.widths.tolist() == [4, 1, 0] and w.offsets.tolist() == [0, 4, 5, 5]
    assert w.total == 5 and w.span == (2, 9) and len(w) == 3
    assert Windows(np.array([7]), np.array([7])).span == (0, 0)


def test_devices_have_their_kernels() -> None:
    assert isinstance(kernels_for(torch.device("cpu")), CpuKernels)
    assert isinstance(kernels_for(torch.device("meta")), TorchKernels)
