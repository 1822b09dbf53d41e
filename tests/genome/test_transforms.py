"""Transforms of coverage against the formulas worked one number at a time, from base pairs."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import WINDOWS

from drg_hpc.errors import InputError
from drg_hpc.genome.targets import STATS, Target, read_targets, transform_info
from drg_hpc.genome.transforms import Transform

ALL = [(order, stat) for order in ("new", "old") for stat in STATS if (order, stat) != ("old", "sum_exp75")]
BASES = st.lists(st.floats(0, 2000, width=32), min_size=1, max_size=32)
SETTINGS = {"scale": st.sampled_from([0.01, 0.3, 1.0, 2.0]), "soft": st.sampled_from([None, 0.5, 32.0, 384.0])}


def pooled(stat: str, bases: list[float]) -> float:
    """A bin's value; only stats that name another pooling than sum or mean are spelled out."""
    if stat == "max":
        return max(bases)
    if stat == "median":
        return float(np.median(bases))
    return math.fsum(bases) / (1 if stat.startswith("sum") else len(bases))


def by_hand(order: str, stat: str, bases: list[float], scale: float, soft: float | None, clip: float | None) -> float:
    x = pooled(stat, [scale * base for base in bases] if order == "new" else bases)
    if stat == "peak":
        x = min(1.0, math.sqrt(4 * x))
    elif order == "old" and stat.endswith("sqrt"):
        x = x**0.75
    elif stat.endswith("sqrt"):
        x = -1 + math.sqrt(1 + x)
    elif stat.endswith("exp75"):
        x = -1 + (1 + x) ** 0.75
    if soft is not None and x > soft:
        x = soft + math.sqrt(x - soft) if order == "old" else soft - 1 + math.sqrt(x - soft + 1)
    if clip is not None:
        x = max(-clip, min(clip, x))
    return x * scale if order == "old" else x


@pytest.mark.parametrize(("order", "stat"), ALL)
@given(bases=BASES, clip=st.sampled_from([None, 128.0, 768.0]), **SETTINGS)
def test_forward(
    order: str, stat: str, bases: list[float], scale: float, soft: float | None, clip: float | None
) -> None:
    transform = Transform(order, stat, scale, soft, clip)  # type: ignore[arg-type]
    x = getattr(np, transform.reduce)(np.array(bases))
    got = transform.forward(np.array([x, np.nan]), name="t")
    assert got[0] == pytest.approx(by_hand(order, stat, bases, scale, soft, clip), rel=1e-12, abs=1e-12)
    assert np.isnan(got[1])


@pytest.mark.parametrize(("order", "stat"), ALL)
@given(values=st.lists(st.floats(0, 1e5), min_size=1, max_size=9), **SETTINGS)
def test_inverse(order: str, stat: str, values: list[float], scale: float, soft: float | None) -> None:
    transform = Transform(order, stat, scale, soft, 1e9)  # type: ignore[arg-type]
    x = np.array(values)
    if stat == "peak":
        x = np.minimum(x, 0.25 / scale if order == "new" else 0.25)
    back = transform.inverse(transform.forward(x, name="t"), name="t")
    np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-7)


def test_values_of_the_paper_table() -> None:
    """RNA with scale 0.3, soft clip 384, clip 768: numbers worked with a calculator."""
    old = Transform("old", "sum_sqrt", 0.3, 384.0, 768.0)
    # 10000^0.75 = 1000; 384 + sqrt(616) = 408.8193; times 0.3
    assert old.forward(np.array([10000.0]), name="t")[0] == pytest.approx(122.64580, abs=1e-5)
    new = Transform("new", "sum_sqrt", 0.3, 384.0, 768.0)
    # 0.3 * 1e6 = 3e5; sqrt(300001) - 1 = 546.7235; 383 + sqrt(163.7235) = 395.7955
    assert new.forward(np.array([1e6]), name="t")[0] == pytest.approx(395.7955, abs=1e-4)
    assert new.forward(np.array([1e13]), name="t")[0] == 768.0
    assert [Transform("new", s).reduce for s in STATS] == ["sum", "mean", "sum", "mean", "sum", "median", "max", "mean"]


def test_negative_coverage() -> None:
    x = np.array([-5.0, np.nan, 3.0])
    np.testing.assert_array_equal(Transform("new", "sum", 1.0, 2.5, 4.0).forward(x, name="t")[:1], [-4.0])
    for transform, least in (
        (Transform("old", "mean_sqrt"), "0"),
        (Transform("new", "mean_sqrt"), "-1"),
        (Transform("new", "sum_exp75"), "-1"),
        (Transform("new", "peak"), "0"),
    ):
        for method in (transform.forward, transform.inverse):
            with pytest.raises(InputError, match=f"CNhs1-: -5 is below {least}, where sum_stat {transform.stat}"):
                method(x, name="CNhs1-")
    small = Transform("new", "sum_sqrt", 0.1).forward(np.array([-5.0]), name="t")  # scaled first: -0.5
    assert small[0] == pytest.approx(math.sqrt(0.5) - 1)
    assert np.isnan(Transform("old", "sum_sqrt").forward(np.array([np.nan]), name="t")).all()


def test_what_a_store_keeps() -> None:
    targets = read_targets(WINDOWS / "targets_original.tsv")
    infos = [json.loads(json.dumps(transform_info(target, "old"))) for target in targets]
    assert infos[0] == {"order": "old", "stat": "sum_sqrt", "scale": 1.0, "clip_soft": 64.0, "clip": 384.0}
    assert Transform(**infos[2]) == Transform("old", "mean", 2.0, 32.0, 128.0)
    odd = Target("x", WINDOWS, 0, "", stat="sum_exp75", line=7)
    assert transform_info(odd, "new")["stat"] == "sum_exp75"
    with pytest.raises(InputError, match="line 7 of the targets table: x: sum_stat sum_exp75 exists in the new order"):
        transform_info(odd, "old")
