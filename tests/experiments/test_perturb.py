"""Perturbed sequences and effects, against plain implementations of one sequence at a time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

from drg_hpc.errors import InputError
from drg_hpc.experiments import perturb_effects as effects
from drg_hpc.experiments.background import Background, independent
from drg_hpc.experiments.perturb_sites import moved, replaced, slid, swapped

CODES = np.random.default_rng(0).integers(0, 4, 40).astype(np.uint8)


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_replaced_draws_the_background_and_leaves_the_rest() -> None:
    found = replaced(CODES, [(20, 26), (5, 10)], independent([0.1, 0.2, 0.3, 0.4]), count=20_000, generator=_rng())
    inside = np.r_[5:10, 20:26]
    outside = np.setdiff1d(np.arange(40), inside)
    assert (found[:, outside] == CODES[outside]).all()
    shares = [np.bincount(found[:, at], minlength=4) / len(found) for at in inside]
    assert np.abs(np.array(shares) - [0.1, 0.2, 0.3, 0.4]).max() < 5 * 0.5 / math.sqrt(20_000)


def test_replaced_follows_a_chain() -> None:
    cycle = Background((0.0, 0.0, 1.0, 0.0), ((0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 0, 0, 0)))
    codes = np.array([3, 3, 3, 1, 3, 3, 4, 3], np.uint8)
    found = replaced(codes, [(0, 2), (4, 6), (7, 8)], cycle, count=2, generator=_rng())
    assert found.tolist() == [[2, 3, 3, 1, 2, 3, 4, 2]] * 2


@pytest.mark.parametrize("pair", [((3, 8), (15, 24)), ((15, 24), (3, 8)), ((3, 8), (8, 10))])
def test_swapped(pair: tuple[tuple[int, int], tuple[int, int]]) -> None:
    (a, b), (c, d) = sorted(pair)
    s = CODES.tolist()
    assert swapped(CODES, *pair).tolist() == s[:a] + s[c:d] + s[b:c] + s[a:b] + s[d:]


def _all_moves(s: list[int], left: tuple[int, int], right: tuple[int, int], excluded: range) -> set[tuple[int, ...]]:
    """Every way to put the sites back, by trying all pairs of starts."""
    (a, b), (c, d) = left, right
    rest, found = s[:a] + s[b:c] + s[d:], set()
    for x, y in itertools.product(range(len(s)), repeat=2):
        if x + b - a <= y <= len(s) - (d - c) and y - (x + b - a) not in excluded:
            others = iter(rest)
            row = [s[a + i - x] if x <= i < x + b - a else s[c + i - y] if y <= i < y + d - c else next(others)
                   for i in range(len(s))]  # fmt: skip
            found.add(tuple(row))
    return found


def test_moved_gives_every_allowed_placement_and_no_other() -> None:
    codes = CODES[:12]
    wanted = _all_moves(codes.tolist(), (2, 5), (6, 8), range(1, 4))
    found = moved(codes, (6, 8), (2, 5), count=4000, generator=_rng(), excluded=(1, 3))
    assert {tuple(row) for row in found.tolist()} == wanted
    free = moved(codes, (6, 8), (2, 5), count=4000, generator=_rng())
    assert {tuple(row) for row in free.tolist()} == _all_moves(codes.tolist(), (2, 5), (6, 8), range(0))


def test_slid_keeps_the_pair_and_never_its_place() -> None:
    codes = np.array([0] * 4 + [1, 2, 3] + [0] * 5, np.uint8)
    found = slid(codes, (4, 5), (6, 7), count=500, generator=_rng())
    places = {"".join(map(str, row)).index("123") for row in found.tolist()}
    assert places == set(range(10)) - {4}
    assert (np.sort(found, axis=1) == np.sort(codes)).all()


def test_what_cannot_be_moved_is_refused() -> None:
    with pytest.raises(InputError, match="overlap"):
        swapped(CODES, (3, 8), (7, 10))
    with pytest.raises(InputError, match="no place"):
        moved(CODES[:12], (2, 5), (6, 8), count=1, generator=_rng(), excluded=(0, 7))
    with pytest.raises(InputError, match="fills"):
        slid(CODES[:8], (0, 3), (5, 8), count=1, generator=_rng())


def _loss(z: float, label: int) -> float:
    """Cross entropy of the softmax of (0, z)."""
    return math.log(1 + math.exp(z)) - (z if label else 0.0)


def test_effects_are_those_of_one_sequence_at_a_time() -> None:
    rng = _rng()
    o, y = rng.normal(size=200), rng.integers(0, 2, 200)
    a, b, ab = rng.normal(size=(3, 200, 5))
    presence, signed, both = [], [], []
    for i in range(200):
        presence.append(_loss(o[i], y[i]) - sum(_loss(z, y[i]) for z in a[i]) / 5)
        signed.append((sum(a[i]) / 5 - o[i]) * (1 if y[i] else -1))
        additive = o[i] + (sum(a[i]) / 5 - o[i]) + (sum(b[i]) / 5 - o[i])
        both.append(_loss(sum(ab[i]) / 5, y[i]) - _loss(additive, y[i]))
    np.testing.assert_allclose(effects.loss_effects(o, a, y), presence, atol=1e-12)
    np.testing.assert_allclose(effects.logit_effects(o, a, y), signed, atol=1e-12)
    np.testing.assert_allclose(effects.interaction_effects(o, a, b, ab, y), both, atol=1e-12)
    found = effects.summarise(np.array(presence), seed=0, name="presence A")
    assert (found.count, found.p) == (200, wilcoxon(presence).pvalue)
    assert (found.total, found.mean) == pytest.approx((sum(presence), sum(presence) / 200))


def test_an_additive_model_has_no_interaction() -> None:
    rng = _rng()
    o, y, (da, db) = rng.normal(size=50), rng.integers(0, 2, 50), rng.normal(size=(2, 50, 5))
    z = o[:, None]
    assert np.abs(effects.interaction_effects(o, z + da, z + db, z + da + db, y)).max() < 1e-12


def test_interval_is_that_of_the_mean_and_depends_on_seed_and_name() -> None:
    values = _rng().normal(0.3, 1, 400)
    found = effects.summarise(values, seed=3, name="order A B")
    half = 1.96 * values.std() / 20
    assert found.interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)
    assert found == effects.summarise(values, seed=3, name="order A B")
    assert found.interval != effects.summarise(values, seed=4, name="order A B").interval
    assert found.interval != effects.summarise(values, seed=3, name="order A C").interval


def test_too_few_are_said_and_zeros_are_no_evidence() -> None:
    few = effects.summarise(np.ones(5), seed=0, name="x")
    assert (few.count, few.total, few.p, few.interval) == (5, 5.0, None, None)
    assert "5 sequences" in few.note
    assert effects.summarise(np.zeros(0), seed=0, name="x").mean == 0
    assert effects.summarise(np.zeros(9), seed=0, name="x").p == 1


def test_q_counts_only_what_was_tested() -> None:
    p = [0.01, None, 0.04, 0.03]
    tests = [effects.Summary(9, 0.0, 0.0, each, None) for each in p]
    assert effects.adjusted(tests) == [pytest.approx(0.03), None, pytest.approx(0.04), pytest.approx(0.04)]
    assert effects.adjusted([]) == []
