"""Pairs of motifs against all matrices with the same margins, and planted order and spacing."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from drg_hpc.interpretation.cooccurrence import _trade, cooccurrence
from drg_hpc.interpretation.sites import Sites, strongest_sites
from drg_hpc.interpretation.spacing import MEASURES, PEAK, spacing


def test_margins_are_kept_by_trades() -> None:
    rng = np.random.default_rng(0)
    table = rng.random((30, 9)) < 0.4
    degree = table.sum(axis=1)
    ends = np.concatenate([[0], np.cumsum(degree)]).astype(np.int64)
    members = np.nonzero(table)[1].astype(np.int64)
    mark, pool, state = np.zeros(9, np.int64), np.zeros(18, np.int64), np.array([5], np.uint64)
    for _ in range(500):
        _trade(members, ends, mark, pool, state)
        assert not mark.any()
    made = np.zeros_like(table)
    made[np.repeat(np.arange(30), degree), members] = True
    assert (made.sum(axis=1) == degree).all() and (made.sum(axis=0) == table.sum(axis=0)).all()
    assert (made != table).any()


def test_p_values_are_those_of_all_matrices_with_these_margins() -> None:
    table = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [1, 0, 0, 0]])
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    choices = [[c for c in product((0, 1), repeat=4) if sum(c) == degree] for degree in rows]
    every = np.array([t for t in product(*choices) if (np.sum(t, axis=0) == columns).all()])
    row, motif = np.nonzero(table)
    found = cooccurrence(motif, row, motifs=4, permutations=20_000, seed=3)
    for k, (i, j) in enumerate(zip(found.first, found.second, strict=True)):
        both = (every[:, :, i] * every[:, :, j]).sum(axis=1)
        observed = (table[:, i] * table[:, j]).sum()
        assert found.both[k] == observed
        assert found.expected[k] == pytest.approx(both.mean(), abs=0.03)
        assert found.deviation[k] == pytest.approx(both.std(), abs=0.03)
        assert found.together[k] == pytest.approx((both >= observed).mean(), abs=0.02)
        assert found.apart[k] == pytest.approx((both <= observed).mean(), abs=0.02)


def planted_pairs(seed: int, *, rich: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Ten motifs in 300 regions: 0 with 1, 2 not with 3, the rest at random, some regions richer than others."""
    rng = np.random.default_rng(seed)
    table = rng.random((300, 10)) < (rng.choice([0.1, 0.6], (300, 1)) if rich else 0.25)
    if not rich:
        table[:, 1] = np.where(rng.random(300) < 0.7, table[:, 0], table[:, 1])
        table[:, 3] &= ~table[:, 2]
    row, motif = np.nonzero(table)
    return motif, row


def test_planted_pairs_are_found() -> None:
    motif, row = planted_pairs(0)
    found = cooccurrence(motif, row, motifs=10, permutations=999, seed=1)
    sure = {(int(i), int(j)) for i, j, q in zip(found.first, found.second, found.q, strict=True) if q <= 0.05}
    assert {(0, 1), (2, 3)} <= sure and len(sure) <= 4
    at = {pair: k for k, pair in enumerate(zip(found.first.tolist(), found.second.tolist(), strict=True))}
    assert found.both[at[0, 1]] > found.expected[at[0, 1]] and found.together[at[0, 1]] == 1 / 1000
    assert found.both[at[2, 3]] == 0 and found.apart[at[2, 3]] == 1 / 1000


def test_rich_regions_raise_no_pair_and_the_seed_decides() -> None:
    motif, row = planted_pairs(1, rich=True)
    found = cooccurrence(motif, row, motifs=10, permutations=199, seed=0)
    assert np.corrcoef(found.both, found.expected)[0, 1] > 0.5 and (found.q > 0.05).all()
    again = cooccurrence(motif[::-1], row[::-1], motifs=10, permutations=199, seed=0)
    assert all((getattr(found, name) == getattr(again, name)).all() for name in vars(found))
    other = cooccurrence(motif, row, motifs=10, permutations=199, seed=1)
    assert (other.expected != found.expected).any()


