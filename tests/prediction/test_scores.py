"""Metrics of tracks and regions against formulas on the values; the same whatever the blocks."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from drg_hpc.models import metrics
from drg_hpc.prediction import streaming
from drg_hpc.prediction.bootstrap import pearson_intervals, replicated_pearson, resamples
from drg_hpc.prediction.notes import notes
from drg_hpc.prediction.scores import region_scores, track_scores
from tests.prediction.arrays import taken_in


def track_of(target: list[float], prediction: list[float]) -> dict[str, Any]:
    truth, (outputs,) = taken_in(np.array(target)[:, None], {"model": np.array(prediction)[:, None]})
    return track_scores(truth, outputs, 0)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ([1.0, 1.0, np.nan], "all targets are 1"),
        ([0.5, 1.0, 0.0], "not 0 and 1"),
        ([np.nan] * 3, "no target is present"),
    ],
)
def test_undefined_metrics_are_null_with_a_reason(target: list[float], reason: str) -> None:
    found = track_of(target, [0.1, 0.2, 0.3])
    assert found["auroc"] is None and found["auprc"] is None
    assert reason in found["reason"]
    json.dumps(found, allow_nan=False)


def values(*, binary: bool) -> tuple[np.ndarray, np.ndarray]:
    """Targets (40 rows, 5 tracks), a tenth missing, some rows with two tracks only; predictions."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(40, 5))
    target = (signal > 0.3).astype(np.float32) if binary else signal.astype(np.float32)
    target[rng.random(target.shape) < 0.1] = np.nan
    target[:3, 2:] = np.nan
    return target, np.round(signal + rng.normal(size=signal.shape), 1)


@pytest.mark.parametrize("binary", [True, False])
def test_tracks_of_single_values(binary: bool) -> None:
    target, prediction = values(binary=binary)
    truth, (outputs,) = taken_in(target, {"model": prediction}, block=16)
    for track in range(5):
        found = track_scores(truth, outputs, track)
        there = ~np.isnan(target[:, track])
        y, p = target[there, track].astype(np.float64), prediction[there, track]
        assert found["n"] == there.sum()
        assert found["pearson"] == pytest.approx(stats.pearsonr(p, y).statistic, abs=1e-12)
        assert found["spearman"] == pytest.approx(stats.spearmanr(p, y).statistic, abs=1e-12)
        assert found["r2"] == pytest.approx(1 - ((p - y) ** 2).sum() / ((y - y.mean()) ** 2).sum(), abs=1e-12)
        assert found["mse"] == pytest.approx(np.mean((p - y) ** 2), rel=1e-12)
        assert found["mae"] == pytest.approx(np.mean(np.abs(p - y)), rel=1e-12)
        if binary:
            assert found["positives"] == (y == 1).sum()
            pairs = [(a > b) + 0.5 * (a == b) for a in p[y == 1] for b in p[y == 0]]
            assert found["auroc"] == pytest.approx(np.mean(pairs), abs=1e-12)
            assert found["auprc"] == pytest.approx(metrics.auprc(p, y), abs=1e-12)
        else:
            assert found["auroc"] is None and "not 0 and 1" in found["reason"]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("tracks", [[0, 1, 2, 3, 4], [4, 1, 3]])
def test_regions_of_single_values_are_over_tracks(binary: bool, tracks: list[int]) -> None:
    target, prediction = values(binary=binary)
    truth, (outputs,) = taken_in(target, {"model": prediction})
    found = region_scores(truth, outputs, tracks)
    assert ("auroc" in found) is binary
    for row in range(40):
        there = ~np.isnan(target[row, tracks])
        y, p = target[row, tracks][there].astype(np.float64), prediction[row, tracks][there]
        expected = {"mse": np.mean((p - y) ** 2) if len(y) else np.nan}
        several = len(y) >= 3
        varied = several and len(set(y)) > 1 and len(set(p)) > 1
        expected["pearson"] = stats.pearsonr(p, y).statistic if varied else np.nan
        expected["spearman"] = stats.spearmanr(p, y).statistic if varied else np.nan
        if binary:
            both = several and len(set(y)) > 1
            expected["auroc"] = metrics.auroc(p, y) if both else np.nan
            expected["auprc"] = metrics.auprc(p, y) if both else np.nan
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][row], value, atol=1e-12, err_msg=f"{name} of row {row}")
    assert np.isnan(found["pearson"][:3]).all()  # two tracks at most


def profiles() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    target = rng.poisson(2.0, (30, 4, 12)).astype(np.float32)
    target[rng.random(target.shape) < 0.02] = np.nan
    return target, rng.gamma(2.0, 1.0, target.shape) + 0.2 * np.nan_to_num(target)


