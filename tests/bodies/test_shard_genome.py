from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sequence_files import KINDS, write
from stores import TINY, fasta, plan, shard
from support import drg, error_line

from drg_hpc.digests import digest
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import walk_files
from drg_hpc.genome.fasta import read_records
from drg_hpc.genome.onehot import encode
from drg_hpc.store import genome_layout
from drg_hpc.store.reader import GenomeStore, open_store, verify_store
from drg_hpc.store.zarr_io import open_array

RNG = np.random.default_rng(0)
SIZES = (9000, 1, 4096, 20000, 4097, 333)
GENOME = {f"chr{i}": "".join(RNG.choice(list("ACGTacgtN"), size)) for i, size in enumerate(SIZES)}


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zarr shards of 4,096 bases, so that a short contig has many."""
    monkeypatch.setattr(genome_layout, "GENOME_CHUNK", 1024)
    monkeypatch.setattr(genome_layout, "GENOME_SHARD", 4096)


def opened(run: Path) -> GenomeStore:
    store = open_store(run)
    assert isinstance(store, GenomeStore)
    return store


def shard_files(run: Path) -> dict[str, Any]:
    """The manifest without the root's metadata, which names the input files' digests."""
    files: dict[str, Any] = json.loads((run / "out.zarr/manifest.json").read_text())["files"]
    return {name: record for name, record in files.items() if name != "zarr.json"}


def check_bases(store: GenomeStore, genome: dict[str, str]) -> None:
    """Whole contigs, and windows over both ends."""
    assert store.contigs == {name: len(sequence) for name, sequence in genome.items()}
    for name, sequence in genome.items():
        codes = encode(sequence.encode())
        np.testing.assert_array_equal(store.codes(name, 0, len(sequence)), codes)
        window = store.codes(name, -7, len(sequence) + 5)
        np.testing.assert_array_equal(window, np.concatenate([np.full(7, 4), codes, np.full(5, 4)]))
        last = max(len(sequence) - 3, 0)
        np.testing.assert_array_equal(store.onehot(name, last, len(sequence)), codes[last:, None] == np.arange(4))


@pytest.mark.usefixtures("small_shards")
def test_same_bytes_for_any_sharding_order_and_kind_of_file(tmp_path: Path) -> None:
    stores = {}
    for kind in KINDS:
        for shards in (1, 3, 7) if kind == "plain" else (4,):
            path = write(tmp_path / f"x.{kind}", GENOME, kind)
            run = shard("genome", tmp_path / f"{kind}{shards}", fasta=[path], shards=shards)
            stores[f"{kind}{shards}"] = shard_files(run)
            check_bases(opened(run), GENOME)
    assert all(files == stores["plain1"] for files in stores.values())
    manifests = {(tmp_path / f"plain{n}/out.zarr/manifest.json").read_bytes() for n in (1, 3, 7)}
    assert len(manifests) == 1


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("codec", ["packbits", "blosc"])
def test_many_contigs_are_packed(tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genome_layout, "MANY_CONTIGS", 5)
    a, b, c = ({n: GENOME[n] for n in names} for names in (("chr0", "chr1"), ("chr2", "chr3"), ("chr4", "chr5")))
    more = {f"s{i}": "".join(RNG.choice(list("ACGTN"), int(RNG.integers(1, 900)))) for i in range(40)}
    paths = [
        write(tmp_path / "a", a, "plain"), write(tmp_path / "b", b | more, "gzip"), write(tmp_path / "c", c, "2bit")
    ]  # fmt: skip
    run = shard("genome", tmp_path / "r", fasta=paths, shards=6, codec=codec)
    store = opened(run)
    check_bases(store, a | b | more | c)
    arrays = {record["name"]: record["array"] for record in store.header["contigs"]}
    own = {name for name, array in arrays.items() if array == f"contigs/{name}"}
    assert own == {"chr0", "chr2", "chr3", "chr4"}
    assert {array for name, array in arrays.items() if name not in own} == {"contigs/packed-0000"}
    names = walk_files(run / "out.zarr")
    shared = sum(len(sequence) for sequence in more.values()) + SIZES[1] + SIZES[5]
    shards = sum(-(-length // 4096) for length in (9000, 4096, 20000, 4097, shared))
    assert len(names) == shards + 5 + 5  # and per array, group, labels and store its metadata
    assert f"the store has {len(names)} files" in " ".join(plan("genome", tmp_path / "q", fasta=paths).notes)
    array = open_array(run / "out.zarr", "contigs/packed-0000")
    assert array.metadata.dimension_names == ("packed_0000_position", "base")


def test_ten_thousand_contigs(tmp_path: Path) -> None:
    genome = {f"scaffold_{i}": "ACGTN"[i % 5] * (1 + i % 50) for i in range(10_000)}
    path = write(tmp_path / "x.fa.gz", {"chr1": "ACGT" * 1000, **genome}, "bgzip")
    spec = plan("genome", tmp_path / "r", fasta=[path])
    run = shard("genome", tmp_path / "r", fasta=[path])
    assert len(walk_files(run / "out.zarr")) == 7 and any("the store has 7 files" in note for note in spec.notes)
    assert any("10001 contigs shorter than a zarr shard share an array" in note for note in spec.notes)
    store = opened(run)
    for number in (0, 1, 4999, 9999):
        sequence = genome[f"scaffold_{number}"]
        np.testing.assert_array_equal(store.codes(f"scaffold_{number}", 0, len(sequence)), encode(sequence.encode()))
    assert store.codes("scaffold_7", -1, 9).tolist() == [4, *[2] * 8, 4]


def test_real_windows(tmp_path: Path) -> None:
    run = shard("genome", tmp_path / "run", fasta=[TINY / "genome.fa.gz"])
    check_bases(opened(run), {r.name: r.sequence.decode() for r in read_records(TINY / "genome.fa.gz")})
    size = sum(record["bytes"] for name, record in shard_files(run).items() if "/c/" in name)
    assert size / (4 * 131072) < 0.27  # bytes a base


def test_many_files_and_contig_patterns(tmp_path: Path) -> None:
    genome = {"chr1": "ACGT", "chr2": "GG", "HLA:A*01": "TTT", "base": "GA", "packed-0000": "CT"}
    a = fasta(tmp_path / "a.fa", genome)
    b = fasta(tmp_path / "b.fa", {"chr10": "CCCC", "../x": "AAC", "zarr.json": "T"})
    store = opened(shard("genome", tmp_path / "r", fasta=[a, b]))
    check_bases(store, genome | {"chr10": "CCCC", "../x": "AAC", "zarr.json": "T"})
    paths = {c["array"].removeprefix("contigs/") for c in store.header["contigs"]}
    numbered = {f"contig-number-0000{i}" for i in (2, 3, 4, 6, 7)}
    assert paths == {"chr1", "chr2", "chr10"} | numbered
    chosen = opened(shard("genome", tmp_path / "s", fasta=[a, b], contigs="chr1*,HLA*"))
    assert list(chosen.contigs) == ["chr1", "HLA:A*01", "chr10"]
    with pytest.raises(InputError, match=r"no contig matches --contigs z\*"):
        plan("genome", tmp_path / "t", fasta=[a], contigs="z*")
    with pytest.raises(InputError, match=r"contig 'chr1' is in .*a.fa and in .*c.fa"):
        plan("genome", tmp_path / "t", fasta=[a, fasta(tmp_path / "c.fa", {"chr1": "A"})])


def test_header_facts(tmp_path: Path) -> None:
    header = opened(shard("genome", tmp_path / "r", fasta=[fasta(tmp_path / "a.fa", {"c": "ACgtNnr"})])).header
    assert header["contigs"][0] | {"sha256": ""} == {
        "name": "c", "length": 7, "sha256": "", "n": 2, "other": 1, "soft_masked": 4, "soft_masked_fraction": 0.571429,
        "array": "contigs/c", "offset": 0,
    }  # fmt: skip


def test_assembly(tmp_path: Path) -> None:
    path = fasta(tmp_path / "a.fa", {"chr21": "ACGT"})
    with pytest.raises(InputError, match="chr21 has length 4, the genome's chr21 46709983"):
        plan("genome", tmp_path / "r", fasta=[path], assembly="hg38")
    with pytest.raises(UsageError, match="--assembly 'hg99' is not known"):
        plan("genome", tmp_path / "r", fasta=[path], assembly="hg99")


@pytest.mark.usefixtures("small_shards")
def test_gzip_files_are_each_read_once(tmp_path: Path) -> None:
    """Zarr shards of one gzip file are one shard of the run; others are cut as usual."""
    paths = [
        write(tmp_path / f"{kind}.fa", {f"{kind}1": "ACGT" * 5000, f"{kind}2": "C" * 9000}, kind) for kind in KINDS
    ]
    packed = write(tmp_path / "small.fa.gz", {"s": "ACG"}, "gzip")
    spec = plan("genome", tmp_path / "r", fasta=[*paths, packed], shard_size=2)
    rows = [shard.rows for shard in spec.stages[0].shards]
    assert rows == [2] * 8 + [8] + [2] * 12 + [1]
    assert [shard.start for shard in spec.stages[0].shards] == [sum(rows[:i]) for i in range(len(rows))]
    notes = [note for note in spec.notes if "read from its start only" in note]
    assert len(notes) == 1 and notes[0].startswith("gzip.fa is gzip")
    assert [s.rows for s in plan("genome", tmp_path / "r", fasta=[paths[2]], shards=5).stages[0].shards] == [8]


def test_pipes_and_folders_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(InputError, match="not a file"):
            plan("genome", tmp_path / "r", fasta=[path])


def test_command(tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = drg("drg-shard", "genome", TINY / "genome.fa.gz", "--shards", 2, "--workers", 2, "-o", run)
    assert done.stdout.strip() == f"wrote: {run}/out.zarr"
    line = error_line(drg("drg-shard", "genome", tmp_path / "absent.fa", "-o", tmp_path / "x", exit_code=3))
    assert "no such file" in line and not (tmp_path / "x").exists()


class TestAppend:
    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        path = write(tmp_path / "old.fa", {"chr0": GENOME["chr0"], "chr1": GENOME["chr1"]}, "plain")
        return shard("genome", tmp_path / "old", fasta=[path], assembly=None)

    @pytest.mark.usefixtures("small_shards")
    def test_old_files_are_linked_and_untouched(self, tmp_path: Path, old: Path) -> None:
        before = {name: (old / "out.zarr" / name).read_bytes() for name in walk_files(old / "out.zarr")}
        new = write(tmp_path / "new.fa", {"chr1": GENOME["chr1"].lower(), "chr3": GENOME["chr3"]}, "bgzip")
        run = tmp_path / "new"
        spec = plan("genome", run, fasta=[new], append=old)
        assert any("1 of the contigs given are in" in note and note.endswith("already: chr1") for note in spec.notes)
        shard("genome", run, fasta=[new], append=old, shards=3)
        check_bases(opened(run), {name: GENOME[name] for name in ("chr0", "chr1", "chr3")})
        assert {name: (old / "out.zarr" / name).read_bytes() for name in before} == before
        verify_store(run)
        linked = run / "out.zarr/contigs/chr0/c/1/0"
        assert linked.samefile(old / "out.zarr/contigs/chr0/c/1/0")
        together = write(tmp_path / "all.fa", {name: GENOME[name] for name in ("chr0", "chr1", "chr3")}, "plain")
        assert shard_files(run) == shard_files(shard("genome", tmp_path / "all", fasta=[together]))
        again = shard("genome", tmp_path / "third", fasta=[fasta(tmp_path / "z.fa", {"z": "AC"})], append=run)
        assert list(opened(again).contigs) == ["chr0", "chr1", "chr3", "z"]
        header = opened(again).header
        assert list(header["sources"]) == ["fasta0", "fasta1", "fasta2"]
        manifests = [hashlib.sha256((r / "out.zarr/manifest.json").read_bytes()).hexdigest() for r in (old, run)]
        assert header["appended_to"] == [digest({"manifest.json": m}) for m in manifests]

    @pytest.mark.usefixtures("small_shards")
    def test_packed_contigs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(genome_layout, "MANY_CONTIGS", 2)
        genome = {f"s{i}": "ACGTN"[i % 5] * (1 + 37 * i) for i in range(60)}
        run, done = tmp_path / "r0", dict[str, str]()
        for number, count in enumerate((30, 20, 10)):
            new = dict(list(genome.items())[len(done) : len(done) + count])
            path = write(tmp_path / f"{number}.fa", new, "plain")
            done |= new
            run = shard(
                "genome", tmp_path / f"r{number}", fasta=[path], append=tmp_path / f"r{number - 1}" if number else None
            )
            check_bases(opened(run), done)
        arrays = {contig["array"] for contig in opened(run).header["contigs"]}
        assert arrays == {f"contigs/packed-000{i}" for i in range(3)}

    def test_refusals(self, tmp_path: Path, old: Path) -> None:
        def appended(genome: dict[str, str], **options: Any) -> object:
            return plan("genome", tmp_path / "r", fasta=[fasta(tmp_path / "n.fa", genome)], append=old, **options)

        with pytest.raises(InputError, match=r"'chr0' of .*n.fa is not the one in .*: sha256 [0-9a-f]{12}… against"):
            appended({"chr0": "ACGT", "z": "A"})
        with pytest.raises(InputError, match=r"every contig is in .* already"):
            appended({"chr0": GENOME["chr0"]})
        with pytest.raises(UsageError, match="--codec blosc: the store that is appended to has packbits"):
            appended({"z": "A"}, codec="blosc")
        with pytest.raises(InputError, match="chr1 has length 1, the genome's chr1"):
            appended({"chr21": "ACGT"}, assembly="hg38")

    def test_a_damaged_old_store_is_refused(self, tmp_path: Path, old: Path) -> None:
        path = old / "out.zarr/contigs/chr0/c/0/0"
        raw = bytearray(path.read_bytes())
        raw[5] ^= 1
        path.write_bytes(raw)
        with pytest.raises(CorruptError, match=r"contigs/chr0/c/0/0 does not match its sha256"):
            shard("genome", tmp_path / "r", fasta=[fasta(tmp_path / "n.fa", {"z": "A"})], append=old)
        assert not (tmp_path / "r/out.zarr").exists()
