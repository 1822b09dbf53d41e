"""Paired comparison of predictors against scipy's test and the adjustment by its definition."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from drg_hpc.files import read_json
from drg_hpc.prediction.compare import compare, signed_rank_p
from drg_hpc.prediction.scores import BETTER, REGION_METRICS, TRACK_METRICS
from tests.prediction.arrays import write_folder


def test_the_exact_test_of_few_pairs_counts_all_signs() -> None:
    difference = np.array([0.3, -0.1, 0.5, 0.7, 0.9])
    ranks = stats.rankdata(np.abs(difference))
    observed = ranks[difference > 0].sum()
    sums = [
        sum(r for r, sign in zip(ranks, signs, strict=True) if sign) for signs in itertools.product((0, 1), repeat=5)
    ]
    below, above = (np.mean([s <= observed for s in sums]), np.mean([s >= observed for s in sums]))
    assert signed_rank_p(difference) == pytest.approx(min(1.0, 2 * min(below, above)))
    assert math.isnan(signed_rank_p(np.zeros(4))) and math.isnan(signed_rank_p(np.empty(0)))
    assert signed_rank_p(np.append(difference, 0.0)) == signed_rank_p(difference)


def test_records_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=30)
    values = {
        "a": {"pearson": base + 0.3, "mse": base + 2},
        "b": {"pearson": base + rng.normal(0, 0.2, 30), "mse": base + 2.5 + rng.normal(0, 1.0, 30)},
        "c": {"pearson": np.where(np.arange(30) < 4, np.nan, base)},
    }
    found = {(r["metric"], r["a"], r["b"]): r for r in compare("tracks", values, ("pearson", "mse", "jsd"))}
    assert set(found) == {("pearson", "a", "b"), ("pearson", "a", "c"), ("pearson", "b", "c"), ("mse", "a", "b")}
    one = found["pearson", "a", "b"]
    x, y = values["a"]["pearson"], values["b"]["pearson"]
    assert one["p"] == pytest.approx(stats.wilcoxon(x, y).pvalue)
    assert one["median_difference"] == pytest.approx(np.median(x - y))
    assert (one["n"], one["a_better"], one["b_better"]) == (30, (x > y).sum(), (x < y).sum())
    assert found["pearson", "a", "c"]["n"] == 26
    assert found["mse", "a", "b"]["better"] == "lower"
    assert found["mse", "a", "b"]["a_better"] == (values["a"]["mse"] < values["b"]["mse"]).sum()
    p = sorted((r["p"], key) for key, r in found.items() if key[0] == "pearson")
    adjusted = 1.0
    for rank in (3, 2, 1):  # Benjamini and Hochberg, from the largest down
        adjusted = min(adjusted, p[rank - 1][0] * 3 / rank)
        assert found[p[rank - 1][1]]["p_adjusted"] == pytest.approx(adjusted)
    assert found["mse", "a", "b"]["p_adjusted"] == found["mse", "a", "b"]["p"]


def test_every_metric_has_a_direction() -> None:
    assert set(BETTER) == {*TRACK_METRICS, *REGION_METRICS}
    assert {name for name, better in BETTER.items() if better == "lower"} == {"mse", "mae", "jsd", "js_distance"}


def test_the_table_of_an_evaluation(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    target = rng.normal(size=(50, 6)).astype(np.float32)
    predictions = {"good": target + rng.normal(0, 0.5, target.shape), "same": target * 0 + 1.0}
    predictions["worse"] = target + rng.normal(0, 2.0, target.shape)
    kinds = {"worse": "baseline"}
    write_folder(tmp_path, target, predictions, tracks=list("abcdef"), kinds=kinds)  # type: ignore[arg-type]
    table = pd.read_csv(tmp_path / "comparison.tsv", sep="\t")
    tracks = pd.read_csv(tmp_path / "tracks.tsv", sep="\t").set_index(["model", "name"])["pearson"]
    regions = pd.read_csv(tmp_path / "regions.tsv", sep="\t")
    for over, x, y in (
        ("tracks", tracks["good"].to_numpy(), tracks["worse"].to_numpy()),
        ("regions", regions["pearson"].to_numpy(), regions["pearson@worse"].to_numpy()),
    ):
        row = table[(table["over"] == over) & (table["metric"] == "pearson") & (table["b"] == "worse")].iloc[0]
        assert row["p"] == pytest.approx(stats.wilcoxon(x, y).pvalue, rel=1e-3)  # tables have six digits
        assert row["a_better"] > row["b_better"]
    assert not ((table["metric"] == "pearson") & (table[["a", "b"]] == "same").any(axis=1)).any()  # undefined
    metrics = read_json(tmp_path / "metrics.json")
    assert [model["kind"] for model in metrics["models"]] == ["model", "model", "baseline"]
    assert metrics["shown"] == "good" and metrics["tracks"] == metrics["models"][0]["tracks"]
    assert len(metrics["comparison"]) == len(table)