def test_tracks_of_profiles() -> None:
    target, prediction = profiles()
    truth, (outputs,) = taken_in(target, {"model": prediction}, block=7)
    for track in range(4):
        found = track_scores(truth, outputs, track)
        t, p = target[:, track].astype(np.float64), prediction[:, track]
        there = ~np.isnan(t)
        assert found["n"] == there.sum()
        assert found["pearson"] == pytest.approx(stats.pearsonr(p[there], t[there]).statistic, abs=1e-12)
        assert found["spearman"] == pytest.approx(stats.spearmanr(p[there], t[there]).statistic, abs=1e-12)
        whole = there.all(axis=1)
        assert 0 < whole.sum() < 30
        totals = p[whole].sum(axis=1), t[whole].sum(axis=1)
        assert found["pearson_total"] == pytest.approx(stats.pearsonr(*totals).statistic, abs=1e-12)
        assert found["spearman_total"] == pytest.approx(stats.spearmanr(*totals).statistic, abs=1e-12)
        each = [(p[i][there[i]], t[i][there[i]]) for i in range(30)]
        assert found["pearson_region"] == pytest.approx(np.mean([stats.pearsonr(*pair).statistic for pair in each]))
        assert found["spearman_region"] == pytest.approx(np.mean([stats.spearmanr(*pair).statistic for pair in each]))
        distances = np.array([jensenshannon(*pair, base=2) for pair in each])
        assert found["js_distance"] == pytest.approx(distances.mean(), abs=1e-10)
        assert found["jsd"] == pytest.approx((distances**2).mean(), abs=1e-10)
        flat = np.mean([jensenshannon(np.ones(len(y)), y, base=2) ** 2 for _, y in each])
        assert found["jsd_flat"] == pytest.approx(flat, abs=1e-10)
        assert found["jsd_regions"] == 30


def test_regions_of_profiles_are_over_bins() -> None:
    target, prediction = profiles()
    truth, (outputs,) = taken_in(target, {"model": prediction})
    found = region_scores(truth, outputs, [0, 2, 3])
    for row in range(30):
        pairs = []
        for track in (0, 2, 3):
            there = ~np.isnan(target[row, track])
            pairs.append((prediction[row, track][there], target[row, track][there].astype(np.float64)))
        p, y = (np.concatenate(side) for side in zip(*pairs, strict=True))
        expected = {
            "pearson": np.mean([stats.pearsonr(*pair).statistic for pair in pairs]),
            "spearman": np.mean([stats.spearmanr(*pair).statistic for pair in pairs]),
            "jsd": np.mean([jensenshannon(*pair, base=2) ** 2 for pair in pairs]),
            "mse": np.mean((p - y) ** 2),
            "mae": np.mean(np.abs(p - y)),
        }
        whole = all(len(y) == 12 for _, y in pairs)
        totals = [(a.sum(), b.sum()) for a, b in pairs]
        expected["pearson_tracks"] = stats.pearsonr(*zip(*totals, strict=True)).statistic if whole else np.nan
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][row], value, atol=1e-10, err_msg=f"{name} of row {row}")


def test_bins_of_yes_and_no_have_no_shape() -> None:
    rng = np.random.default_rng(3)
    target = (rng.random((20, 1, 8)) < 0.3).astype(np.float32)
    truth, (outputs,) = taken_in(target, {"model": rng.random(target.shape)})
    found = track_scores(truth, outputs, 0)
    assert "jsd" not in found and "jsd" not in region_scores(truth, outputs, [0])
    p, y = outputs.values.ravel(), target.ravel()
    assert found["auroc"] == pytest.approx(metrics.auroc(p, y), abs=1e-12)


@pytest.mark.parametrize("make", [profiles, lambda: values(binary=True)])
def test_blocks_do_not_matter(make: Any) -> None:
    target, prediction = make()
    found = []
    for block in (1, 13, len(target)):
        truth, (outputs,) = taken_in(target, {"model": prediction}, block=block)
        regions = region_scores(truth, outputs, range(truth.tracks))
        found.append(([track_scores(truth, outputs, i) for i in range(truth.tracks)], regions))
    for tracks, regions in found[1:]:
        assert tracks == found[0][0]
        for name, column in regions.items():
            np.testing.assert_array_equal(column, found[0][1][name])


