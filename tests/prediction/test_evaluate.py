"""drg-evaluate: metrics against scipy, tables, curves, and a folder that is never overwritten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.prediction.config import EvaluateOptions
from drg_hpc.prediction.curves import CURVE_POINTS, curve_points
from drg_hpc.prediction.evaluate import evaluate
from drg_hpc.report.figures import draw_evaluation
from drg_hpc.store.header import describe_store
from drg_hpc.store.reader import open_dataset
from tests.prediction.arrays import write_folder
from tests.prediction.small_world import make_model, make_store, predict

ROWS, LENGTH = 450, 60


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    folder = tmp_path_factory.mktemp("world")
    module = make_model(folder / "model", length=LENGTH)
    return folder / "model", make_store(folder, rows=ROWS, length=LENGTH), module


def options(world: tuple[Path, Path, Any], out: Path, **changes: Any) -> EvaluateOptions:
    return EvaluateOptions(**{"model": world[0], "store": world[1], "out": out, "device": "cpu"} | changes)


def test_metrics_tables_and_curves(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    folder = evaluate(options(world, tmp_path / "eval"))
    store = open_dataset(world[1])
    rows = store.split_rows("test")
    with torch.no_grad():
        prediction = world[2](torch.from_numpy(store.sequences(rows))).sigmoid().numpy()
    target = store.targets(rows)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["split"], metrics["rows"]) == ("test", len(rows))
    assert [track["name"] for track in metrics["tracks"]] == ["a", "b"]
    for i, track in enumerate(metrics["tracks"]):
        seen = ~np.isnan(target[:, i])
        y, p = target[seen, i], prediction[seen, i]
        assert 0 < track["n"] == seen.sum() < len(rows)
        rank = stats.mannwhitneyu(p[y == 1], p[y == 0]).statistic / ((y == 1).sum() * (y == 0).sum())
        assert track["auroc"] == pytest.approx(rank)
        assert track["pearson"] == pytest.approx(stats.pearsonr(p, y).statistic, abs=1e-6)
        assert track["spearman"] == pytest.approx(stats.spearmanr(p, y).statistic, abs=1e-6)
        assert track["mse"] == pytest.approx(np.mean((p - y) ** 2), rel=1e-5)
    assert metrics["mean"]["auroc"] == pytest.approx(np.mean([t["auroc"] for t in metrics["tracks"]]))

    table = pd.read_csv(folder / "regions.tsv", sep="\t")
    assert table["row"].tolist() == rows.tolist() and set(table["split"]) == {"test"}
    np.testing.assert_allclose(table["prediction.b"], prediction[:, 1], rtol=1e-4)
    np.testing.assert_allclose(table["error.a"], np.abs(prediction - target)[:, 0], rtol=1e-3, atol=1e-5)
    assert pd.read_csv(folder / "tracks.tsv", sep="\t")["name"].tolist() == ["a", "b"]

    with np.load(folder / "curves.npz") as curves:
        roc = curves["roc.00000"]
        area = np.trapezoid(roc[:, 1], roc[:, 0])
        assert area == pytest.approx(metrics["tracks"][0]["auroc"], abs=1e-3)
        assert curves["tracks"].tolist() == ["a", "b"]
        assert curves["scatter_prediction"].shape == curves["scatter_target"].shape == (len(rows), 2)


def test_reusing_predictions_gives_the_same_numbers(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    direct = json.loads((evaluate(options(world, tmp_path / "a")) / "metrics.json").read_text())
    for scale in ("link", "output"):
        predict(tmp_path / scale, world[0], world[1], scale=scale, shards=2)
        again = evaluate(options(world, tmp_path / f"from_{scale}", predictions=tmp_path / scale))
        found = json.loads((again / "metrics.json").read_text())
        for one, two in zip(direct["tracks"], found["tracks"], strict=True):
            assert one["auroc"] == pytest.approx(two["auroc"], rel=1e-6)
            assert one["mse"] == pytest.approx(two["mse"], rel=1e-5)
    predict(tmp_path / "all", world[0], world[1], split="all")
    with pytest.raises(InputError, match="has split 'all', not 'test'"):
        evaluate(options(world, tmp_path / "b", predictions=tmp_path / "all"))
    torch.manual_seed(3)
    make_model(tmp_path / "model2", length=LENGTH, link="identity")
    with pytest.raises(InputError, match="another model"):
        evaluate(options(world, tmp_path / "b", predictions=tmp_path / "link", model=tmp_path / "model2"))
    assert not (tmp_path / "b").exists()


def test_the_mean_over_strands_is_one_number(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    direct = json.loads((evaluate(options(world, tmp_path / "a", rc_average=True)) / "metrics.json").read_text())
    for scale in ("link", "output"):
        predict(tmp_path / scale, world[0], world[1], scale=scale, rc_average=True)
    again = evaluate(options(world, tmp_path / "b", rc_average=True, predictions=tmp_path / "output"))
    found = json.loads((again / "metrics.json").read_text())
    for one, two in zip(direct["tracks"], found["tracks"], strict=True):
        assert one["mse"] == pytest.approx(two["mse"], rel=1e-6)
    with pytest.raises(InputError, match=r"of the link scale \(logit\).*--rc-average --scale output"):
        evaluate(options(world, tmp_path / "c", rc_average=True, predictions=tmp_path / "link"))
    make_model(tmp_path / "plain", length=LENGTH, link="identity")  # link scale and output scale are the same
    predict(tmp_path / "run", tmp_path / "plain", world[1], rc_average=True)
    evaluate(options(world, tmp_path / "d", model=tmp_path / "plain", rc_average=True, predictions=tmp_path / "run"))


def test_another_store_than_that_of_the_training_is_noted(
    tmp_path: Path, world: tuple[Path, Path, Any], caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(world[0], tmp_path / "model")
    for sha256, warned in ((describe_store(world[1])["sha256"], False), ("0" * 64, True)):
        record = {"inputs": {"store": {"path": "/elsewhere", "sha256": sha256}}}
        (tmp_path / "model" / "done.json").write_text(json.dumps(record))
        caplog.clear()
        evaluate(options(world, tmp_path / f"out_{warned}", model=tmp_path / "model"))
        assert ("not the store that" in caplog.text) is warned


def test_a_folder_is_never_overwritten(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    out = tmp_path / "eval"
    evaluate(options(world, out))
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert set(before) == {"metrics.json", "tracks.tsv", "regions.tsv", "classes.tsv", "curves.npz", "done.json"}
    assert evaluate(options(world, out)) == out
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    with pytest.raises(UsageError, match="holds another evaluation"):
        evaluate(options(world, out, split="valid"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="holds something else"):
        evaluate(options(world, tmp_path / "other"))


def test_figures_are_part_of_the_folder(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    folder = evaluate(options(world, tmp_path / "e"), draw=draw_evaluation)
    made = {f"figures/{path.name}" for path in (folder / "figures").iterdir()}
    assert {"figures/scatter-1.png", "figures/scatter-1.pdf", "figures/tracks.png", "figures/curves.pdf"} <= made
    assert made <= set(json.loads((folder / "done.json").read_text())["outputs"])
    assert evaluate(options(world, tmp_path / "e"), draw=draw_evaluation) == folder
    (folder / "figures" / "tracks.png").write_bytes(b"")
    with pytest.raises(CorruptError, match=r"figures/tracks\.png changed"):
        evaluate(options(world, tmp_path / "e"), draw=draw_evaluation)


def test_inputs_that_do_not_fit(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    make_model(tmp_path / "long", length=LENGTH + 2)
    with pytest.raises(InputError, match="have 60 bases, the model takes 62"):
        evaluate(options(world, tmp_path / "x", model=tmp_path / "long"))
    make_model(tmp_path / "named", length=LENGTH, tracks=("a", "c"))
    with pytest.raises(InputError, match="lacks 1 of the model's 2 tracks, the first is 'c'"):
        evaluate(options(world, tmp_path / "x", model=tmp_path / "named"))
    with pytest.raises(InputError, match="has no rows"):
        evaluate(options(world, tmp_path / "x", split="excluded"))
    assert not (tmp_path / "x").exists()


def test_a_model_of_some_tracks_meets_its_own_columns(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    make_model(tmp_path / "one", length=LENGTH, tracks=("b",))
    folder = evaluate(options(world, tmp_path / "eval", model=tmp_path / "one"))
    store = open_dataset(world[1])
    table = pd.read_csv(folder / "regions.tsv", sep="\t")
    np.testing.assert_array_equal(table["target.b"], store.targets(store.split_rows("test"))[:, 1])


def test_missing_bins_leave_no_totals(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    target = rng.gamma(1.0, 2.0, (40, 1, 6)).astype(np.float32)
    prediction = target + rng.normal(0, 1, target.shape)
    target[3, 0, 2] = np.nan
    write_folder(tmp_path, target, {"model": prediction}, tracks=["t"])
    table = pd.read_csv(tmp_path / "regions.tsv", sep="\t")
    assert np.isnan(table["target.t"][3]) and table["target.t"].notna().sum() == 39
    whole = np.arange(40) != 3
    expected = stats.pearsonr(prediction[whole, 0].sum(axis=1), target[whole, 0].sum(axis=1)).statistic
    (track,) = json.loads((tmp_path / "metrics.json").read_text())["tracks"]
    assert track["n"] == 40 * 6 - 1 and track["pearson_total"] == pytest.approx(expected, rel=1e-5)
    assert table["pearson.t"][7] == pytest.approx(stats.pearsonr(prediction[7, 0], target[7, 0]).statistic, rel=1e-4)
    assert table["max_target"][3] == pytest.approx(np.nanmax(target[3]), rel=1e-5)
    assert table["mean_target"][3] == pytest.approx(np.nanmean(target[3]), rel=1e-5)
    assert table["n"].tolist() == [6] * 3 + [5] + [6] * 36


def test_curves_are_thinned_and_keep_their_ends() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(20_000) < 0.3
    roc, pr = curve_points(rng.normal(size=20_000) + positive, positive)
    assert len(roc) <= CURVE_POINTS and len(pr) <= CURVE_POINTS
    assert roc[0].tolist() == [0, 0] and roc[-1].tolist() == [1, 1]
    assert pr[-1].tolist() == pytest.approx([1, positive.mean()])
    assert (np.diff(roc, axis=0) >= 0).all()


@pytest.mark.parametrize("name", ["curves.npz", "regions.tsv"])
def test_a_finished_folder_is_verified_before_it_is_called_done(
    tmp_path: Path, world: tuple[Path, Path, Any], name: str
) -> None:
    evaluate(options(world, tmp_path / "e"))
    (tmp_path / "e" / name).unlink()
    with pytest.raises(CorruptError, match=name):
        evaluate(options(world, tmp_path / "e"))
