"""What a user gets for bad input: one line, the right exit code, nothing half-written."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
from support import Once, drg, drg_json, error_line, here

SEQUENCE = "ACGTTGCAACGGTTAACCGTACGTAGCATCGA" * 2


def fasta(path: Path, *, contigs: tuple[str, ...] = ("chr1", "chr8", "chr9"), each: int = 4) -> Path:
    lines = [f">{c}:{i * 100}-{i * 100 + 64}\n{SEQUENCE}\n" for c in contigs for i in range(each)]
    path.write_text("".join(lines))
    return path


def shard(path: Path, out: Path, *more: object, exit_code: int = 0) -> str:
    done = drg("drg-shard", "sequences", path, "-o", out, *more, exit_code=exit_code)
    if exit_code == 0:
        return done.stdout
    assert not out.exists() or not any(out.glob("out.*"))
    return error_line(done)


NEGATIVES = ("--negatives", "dinuc:1")


def test_missing_fasta(tmp_path: Path) -> None:
    line = shard(tmp_path / "no.fa", tmp_path / "run", *NEGATIVES, exit_code=3)
    assert "no.fa" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["", "\n\n", "no header\nACGT\n", ">a\n>b\nACGT\n", ">a\nACGT\n>a\nACGT\n"])
def test_files_that_are_not_fasta(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.fa"
    path.write_text(text)
    assert "x.fa" in shard(path, tmp_path / "run", *NEGATIVES, exit_code=3)
    assert not (tmp_path / "run").exists()


def test_truncated_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(fasta(tmp_path / "x.fa", each=400).read_bytes())
    path = tmp_path / "x.fa.gz"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert "x.fa.gz" in shard(path, tmp_path / "run", *NEGATIVES, exit_code=3)
    assert not (tmp_path / "run").exists()


def test_no_labels_and_no_negatives(tmp_path: Path) -> None:
    assert "--negatives dinuc:1" in shard(fasta(tmp_path / "x.fa"), tmp_path / "run", exit_code=2)


def test_nan_label_names_row_and_column(tmp_path: Path) -> None:
    counts = tmp_path / "counts.tsv"
    path = fasta(tmp_path / "x.fa", each=1)
    rows = [f"{c}:0-64\t{v}\t1\n" for c, v in (("chr1", "0.5"), ("chr8", "nan"), ("chr9", "2"))]
    counts.write_text("name\ttrack_a\ttrack_b\n" + "".join(rows))
    line = shard(path, tmp_path / "run", "--counts", counts, exit_code=3)
    assert "chr8:0-64" in line or "line 3" in line
    assert "track_a" in line


def test_empty_split_names_what_is_there(tmp_path: Path) -> None:
    line = shard(fasta(tmp_path / "x.fa"), tmp_path / "run", *NEGATIVES, "--test", "chr99", exit_code=3)
    assert "chr99" in line
    assert "chr9" in line


def test_input_changed_since_the_plan(tmp_path: Path) -> None:
    path = fasta(tmp_path / "x.fa")
    run = tmp_path / "run"
    shard(path, run, *NEGATIVES, "--plan-only")
    path.write_text(path.read_text().replace("ACGTT", "ACGTA", 1))
    line = error_line(drg("drg-work", run, exit_code=3))
    assert "changed since the run was planned" in line
    assert "sequences" in shard(path, run, *NEGATIVES, exit_code=2)
    assert not any((run / "parts" / "rows").iterdir())


def test_input_gone_since_the_plan(tmp_path: Path) -> None:
    path = fasta(tmp_path / "x.fa")
    shard(path, tmp_path / "run", *NEGATIVES, "--plan-only")
    path.unlink()
    assert "is gone" in error_line(drg("drg-work", tmp_path / "run", exit_code=3))


def test_touched_or_moved_input_is_the_same_input(tmp_path: Path) -> None:
    path = fasta(tmp_path / "x.fa")
    run = tmp_path / "run"
    shard(path, run, *NEGATIVES, "--plan-only")
    path.touch()
    drg("drg-work", run)
    moved = path.rename(tmp_path / "y.fa")
    assert "out.zarr" in shard(moved, run, *NEGATIVES)


@pytest.fixture
def store(once: Once, tmp_path: Path) -> Path:
    def make(folder: Path) -> None:
        shard(fasta(folder / "x.fa"), folder / "store", *NEGATIVES, "--valid", "chr8", "--test", "chr9")

    return Path(shutil.copytree(once("bad_input", make) / "store", tmp_path / "store"))


def test_unmerged_store_is_refused_by_readers(tmp_path: Path, store: Path) -> None:
    (store / "done.json").unlink()
    line = error_line(drg("drg-train", store, "-o", tmp_path / "model", exit_code=4))
    assert "not merged" in line


@pytest.mark.parametrize("fault", ["shard file gone", "shard file cut", "manifest gone", "zarr.json cut"])
def test_store_cut_off_is_refused_by_training(tmp_path: Path, store: Path, fault: str) -> None:
    zarr = store / "out.zarr"
    data = next(p for p in sorted(zarr.glob("inputs/seq/c/**/*")) if p.is_file())
    if fault == "shard file gone":
        data.unlink()
    elif fault == "shard file cut":
        data.write_bytes(data.read_bytes()[:-1])
    elif fault == "manifest gone":
        (zarr / "manifest.json").unlink()
    else:
        (zarr / "zarr.json").write_text("{")
    for path in (store, zarr):
        done = here("drg-train", path, "-o", tmp_path / "model", exit_code=5)
        assert error_line(done)
    assert not (tmp_path / "model" / "model.json").exists()


def test_flipped_byte_in_a_store_is_named(store: Path) -> None:
    data = next(p for p in sorted((store / "out.zarr").glob("inputs/seq/c/**/*")) if p.is_file())
    raw = bytearray(data.read_bytes())
    raw[len(raw) // 3] ^= 4
    data.write_bytes(raw)
    line = error_line(drg("drg-inspect", store / "out.zarr", "--verify", exit_code=5))
    assert data.name in line


@pytest.fixture
def genome(once: Once) -> Path:
    def make(folder: Path) -> None:
        path = folder / "genome.fa"
        path.write_text(f">chr1\n{SEQUENCE * 4}\n>chr2\n{SEQUENCE * 2}\n")
        drg("drg-shard", "genome", path, "-o", folder / "genome")

    return once("bad_input_genome", make) / "genome"


def counts_for(path: Path, names: list[str]) -> Path:
    path.write_text("name\tt\n" + "".join(f"{name}\t{i}\n" for i, name in enumerate(names)))
    return path


def test_regions_off_the_end_are_kept_false_and_an_error_when_strict(genome: Path, tmp_path: Path) -> None:
    bed = tmp_path / "r.bed"
    bed.write_text("chr1\t0\t64\ta\nchr1\t230\t294\tb\nchr1\t900\t964\tc\n")
    counts = counts_for(tmp_path / "c.tsv", ["a", "b", "c"])
    common = ["regions", "--genome", genome, "--regions", bed, "--counts", counts, "--length", 64]
    drg("drg-shard", *common, "-o", tmp_path / "run")
    header = drg_json("drg-inspect", tmp_path / "run" / "out.zarr")
    assert (header["rows"], header["kept"]) == (3, 2)
    line = error_line(drg("drg-shard", *common, "--strict", "-o", tmp_path / "strict", exit_code=3))
    assert "line 2: b chr1:230-294 (padded: 38 bases outside the contig); 2 of 3 regions" in line
    assert not (tmp_path / "strict").exists()


def refused_bed(genome: Path, tmp_path: Path, text: str) -> str:
    """The error line of ``drg-shard regions`` on a BED file with this text."""
    bed, counts = tmp_path / "r.bed", counts_for(tmp_path / "c.tsv", ["a"])
    bed.write_text(text)
    inputs = ["--genome", genome, "--regions", bed, "--counts", counts]
    return error_line(drg("drg-shard", "regions", *inputs, "-o", tmp_path / "run", exit_code=3))


def test_wrong_chromosome_names_show_both_sides(genome: Path, tmp_path: Path) -> None:
    line = refused_bed(genome, tmp_path, "NC_000001\t0\t64\ta\n")
    assert "NC_000001" in line
    assert "chr1" in line


@pytest.mark.parametrize("row", ["chr1\t-5\t10", "chr1\t10\t10", "chr1\t20\t10", "chr1\tx\t10", "chr1\t5"])
def test_bad_bed_lines_are_named(genome: Path, tmp_path: Path, row: str) -> None:
    assert "line 3" in refused_bed(genome, tmp_path, f"# comment\nchr1\t0\t64\ta\n{row}\n")


def test_what_is_not_ours_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"not hdf5 at all")
    for command in ("drg-seqlets", "drg-motifs"):
        done = drg(command, tmp_path / "x.h5", "-o", tmp_path / "out", exit_code=5)
        assert "x.h5" in error_line(done)
    assert "not a run folder" in error_line(drg("drg-status", tmp_path, exit_code=3))
    assert "no such file" in error_line(drg("drg-inspect", tmp_path / "nothing", exit_code=3))


def test_two_dashes_are_not_a_value(tmp_path: Path) -> None:
    done = drg("drg-seqlets", tmp_path / "x.h5", "--method=--", "-o", tmp_path / "run", exit_code=2)
    assert "--method=--: -- is not a value" in error_line(done)
