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


def test_an_additive_model_has_no_interaction() -> None:
    rng = _rng()
    o, y, (da, db) = rng.normal(size=50), rng.integers(0, 2, 50), rng.normal(size=(2, 50, 5))
    z = o[:, None]
    assert np.abs(effects.interaction_effects(o, z + da, z + db, z + da + db, labels=y)).max() < 1e-12
    assert np.abs(effects.value_interaction(o, z + da, z + db, z + da + db)).max() < 1e-12


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
    """Sequences without a label, and with an effect that is not finite, are no part of it, each by its own count."""
    rng, tests = _rng(), [Test("presence", ("A",)), Test("presence", ("B",)), Test("order", ("A", "B"))]
    status = np.array([TESTED] * 40 + [MISSING] * 3 + [OVERLAPPING] * 2 + [UNPLACEABLE], np.uint8)
    statuses = {test: status.copy() for test in tests}
    statuses[tests[1]][11:] = MISSING
    labels = rng.integers(0, 2, (46, 2)).astype(float)
    labels[:7, 1] = np.nan
    values = {}
    for test in tests:
        there = (statuses[test] == TESTED)[:, None] & ~np.isnan(labels)
        values[test] = np.where(there, rng.normal(-1, 0.5, (46, 2)), np.nan)
    values[tests[2]][20:22, 0] = np.nan, -np.inf
    table = Table(["x", "y"], seed=0, before=np.ones((46, 2)), labels=labels)
    for test in tests:
        table.add(test, "loss", statuses[test], values[test])
        table.add(test, "logit", statuses[test], 2 * values[test])
    lines = table.lines()
    assert [(line.effect, line.test, line.track) for line in lines[:4]] == [
        ("loss", "presence A", "x"), ("loss", "presence A", "y"), ("loss", "presence B", "x"),
        ("loss", "presence B", "y"),
    ]  # fmt: skip
    assert len(lines) == 12 and {line.effect for line in lines[6:]} == {"logit"}
    few, order_x, order_y = lines[3:6]
    assert (few.count, few.unlabelled, few.p, few.q, few.interval) == (4, 7, None, None, None)
    assert few.note == "4 sequences, a test needs 6"
    assert (order_x.missing, order_x.overlapping, order_x.unplaceable, order_x.unlabelled) == (3, 2, 1, 0)
    assert (order_x.count, order_x.note) == (38, "2 without a finite effect")
    assert (order_y.count, order_y.unlabelled, order_y.note) == (33, 7, "")
    own = np.delete(values[tests[2]][:40, 0], [20, 21])
    assert order_x.p == wilcoxon(own).pvalue
    sizes = [abs(values[tests[0]][:40, 0].mean()), abs(values[tests[1]][:11, 0].mean())]
    assert order_x.relative == pytest.approx(own.mean() / np.mean(sizes))
    assert order_x.relative_interval is not None and order_x.interval is not None
    assert order_x.relative_interval[0] == pytest.approx(order_x.interval[0] / np.mean(sizes))
    assert lines[0].relative is None
    p = [line.p for line in lines[:6] if line.p is not None]
    assert min(line.q for line in lines[:6] if line.q is not None) >= min(p) and len(p) == 5


def test_values_need_no_labels_and_rounding_is_no_effect() -> None:
    status, values = np.zeros(30, np.uint8), _rng().normal(3e-6, 1e-7, (30, 2))
    values[0] = np.nan
    table = Table(["x", "y"], seed=0, before=np.tile([[1.0, 100.0]], (30, 1)))
    table.add(Test("presence", ("A",)), "value", status, values)
    resolved, rounding = table.lines()
    assert (resolved.unlabelled, rounding.count) == (0, 29)
    assert resolved.p is not None and resolved.p < 1e-4 and rounding.p == 1