def test_wide_profiles_are_ranked_on_some_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    target, prediction = profiles()
    whole = track_scores(*_first(taken_in(target, {"model": prediction})), 1)
    monkeypatch.setattr(streaming, "KEPT_VALUES", 15 * 4 * 12)
    truth, outputs = taken_in(target, {"model": prediction}, block=7)
    some = track_scores(truth, outputs[0], 1)
    kept = np.unique(np.linspace(0, 29, 15).astype(int))
    there = ~np.isnan(target[kept, 1])
    expected = stats.spearmanr(prediction[kept, 1][there], target[kept, 1][there]).statistic
    assert some["spearman"] == pytest.approx(expected, abs=1e-12)
    assert {k: v for k, v in some.items() if k != "spearman"} == {k: v for k, v in whole.items() if k != "spearman"}
    assert "over the bins of 15 of 30 regions" in " ".join(notes(truth, outputs))

    monkeypatch.setattr(streaming, "KEPT_VALUES", 9 * 4 * 12)
    monkeypatch.setattr(streaming, "RANKED_VALUES", 4 * 12 - 1)
    truth, outputs = taken_in((target > 1).astype(np.float32), {"model": prediction})
    none = track_scores(truth, outputs[0], 1)
    assert none["spearman"] is None and none["auroc"] is None and none["reason"] == "too many bins to rank"
    assert "spearman_region" not in none and "spearman" not in region_scores(truth, outputs[0], [0])
    said = " ".join(notes(truth, outputs))
    assert "4 tracks of 12 bins are too many" in said and "here 48" in said


def _first(taken: Any) -> Any:
    return taken[0], taken[1][0]


def test_notes_name_outputs_that_are_no_numbers() -> None:
    target, prediction = profiles()
    prediction[2, 1, 3] = np.inf
    prediction[5, 0] = -1.0
    truth, outputs = taken_in(target, {"deep": prediction})
    said = notes(truth, outputs)
    assert "some outputs of deep are infinite" in said[0]
    assert "jsd of deep leaves out 2 of 120 profiles" in said[1]
    assert track_scores(truth, outputs[0], 1)["pearson"] is None
    assert track_scores(truth, outputs[0], 0)["jsd_regions"] == 29


@pytest.mark.parametrize("make", [profiles, lambda: values(binary=True)])
def test_bootstrap_is_that_of_the_values_themselves(make: Any) -> None:
    target, prediction = make()
    truth, (outputs,) = taken_in(target, {"model": prediction})
    rows = len(target)
    found = replicated_pearson(truth, outputs, replicates=60, seed=5)
    counts = resamples(rows, range(60), seed=5)
    assert (counts.sum(axis=1) == rows).all() and len(np.unique(counts, axis=0)) == 60
    np.testing.assert_array_equal(counts[40:], resamples(rows, range(40, 60), seed=5))
    expected = np.empty((60, truth.tracks))
    for number in range(60):
        chosen = np.repeat(np.arange(rows), counts[number].astype(int))
        for track in range(truth.tracks):
            t, p = target[chosen, track].astype(np.float64), prediction[chosen, track]
            expected[number, track] = np.corrcoef(p[~np.isnan(t)], t[~np.isnan(t)])[0, 1]
    np.testing.assert_allclose(found, expected, atol=1e-10)
    (low, high), (mean_low, mean_high) = pearson_intervals(truth, outputs, replicates=60, seed=5)
    np.testing.assert_allclose(low, np.quantile(expected, 0.025, axis=0), atol=1e-10)
    np.testing.assert_allclose(high, np.quantile(expected, 0.975, axis=0), atol=1e-10)
    assert mean_low == pytest.approx(np.quantile(expected.mean(axis=1), 0.025), abs=1e-10) and mean_high > mean_low


def test_units_are_drawn_whole() -> None:
    units = np.array([0, 0, 2, 1, 1, 1])
    counts = resamples(6, range(40), seed=1, units=units)
    assert (counts[:, 0] == counts[:, 1]).all() and (counts[:, 3:] == counts[:, 3:4]).all()
    assert (counts[:, [0, 2, 3]].sum(axis=1) == 3).all()  # of three units, three
    target, prediction = values(binary=False)
    truth, (outputs,) = taken_in(target, {"model": prediction})
    alone = np.arange(len(target))
    found = pearson_intervals(truth, outputs, replicates=40, seed=1, units=alone)[0]
    np.testing.assert_array_equal(found, pearson_intervals(truth, outputs, replicates=40, seed=1)[0])
    pairs = pearson_intervals(truth, outputs, replicates=40, seed=1, units=alone // 2)[0]
    assert (pairs != found).any()


def test_a_resample_of_one_class_is_undefined() -> None:
    target = np.zeros((6, 1), np.float32)
    target[0] = 1
    truth, (outputs,) = taken_in(target, {"model": np.arange(6.0)[:, None]})
    found = replicated_pearson(truth, outputs, replicates=50, seed=0)[:, 0]
    without = resamples(6, range(50), seed=0)[:, 0] == 0
    assert 0 < without.sum() < 50
    np.testing.assert_array_equal(np.isnan(found), without)
