"""drg-evaluate with several models, classes, modalities, baselines, intervals and held-out rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from small_stores import write_store

from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import write_json
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.config import DilatedResidualConfig, MultiInputConfig
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build
from drg_hpc.prediction.config import EvaluateOptions
from drg_hpc.prediction.evaluate import evaluate
from drg_hpc.prediction.setup import names_of
from drg_hpc.store.header import describe_store
from drg_hpc.store.reader import open_dataset
from tests.prediction.small_world import CNN, make_store, predict

ROWS, LENGTH = 450, 60


def save(path: Path, *, seed: int, tracks: tuple[str, ...] = ("a", "b"), heads: Any = None) -> Any:
    torch.manual_seed(seed)
    shape = ModelShape({"seq": LENGTH}, heads or (HeadShape("main", len(tracks), "logit"),))
    module = build(CNN, shape).eval()
    save_model(module, path, CNN, tracks)
    return module


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """Folder, store, and three models: one without track a, with the others in another order."""
    folder = tmp_path_factory.mktemp("several")
    store = make_store(folder, rows=ROWS, length=LENGTH, tracks=("a", "b", "c"))
    modules = {
        "one": save(folder / "one", seed=1, tracks=("a", "b", "c")),
        "two": save(folder / "two", seed=2, tracks=("a", "b", "c")),
        "part": save(folder / "part", seed=3, tracks=("c", "b")),
    }
    return folder, store, modules


def run(world: tuple[Path, Path, Any], out: Path, *names: str, **changes: Any) -> tuple[Path, dict[str, Any]]:
    model = Path(",".join(str(world[0] / name) for name in names))
    options = {"model": model, "store": world[1], "out": out, "device": "cpu"} | changes
    folder = evaluate(EvaluateOptions(**options))
    return folder, json.loads((folder / "metrics.json").read_text())


def outputs(world: tuple[Path, Path, Any], name: str, rows: Any) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = world[2][name](torch.from_numpy(open_dataset(world[1]).sequences(rows))).sigmoid().numpy()
    return found


def test_two_models_and_their_mean(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    folder, metrics = run(world, tmp_path / "e", "one", "two")
    assert [(m["name"], m["kind"]) for m in metrics["models"]] == [
        ("one", "model"), ("two", "model"), ("ensemble", "ensemble"),
    ]  # fmt: skip
    assert metrics["shown"] == "ensemble" and metrics["model_names"] == {"model1": "one", "model2": "two"}
    assert set(metrics["inputs"]) == {"model1", "model2", "store"}
    store = open_dataset(world[1])
    rows = store.split_rows("test")
    each = [outputs(world, name, rows) for name in ("one", "two")]
    table = pd.read_csv(folder / "regions.tsv", sep="\t")
    np.testing.assert_allclose(table["prediction.b"], (each[0] + each[1])[:, 1] / 2, rtol=1e-4)
    tracks = pd.read_csv(folder / "tracks.tsv", sep="\t")
    assert tracks["model"].tolist() == ["one"] * 3 + ["two"] * 3 + ["ensemble"] * 3
    y = store.targets(rows)
    for values, name in ((each[0], "one"), (each[1], "two"), ((each[0] + each[1]) / 2, "ensemble")):
        for i, track in enumerate("abc"):
            there = ~np.isnan(y[:, i])
            found = tracks[(tracks["model"] == name) & (tracks["name"] == track)]["pearson"].item()
            assert found == pytest.approx(stats.pearsonr(values[there, i], y[there, i]).statistic, rel=1e-4)
    assert table["mse@one"].iloc[5] == pytest.approx(np.nanmean((each[0] - y)[5] ** 2), rel=1e-4)
    assert (folder / "comparison.tsv").is_file()
    with np.load(folder / "curves.npz") as curves:
        assert curves["models"].tolist() == ["ensemble", "one", "two"]
        assert {"roc.00000", "model1.roc.00000", "model2.pr.00002"} <= set(curves.files)
    _, alone = run(world, tmp_path / "alone", "one", "two", ensemble=False)
    assert [m["name"] for m in alone["models"]] == ["one", "two"] and alone["shown"] == "one"
    _, single = run(world, tmp_path / "single", "one")
    assert "models" not in single and single["tracks"] == metrics["models"][0]["tracks"]


def test_models_are_evaluated_on_the_tracks_they_share(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    folder, metrics = run(world, tmp_path / "e", "one", "part")
    assert [track["name"] for track in metrics["tracks"]] == ["b", "c"]
    assert "1 tracks of one are left out: not every model predicts them" in metrics["notes"]
    store = open_dataset(world[1])
    rows = store.split_rows("test")
    y, p = store.targets(rows)[:, 2], outputs(world, "part", rows)[:, 0]  # c is the first track of "part"
    there = ~np.isnan(y)
    tracks = pd.read_csv(folder / "tracks.tsv", sep="\t").set_index(["model", "name"])
    assert tracks.loc[("part", "c"), "pearson"] == pytest.approx(stats.pearsonr(p[there], y[there]).statistic, rel=1e-4)
    save(tmp_path / "x", seed=4, tracks=("a",))
    with pytest.raises(InputError, match="no track is predicted by all of"):
        evaluate(
            EvaluateOptions(model=Path(f"{world[0] / 'part'},{tmp_path / 'x'}"), store=world[1], out=tmp_path / "y")
        )


def test_predictions_of_several_models(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    _, direct = run(world, tmp_path / "direct", "one", "two")
    predict(tmp_path / "p1", world[0] / "one", world[1], scale="link")
    predict(tmp_path / "p2", world[0] / "two", world[1], scale="output")
    runs = Path(f"{tmp_path / 'p1'},{tmp_path / 'p2'}")
    _, again = run(world, tmp_path / "again", "one", "two", predictions=runs)
    for one, two in zip(direct["models"], again["models"], strict=True):
        for a, b in zip(one["tracks"], two["tracks"], strict=True):
            assert a["pearson"] == pytest.approx(b["pearson"], abs=1e-5)  # outputs are stored in float32
            assert a["auroc"] == pytest.approx(b["auroc"], abs=1e-4)
    with pytest.raises(InputError, match="p1 was made with another model"):
        run(world, tmp_path / "x", "two", "one", predictions=runs)
    with pytest.raises(InputError, match="p1 was made with 1 models, not 2"):
        run(world, tmp_path / "x", "one", "two", predictions=tmp_path / "p1")
    with pytest.raises(UsageError, match="2 runs for 3 models"):
        run(world, tmp_path / "x", "one", "two", "part", predictions=runs)
    predict(tmp_path / "few", world[0] / "two", world[1], limit=70)
    with pytest.raises(InputError, match="holds other rows than"):
        run(world, tmp_path / "x", "one", "two", predictions=Path(f"{tmp_path / 'p1'},{tmp_path / 'few'}"))
    predict(tmp_path / "b", world[0] / "one", world[1], tracks="b")
    _, some = run(world, tmp_path / "some", "one", predictions=tmp_path / "b")
    assert [track["name"] for track in some["tracks"]] == ["b"]
    assert some["tracks"][0]["pearson"] == pytest.approx(direct["models"][0]["tracks"][1]["pearson"], rel=1e-5)


def test_predictions_of_the_mean_of_models(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    _, direct = run(world, tmp_path / "direct", "one", "two")
    both = Path(f"{world[0] / 'one'},{world[0] / 'two'}")
    predict(tmp_path / "mean", both, world[1], scale="output")
    folder, found = run(world, tmp_path / "e", "one", "two", predictions=tmp_path / "mean")
    assert found["shown"] == "ensemble" and "models" not in found
    for a, b in zip(direct["models"][2]["tracks"], found["tracks"], strict=True):
        assert a["pearson"] == pytest.approx(b["pearson"], abs=1e-5)
    table = pd.read_csv(folder / "regions.tsv", sep="\t")
    expected = pd.read_csv(tmp_path / "direct" / "regions.tsv", sep="\t")
    np.testing.assert_allclose(table["prediction.c"], expected["prediction.c"], rtol=1e-4)
    with pytest.raises(InputError, match="mean was made with another model1"):
        run(world, tmp_path / "x", "two", "one", predictions=tmp_path / "mean")
    predict(tmp_path / "logits", both, world[1])
    with pytest.raises(InputError, match=r"means over models of the link scale \(logit\)"):
        run(world, tmp_path / "x", "one", "two", predictions=tmp_path / "logits")


def test_several_inputs_are_found_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes, target = rng.integers(0, 5, (90, LENGTH)), rng.normal(size=(90, 2))
    write_store(tmp_path / "store", codes, target, valid=70, second_input=36)
    torch.manual_seed(0)
    config = MultiInputConfig.model_validate(
        {"trunk": {"kernels": 4, "kernel_size": 5, "pool_size": 4}, "embedding": 6}
    )
    module = build(config, ModelShape({"rna": 36, "seq": LENGTH}, (HeadShape("main", 2, "identity"),))).eval()
    save_model(module, tmp_path / "model", config, ["t0", "t1"])
    options = {"model": tmp_path / "model", "store": tmp_path / "store", "split": "valid", "device": "cpu"}
    folder = evaluate(EvaluateOptions(**options, baselines=True, rc_average=True, out=tmp_path / "e"))
    store = open_dataset(tmp_path / "store")
    rows = store.split_rows("valid")
    x = [torch.from_numpy(store.input_sequences(name, rows)) for name in ("rna", "seq")]
    with torch.no_grad():
        expected = (module(x) + module([each.flip(1, 2) for each in x])).numpy() / 2
    table = pd.read_csv(folder / "regions.tsv", sep="\t")
    np.testing.assert_allclose(table["prediction.t1"], expected[:, 1], rtol=1e-4, atol=1e-6)
    assert len(json.loads((folder / "metrics.json").read_text())["models"]) == 3
    torch.manual_seed(0)
    other = build(config, ModelShape({"rna": 35, "seq": LENGTH}, (HeadShape("main", 2, "identity"),))).eval()
    save_model(other, tmp_path / "short", config, ["t0", "t1"])
    with pytest.raises(InputError, match="have 36 bases, the model takes 35"):
        evaluate(EvaluateOptions(**options | {"model": tmp_path / "short"}, out=tmp_path / "x"))


def test_classes(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    (tmp_path / "classes.txt").write_text("a T\nb B\nc T\n")
    folder, metrics = run(world, tmp_path / "e", "one", classes=tmp_path / "classes.txt")
    assert [track["class"] for track in metrics["tracks"]] == ["T", "B", "T"]
    rows = {(row["by"], row["name"]): row for row in metrics["classes"]}
    assert {key: row["tracks"] for key, row in rows.items()} == {
        ("all", "all"): 3,
        ("class", "T"): 2,
        ("class", "B"): 1,
    }
    expected = np.mean([metrics["tracks"][i]["pearson"] for i in (0, 2)])
    assert rows["class", "T"]["pearson"] == pytest.approx(expected)
    table = pd.read_csv(folder / "regions.tsv", sep="\t")
    errors = table[["error.a", "error.c"]] ** 2
    np.testing.assert_allclose(table["mse:class:T"], errors.mean(axis=1), rtol=1e-4)
    assert rows["class", "T"]["region_mse"] == pytest.approx(table["mse:class:T"].mean(), rel=1e-4)
    written = pd.read_csv(folder / "classes.tsv", sep="\t")
    assert written["name"].tolist() == ["all", "T", "B"] and set(written["model"]) == {"one"}
    (tmp_path / "classes.txt").write_text("a T\nb B\n")
    with pytest.raises(InputError, match="no class for 1 of 3 tracks: 'c'"):
        run(world, tmp_path / "x", "one", classes=tmp_path / "classes.txt")
    (tmp_path / "classes.txt").write_text("a T\nb B\nc B\n")
    with pytest.raises(UsageError, match="another evaluation"):
        run(world, tmp_path / "e", "one", classes=tmp_path / "classes.txt")


def test_modalities_have_their_own_links_and_lines(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    heads = (HeadShape("atac", 1, "logit"), HeadShape("rna", 2, "identity"))
    module = save(tmp_path / "mixed", seed=5, tracks=("a", "b", "c"), heads=heads)
    options = EvaluateOptions(model=tmp_path / "mixed", store=world[1], out=tmp_path / "e", device="cpu")
    metrics = json.loads((evaluate(options) / "metrics.json").read_text())
    assert [(row["by"], row["name"]) for row in metrics["classes"]] == [
        ("all", "all"), ("modality", "atac"), ("modality", "rna"),
    ]  # fmt: skip
    store = open_dataset(world[1])
    rows = store.split_rows("test")
    with torch.no_grad():
        raw = module(torch.from_numpy(store.sequences(rows)))
    table = pd.read_csv(tmp_path / "e" / "regions.tsv", sep="\t")
    np.testing.assert_allclose(table["prediction.a"], raw[:, 0].sigmoid().numpy(), rtol=1e-4)
    np.testing.assert_allclose(table["prediction.b"], raw[:, 1].numpy(), rtol=1e-4, atol=1e-6)


def test_a_modality_of_several_in_a_store_is_found_by_its_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes, target = rng.integers(0, 4, (80, LENGTH)), rng.normal(size=(80, 2))
    write_store(tmp_path / "store", codes, target, valid=40, second_modality=0)
    save(tmp_path / "model", seed=0, tracks=("extra",), heads=(HeadShape("more", 1, "identity"),))
    options = EvaluateOptions(
        model=tmp_path / "model", store=tmp_path / "store", out=tmp_path / "e", split="valid", device="cpu"
    )
    table = pd.read_csv(evaluate(options) / "regions.tsv", sep="\t")
    store = open_dataset(tmp_path / "store")
    expected = store.targets(store.split_rows("valid"), modality="more")[:, 0]
    np.testing.assert_allclose(table["target.extra"], expected, rtol=1e-4)


def profile_world(folder: Path) -> tuple[Path, Path]:
    """A store of profiles (8 bins of 8 bases) that follow GC content, and a profile network."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, (120, 64))
    content = np.isin(codes, (1, 2)).reshape(120, 8, 8).mean(axis=2)
    target = np.stack([rng.poisson(1 + 20 * content), rng.poisson(2.0, content.shape)], axis=1).astype(np.float64)
    write_store(folder / "store", codes, target, valid=70)
    torch.manual_seed(0)
    config = DilatedResidualConfig(channels=4, layers=2, stem_size=7, profile_size=5)
    module = build(config, ModelShape.single(64, 2, bins=8, link="log")).eval()
    save_model(module, folder / "net", config, ["t0", "t1"])
    return folder / "net", folder / "store"


