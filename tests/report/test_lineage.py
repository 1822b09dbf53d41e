"""What a page claims about training, and what it says when its inputs do not belong together."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from bodies.seqlet_runs import do_run, write_attributions, write_done
from interpretation.planted import named, plant
from report.conftest import model_sha256, store_sha256, write_evaluation, write_model

from drg_hpc.bodies.seqlets_plan import Options
from drg_hpc.files import read_json, write_json
from drg_hpc.report.attribution_scale import PredictionScale
from drg_hpc.report.config import ReportOptions
from drg_hpc.report.lineage import Lineage
from drg_hpc.report.page import write_report
from drg_hpc.report.seqlets import seqlet_facts, seqlet_section
from drg_hpc.report.sources import Sources

CLAIM, NOTE = "never seen in training", "Not everything on this page belongs together"


def words(tmp_path: Path, *paths: Path) -> str:
    return write_report(ReportOptions(paths=paths, out=tmp_path / "r.html", examples=2)).read_text()


@pytest.fixture
def other_store(everything: dict[str, Path], tmp_path: Path) -> Path:
    """The same sequences, but another manifest."""
    shutil.copytree(everything["store"], tmp_path / "other_store")
    manifest = tmp_path / "other_store" / "out.zarr" / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    return tmp_path / "other_store"


def test_the_claim_wants_the_model_and_its_own_store(everything: dict[str, Path], tmp_path: Path) -> None:
    store, model, evaluation = (everything[name] for name in ("store", "model", "evaluation"))
    assert CLAIM in words(tmp_path, store, model, evaluation)
    text = words(tmp_path, store, evaluation)
    assert CLAIM not in text and "80 sequences of chr9 (split test)" in text
    assert CLAIM not in words(tmp_path, model, evaluation)


@pytest.mark.parametrize("split", ["train", "valid", "all"])
def test_no_claim_for_rows_that_were_used(everything: dict[str, Path], tmp_path: Path, split: str) -> None:
    store, model = everything["store"], everything["model"]
    assert CLAIM not in words(tmp_path, store, model, write_evaluation(tmp_path / "e", store, model, split=split))


def test_no_claim_when_the_recipe_trained_on_the_test_rows(everything: dict[str, Path], tmp_path: Path) -> None:
    store, model = everything["store"], write_model(tmp_path / "m", everything["store"])
    header = read_json(model / "model.json")
    header["provenance"] = {"recipe": {"data": {"train": "test", "valid": "valid"}}}
    write_json(model / "model.json", header)
    assert CLAIM not in words(tmp_path, store, model, write_evaluation(tmp_path / "e", store, model))


def test_a_model_of_another_store(
    everything: dict[str, Path], other_store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, model = everything["store"], write_model(tmp_path / "m", other_store)
    text = words(tmp_path, store, model, write_evaluation(tmp_path / "e", store, model))
    assert CLAIM not in text and NOTE in text
    message = f"model {model} was trained on another store than {store}"
    assert message in text and message in caplog.text
    assert all(record.levelno == logging.WARNING for record in caplog.records if message in record.message)


def test_an_evaluation_of_another_model_and_store(
    everything: dict[str, Path], other_store: Path, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "m", other_store, weights=b"other")
    text = words(
        tmp_path, everything["store"], everything["model"], write_evaluation(tmp_path / "e", other_store, model)
    )
    assert CLAIM not in text and "Another model than the one below" in text
    assert f"evaluation {tmp_path / 'e'} was computed from another model than {everything['model']}" in text
    assert f"evaluation {tmp_path / 'e'} was computed from another store than {everything['store']}" in text


def test_attributions_seqlets_and_motifs_of_something_else(everything: dict[str, Path], tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", everything["store"], weights=b"other")
    text = words(tmp_path, model, everything["attr"])
    assert f"attributions {everything['attr']} was made from another model than {model}" in text
    planted = plant(named("CTCF"), [1], rows=70, length=60, noise=0.1, seed=0)
    (tmp_path / "attr").mkdir()
    write_attributions(tmp_path / "attr" / "out.h5", planted.projected, planted.onehot, tracks=1, keep=False)
    do_run(Options(attributions=tmp_path / "attr" / "out.h5", out=tmp_path / "seqlets"))
    write_done(tmp_path / "seqlets", "seqlets", {})
    text = words(tmp_path, everything["attr"], tmp_path / "seqlets", everything["motifs"])
    assert f"seqlets {tmp_path / 'seqlets'} was made from other attributions than {everything['attr']}" in text
    assert f"motifs {everything['motifs']} was made from other seqlets than {tmp_path / 'seqlets'}" in text
    assert NOTE not in words(tmp_path, tmp_path / "attr" / "out.h5", tmp_path / "seqlets")  # a bare file is hashed


def test_seqlets_are_counted_by_label_and_marked_by_track(everything: dict[str, Path], tmp_path: Path) -> None:
    planted = plant(named("CTCF"), [1], rows=140, length=60, noise=0.1, seed=0)
    path = tmp_path / "out.h5"
    inputs = {"model": {"sha256": "0"}, "sequences": {"sha256": store_sha256(everything["store"])}}
    rows = np.arange(90, 230)  # 70 peaks, 70 shuffles
    attributes = {"inputs": inputs, "params": {"input": "store"}}
    write_attributions(path, planted.projected, planted.onehot, tracks=2, keep=False, attributes=attributes, row=rows)
    with h5py.File(path, "r+") as handle:
        handle["tracks/00000"].attrs["name"], handle["tracks/00001"].attrs["name"] = "bound", "other"
        handle["tracks/00001/projected"][:] = 0
        handle["tracks/00001/projected"][:, 3:9] = 5.0
    do_run(Options(attributions=path, out=tmp_path / "seqlets"))
    write_done(tmp_path / "seqlets", "seqlets", {"regions": 140})
    sources = Sources((everything["store"], path, tmp_path / "seqlets"))
    lineage = Lineage(sources)
    facts = seqlet_facts(sources.of("seqlets")[0], lineage, max_motifs=9)
    tracks = facts.table["track"].to_numpy()
    assert set(tracks) == {0, 1}
    assert len(facts.of_track("bound").table) == (tracks == 0).sum() and len(facts.of_track("none").table) == 0
    own = facts.of_track("bound").table
    section = seqlet_section(facts, lineage)
    for label, mask in (("bound = 1", own["row"] < 70), ("bound = 0", own["row"] >= 70)):
        positive = int((own[mask]["sign"] > 0).sum())
        assert f"where {label}</th><td>{positive} positive" in section and positive
    page = words(tmp_path, path, tmp_path / "seqlets")
    bands = page.count("#fff0b8") + page.count("#e3ecf7")
    assert 0 < bands <= own.groupby("row").size().nlargest(2).sum()


def test_predictions_on_the_output_scale(everything: dict[str, Path]) -> None:
    sources = Sources((everything["model"], everything["attr"]))
    scale = PredictionScale.of(sources.of("attributions")[0], Lineage(sources))
    assert scale.link == "logit" and "probabilities, on the output scale" in scale.words
    assert [scale.text(value) for value in (0.0, -800.0, 2.0, 20.0)] == ["0.5", "0", "0.881", ">0.999"]
    alone = Sources((everything["attr"],))
    unknown = PredictionScale.of(alone.of("attributions")[0], Lineage(alone))
    assert unknown.text(4.0) == "4" and "before its output link" in unknown.words
    assert PredictionScale("log", "").text(0.0) == "1"


def test_identity_of_a_model_without_weights_is_unknown(everything: dict[str, Path], tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", everything["store"])
    assert model_sha256(model)
    (model / "weights.safetensors").unlink()
    assert NOTE not in words(tmp_path, model, everything["evaluation"])
