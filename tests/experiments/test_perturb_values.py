"""Values of perturbation tests of many sequences at once, on functions of sequences whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from experiments.plain_perturb import Plain

from drg_hpc.experiments.background import independent
from drg_hpc.experiments.perturb_copies import Codes
from drg_hpc.experiments.perturb_effects import Array
from drg_hpc.experiments.perturb_sites import MISSING, OVERLAPPING, TESTED, UNPLACEABLE, BlockSites
from drg_hpc.experiments.perturb_tests import Effect, Kind, Test, list_tests
from drg_hpc.experiments.perturb_values import Perturbation, block_values
from drg_hpc.rng import row_keys

N, LENGTH = 200, 30
HOW = Perturbation(independent([0.25] * 4), copies=4, seed=7)
EFFECTS: tuple[Effect, ...] = ("loss", "logit", "value")


def _sites(rows: Sequence[dict[str, list[tuple[int, int]]]], names: Sequence[str] = ("A", "B")) -> BlockSites:
    table = [
        (row, number, *site)
        for row, own in enumerate(rows)
        for number, name in enumerate(names)
        for site in own.get(name, [])
    ]
    columns = np.array(table, np.int64).reshape(-1, 4).T
    row, motif, start, end = columns
    return BlockSites.of(names, rows=len(rows), length=LENGTH, row=row, motif=motif, start=start, end=end)


def _data() -> tuple[Codes, Array, list[dict[str, list[tuple[int, int]]]]]:
    rng = np.random.default_rng(2)
    sites = [{"A": [(2, 6)], "B": [(12, 17)]} if n % 2 else {"A": [(22, 26)], "B": [(12, 17)]} for n in range(N)]
    sites[0], sites[1] = {}, {"A": [(2, 6)], "B": []}
    return rng.integers(0, 4, (N, LENGTH)).astype(np.uint8), rng.integers(0, 2, (N, 1)).astype(float), sites


def _weighted(codes: Codes) -> Array:
    return np.asarray(codes * np.sin(np.arange(LENGTH))).sum(axis=1)[:, None, None]


def _run(tests: Sequence[Test], data: tuple[Codes, Array, list], rows: np.ndarray | None = None, **given: object):
    codes, labels, sites = data
    numbers = np.arange(len(codes)) if rows is None else rows
    predict = given.get("predict", _weighted)
    return block_values(
        predict, codes, labels, _sites(sites), tests, HOW, rows=numbers, effects=EFFECTS, names=["v"],
    ).tests  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize("kind", ["presence", "order", "distance", "shift", "interaction"])
def test_many_at_once_are_one_at_a_time(kind: Kind) -> None:
    codes, labels, sites = data = _data()
    excluded = (3, 8) if kind == "distance" else None
    test = Test(kind, ("A",) if kind == "presence" else ("A", "B"), excluded)
    (found,) = _run([test], data)
    used = np.flatnonzero(found.status == TESTED)
    assert used.tolist() == list(range(1 if kind == "presence" else 2, N))
    assert all(np.isnan(values[: used[0]]).all() for values in found.effects.values())
    for n in used.tolist():
        one = Plain(
            lambda s: sum(base * float(np.sin(at)) for at, base in enumerate(s)),
            lambda stream, row=n: int(row_keys(7, np.array([row]), stream)[0]),
            first=[0.25] * 4, following=[[0.25] * 4] * 4, copies=4, excluded=range(3, 9 if excluded else 3),
        )  # fmt: skip
        own = {name: spans[0] for name, spans in sites[n].items() if spans}
        loss, logit = one.effects(kind, test.motifs, codes[n].tolist(), own, int(labels[n, 0]))
        assert found.effects["loss"][n, 0] == pytest.approx(loss, abs=1e-9)
        assert found.effects["logit"][n, 0] == pytest.approx(logit, abs=1e-9)
        assert found.effects["value"][n, 0] == pytest.approx(logit if labels[n, 0] else -logit, abs=1e-9)


def test_parts_and_other_tests_change_nothing() -> None:
    codes, labels, sites = data = _data()
    tests = list_tests(["A", "B"], ["presence", "order", "distance", "interaction"])
    whole = _run(tests, data)
    for number, test in enumerate(tests):
        found = [
            _run([test], (codes[cut], labels[cut], sites[cut]), np.arange(N)[cut])[0]
            for cut in (slice(0, 2), slice(2, 77), slice(77, N))
        ]
        np.testing.assert_array_equal(np.concatenate([each.status for each in found]), whole[number].status)
        for name in EFFECTS:
            joined = np.concatenate([each.effects[name] for each in found])
            np.testing.assert_allclose(joined, whole[number].effects[name], atol=1e-12)


def test_each_copy_is_predicted_once() -> None:
    asked: list[int] = []

    def counted(codes: Codes) -> Array:
        asked.append(len(codes))
        return _weighted(codes)

    tests = list_tests(["A", "B"], ["presence", "order", "distance", "interaction"])
    _run(tests, _data(), predict=counted)
    # originals, A, B, order, distance, shift, both; row 1 lacks B
    assert sum(asked) == (N - 1) + 4 * (N - 1) + (N - 2) * (4 + 1 + 4 + 4 + 4)


def test_a_function_of_composition_sees_presence_alone() -> None:
    def composition(rows: Codes) -> Array:
        return (rows == 2).sum(axis=1).astype(float)[:, None, None]

    tests = list_tests(["A", "B"], ["presence", "order", "distance", "interaction"])
    for test, found in zip(tests, _run(tests, _data(), predict=composition), strict=True):
        largest = np.nanmax(np.abs(found.effects["loss"]))
        assert largest == 0 if test.kind in ("order", "distance", "shift") else largest > 0.1


def test_several_models_and_values_are_means_of_effects() -> None:
    def two(codes: Codes) -> Array:
        value = _weighted(codes)[:, 0, 0]
        models = np.stack([value, -0.5 * value], axis=1)
        return np.stack([models, models + 3], axis=2)

    codes, labels, sites = _data()
    labels = np.concatenate([labels, labels], axis=1)
    labels[5, 1] = np.nan
    test = [Test("presence", ("A",))]
    rows = np.arange(N)
    block = block_values(two, codes, labels, _sites(sites), test, HOW, rows=rows, effects=EFFECTS, names=["v", "w"])
    (found,) = block.tests
    single = [
        block_values(lambda c, m=m: two(c)[:, [m], :1], codes, labels[:, :1], _sites(sites), test, HOW, rows=rows,
                     effects=EFFECTS, names=["v"]).tests[0]
        for m in (0, 1)
    ]  # fmt: skip
    for name in EFFECTS:
        mean = np.mean([each.effects[name][:, 0] for each in single], axis=0)
        np.testing.assert_allclose(found.effects[name][:, 0], mean, atol=1e-12)
    before = np.where(rows > 0, two(codes)[:, :, 1].mean(axis=1), np.nan)  # the first has no motif
    np.testing.assert_allclose(block.before[:, 1], before, atol=1e-12)
    assert np.isnan(found.effects["loss"][5]).tolist() == [False, True]
    assert not np.isnan(found.effects["value"][5]).any()


def test_what_becomes_of_a_sequence() -> None:
    sites = _sites([
        {"A": [(0, 4)], "B": [(10, 15)]},
        {"A": [(0, 4)], "B": [(3, 8)]},
        {"A": [(0, 10)], "B": [(20, 30)]},
        {"B": [(20, 30)]},
        {"A": [(0, 15)], "B": [(15, 30)]},
        {"A": [(2, 5), (0, 4)], "B": [(4, 8)]},
    ])  # fmt: skip
    pair = ("A", "B")
    assert sites.status(Test("presence", ("A",))).tolist() == [TESTED] * 3 + [MISSING] + [TESTED] * 2
    wanted = [TESTED, OVERLAPPING, TESTED, MISSING, TESTED, TESTED]
    assert sites.status(Test("order", pair)).tolist() == wanted  # of several sites the last one given
    assert sites.status(Test("interaction", pair)).tolist() == [*wanted[:5], OVERLAPPING]
    assert sites.status(Test("shift", pair)).tolist() == [
        TESTED, OVERLAPPING, UNPLACEABLE, MISSING, UNPLACEABLE, TESTED,
    ]  # fmt: skip
    gaps = Test("distance", pair, (0, 10))
    assert sites.status(gaps).tolist() == [TESTED, OVERLAPPING, UNPLACEABLE, MISSING, UNPLACEABLE, TESTED]
    left, right = sites.pair(("B", "A"), np.array([0, 5]))
    assert left.tolist() == [[0, 4], [0, 4]] and right.tolist() == [[10, 15], [4, 8]]
    offsets, spans = sites.all_of(pair, np.array([3, 5]))
    assert offsets.tolist() == [0, 1, 4] and spans.tolist() == [[20, 30], [0, 4], [2, 5], [4, 8]]


def test_no_sequence_has_a_motif() -> None:
    codes, labels, _ = _data()
    for found in _run(list_tests(["A", "B"], ["presence", "distance"]), (codes[:9], labels[:9], [{}] * 9)):
        assert (found.status == MISSING).all() and np.isnan(found.effects["loss"]).all()


def test_overlaps_of_many_sites_in_a_sequence() -> None:
    """Against every pair of sites; some sequences have sites of one motif alone, or none."""
    rng, rows, length = np.random.default_rng(2), 60, 200
    row, motif, start = (rng.integers(0, high, 300) for high in (rows - 5, 2, length - 9))
    end = start + rng.integers(1, 10, 300)
    sites = BlockSites.of(["A", "B"], rows=rows, length=length, row=row, motif=motif, start=start, end=end)
    listed = list(zip(row.tolist(), motif.tolist(), start.tolist(), end.tolist(), strict=True))
    wanted = [
        MISSING if {m for r, m, _, _ in listed if r == n} != {0, 1} else OVERLAPPING if any(
            r == other == n and m < k and a < d and c < b for r, m, a, b in listed for other, k, c, d in listed
        ) else TESTED
        for n in range(rows)
    ]  # fmt: skip
    assert sites.status(Test("interaction", ("A", "B"))).tolist() == wanted and set(wanted) == {0, 1, 2}
    at = np.arange(10**5)
    side_by_side = {"row": 0 * at, "motif": at % 2, "start": 10 * at, "end": 10 * at + 10}
    many = BlockSites.of(["A", "B"], rows=1, length=10**6, **side_by_side)
    assert many.status(Test("interaction", ("A", "B"))).tolist() == [TESTED]