def test_profiles_beside_baselines_with_intervals(tmp_path: Path) -> None:
    net, store = profile_world(tmp_path)
    options = {"model": net, "store": store, "split": "valid", "device": "cpu", "baselines": True, "bootstrap": 100}
    folder = evaluate(EvaluateOptions(**options, out=tmp_path / "e"))
    metrics = json.loads((folder / "metrics.json").read_text())
    models = {model["name"]: model for model in metrics["models"]}
    assert {name: model["kind"] for name, model in models.items()} == {
        "net": "model", "gc_cpg": "baseline", "train_mean": "baseline",
    }  # fmt: skip
    assert metrics["shown"] == "net" and metrics["bins"] == 8
    linear = models["gc_cpg"]["tracks"]
    assert linear[0]["pearson"] > 0.6 > abs(linear[1]["pearson"])  # only the first track follows GC content
    assert linear[0]["jsd"] < linear[0]["jsd_flat"]
    for model in models.values():
        for track in model["tracks"]:
            assert track["pearson_low"] < track["pearson"] < track["pearson_high"]
        assert model["mean"]["pearson_low"] < model["mean"]["pearson"] < model["mean"]["pearson_high"]
    rows = pd.read_csv(folder / "comparison.tsv", sep="\t")
    assert len(rows[(rows["over"] == "regions") & (rows["metric"] == "jsd")]) == 3
    same = evaluate(EvaluateOptions(**options, out=tmp_path / "same"))
    for name in ("metrics.json", "tracks.tsv", "regions.tsv", "classes.tsv", "comparison.tsv"):
        assert (same / name).read_bytes() == (folder / name).read_bytes()
    other = evaluate(EvaluateOptions(**options, out=tmp_path / "other", seed=1))
    changed = json.loads((other / "metrics.json").read_text())["tracks"][0]
    assert changed["pearson"] == metrics["tracks"][0]["pearson"]
    assert changed["pearson_low"] != metrics["tracks"][0]["pearson_low"]


