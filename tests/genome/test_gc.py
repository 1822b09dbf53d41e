from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drg_hpc.errors import UsageError
from drg_hpc.genome import gc as gc_module
from drg_hpc.genome.gc import Matches, Matching, match_contig, unmatched_reason
from drg_hpc.genome.onehot import encode

Codes = NDArray[np.uint8]
NONE = np.zeros((0, 2), np.int64)


def draw(codes: Codes, starts: list[int], length: int, regions: Any = None, **options: Any) -> Matches:
    given_starts = np.array(starts, np.int64)
    own = np.stack([given_starts, given_starts + length], axis=1)
    chosen: dict[str, Any] = {"contig": "chr1", "per_row": 1, "seed": 0, "regions": own if regions is None else regions}
    return match_contig(
        lambda start, end: codes[start:end], size=len(codes), starts=given_starts, length=length, **(chosen | options)
    )


def fraction(codes: Codes) -> float:
    known = codes[codes < 4]
    return float(np.isin(known, (1, 2)).mean()) if len(known) else np.nan


def mixed_bases(size: int, seed: int) -> Codes:
    """Stretches of 200 bases of different GC."""
    random = np.random.default_rng(seed)
    share = np.repeat(random.beta(8, 9, -(-size // 200)), 200)[:size]
    return np.where(random.random(size) < share, random.integers(1, 3, size), random.choice([0, 3], size)).astype(
        np.uint8
    )


def test_distributions_agree_on_a_real_scale() -> None:
    codes = mixed_bases(2_000_000, 0)
    codes[100_000:130_000] = 4
    random = np.random.default_rng(1)
    starts = [int(s) for s in np.sort(random.integers(-50, 1_999_900, 300)) if not 99_000 < s < 130_000]
    blacklist = np.array([[500_000, 600_000], [1_000_000, 1_000_001]], np.int64)
    found = draw(codes, starts, 200, per_row=3, blacklist=blacklist)
    assert (found.starts >= 0).mean() > 0.99
    used = found.starts[found.starts >= 0]
    assert len(np.unique(used)) == len(used)
    assert np.diff(np.sort(used)).min() >= 200  # no two overlap
    taken = np.zeros(len(codes), bool)
    for start in starts:
        taken[max(start, 0) : start + 200] = True
    for start, end in blacklist:
        taken[start:end] = True
    taken |= codes > 3
    for row, start in enumerate(starts):
        assert found.gc[row] == fraction(codes[max(start, 0) : start + 200])
        for negative, matched in zip(found.starts[row], found.matched_gc[row], strict=True):
            if negative >= 0:
                assert not taken[negative : negative + 200].any()
                assert matched == fraction(codes[negative : negative + 200])
                assert abs(matched - found.gc[row]) <= 0.02 + 1e-9
    # The two distributions are the same to within the bins: the largest distance of their distribution functions.
    grid = np.linspace(0, 1, 101)
    positives = np.searchsorted(np.sort(np.repeat(found.gc, 3)), grid) / (3 * len(starts))
    negatives = np.searchsorted(np.sort(used_gc := found.matched_gc[found.starts >= 0]), grid) / len(used_gc)
    assert abs(positives - negatives).max() < 0.06
    assert abs(found.gc.mean() - used_gc.mean()) < 0.003


@st.composite
def contigs(draw_: st.DrawFn) -> tuple[Codes, list[int], int, NDArray[np.int64], NDArray[np.int64]]:
    length = draw_(st.integers(1, 120))
    size = draw_(st.integers(1, 3000))
    seed = draw_(st.integers(0, 1000))
    random = np.random.default_rng(seed)
    codes = mixed_bases(size, seed)
    codes[random.random(size) < draw_(st.sampled_from([0, 0, 0.002]))] = 4
    starts = draw_(st.lists(st.integers(-200, 3200), max_size=8))
    pair = st.tuples(st.integers(0, 3000), st.integers(1, 400)).map(lambda p: (p[0], p[0] + p[1]))
    intervals = [np.array(draw_(st.lists(pair, max_size=4)), np.int64).reshape(-1, 2) for _ in range(2)]
    return codes, starts, length, intervals[0], intervals[1]


@settings(deadline=None, max_examples=150)
@given(contigs(), st.integers(1, 3), st.sampled_from([0, 0.005, 0.02, 0.1, 1]), st.sampled_from([0, 5]))
def test_against_every_candidate_looked_at(
    case: tuple[Codes, list[int], int, NDArray[np.int64], NDArray[np.int64]],
    per_row: int,
    tolerance: float,
    margin: int,
) -> None:
    codes, starts, length, extra, blacklist = case
    regions = np.concatenate([np.array([(s, s + length) for s in starts], np.int64).reshape(-1, 2), extra])
    matching = Matching(tolerance=tolerance, margin=margin, unknown=0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc_module, "_BLOCK", 64)  # several blocks, windows across their borders
        found = draw(codes, starts, length, regions, blacklist=blacklist, per_row=per_row, matching=matching)
    free = {}
    for start in range(0, len(codes) - length + 1, max(length, 64)):
        window = codes[start : start + length]
        near = any(s - margin < start + length and start < e + margin for s, e in regions)
        listed = any(s < start + length and start < e for s, e in blacklist)
        if not near and not listed and (window > 3).sum() <= 0.01 * length and (window < 4).any():
            free[start] = fraction(window)
    assert found.starts.shape == (len(starts), per_row)
    used = [int(s) for s in found.starts[found.starts >= 0]]
    assert len(set(used)) == len(used)
    assert set(used) <= set(free)
    left = {start: value for start, value in free.items() if start not in used}
    for row, start in enumerate(starts):
        own = fraction(codes[max(start, 0) : max(start + length, 0)])
        np.testing.assert_equal(found.gc[row], own)
        if np.isnan(own):
            assert (found.starts[row] < 0).all()
            continue
        apart = [abs(int(100 * value + 1e-9) - int(100 * own + 1e-9)) for value in left.values()]
        eligible = [abs(value - own) <= tolerance + 1e-9 for value in left.values()]
        for negative, matched in zip(found.starts[row], found.matched_gc[row], strict=True):
            if negative < 0:
                assert np.isnan(matched)
                assert not any(eligible)  # no window that would have done was left over
                continue
            assert matched == free[int(negative)]
            assert abs(matched - own) <= tolerance + 1e-9
            distance = abs(int(100 * matched + 1e-9) - int(100 * own + 1e-9))
            # nothing in a nearer bin was left over
            assert not any(ok and d < distance for ok, d in zip(eligible, apart, strict=True))


def test_depends_on_seed_contig_and_positives_alone() -> None:
    codes = mixed_bases(300_000, 2)
    starts = [1000, 5000, 200_000, 250_123]
    found = draw(codes, starts, 300, per_row=2)
    again = draw(codes.copy(), starts, 300, per_row=2)
    np.testing.assert_array_equal(found.starts, again.starts)
    for other in (draw(codes, starts, 300, per_row=2, seed=1), draw(codes, starts, 300, per_row=2, contig="chr2")):
        assert (other.starts != found.starts).any()
    first = draw(codes, starts, 300, per_row=1)  # everyone draws once before anyone draws twice
    np.testing.assert_array_equal(first.starts[:, 0], found.starts[:, 0])


def test_windows_are_drawn_evenly() -> None:
    codes = encode(b"ACGT" * 25 * 40)  # 40 windows of 100 bases, all of GC 0.5
    drawn = np.zeros(40)
    for seed in range(2000):
        drawn[int(draw(codes, [0], 100, NONE, seed=seed).starts[0, 0]) // 100] += 1
    assert ((drawn - 50) ** 2 / 50).sum() < 72.1  # 99.9 % point of chi-square with 39 degrees of freedom


def test_nothing_left() -> None:
    codes = encode(b"A" * 1000 + b"G" * 500)
    found = draw(codes, [0, 1000, 5000], 100, per_row=2)
    assert found.gc[:2].tolist() == [0, 1]
    assert np.isnan(found.gc[2])
    assert (found.starts[0] >= 0).all() and (found.starts[1] >= 1000).all() and (found.starts[2] == -1).all()
    crowded = draw(codes, [1000] * 5, 100, per_row=1)
    assert (crowded.starts >= 0).sum() == 4
    assert draw(codes, [], 100).starts.shape == (0, 1)
    assert (draw(codes[:50], [0], 100).starts == -1).all()
    assert unmatched_reason(0.534, "chr21", Matching()) == "no window of GC 0.53 +- 0.02 left on chr21"
    assert unmatched_reason(float("nan"), "chr21", Matching()) == "no known base to match GC with"


def test_unknown_bases() -> None:
    codes = np.tile(encode(b"ACGT" * 24 + b"NNNN"), 10)
    assert (draw(codes, [0], 100).starts == -1).all()
    assert (draw(codes, [0], 100, matching=Matching(unknown=0.03)).starts == -1).all()
    found = draw(codes, [0], 100, matching=Matching(unknown=0.04))
    assert found.starts[0, 0] > 0
    assert found.gc[0] == found.matched_gc[0, 0] == 0.5


@given(st.floats(allow_nan=True), st.floats(allow_nan=True), st.integers())
def test_matching_out_of_range_is_refused(tolerance: float, unknown: float, margin: int) -> None:
    assume(not (0 <= tolerance <= 1 and 0 <= unknown < 1 and margin >= 0))
    with pytest.raises(UsageError, match="GC matching"):
        Matching(tolerance, unknown, margin)
