"""Changed copies of sequences, against plain Python, one at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from experiments import plain_perturb as plain
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.experiments.background import Background, independent
from drg_hpc.experiments.perturb_copies import Codes, moved, places, replaced, slid, swapped
from drg_hpc.rng import row_keys

CODES = np.random.default_rng(0).integers(0, 4, 40).astype(np.uint8)
CHAIN = Background((0.1, 0.2, 0.3, 0.4), ((0.7, 0.1, 0.1, 0.1), (0, 0.5, 0.5, 0), (0.25,) * 4, (0.1, 0.2, 0.3, 0.4)))


def keys(count: int) -> np.ndarray:
    return row_keys(5, np.arange(count), "test")


def repeated(count: int, codes: Codes = CODES) -> Codes:
    return np.repeat(codes[None], count, axis=0)


def pairs(*sites: tuple[int, int], count: int) -> list[np.ndarray]:
    return [np.repeat([site], count, axis=0).astype(np.int64) for site in sites]


@st.composite
def two_sites(draw: st.DrawFn, length: int = 40) -> tuple[tuple[int, int], tuple[int, int]]:
    a, b, c, d = sorted(draw(st.lists(st.integers(0, length), min_size=4, max_size=4)))
    return (a, max(b, a + 1)), (max(c, a + 1, b), max(d, c + 1, b + 1, a + 2))


def test_replaced_draws_the_background_and_leaves_the_rest() -> None:
    spans = np.array([[5, 10], [20, 26]])
    found = replaced(
        repeated(1), np.array([0, 2]), spans, independent([0.1, 0.2, 0.3, 0.4]), keys=keys(1), count=20_000
    )
    inside = np.r_[5:10, 20:26]
    outside = np.setdiff1d(np.arange(40), inside)
    assert found.shape == (1, 20_000, 40) and (found[0][:, outside] == CODES[outside]).all()
    shares = [np.bincount(found[0, :, at], minlength=4) / 20_000 for at in inside]
    assert np.abs(np.array(shares) - [0.1, 0.2, 0.3, 0.4]).max() < 5 * 0.5 / math.sqrt(20_000)


def test_replaced_follows_a_chain() -> None:
    cycle = Background((0.0, 0.0, 1.0, 0.0), ((0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 0, 0, 0)))
    codes = np.array([[3, 3, 3, 1, 3, 3, 4, 3]], np.uint8)
    spans = np.array([[0, 2], [4, 6], [7, 8]])
    found = replaced(codes, np.array([0, 3]), spans, cycle, keys=keys(1), count=2)
    assert found[0].tolist() == [[2, 3, 3, 1, 2, 3, 4, 2]] * 2


def test_replaced_is_the_plain_one_in_every_sequence() -> None:
    rng, count = np.random.default_rng(1), 30
    codes = rng.integers(0, 5, (count, 40)).astype(np.uint8)
    sites = [[(3, 9), (8, 14), (30, 40)][: n % 4] for n in range(count)]
    offsets = np.cumsum([0, *map(len, sites)])
    spans = np.array([span for own in sites for span in own], np.int64).reshape(-1, 2)
    found = replaced(codes, offsets, spans, CHAIN, keys=keys(count), count=3)
    for n, key in enumerate(keys(count).tolist()):
        drawn = plain.shares(key)
        wanted = [plain.replaced(codes[n].tolist(), sites[n], CHAIN.first, CHAIN.following, drawn) for _ in range(3)]
        assert found[n].tolist() == wanted


@settings(max_examples=60, deadline=None)
@given(two_sites())
def test_pairs_are_the_plain_ones(pair: tuple[tuple[int, int], tuple[int, int]]) -> None:
    length = max(40, pair[1][1] + 1)
    codes = np.random.default_rng(2).integers(0, 4, (4, length)).astype(np.uint8)
    left, right = pairs(*pair, count=4)
    swaps = swapped(codes, left, right)
    slides = slid(codes, left, right, keys=keys(4), count=3)
    moves = moved(codes, left, right, keys=keys(4), count=3)
    for n, key in enumerate(keys(4).tolist()):
        s = codes[n].tolist()
        drawn, first = plain.shares(key), plain.words(key)
        assert swaps[n].tolist() == [plain.swapped(s, *pair)]
        assert moves[n].tolist() == [plain.moved(s, *pair, drawn) for _ in range(3)]
        assert slides[n].tolist() == [plain.slid(s, *pair, first) for _ in range(3)]


@pytest.mark.parametrize("excluded", [None, (1, 3), (0, 0), (5, 9), (6, 6)])
def test_moved_gives_every_allowed_placement_and_no_other(excluded: tuple[int, int] | None) -> None:
    codes, span = CODES[:12], range(0) if excluded is None else range(excluded[0], excluded[1] + 1)
    pair = (2, 5), (6, 8)
    wanted = [plain.put(codes.tolist(), *pair, place) for place in plain.all_places(codes.tolist(), *pair, span)]
    left, right = pairs((2, 5), (6, 8), count=1)
    found = moved(codes[None], left, right, keys=keys(1), count=6000, excluded=excluded)[0].tolist()
    assert {tuple(row) for row in found} == {tuple(row) for row in wanted}
    assert places(7, excluded) == len(wanted)
    counts = [found.count(row) / wanted.count(row) for row in wanted]
    assert min(counts) > 0.6 * 6000 / len(wanted) and max(counts) < 1.5 * 6000 / len(wanted)


def test_there_may_be_no_place() -> None:
    assert places(7, (0, 7)) == places(7, (0, 100)) == places(-1, None) == 0
    assert places(0, None) == 1 and places(0, (0, 0)) == 0 and places(7, (8, 9)) == 36


def test_slid_keeps_the_pair_and_never_its_place() -> None:
    codes = np.array([0] * 4 + [1, 2, 3] + [0] * 5, np.uint8)
    left, right = pairs((4, 5), (6, 7), count=1)
    found = slid(codes[None], left, right, keys=keys(1), count=500)[0]
    found_at = {"".join(map(str, row)).index("123") for row in found.tolist()}
    assert found_at == set(range(10)) - {4}
    assert (np.sort(found, axis=1) == np.sort(codes)).all()
