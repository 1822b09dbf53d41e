"""drg-inspect on every kind of folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import fasta, shard

from drg_hpc.bodies import shard_sequences_plan
from drg_hpc.cli.inspect import InspectOptions, _action, inspect_path
from drg_hpc.digests import digest
from drg_hpc.errors import CorruptError, InputError, Stopped
from drg_hpc.files import describe_files
from drg_hpc.prediction.config import EvaluateOptions
from drg_hpc.prediction.evaluate import evaluate
from drg_hpc.results import h5
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


def lines(path: Path) -> list[str]:
    return [str(line) for line in _action(InspectOptions(path=path))["lines"]]


def test_runs_show_what_their_store_holds(tmp_path: Path, store: Path) -> None:
    facts = inspect_path(store, verify=True)
    assert (facts["kind"], facts["store"]["kind"], facts["store"]["rows"]) == ("run", "dataset store", 150)
    assert facts["store"]["splits"]["test"] == 50
    shown = lines(store)
    assert shown[:3] == ["store:", "  kind: dataset store", "  rows: 150: 150 given; 150 kept"]
    assert "  splits: 50 train, 50 valid, 50 test, 0 excluded (by contigs)" in shown
    assert f"  inputs: seq of {LENGTH} bases" in shown
    assert "  targets main: 2 tracks, float32, from matrix, allow_missing True: a, b" in shown
    assert message(store) == f"run: {store} (every checksum verified)"
    assert inspect_path(store / "out.zarr", verify=False) == facts["store"]


def test_genomes(tmp_path: Path) -> None:
    records = {f"chr{i}": "ACGTacgtNR" * (i + 1) for i in range(7)}
    genome = shard("genome", tmp_path / "g", fasta=[fasta(tmp_path / "g.fa", records)])
    facts = inspect_path(genome / "out.zarr", verify=True)
    assert (facts["kind"], facts["bases"], len(facts["contigs"])) == ("genome store", 280, 7)
    names = "chr0 10, chr1 20, chr2 30, chr3 40, chr4 50, … (7 in all)"
    shown = lines(genome / "out.zarr")
    assert shown[:4] == [
        "kind: genome store",
        f"contigs: 7, 280 bases: {names}",
        "unknown: 10.00% N, 28 other letters",
        "soft-masked: 40.00%",
    ]
    size = sum(path.stat().st_size for path in (genome / "out.zarr").rglob("*") if path.is_file())
    manifest = (genome / "out.zarr/manifest.json").stat().st_size
    assert facts["bytes"] == size - manifest and facts["bytes_per_base"] == pytest.approx((size - manifest) / 280)
    assert f"in {facts['files']} files" in shown[4] and shown[4].endswith("bytes a base, packbits")
    assert facts["files"] == sum(path.is_file() for path in (genome / "out.zarr").rglob("*"))


def test_several_modalities_negatives_and_long_lists(tmp_path: Path) -> None:
    (tmp_path / "m.tsv").write_text(
        "n\t" + "\t".join(f"t{i}" for i in range(9)) + "\na" + "\t1" * 9 + "\nb" + "\t0" * 9 + "\n"
    )
    np.savez(tmp_path / "p.npz", counts=np.zeros((2, 1, 4)), names=["a", "b"], celltypes=["x"])
    sequences = fasta(tmp_path / "s.fa", {"a": "ACGTACGT", "b": "ACGGACGT"})
    counts = [str(tmp_path / "m.tsv"), f"profile={tmp_path / 'p.npz'}"]
    run = shard(
        "sequences", tmp_path / "r", sequences=sequences, counts=counts, negatives="dinuc:2", target_dtype="float16"
    )
    shown = lines(run / "out.zarr")
    assert "rows: 6: 2 given, 4 negatives (dinuc:2); 6 kept" in shown
    assert "splits: 6 train, 0 valid, 0 test, 0 excluded" in shown
    assert "targets m: 9 tracks, float16, from matrix: t0, t1, t2, t3, t4, … (9 in all)" in shown
    assert "targets profile: 1 tracks in 4 bins, float16, from matrix: x" in shown
    assert any(line.startswith("sources (sha256): counts0 ") for line in shown)
    header = drg_json_of(run / "out.zarr")
    assert len(header["modalities"][0]["tracks"]) == 9 and header["seed"] == 0


def drg_json_of(path: Path) -> dict[str, Any]:
    """What --json prints."""
    result = _action(InspectOptions(path=path))
    result.pop("lines")
    found: dict[str, Any] = json.loads(json.dumps(result))
    return found


def test_every_damaged_file_of_a_store_is_named(tmp_path: Path, store: Path, caplog: pytest.LogCaptureFixture) -> None:
    copy = Path(shutil.copytree(store / "out.zarr", tmp_path / "out.zarr"))
    gone = [copy / f"regions/{name}/c/0" for name in ("name", "start", "end")]
    cut, flipped = copy / "inputs/seq/c/0/0/0", copy / "targets/main/c/0/0"
    for path in gone:
        path.unlink()
    cut.write_bytes(cut.read_bytes()[:-3])
    raw = bytearray(flipped.read_bytes())
    raw[5] ^= 1
    flipped.write_bytes(raw)
    with pytest.raises(CorruptError, match="and 2 more files") as caught:
        inspect_path(copy, verify=True)
    assert "\n" not in str(caught.value)
    said = "\n".join(record.getMessage() for record in caplog.records)
    for path in (*gone, cut, flipped):
        assert str(path) in said
    assert said.count("\n") == 4
    inspect_path(copy, verify=False)  # says what it is, damaged or not


@pytest.mark.parametrize("fault", ["flipped", "cut", "gone"])
def test_damage_is_named_for_the_run_too(tmp_path: Path, store: Path, fault: str) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "run"))
    damaged = copy / "out.zarr/targets/main/c/0/0"
    raw = damaged.read_bytes()
    damaged.unlink()  # it may be a link to the part
    if fault != "gone":
        damaged.write_bytes(raw[:-1] if fault == "cut" else raw[:9] + bytes([raw[9] ^ 4]) + raw[10:])
    with pytest.raises(CorruptError, match="targets/main/c/0/0"):
        inspect_path(copy, verify=True)


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
    with pytest.raises(CorruptError, match=r"motifs\.meme is not as it was written"):
        inspect_path(tmp_path, verify=True)


def test_a_file_outside_a_run_has_no_checksum(tmp_path: Path) -> None:
    with h5.create(tmp_path / "x.h5") as out:
        h5.write_array(out, "x", np.zeros(3))
    assert message(tmp_path / "x.h5").endswith("(every chunk read; no checksum of the file is known)")


def test_files_of_others(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("[1]")
    with pytest.raises(InputError, match="not written by a drg command"):
        inspect_path(tmp_path, verify=False)
