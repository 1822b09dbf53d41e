"""Effects and their statistics, against plain implementations of one sequence at a time."""

from __future__ import annotations

import numpy as np
import pytest
from experiments.plain_perturb import loss
from scipy.stats import wilcoxon

from drg_hpc.experiments import perturb_effects as effects
from drg_hpc.experiments.perturb_sites import MISSING, OVERLAPPING, TESTED, UNPLACEABLE
from drg_hpc.experiments.perturb_table import Table
from drg_hpc.experiments.perturb_tests import Part, Test, list_tests, test_of


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_effects_are_those_of_one_sequence_at_a_time() -> None:
    rng = _rng()
    o, y = rng.normal(size=200), rng.integers(0, 2, 200)
    a, b, ab = rng.normal(size=(3, 200, 5))
    presence, signed, both = [], [], []
    for i in range(200):
        presence.append(loss(o[i], y[i]) - sum(loss(z, y[i]) for z in a[i]) / 5)
        signed.append((sum(a[i]) / 5 - o[i]) * (1 if y[i] else -1))
        additive = o[i] + (sum(a[i]) / 5 - o[i]) + (sum(b[i]) / 5 - o[i])
        both.append(loss(sum(ab[i]) / 5, y[i]) - loss(additive, y[i]))
    np.testing.assert_allclose(effects.loss_effects(o, a, y), presence, atol=1e-12)
    np.testing.assert_allclose(effects.signed(effects.value_effects(o, a), y), signed, atol=1e-12)
    np.testing.assert_allclose(effects.interaction_effects(o, a, b, ab, labels=y), both, atol=1e-12)
    found = effects.summarise(np.array(presence), seed=0, name="presence A")
    assert (found.count, found.p) == (200, wilcoxon(presence).pvalue)
    assert (found.total, found.mean) == pytest.approx((sum(presence), sum(presence) / 200))


def test_an_additive_model_has_no_interaction() -> None:
    rng = _rng()
    o, y, (da, db) = rng.normal(size=50), rng.integers(0, 2, 50), rng.normal(size=(2, 50, 5))
    z = o[:, None]
    assert np.abs(effects.interaction_effects(o, z + da, z + db, z + da + db, labels=y)).max() < 1e-12
    assert np.abs(effects.value_interaction(o, z + da, z + db, z + da + db)).max() < 1e-12


def test_interval_is_that_of_the_mean_and_depends_on_seed_and_name() -> None:
    values = _rng().normal(0.3, 1, 400)
    found = effects.summarise(values, seed=3, name="order A B")
    half = 1.96 * values.std() / 20
    assert found.interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)
    assert found == effects.summarise(values, seed=3, name="order A B")
    assert found.interval != effects.summarise(values, seed=4, name="order A B").interval
    assert found.interval != effects.summarise(values, seed=3, name="order A C").interval


def test_interval_of_very_many_values() -> None:
    values = _rng().exponential(size=60_000)
    found = effects.summarise(values, seed=0, name="x").interval
    means = [_rng().choice(values, len(values)).mean() for _ in range(1)] + [
        np.random.default_rng(i).choice(values, len(values)).mean() for i in range(300)
    ]
    assert found == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.25 * 4 / 245)


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


def test_the_tests_of_some_motifs() -> None:
    found = list_tests(["A", "B", "C"], ["presence", "distance"], excluded=(0, 20), of=frozenset("CA"))
    assert [test.name for test in found] == [
        "presence A", "presence B", "presence C", "distance A B", "shift A B", "distance A C", "shift A C",
        "distance B C", "shift B C",
    ]  # fmt: skip
    assert [test.excluded for test in found if test.kind == "distance"] == [None, (0, 20), None]
    assert [test_of(test.as_params()) for test in found] == found
    assert list_tests(["A"], ["order", "interaction"]) == []
    shared = [part for test in list_tests(["A", "B"], ["presence", "interaction"]) for part in test.parts]
    assert len(set(shared)) == 3 and Part("replace", ("A", "B")) in shared


def test_the_table_adds_up_what_was_tested_and_counts_the_rest() -> None:
    rng, tests = _rng(), [Test("presence", ("A",)), Test("presence", ("B",)), Test("order", ("A", "B"))]
    status = np.array([TESTED] * 40 + [MISSING] * 3 + [OVERLAPPING] * 2 + [UNPLACEABLE], np.uint8)
    values = {test: np.where((status == TESTED)[:, None], rng.normal(-1, 0.5, (46, 2)), np.nan) for test in tests}
    values[tests[2]][:7, 1] = np.nan
    values[tests[1]][6:, 1] = np.nan
    values[tests[1]][4:6, 1] = np.nan
    table = Table(["x", "y"], seed=0)
    for test in tests:
        table.add(test, "loss", status, values[test])
        table.add(test, "logit", status, 2 * values[test])
    lines = table.lines()
    assert [(line.effect, line.test, line.track) for line in lines[:4]] == [
        ("loss", "presence A", "x"), ("loss", "presence A", "y"), ("loss", "presence B", "x"),
        ("loss", "presence B", "y"),
    ]  # fmt: skip
    assert len(lines) == 12 and {line.effect for line in lines[6:]} == {"logit"}
    few, order_x, order_y = lines[3:6]
    assert (few.count, few.unlabelled, few.p, few.q, few.interval) == (4, 36, None, None, None)
    assert few.note == "4 sequences, a test needs 6"
    assert (order_x.missing, order_x.overlapping, order_x.unplaceable, order_x.unlabelled) == (3, 2, 1, 0)
    assert (order_y.count, order_y.unlabelled) == (33, 7)
    sizes = [abs(values[test][:40, 0].mean()) for test in tests[:2]]
    assert order_x.relative == pytest.approx(values[tests[2]][:40, 0].mean() / np.mean(sizes))
    assert order_x.relative_interval is not None and order_x.interval is not None
    assert order_x.relative_interval[0] == pytest.approx(order_x.interval[0] / np.mean(sizes))
    assert lines[0].relative is None
    p = [line.p for line in lines[:6] if line.p is not None]
    assert min(line.q for line in lines[:6] if line.q is not None) >= min(p) and len(p) == 5
