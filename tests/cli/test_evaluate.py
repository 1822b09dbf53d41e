"""drg-evaluate as it is typed: what it prints and writes, and one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support import drg, drg_json, error_line, here

from drg_hpc.models.base import ModelShape
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build
from tests.prediction.small_world import CNN, make_model, make_store


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    make_store(folder, rows=150, length=60)
    make_model(folder / "one", length=60)
    torch.manual_seed(1)
    save_model(build(CNN, ModelShape.single(60, 2, link="logit")), folder / "two", CNN, ["a", "b"])
    return folder


def test_several_models_in_one_command(world: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("a T\nb B\n")
    arguments = [f"{world / 'one'},{world / 'two'}", world / "store", "--classes", tmp_path / "classes.txt"]
    options = ["--bootstrap", 20, "--baselines", "--no-ensemble", "--device", "cpu", "-o", tmp_path / "e"]
    done = drg("drg-evaluate", *arguments, *options)
    *lines, last = done.stdout.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["one", "two", "gc_cpg", "train_mean"]
    assert "mean of 2 tracks: auroc 0." in lines[0] and "pearson" in lines[0] and "[" in lines[0]
    assert last == f"evaluation: {tmp_path / 'e' / 'metrics.json'}"
    found = {path.name for path in (tmp_path / "e" / "figures").iterdir()}
    assert {"tracks.png", "tracks.pdf", "curves.png", "scatter-1.png"} <= found
    again = drg_json("drg-evaluate", *arguments, *options)
    assert again["metrics"] == json.loads((tmp_path / "e" / "metrics.json").read_text())


def test_what_is_wrong_is_one_line(world: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("a T\nb\n")
    arguments = [world / "one", world / "store", "-o", tmp_path / "e"]
    bad = here("drg-evaluate", *arguments, "--classes", tmp_path / "classes.txt", exit_code=3)
    assert "classes.txt: line 2: 1 columns; a line is a track's name and its class" in error_line(bad)
    bad = here("drg-evaluate", f"{world / 'one'},{world / 'three'}", *arguments[1:], exit_code=3)
    assert "model.json is missing" in error_line(bad)
    bad = here("drg-evaluate", *arguments, "--bootstrap", "-1", exit_code=2)
    assert "bootstrap" in error_line(bad)
    assert not (tmp_path / "e").exists()
