"""The whole chain through the commands, on real peaks: the same bytes for any sharding, and CTCF at the end."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest
from support import EXAMPLES, ROOT, drg, drg_json

pytestmark = pytest.mark.slow

PEAKS = 5003  # rows that divide by nothing
NAMES = ("store", "model", "evaluation", "attr", "mutagenesis", "seqlets", "motifs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    with gzip.open(EXAMPLES / "ctcf" / "peaks.fa.gz", "rt") as source:
        (folder / "peaks.fa").write_text("".join(">" + record for record in source.read().split(">")[1 : PEAKS + 1]))
    arguments = ["--negatives", "dinuc:1", "--valid", "chr8", "--test", "chr9"]
    drg("drg-shard", "sequences", folder / "peaks.fa", *arguments, "-o", folder / "store")
    drg(
        "drg-train", folder / "store", "--config", ROOT / "configs" / "ctcf.toml", "--epochs", 3, "-o", folder / "model"
    )
    return folder


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_attributions_and_seqlets_do_not_depend_on_sharding(folder: Path, tmp_path: Path) -> None:
    attributions, seqlets, sizes = set(), set(), set()
    for shards, workers in ((1, 1), (3, 3), (7, 1), (7, 3)):
        where = tmp_path / f"{shards}-{workers}"
        split = ["--shards", shards, "--workers", workers]
        keep = ["--method", "gradient", "--keep", "hypothetical", "--store-dtype", "float32", "--split", "all"]
        drg("drg-attr", folder / "model", folder / "store", *keep, *split, "-o", where / "attr")
        drg("drg-seqlets", where / "attr", "--window", 80, *split, "-o", where / "seqlets")
        attributions.add(sha(where / "attr" / "out.h5"))
        seqlets.add(sha(where / "seqlets" / "out.h5"))
        sizes.add((where / "attr" / "out.h5").stat().st_size)
        sizes.add((where / "seqlets" / "out.h5").stat().st_size)
        assert len(list((where / "attr" / "parts" / "attr").iterdir())) == shards
    assert len(attributions) == len(seqlets) == 1
    assert min(sizes) > 8 << 20  # more than HDF5's chunk cache


def explain(folder: Path) -> dict[str, float]:
    """Every step after training; returns the metrics of the one track."""
    metrics = drg_json("drg-evaluate", folder / "model", folder / "store", "-o", folder / "evaluation")["metrics"]
    drg("drg-attr", folder / "model", folder / "store", "--method", "deepshap", "-o", folder / "attr")
    peaks = ["--evaluation", folder / "evaluation", "--where", "max_target = 1", "--limit", 20]
    drg("drg-ism", folder / "model", folder / "store", *peaks, "-o", folder / "mutagenesis")
    drg("drg-seqlets", folder / "attr", "-o", folder / "seqlets")
    database = EXAMPLES / "motifs" / "hocomoco_v12_core.meme"
    drg("drg-motifs", folder / "seqlets", "--database", database, "-o", folder / "motifs")
    names = [folder / name for name in NAMES]
    told = drg("drg-report", *names, "-o", folder / "report.html").stderr
    agreement = re.search(r"track bound: Pearson r = (\S+) over 2,000 bases of 20 sequences", told)
    assert agreement and float(agreement[1]) > 0.8, told
    track: dict[str, float] = metrics["tracks"][0]
    return track


@pytest.fixture(scope="module")
def track(folder: Path) -> dict[str, float]:
    """Metrics of the one track; every step is done."""
    return explain(folder)


def test_the_strongest_motif_is_that_of_ctcf(folder: Path, track: dict[str, float]) -> None:
    assert track["auroc"] > 0.95
    header, first, *_ = (folder / "motifs" / "matches.tsv").read_text().splitlines()
    row = dict(zip(header.split("\t"), first.split("\t"), strict=True))
    assert row["target"].startswith(("CTCF.", "CTCFL."))  # paralogues with one motif
    assert "CTCF.H12CORE" in row["target"] + row["runners_up"]
    assert float(row["q"]) <= 1e-3


def files(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for name in NAMES for p in (folder / name).rglob("*") if p.is_file()}


def test_every_step_again_changes_nothing(folder: Path, track: dict[str, float]) -> None:
    before, page = files(folder), (folder / "report.html").read_bytes()
    assert explain(folder) == track
    drg(
        "drg-train", folder / "store", "--config", ROOT / "configs" / "ctcf.toml", "--epochs", 3, "-o", folder / "model"
    )
    assert files(folder) == before
    assert (folder / "report.html").read_bytes() == page


@pytest.mark.usefixtures("track")
def test_inspect_says_what_everything_is_and_verifies_it(folder: Path) -> None:
    kinds = {
        "store": "run",
        "store/out.zarr": "dataset store",
        "model": "model",
        "attr": "run",
        "attr/out.h5": "HDF5 file",
    }
    for name, kind in kinds.items():
        facts = drg_json("drg-inspect", folder / name, "--verify")
        assert facts["kind"] == kind
    raw = bytearray((folder / "seqlets" / "out.h5").read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / "seqlets" / "out.h5").write_bytes(raw)
    drg("drg-inspect", folder / "seqlets" / "out.h5", "--verify", exit_code=5)
    drg("drg-inspect", folder / "seqlets", "--verify", exit_code=5)
    drg("drg-merge", folder / "seqlets")
    drg("drg-inspect", folder / "seqlets", "--verify")


def test_changed_model_is_refused_by_a_planned_run(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "attr"
    drg("drg-attr", folder / "model", folder / "store", "-o", run, "--plan-only")
    again = drg("drg-attr", folder / "model", folder / "store", "--method", "tism", "-o", run, exit_code=2)
    assert "params.method" in again.stderr
    plan = json.loads((run / "plan.json").read_text())
    assert set(plan["inputs"]) == {"model", "sequences"}


def test_the_protocol_section_of_the_readme(folder: Path, tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().split("## One protocol")[1]
    lines = [line.split("#")[0].split() for line in section.splitlines() if line.startswith("$ drg-")]
    assert [words[1] for words in lines] == ["drg-attr", "drg-work", "drg-status", "drg-work", "drg-merge"]
    places = {"model": folder / "model", "store": folder / "store", "again": tmp_path / "again"}
    for _, command, *arguments in lines:
        # this set is smaller: 430 test rows are 4 shards of 128
        arguments = ["3" if word == "3,17-21" else word for word in arguments]
        done = drg(command, *(places.get(w, w) for w in arguments), exit_code=4 if command == "drg-status" else 0)
        if command == "drg-status":
            assert "attr: 1 of 4 done, 3 missing: 0-2" in done.stdout
            assert f"next: drg-work {tmp_path / 'again'} --shards 0-2" in done.stdout
    assert (tmp_path / "again" / "out.h5").is_file()
