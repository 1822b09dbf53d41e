"""drg-ism as a run: its plan, its table, blocks and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from drg_hpc.files import sha256_file
from drg_hpc.results.reader import read_attributions, read_predictions
from tests.bodies.ism_runs import LENGTH, World, effects, ism, make_world, plan
from tests.prediction.small_world import predict, write_fasta


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


def test_table_of_one_sequence(tmp_path: Path, world: World) -> None:
    model, _, module = world
    fasta = write_fasta(tmp_path / "x.fa", rows=2, length=LENGTH, unknown=0.1)
    done = ism(tmp_path / "run", model, fasta, limit=1, tracks="b", start=3, end=20, format="tsv")
    assert list(done["outputs"]) == ["out.tsv"]
    letters = fasta.read_text().splitlines()[1][3:20]
    lines = [line.split("\t") for line in (tmp_path / "run" / "out.tsv").read_text().splitlines()]
    assert lines[0] == ["", *letters] and "N" in letters
    assert [line[0] for line in lines[1:]] == list("ACGT")
    frame = pd.read_csv(tmp_path / "run" / "out.tsv", sep="\t", index_col=0)
    x = np.array([[base == letter for letter in fasta.read_text().splitlines()[1]] for base in "ACGT"], np.float32)
    np.testing.assert_allclose(frame.to_numpy(), effects(module, x)[1][:, 3:20], atol=2e-6)


def test_predictions_are_those_of_drg_predict(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    ism(tmp_path / "run", model, store, limit=5, start=0, end=1, scale="output")
    predict(tmp_path / "predicted", model, store, limit=5, scale="output")
    made = read_predictions(tmp_path / "predicted")
    with read_attributions(tmp_path / "run") as found:
        for number, group in enumerate(found.tracks.values()):
            np.testing.assert_allclose(group["prediction"][()], made.values[:, number], rtol=1e-5)


def test_effects_beyond_memory_wait_in_a_file(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import drg_hpc.bodies.ism_block as block
    import drg_hpc.bodies.ism_work as work

    model, store, _ = world
    chosen: dict[str, Any] = {"limit": 70, "start": 4, "end": 6, "edits": "substitutions,deletions:1"}
    ism(tmp_path / "usual", model, store, **chosen)
    monkeypatch.setattr(block, "RESULT_BYTES", 1000)
    kept, usual = [], block.remove_scratch
    monkeypatch.setattr(
        work, "remove_scratch", lambda folder: (kept.append(len(list(folder.iterdir()))), usual(folder))
    )
    ism(tmp_path / "file", model, store, **chosen)
    assert kept == [3, 3], "ism, projected and deletion_1 of each block"
    assert sha256_file(tmp_path / "usual" / "out.h5") == sha256_file(tmp_path / "file" / "out.h5")
    (part,) = (tmp_path / "file" / "parts" / "ism").glob("0*")
    assert sorted(path.name for path in part.iterdir()) == ["part.h5", "receipt.json"]


def test_heavy_models_get_small_blocks(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import drg_hpc.bodies.ism_cost as cost

    model, store, _ = world
    ism(tmp_path / "usual", model, store, limit=20, start=4, end=6)
    monkeypatch.setattr(cost, "CPU_MACS", 4e4)  # a row of 7 passes takes 2.4 s: 16 rows of them less than a minute
    spec = plan(tmp_path / "slow", model, store, limit=20, start=4, end=6)
    assert spec.params["block_rows"] == 16
    found = set()
    for shards in (1, 2):
        ism(tmp_path / str(shards), model, store, limit=20, start=4, end=6, shards=shards)
        found.add(sha256_file(tmp_path / str(shards) / "out.h5"))
    assert len(found) == 1
    with h5py.File(tmp_path / "2" / "out.h5") as one, h5py.File(tmp_path / "usual" / "out.h5") as other:
        assert one["tracks/00000/ism"].chunks[0] == one["regions/start"].chunks[0] == 16
        np.testing.assert_array_equal(one["tracks/00000/ism"][()], other["tracks/00000/ism"][()])


def test_planning_needs_torch_only_to_count(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    spec = plan(tmp_path / "run", model, store, limit=10)
    assert "10 sequences, 400 positions, 1200 edits, 2 values" in spec.notes[0]
    assert "times fewer" in spec.notes[1] and "of one CPU core at 20 G multiply-adds a second" in spec.notes[2]
    code = f"""
import sys
from pathlib import Path
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"numpy", "torch", "zarr", "h5py", "pandas"}}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from drg_hpc.bodies.ism_plan import Options, plan_shards
spec = plan_shards(Options(model=Path({str(model)!r}), input=Path({str(store)!r}), limit=10, out=Path("x")))
print(spec.params == {spec.params!r})
print(*spec.notes, sep="\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "True", "the plan is the same"
    assert "incremental: counted in the worker environment (numpy is not installed here)" in lines[2]
