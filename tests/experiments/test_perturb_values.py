"""Values of perturbation tests of many sequences at once, on functions of sequences whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drg_hpc.experiments.background import independent
from drg_hpc.experiments.perturb_effects import Array
from drg_hpc.experiments.perturb_sites import Codes, Site
from drg_hpc.experiments.perturb_values import Kind, Perturbation, Test, values_of

N, LENGTH = 200, 30
HOW = Perturbation(independent([0.25] * 4), copies=4, seed=7)


def _data() -> tuple[Codes, Array, list[dict[str, list[Site]]]]:
    rng = np.random.default_rng(2)
    sites: list[dict[str, list[Site]]] = [{"A": [(2, 6)], "B": [(12, 17)]} for _ in range(N)]
    sites[0], sites[1], sites[2] = {}, {"A": [(2, 6)], "B": []}, {"A": [(0, 4), (20, 24)], "B": [(12, 17)]}
    return rng.integers(0, 4, (N, LENGTH)).astype(np.uint8), rng.integers(0, 2, N).astype(float), sites


def _weighted(codes: Codes) -> Array:
    return (codes * np.sin(np.arange(LENGTH))).sum(axis=1)


@pytest.mark.parametrize("kind", ["presence", "order", "distance", "shift", "interaction"])
def test_many_at_once_are_one_at_a_time(kind: Kind) -> None:
    codes, labels, sites = _data()
    test = Test(kind, ("A",) if kind == "presence" else ("A", "B"))
    used, loss, signed = values_of(_weighted, codes, labels, sites, test, HOW, rows=np.arange(N))
    assert used.tolist() == list(range(1 if kind == "presence" else 2, N))
    for at, n in enumerate(used.tolist()):
        copies = HOW.make(codes[n], sites[n], test, row=n)
        sign, z = 2 * labels[n] - 1, [float(_weighted(copy[None])[0]) for copy in copies]
        o = float(_weighted(codes[n : n + 1])[0])
        if kind == "interaction":
            a, b, both = (sum(z[i : i + 4]) / 4 for i in (0, 4, 8))
            wanted = math.log1p(math.exp(-sign * both)) - math.log1p(math.exp(-sign * (a + b - o)))
            change = both - (a + b - o)
        else:
            wanted = math.log1p(math.exp(-sign * o)) - sum(math.log1p(math.exp(-sign * v)) for v in z) / len(z)
            change = sum(z) / len(z) - o
        assert (loss[at], signed[at]) == pytest.approx((wanted, sign * change), abs=1e-9)


def test_parts_give_what_the_whole_gives() -> None:
    codes, labels, sites = _data()
    test = Test("distance", ("A", "B"))
    whole = values_of(_weighted, codes, labels, sites, test, HOW, rows=np.arange(N))[1]
    cuts = [slice(0, 2), slice(2, 77), slice(77, N)]
    parts = [values_of(_weighted, codes[c], labels[c], sites[c], test, HOW, rows=np.arange(N)[c])[1] for c in cuts]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-12)


def test_a_function_of_composition_sees_presence_alone() -> None:
    codes, labels, sites = _data()

    def composition(rows: Codes) -> Array:
        return (rows == 2).sum(axis=1).astype(float)

    kinds: tuple[Kind, ...] = ("order", "distance", "shift")
    for kind in kinds:
        test = Test(kind, ("A", "B"))
        assert not values_of(composition, codes, labels, sites, test, HOW, rows=np.arange(N))[1].any()
    test = Test("presence", ("A",))
    found = values_of(composition, codes, labels, sites, test, HOW, rows=np.arange(N))[1]
    assert np.abs(found).max() > 0.1