def trained_on(model: Path, store: Path, *, train: str, valid: str) -> None:
    """Say in a model's description what it was trained on."""
    header = json.loads((model / "model.json").read_text())
    recipe = {"data": {"train": train, "valid": valid}}
    header["provenance"] = {"store": describe_store(store)["sha256"], "recipe": recipe}
    write_json(model / "model.json", header)


def test_rows_that_a_model_has_seen_are_said(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    save(tmp_path / "m", seed=1)
    trained_on(tmp_path / "m", world[1], train="train", valid="test")
    options = {"model": tmp_path / "m", "store": world[1], "device": "cpu"}
    seen = evaluate(EvaluateOptions(**options, out=tmp_path / "seen"))
    notes = json.loads((seen / "metrics.json").read_text())["notes"]
    assert notes == ["m was trained or chosen on 150 of these 150 rows"]
    unseen = evaluate(EvaluateOptions(**options, out=tmp_path / "unseen", split="valid"))
    assert json.loads((unseen / "metrics.json").read_text())["notes"] == []


def test_each_row_with_the_models_that_have_not_seen_it(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    run_folder = tmp_path / "sweep"
    modules = {
        name: save(run_folder / "models" / name, seed=i) for i, name in enumerate(("fold-2", "fold-10", "fold-0"))
    }
    for name, train, valid in (("fold-0", "train", "valid"), ("fold-2", "test", "train"), ("fold-10", "test", "train")):
        trained_on(run_folder / "models" / name, world[1], train=train, valid=valid)
    options = {"model": run_folder, "store": world[1], "device": "cpu"}
    folder = evaluate(EvaluateOptions(**options, split="held-out", out=tmp_path / "e"))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert list(metrics["model_names"].values()) == ["fold-0", "fold-2", "fold-10"]
    assert metrics["shown"] == "held_out" and "models" not in metrics and metrics["rows"] == 300
    store = open_dataset(world[1])
    table = pd.read_csv(folder / "regions.tsv", sep="\t")
    assert set(table["split"]) == {"valid", "test"}
    x = torch.from_numpy(store.sequences(table["row"].to_numpy()))
    with torch.no_grad():
        each = {name: module(x).sigmoid().numpy()[:, 1] for name, module in modules.items()}
    both = (each["fold-2"] + each["fold-10"]) / 2
    np.testing.assert_allclose(
        table["prediction.b"], np.where(table["split"] == "test", each["fold-0"], both), rtol=1e-4
    )
    with pytest.raises(UsageError, match="--split held-out goes with neither"):
        evaluate(EvaluateOptions(**options, split="held-out", baselines=True, out=tmp_path / "x"))
    with pytest.raises(InputError, match="nothing says which rows"):
        run(world, tmp_path / "x", "one", "two", split="held-out")
    every = evaluate(EvaluateOptions(**options, out=tmp_path / "test"))
    assert len(json.loads((every / "metrics.json").read_text())["models"]) == 4


def test_names_tell_models_apart() -> None:
    assert names_of([Path("/x/a/m"), Path("/x/b/n")]) == ["m", "n"]
    assert names_of([Path("/x/a/m"), Path("/x/b/m")]) == ["a/m", "b/m"]
    assert names_of([Path("/x/ensemble")]) == ["x/ensemble"]
    assert names_of([Path("/gc_cpg")]) == ["/gc_cpg"]


def test_one_model_twice_is_refused(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    with pytest.raises(UsageError, match="one model twice"):
        run(world, tmp_path / "x", "one", "one")


def test_a_path_with_a_comma_is_one_model(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    save(tmp_path / "a,b", seed=1, tracks=("a", "b", "c"))
    options = EvaluateOptions(model=tmp_path / "a,b", store=world[1], out=tmp_path / "e", device="cpu")
    found = json.loads((evaluate(options) / "metrics.json").read_text())
    assert found["shown"] == "a,b" and "models" not in found
