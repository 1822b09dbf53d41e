"""drg-inspect on every kind of folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stores import fasta, shard

from drg_hpc.bodies import shard_sequences_plan
from drg_hpc.cli.inspect import InspectOptions, _action, inspect_path
from drg_hpc.digests import digest
from drg_hpc.errors import CorruptError, InputError, Stopped
from drg_hpc.files import describe_files
from drg_hpc.prediction.config import EvaluateOptions
from drg_hpc.prediction.evaluate import evaluate
from drg_hpc.runs.plan import write_plan
from drg_hpc.training.config import TrainOptions
from drg_hpc.training.run import train
from tests.prediction.small_world import make_model, make_store

LENGTH = 60


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("world"), rows=150, length=LENGTH)


def message(path: Path) -> str:
    return str(_action(InspectOptions(path=path, verify=True))["message"])


def test_runs_show_what_their_store_holds(tmp_path: Path, store: Path) -> None:
    facts = inspect_path(store, verify=True)["store"]
    assert (facts["kind"], facts["rows"], facts["tracks"], facts["length"]) == ("dataset", 150, ["a", "b"], LENGTH)
    assert facts["splits"]["test"] == 50
    genome = shard("genome", tmp_path / "g", fasta=[fasta(tmp_path / "g.fa", {"chr1": "ACGT", "chr2": "ACGTAC"})])
    facts = inspect_path(genome, verify=False)
    assert facts["kind"] == "run" and facts["store"] == {"kind": "genome", "contigs": ["chr1 4", "chr2 6"]}
    assert message(genome) == f"run: {genome} (every checksum verified)"


def test_unmerged_run(tmp_path: Path) -> None:
    sequences = fasta(tmp_path / "s.fa", {"a": "ACGTACGT", "b": "ACGGACGT"})
    options = shard_sequences_plan.Options(sequences=sequences, negatives="dinuc:1", out=tmp_path / "r")
    write_plan(shard_sequences_plan.plan_shards(options), options.out)
    assert message(tmp_path / "r").startswith("unmerged run: ")
    assert message(tmp_path / "r").endswith("(the parts that are present verified; there is no output yet)")


def test_evaluation(tmp_path: Path, store: Path) -> None:
    make_model(tmp_path / "model", length=LENGTH)
    out = evaluate(EvaluateOptions(model=tmp_path / "model", store=store, out=tmp_path / "eval", device="cpu"))
    facts = inspect_path(out, verify=False)
    assert (facts["kind"], facts["split"], facts["tracks"]) == ("evaluation", "test", ["a", "b"])
    assert facts["made"]["inputs"]["store"].endswith("out.zarr")
    assert "no checksums" in message(out)


def test_unfinished_training(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRG_CACHE_DIR", str(tmp_path / "cache"))
    given = {"store": store, "out": tmp_path / "m", "max_steps": 1, "device": "cpu", "model": {"kernels": 4}}
    with pytest.raises(Stopped):
        train(TrainOptions.model_validate(given))
    facts = inspect_path(tmp_path / "m", verify=True)
    assert (facts["kind"], facts["checkpoints"]) == ("unfinished training", ["step-00000001"])
    assert facts["recipe"]["model"]["kernels"] == 4
    (tmp_path / "m/checkpoints/step-00000001/state.json").write_text("{}")
    with pytest.raises(CorruptError, match=r"state\.json differs"):
        inspect_path(tmp_path / "m", verify=True)


def test_motif_folder(tmp_path: Path) -> None:
    (tmp_path / "motifs.meme").write_text("MEME version 4\n")
    row = {"motif": "pos_0", "consensus": "GATAAC", "n_seqlets": 12}
    header = {"format": "drg-motifs/1", "motifs": [row], "seqlets": 12, "digest": digest({})}
    (tmp_path / "motifs.json").write_text(json.dumps(header | {"files": describe_files(tmp_path)}))
    (tmp_path / "done.json").write_text(json.dumps({"command": "motifs", "time": "now"}))
    facts = inspect_path(tmp_path, verify=True)
    assert (facts["kind"], facts["motifs"]) == ("motif folder", ["pos_0 GATAAC (12 seqlets)"])
    (tmp_path / "motifs.meme").write_text("changed")
    with pytest.raises(CorruptError, match=r"motifs\.meme does not match"):
        inspect_path(tmp_path, verify=True)


def test_files_of_others(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("[1]")
    with pytest.raises(InputError, match="not written by a drg command"):
        inspect_path(tmp_path, verify=False)