def test_nothing_to_permute() -> None:
    one = cooccurrence(np.array([0, 1]), np.array([4, 4]), motifs=2, permutations=99, seed=0)
    assert one.both.tolist() == [1] and one.q.tolist() == [1.0]
    none = cooccurrence(np.zeros(0, np.int64), np.zeros(0, np.int64), motifs=3, permutations=99, seed=0)
    assert none.both.tolist() == [0, 0, 0]


def grammar(n: int, seed: int) -> Sites:
    """Motif 1 lies 7 bases downstream of motif 0, on the other strand of it; motif 2 lies anywhere."""
    rng = np.random.default_rng(seed)
    start = [rng.integers(100, 300, n), np.zeros(n, int), rng.integers(0, 400, n)]
    strand = [rng.choice([-1, 1], n) for _ in range(3)]
    start[1] = np.where(strand[0] > 0, start[0] + 10 + 7, start[0] - 7 - 8)
    strand[1] = -strand[0]
    width = (10, 8, 12)
    number = np.repeat(np.arange(3), n)
    begin = np.concatenate(start)
    value = rng.normal(3, 0.1, 3 * n).astype(np.float32)
    turn = np.concatenate(strand).astype(np.int8)
    return Sites(number, np.tile(np.arange(n), 3), begin, begin + np.repeat(width, n), turn, value)


def test_planted_spacing_is_found() -> None:
    found = spacing(grammar(80, 0), motifs=3, permutations=199, seed=0)
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert pairs == [(0, 1), (0, 2), (1, 2)] and found.regions.tolist() == [80, 80, 80]
    at = dict(zip(MEASURES, range(len(MEASURES)), strict=True))
    measure = found.measure[0]
    assert measure[[at["peak"], at["gap"], at["downstream"], at["same_strand"]]].tolist() == [1, 7, 1, 0]
    assert found.p[0, [at["peak"], at["gap"], at["downstream"], at["same_strand"]]].tolist() == [1 / 200] * 4
    assert (found.peak_side[0], found.peak_strand[0]) == (1, -1) and abs(found.peak_gap[0] - 7) <= PEAK // 2
    assert found.histogram[0, 1, 0, 7] == found.apart[0] == 80
    assert found.expected[0, at["gap"]] > 20
    assert (found.p[1:] > 0.005).all()


def test_position_in_the_region_is_not_taken_for_order() -> None:
    rng = np.random.default_rng(1)
    n = 100
    start = np.concatenate([rng.integers(0, 80, n), rng.integers(120, 200, n)])
    strand = np.where(rng.random(2 * n) < 0.5, -1, 1).astype(np.int8)
    row, motif = np.tile(np.arange(n), 2), np.repeat([0, 1], n)
    sites = Sites(motif, row, start, start + 10, strand, np.ones(2 * n, np.float32))
    found = spacing(sites, motifs=2, permutations=99, seed=0)
    left = MEASURES.index("left")
    assert found.measure[0, left] == found.expected[0, left] == 1 and found.p[0, left] == 1


def test_p_values_are_uniform_without_a_rule() -> None:
    p = np.concatenate([spacing(grammar(40, seed), motifs=3, permutations=99, seed=seed).p[1:] for seed in range(40)])
    assert p.shape == (80, 5)
    for column in p.T:
        assert (column <= 0.1).mean() < 0.22 and (column > 0.5).mean() > 0.3


def test_the_strongest_site_of_a_row_counts() -> None:
    ones = np.ones(3, np.int64)
    sites = Sites(0 * ones, np.array([1, 1, 0]), np.array([5, 40, 9]), np.array([15, 50, 19]),
                  ones.astype(np.int8), np.array([1, -2, 3], np.float32))  # fmt: skip
    ranked = strongest_sites(sites, 0)
    assert ranked.row.tolist() == [0, 1, 1] and ranked.start.tolist() == [9, 40, 5]
    assert not len(spacing(sites, motifs=1, permutations=19, seed=0).first)
