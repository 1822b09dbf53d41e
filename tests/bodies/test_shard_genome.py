from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from stores import TINY, fasta, plan, shard
from support import drg, error_line

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.fasta import read_records
from drg_hpc.genome.onehot import encode
from drg_hpc.store import layout
from drg_hpc.store.reader import GenomeStore, open_store


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zarr shards of 4,096 bases, so that a short contig has many."""
    monkeypatch.setattr(layout, "GENOME_CHUNK", 1024)
    monkeypatch.setattr(layout, "GENOME_SHARD", 4096)


def opened(run: Path) -> GenomeStore:
    store = open_store(run)
    assert isinstance(store, GenomeStore)
    return store


@pytest.mark.usefixtures("small_shards")
def test_same_bytes_for_any_sharding_order_and_compression(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    genome = {f"chr{i}": "".join(rng.choice(list("ACGTacgtNR"), size)) for i, size in enumerate((9000, 1, 4096, 20000))}
    text = "".join(
        f">{n} x\n" + "".join(f"{s[i : i + 61]}\r\n" for i in range(0, len(s), 61)) for n, s in genome.items()
    )
    plain, packed = tmp_path / "g.fa", tmp_path / "g.fa.gz"
    plain.write_bytes(text.encode())
    packed.write_bytes(gzip.compress(text.encode()))
    manifests = set()
    for n, path in ((1, plain), (3, plain), (7, plain)):
        run = shard("genome", tmp_path / f"run{n}", fasta=[path], shards=n)
        manifests.add((run / "out.zarr/manifest.json").read_bytes())
    assert len(manifests) == 1
    compressed = shard("genome", tmp_path / "gz", fasta=[packed], shards=4)
    ours = json.loads((compressed / "out.zarr/manifest.json").read_text())["files"]
    theirs = json.loads((tmp_path / "run1/out.zarr/manifest.json").read_text())["files"]
    assert {k: v for k, v in ours.items() if k != "zarr.json"} == {k: v for k, v in theirs.items() if k != "zarr.json"}
    for run in (compressed, tmp_path / "run3"):
        store = opened(run)
        for name, sequence in genome.items():
            np.testing.assert_array_equal(store.codes(name, 0, len(sequence)), encode(sequence.encode()))


def test_real_windows(tmp_path: Path) -> None:
    run = shard("genome", tmp_path / "run", fasta=[TINY / "genome.fa.gz"])
    store = opened(run)
    for record in read_records(TINY / "genome.fa.gz"):
        np.testing.assert_array_equal(store.codes(record.name, 0, 131072), encode(record.sequence))
    files = json.loads((run / "out.zarr/manifest.json").read_text())["files"]
    size = sum(record["bytes"] for name, record in files.items() if "/c/" in name)
    assert size / (4 * 131072) < 0.3  # bytes a base


def test_many_files_and_contig_patterns(tmp_path: Path) -> None:
    a = fasta(tmp_path / "a.fa", {"chr1": "ACGT", "chr2": "GG", "HLA:A*01": "TTT"})
    b = fasta(tmp_path / "b.fa", {"chr10": "CCCC", "../x": "AAC"})
    assert list(opened(shard("genome", tmp_path / "r", fasta=[a, b])).contigs) == [
        "chr1",
        "chr2",
        "HLA:A*01",
        "chr10",
        "../x",
    ]
    store = opened(tmp_path / "r")
    assert store.codes("../x", 0, 3).tolist() == [0, 0, 1] and store.codes("HLA:A*01", 0, 3).tolist() == [3, 3, 3]
    assert {c["array"] for c in store.header["contigs"]} >= {"contigs/chr1", "contigs/contig-number-00002"}
    chosen = opened(shard("genome", tmp_path / "s", fasta=[a, b], contigs="chr1*,HLA*"))
    assert list(chosen.contigs) == ["chr1", "HLA:A*01", "chr10"]
    with pytest.raises(InputError, match=r"no contig matches --contigs z\*"):
        plan("genome", tmp_path / "t", fasta=[a], contigs="z*")
    with pytest.raises(InputError, match=r"contig 'chr1' is in .*a.fa and in .*c.fa"):
        plan("genome", tmp_path / "t", fasta=[a, fasta(tmp_path / "c.fa", {"chr1": "A"})])


def test_header_facts(tmp_path: Path) -> None:
    header = opened(shard("genome", tmp_path / "r", fasta=[fasta(tmp_path / "a.fa", {"c": "ACgtNNr"})])).header
    assert header["contigs"][0] | {"sha256": ""} == {
        "name": "c", "length": 7, "sha256": "", "unknown": 3, "soft_masked": 3, "array": "contigs/c",
    }  # fmt: skip


def test_assembly(tmp_path: Path) -> None:
    path = fasta(tmp_path / "a.fa", {"chr21": "ACGT"})
    with pytest.raises(InputError, match="chr21 has length 4, the genome's chr21 46709983"):
        plan("genome", tmp_path / "r", fasta=[path], assembly="hg38")
    with pytest.raises(UsageError, match="--assembly 'hg99' is not known"):
        plan("genome", tmp_path / "r", fasta=[path], assembly="hg99")


def test_command(tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = drg("drg-shard", "genome", TINY / "genome.fa.gz", "--shards", 2, "--workers", 2, "-o", run)
    assert done.stdout.strip() == f"wrote: {run}/out.zarr"
    line = error_line(drg("drg-shard", "genome", tmp_path / "absent.fa", "-o", tmp_path / "x", exit_code=3))
    assert "no such file" in line and not (tmp_path / "x").exists()
