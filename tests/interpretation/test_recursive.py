"""Recursive seqlets against a plain restatement of the rule, and the edge faults that were mended."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from drg_hpc.errors import InputError, UsageError
from drg_hpc.interpretation.null import Null, clipped_edges, empty_survey, histogram, survey
from drg_hpc.interpretation.seqlet_methods import call_seqlets


def example(rows: int = 60, length: int = 80) -> np.ndarray:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, (rows, length))
    values[:, 20:31] += 3
    values[::3, 50:57] -= 4
    return values.astype(np.float32)


def plain(
    values: np.ndarray, sign: int, *, threshold: float, low: float, high: float, bins: int
) -> set[tuple[int, int, int]]:
    """The rule by brute force: convolved null, every inner span significant, longest first, then largest sum."""
    x = values * sign
    edges = (low, high) if sign > 0 else (-high, -low)
    position = np.clip(((x.astype(float) - edges[0]) * (bins / (edges[1] - edges[0]))).astype(int), 0, bins - 1)
    share = np.bincount(position.ravel(), minlength=bins) / position.size
    tails, density = [np.ones(1)], np.ones(1)
    for _ in range(25):
        density = np.convolve(density, share)
        tails.append(np.array([density[i:].sum() for i in range(len(density))]))
    calls = set()
    for row in range(len(x)):
        sums = np.concatenate([[0], np.cumsum(position[row])])
        length = x.shape[1]
        good = {
            (k, n)
            for n in range(4, 26)
            for k in range(length - n + 1)
            if all(
                tails[m][sums[j + m] - sums[j]] < threshold for m in range(4, n + 1) for j in range(k, k + n - m + 1)
            )
        }
        taken: list[tuple[int, int]] = []
        for k, n in sorted(good, key=lambda item: (-item[1], -(sums[item[0] + item[1]] - sums[item[0]]), item[0])):
            free = all(k + n <= a or k >= b for a, b in taken)
            if free and x[row, k : k + n].sum() > 0:
                taken.append((k, k + n))
        calls |= {(row, a, b) for a, b in taken}
    return calls


def test_equals_the_rule_by_brute_force() -> None:
    values = example(12, 40)
    found = call_seqlets(values, threshold=0.05, bins=50, clip=1.0)
    for sign in (1, -1):
        expected = plain(values, sign, threshold=0.05, low=float(values.min()), high=float(values.max()), bins=50)
        mine = found[np.sign(found["attribution"]) == sign]
        assert set(zip(mine["row"], mine["start"], mine["end"], strict=True)) == expected
        assert len(expected) > 3


def test_attribution_and_order() -> None:
    values = example()
    found = call_seqlets(values)
    sums = [values[r.row, r.start : r.end].sum() for r in found.itertuples()]
    np.testing.assert_allclose(found["attribution"], sums, rtol=1e-5)
    assert list(found.columns) == ["row", "start", "end", "attribution", "p_value"]
    assert found[["row", "start"]].apply(tuple, axis=1).is_monotonic_increasing
    assert (found["p_value"] < 0.01).all()
    covered = np.mean([((found.row == i) & (found.start < 31) & (found.end > 20)).any() for i in range(len(values))])
    assert covered > 0.95


def test_negating_swaps_the_signs() -> None:
    values = example()
    up, down = call_seqlets(values), call_seqlets(-values)
    np.testing.assert_array_equal(up[["row", "start", "end"]], down[["row", "start", "end"]])
    np.testing.assert_allclose(up["attribution"], -down["attribution"], rtol=1e-6)


@pytest.mark.parametrize("place", [slice(0, 6), slice(74, 80)])
def test_both_ends_of_a_row_can_hold_a_seqlet(place: slice) -> None:
    values = np.random.default_rng(2).normal(0, 1, (40, 80)).astype(np.float32)
    values[:8, place] += 6
    found = call_seqlets(values)
    edge = found[found["start"] == 0] if place.start == 0 else found[found["end"] == 80]
    assert set(range(8)) <= set(edge["row"])


def test_one_outlier_changes_next_to_nothing() -> None:
    values = example(400)
    spoilt = values.copy()
    spoilt[0, 70] = 1e6
    plain_calls, outlier = call_seqlets(values), call_seqlets(spoilt)
    left = {tuple(row) for row in plain_calls[["row", "start", "end"]].to_numpy() if row[0] > 0}
    right = {tuple(row) for row in outlier[["row", "start", "end"]].to_numpy() if row[0] > 0}
    assert len(left & right) / len(left | right) > 0.98
    assert len(call_seqlets(spoilt, clip=1.0)) < len(plain_calls) / 2  # what happens without clipping


@pytest.mark.parametrize("values", [np.zeros((3, 30)), np.full((2, 30), -2.5), np.zeros((0, 30)), np.zeros((2, 0))])
def test_nothing_to_call(values: np.ndarray) -> None:
    assert call_seqlets(values).empty


def test_short_rows_and_single_positions() -> None:
    values = np.random.default_rng(3).normal(0, 1, (200, 3)).astype(np.float32)
    assert call_seqlets(values).empty
    values[:2, 1] = 9
    found = call_seqlets(values, min_length=1, max_length=3, threshold=0.006)
    assert {(0, 1), (1, 1)} <= set(zip(found["row"], found["start"], strict=True))


def test_flanks_are_cut_at_the_ends_and_summed() -> None:
    values = example()
    core, wide = call_seqlets(values), call_seqlets(values, flank=30)
    assert len(core) == len(wide)
    assert wide["start"].min() == 0 and wide["end"].max() == 80
    row = wide.iloc[0]
    total = values[int(row["row"]), int(row["start"]) : int(row["end"])].sum()
    assert row["attribution"] == pytest.approx(total, rel=1e-4)


def test_survey_adds_up_over_any_cut() -> None:
    values = example()
    whole = survey(values)
    for cut in (1, 17, 59):
        both = survey(values[:cut]) + survey(values[cut:]) + empty_survey()
        np.testing.assert_array_equal(both.keys, whole.keys)
        assert (both.low, both.high) == (whole.low, whole.high)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_clipping_edges_lie_at_the_quantiles(scale: float) -> None:
    values = (np.random.default_rng(4).standard_t(2, 50_000) * scale).astype(np.float32)
    edges = clipped_edges(survey(values), clip=0.999, bins=100)
    low, high = np.quantile(values, [0.001, 0.999])
    assert low * 1.02 <= edges.low <= low * 0.98 and high * 0.98 <= edges.high <= high * 1.02
    exact = clipped_edges(survey(values), clip=1.0, bins=100)
    assert (exact.low, exact.high) == (values.min(), values.max())


def test_null_is_exact_on_a_small_case() -> None:
    values = np.array([[0.0, 0.0, 1.0, 3.0]], np.float32)
    edges = clipped_edges(survey(values), clip=1.0, bins=4)
    counts = histogram(values, edges)
    np.testing.assert_array_equal(counts, [2, 1, 0, 1])
    null, negative = Null.both(counts, max_length=3)
    sums = [sum(c) for c in itertools.product([0, 0, 1, 3], repeat=3)]
    for total in range(10):
        assert null.tail[3][total] == pytest.approx(np.mean([s >= total for s in sums]))
    assert null.cutoffs(0.02)[3] == 8 and null.cutoffs(0.01)[3] == 10
    for total in range(10):
        assert negative.tail[3][total] == pytest.approx(np.mean([9 - s >= total for s in sums]))


def test_bad_arguments() -> None:
    with pytest.raises(UsageError, match="unknown seqlet method"):
        call_seqlets(np.zeros((1, 9)), method="x")
    with pytest.raises(UsageError, match="shape"):
        call_seqlets(np.zeros(9))
    with pytest.raises(InputError, match="NaN"):
        call_seqlets(np.full((1, 9), np.inf))
    for bad in ({"threshold": 0}, {"min_length": 5, "max_length": 4}, {"clip": 0.2}, {"flank": -1}, {"bins": 1}):
        with pytest.raises(UsageError):
            call_seqlets(np.zeros((1, 9)), **bad)  # type: ignore[arg-type]
