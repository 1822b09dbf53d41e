from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
import pytest
from stores import TINY, fasta, plan, shard
from support import drg, error_line

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.onehot import reverse_complement
from drg_hpc.store import dataset_layout
from drg_hpc.store.reader import GenomeStore, open_dataset, open_genome, open_store


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shard("genome", tmp_path_factory.mktemp("g") / "run", fasta=[TINY / "genome.fa.gz"])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Genome of two short contigs."""
    folder = tmp_path_factory.mktemp("t")
    return shard("genome", folder / "run", fasta=[fasta(folder / "g.fa", {"chr1": "ACGTACGTAC", "chr2": "GGGGCCCC"})])


def bed(folder: Path, *rows: str) -> Path:
    path = folder / "r.bed"
    path.write_text("".join(row.replace(" ", "\t") + "\n" for row in rows))
    return path


def test_real_tracks_in_bins(genome: Path, tmp_path: Path) -> None:
    run = shard(
        "regions",
        tmp_path / "r",
        genome=genome,
        regions=TINY / "accessible.bed",
        length=2048,
        tracks=TINY / "targets.tsv",
        bin=32,
        valid="w01",
        test="w02",
    )
    store, source = open_dataset(run), open_store(genome)
    assert isinstance(source, GenomeStore)
    assert (store.rows, store.length, store.bins, len(store.tracks)) == (34, 2048, 64, 3)
    targets = store.targets(slice(None))
    files = ["CNhs12184.plus", "CNhs12184.minus", "ENCFF136DBS"]
    for number, name in enumerate(files):
        with pyBigWig.open(str(TINY / "tracks" / f"{name}.bw")) as handle:
            for row, region in enumerate(store.regions.itertuples()):
                values = np.nan_to_num(handle.values(region.chrom, region.start, region.end, numpy=True))
                np.testing.assert_allclose(targets[row, number], values.reshape(64, 32).mean(axis=1), atol=1e-6)
                np.testing.assert_array_equal(
                    store.codes(row, row + 1)[0], source.codes(region.chrom, region.start, region.end)
                )
    assert [t["strand_partner"] for t in store.header["track_info"]] == [1, 0, 2]
    assert store.header["splits"]["valid"] == int((store.regions["chrom"] == "w01").sum())


def test_same_bytes_for_any_sharding(genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_layout, "ROW_SHARD_LIMITS", (8, 8))
    monkeypatch.setattr(dataset_layout, "ROW_CHUNK_LIMITS", (4, 4))
    manifests = {
        (
            shard(
                "regions",
                tmp_path / str(n),
                genome=genome,
                regions=TINY / "accessible.bed",
                negatives="dinuc:1",
                shards=n,
                tracks=TINY / "targets.tsv",
                stranded=True,
            )
            / "out.zarr/manifest.json"
        ).read_bytes()
        for n in (1, 3, 7)
    }
    assert len(manifests) == 1


def test_off_the_ends(tiny: Path, tmp_path: Path) -> None:
    rows = bed(tmp_path, "chr1 0 2 left", "chr1 9 10 right", "chr1 20 30 beyond", "chr9 1 5 unknown", "chr2 2 6 inside")
    options: dict[str, Any] = {"genome": tiny, "regions": rows, "length": 6, "negatives": "dinuc:1"}
    store = open_dataset(shard("regions", tmp_path / "r", **options))
    assert store.codes(0, 5).tolist() == [
        [4, 4, 0, 1, 2, 3], [2, 3, 0, 1, 4, 4], [4] * 6, [4] * 6, [2, 2, 2, 1, 1, 1],
    ]  # fmt: skip
    assert store.regions["kept"].tolist() == [True, True, False, False, True] * 2
    assert store.regions["reason"].tolist()[:5] == [
        "padded: 2 bases outside the contig", "padded: 2 bases outside the contig", "outside the contig",
        "unknown contig", "",
    ]  # fmt: skip
    assert store.regions["start"].tolist()[:2] == [-2, 6]
    assert store.header["kept"] == 6 and store.header["splits"] == {"train": 6, "valid": 0, "test": 0, "excluded": 0}
    np.testing.assert_array_equal(store.split_rows("all"), [0, 1, 4, 5, 6, 9])
    np.testing.assert_array_equal(store.targets(slice(None))[:, 0], [1, 1, np.nan, np.nan, 1, 0, 0, np.nan, np.nan, 0])
    notes = plan("regions", tmp_path / "n", **options).notes
    assert "2 regions reach over a contig's end and are padded with N" in notes


def test_strict_names_the_first_line_off_its_contig(tiny: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"genome": tiny, "length": 6, "negatives": "dinuc:1", "strict": True}
    rows = bed(tmp_path, "# comment", "track name=x", "", "chr2 2 6 inside", "chr1 9 10 right", "chr1 20 30 beyond")
    wanted = r"line 5: right chr1:6-12 \(padded: 2 bases outside the contig\); 2 of 3 regions"
    with pytest.raises(InputError, match=wanted):
        plan("regions", tmp_path / "s", regions=rows, **options)
    rows = bed(tmp_path, "chr2 2 6 inside", "chr1 20 30 beyond", "chr1 9 10 right")
    with pytest.raises(InputError, match=r"line 2: beyond chr1:22-28 \(outside the contig\)"):
        plan("regions", tmp_path / "s", regions=rows, **options)
    plan("regions", tmp_path / "s", regions=bed(tmp_path, "chr2 2 6 inside"), **options)


def test_without_split_flags_the_plan_says_so(tiny: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"genome": tiny, "regions": bed(tmp_path, "chr1 0 4", "chr2 0 4"), "negatives": "dinuc:1"}
    assert "--valid" in " ".join(plan("regions", tmp_path / "r", **options).notes)
    assert "--valid" not in " ".join(plan("regions", tmp_path / "r", valid="chr2", **options).notes)


def test_stranded(tmp_path: Path, genome: Path) -> None:
    rows = bed(tmp_path, "w00 40000 40064 a 0 -", "w00 40000 40064 b 0 +", "w00 40000 40064 c 0 .")
    options: dict[str, Any] = {"genome": genome, "regions": rows, "tracks": TINY / "targets.tsv", "bin": 32}
    plain = open_dataset(shard("regions", tmp_path / "p", **options))
    stranded = open_dataset(shard("regions", tmp_path / "s", stranded=True, **options))
    assert stranded.regions["strand"].tolist() == ["-", "+", "+"] and plain.regions["strand"].tolist() == ["+"] * 3
    forward = plain.codes(0, 1)
    np.testing.assert_array_equal(
        stranded.codes(0, 3), np.stack([reverse_complement(forward)[0], forward[0], forward[0]])
    )
    a, b = stranded.targets([0, 1])
    np.testing.assert_array_equal(a, b[[1, 0, 2]][:, ::-1])
    np.testing.assert_array_equal(plain.targets([0])[0], b)


def test_contig_names_are_mapped_or_refused(tiny: Path, tmp_path: Path) -> None:
    store = open_dataset(
        shard("regions", tmp_path / "r", genome=tiny, regions=bed(tmp_path, "1 0 4", "2 1 5"), negatives="dinuc:1")
    )
    assert store.regions["chrom"].tolist() == ["chr1", "chr2"] * 2
    with pytest.raises(
        InputError, match=r"shares no contig with the genome: x, y against chr1, chr2; use the same assembly"
    ):
        plan("regions", tmp_path / "s", genome=tiny, regions=bed(tmp_path, "x 0 4", "y 0 4"), negatives="dinuc:1")


def test_counts_skip_rows_without_sequence(tiny: Path, tmp_path: Path) -> None:
    rows = bed(tmp_path, "chr1 0 4 a", "chr7 0 4 lost", "chr2 0 4 b")
    (tmp_path / "m.tsv").write_text("n\tt\nb\t2\na\t1\n")
    store = open_dataset(shard("regions", tmp_path / "r", genome=tiny, regions=rows, counts=[tmp_path / "m.tsv"]))
    np.testing.assert_array_equal(store.targets(slice(None))[:, 0], [1, np.nan, 2])


def test_masked_bins(tmp_path: Path) -> None:
    run = shard("genome", tmp_path / "g", fasta=[fasta(tmp_path / "g.fa", {"c": "ACGTACGTACGT"})])
    with pyBigWig.open(str(tmp_path / "t.bw"), "w") as handle:
        handle.addHeader([("c", 12)])
        handle.addEntries(["c"], [2], ends=[4], values=[3.0])
    (tmp_path / "t.tsv").write_text("\tidentifier\tfile\n0\tt\tt.bw\n")
    options: dict[str, Any] = {
        "genome": run, "regions": bed(tmp_path, "c 0 8"), "tracks": tmp_path / "t.tsv", "bin": 4,
    }  # fmt: skip
    zero = open_dataset(shard("regions", tmp_path / "z", **options)).targets([0])
    np.testing.assert_allclose(zero, [[[1.5, 0]]])
    mask = open_dataset(shard("regions", tmp_path / "m", missing="mask", **options)).targets([0])
    np.testing.assert_allclose(mask, [[[3, np.nan]]])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, UsageError, "no labels"),
        ({"negatives": "dinuc:1", "bin": 5}, UsageError, "--bin 5 needs --tracks"),
        ({"tracks": TINY / "targets.tsv", "bin": 7}, UsageError, "--bin 7 does not divide the length 500"),
        ({"tracks": Path("absent.tsv")}, InputError, "no such file"),
        ({"negatives": "dinuc:1", "test": "chr99"}, InputError, "contigs of the rows: w00, w01, w02, w03"),
    ],
)
def test_refusals(genome: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plan("regions", tmp_path / "r", genome=genome, regions=TINY / "accessible.bed", **options)


def test_wrong_inputs(genome: Path, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="have 2 lengths"):
        plan("regions", tmp_path / "r", genome=tiny, regions=bed(tmp_path, "chr1 0 4", "chr1 0 5"), negatives="dinuc:1")
    with pytest.raises(InputError, match="not a store"):
        plan("regions", tmp_path / "r", genome=TINY, regions=bed(tmp_path, "chr1 0 4"), negatives="dinuc:1")
    data = shard("regions", tmp_path / "d", genome=tiny, regions=bed(tmp_path, "chr1 0 4"), negatives="dinuc:1")
    with pytest.raises(InputError, match="is a dataset store, a genome store is needed"):
        plan("regions", tmp_path / "r", genome=data, regions=bed(tmp_path, "chr1 0 4"), negatives="dinuc:1")
    with pytest.raises(InputError, match="is a dataset store, a genome store is needed"):
        open_genome(data)


def test_commands_with_bad_input(genome: Path, tmp_path: Path) -> None:
    common = ["regions", "--genome", genome, "--negatives", "dinuc:1"]
    rows = bed(tmp_path, "w00 131000 131100", "w00 200000 200100")  # w00 has 131072 bases
    line = error_line(drg("drg-shard", *common, "--regions", rows, "--strict", "-o", tmp_path / "r", exit_code=3))
    assert "line 1: " in line and "padded: 28 bases outside the contig" in line and not (tmp_path / "r").exists()
    (tmp_path / "junk.bw").write_bytes(b"junk")
    (tmp_path / "t.tsv").write_text("\tidentifier\tfile\n0\tt\tjunk.bw\n")
    drg(
        "drg-shard",
        "regions",
        "--genome",
        genome,
        "--regions",
        rows,
        "--tracks",
        tmp_path / "t.tsv",
        "-o",
        tmp_path / "b",
        exit_code=3,
    )
