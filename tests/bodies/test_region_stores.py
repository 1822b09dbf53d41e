"""drg-shard regions on real data and with everything at once: tracks, matrices, several inputs, genomic negatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
import pytest
from stores import WINDOWS, fasta, plan, shard

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.bed import read_bed
from drg_hpc.genome.targets import read_targets
from drg_hpc.genome.transforms import Transform
from drg_hpc.store import dataset_layout
from drg_hpc.store.reader import DatasetStore, GenomeStore, open_dataset, open_store

LENGTH = 500


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shard("genome", tmp_path_factory.mktemp("g") / "run", fasta=[WINDOWS / "genome.fa.gz"])


def manifest(run: Path) -> bytes:
    return (run / "out.zarr/manifest.json").read_bytes()


@pytest.mark.slow
def test_real_targets_equal_base_pairs_of_pybigwig(
    genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_layout, "ROW_SHARD_LIMITS", (64, 64))
    options: dict[str, Any] = {
        "genome": genome, "regions": WINDOWS / "accessible.bed", "tracks": WINDOWS / "targets.tsv",
    }  # fmt: skip
    runs = [shard("regions", tmp_path / str(n), shards=n, **options) for n in (1, 3, 7)]
    assert len({manifest(run) for run in runs}) == 1
    store, regions = open_dataset(runs[0]), list(read_bed(WINDOWS / "accessible.bed"))
    targets = store.targets(slice(None))
    assert targets.shape == (483, 12)
    for number, target in enumerate(read_targets(WINDOWS / "targets.tsv")):
        with pyBigWig.open(str(target.file)) as handle:
            values = [np.nan_to_num(handle.values(r.chrom, r.start, r.end, numpy=True)).mean() for r in regions]
        np.testing.assert_allclose(targets[:, number], values, rtol=1e-6, atol=1e-9)


def test_targets_of_the_middle(genome: Path, tmp_path: Path) -> None:
    """--target-length: bins are those of the same bases in a store of narrower regions, on both strands."""
    regions = tmp_path / "r.bed"
    lines = (WINDOWS / "accessible.bed").read_text().splitlines()[:40]
    rows = [[*line.split("\t")[:5], "+-"[i % 2]] for i, line in enumerate(lines)]
    regions.write_text("".join("\t".join(row) + "\n" for row in rows))
    options: dict[str, Any] = {
        "genome": genome, "regions": regions, "tracks": WINDOWS / "targets.tsv", "bin": 16, "stranded": True,
    }  # fmt: skip
    wide = open_dataset(shard("regions", tmp_path / "wide", length=500, target_length=96, **options))
    narrow = open_dataset(shard("regions", tmp_path / "narrow", length=96, **options))
    assert (wide.length, wide.bins, wide.modalities["main"].span) == (500, 6, 96)
    np.testing.assert_array_equal(wide.targets(slice(None)), narrow.targets(slice(None)))
    middle = wide.onehot(0, 40)[:, 202:298]
    np.testing.assert_array_equal(middle, narrow.onehot(0, 40))
    for length, target_length in ((500, 95), (96, 98)):
        with pytest.raises(UsageError, match="does not lie in the middle"):
            plan("regions", tmp_path / "x", **{**options, "length": length, "target_length": target_length})
    with pytest.raises(UsageError, match="--bin 16 does not divide the --target-length 90"):
        plan("regions", tmp_path / "x", **{**options, "length": 500, "target_length": 90})
    with pytest.raises(UsageError, match="--target-length 90 needs --tracks"):
        plan("regions", tmp_path / "x", genome=genome, regions=regions, target_length=90, negatives="dinuc:1")


def test_transforms_of_the_table(genome: Path, tmp_path: Path) -> None:
    table = WINDOWS / "targets_original.tsv"
    options: dict[str, Any] = {"genome": genome, "regions": WINDOWS / "accessible.bed", "tracks": table}
    store = open_dataset(shard("regions", tmp_path / "t", apply_transforms=True, transform_order="old", **options))
    info = store.header["track_info"]
    number = next(i for i, track in enumerate(info) if track["transform"]["stat"] == "sum_sqrt")
    transform = Transform(**info[number]["transform"])
    target, region = read_targets(table)[number], list(read_bed(WINDOWS / "accessible.bed"))[7]
    with pyBigWig.open(str(target.file)) as handle:
        total = np.nan_to_num(handle.values(region.chrom, region.start, region.end, numpy=True)).sum()
    wanted = transform.forward(np.array([total]), name=target.name)
    np.testing.assert_allclose(store.targets([7])[0, number], wanted[0], rtol=1e-6)
    assert all(track["transform"] == "identity" for track in plan_info(tmp_path, options))
    with pytest.raises(UsageError, match="--apply-transforms needs --tracks"):
        plan("regions", tmp_path / "x", genome=genome, regions=options["regions"], apply_transforms=True)


def plan_info(folder: Path, options: dict[str, Any]) -> list[dict[str, Any]]:
    tracks: list[dict[str, Any]] = plan("regions", folder / "p", **options).params["header"]["modalities"][0]["tracks"]
    return tracks


@pytest.fixture(scope="module")
def matched(genome: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Stores with GC-matched negatives, by number of shards."""
    folder = tmp_path_factory.mktemp("gc")
    options: dict[str, Any] = {
        "genome": genome, "regions": WINDOWS / "accessible.bed", "tracks": WINDOWS / "targets.tsv",
        "negatives": "gc:2", "gc_tolerance": 0.03, "valid": "w01", "test": "w02",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_layout, "ROW_SHARD_LIMITS", (128, 128))
        return {n: shard("regions", folder / str(n), shards=n, **options) for n in (1, 4)}


def fractions(store: DatasetStore) -> np.ndarray:
    counts = store.onehot(0, store.rows).sum(axis=1)
    return counts[:, 1:3].sum(axis=1) / np.maximum(counts.sum(axis=1), 1)


def test_genomic_negatives(genome: Path, matched: dict[int, Path]) -> None:
    assert manifest(matched[1]) == manifest(matched[4])
    store, source = open_dataset(matched[1]), open_store(genome)
    assert isinstance(source, GenomeStore) and store.rows == 3 * 483
    table, gc = store.regions, fractions(store)
    assert set(table["origin"][:483]) == {"given"} and set(table["origin"][483:]) == {"gc"}
    np.testing.assert_array_equal(table["parent"], np.tile(np.arange(483), 3))
    kept = np.flatnonzero((table["origin"] == "gc") & table["kept"])
    assert len(kept) > 800
    parent = table["parent"].to_numpy()[kept]
    assert (abs(gc[kept] - gc[parent]) <= 0.03 + 1e-9).all()
    assert (table["chrom"].to_numpy()[kept] == table["chrom"].to_numpy()[parent]).all()
    assert (table["split"].to_numpy()[kept] == table["split"].to_numpy()[parent]).all()
    placed = {(row.chrom, row.start) for row in table.iloc[kept].itertuples()}
    assert len(placed) == len(kept)  # none twice
    peaks = [(r.chrom, r.start, r.end) for r in read_bed(WINDOWS / "accessible.bed")]
    for chrom, start in placed:
        assert all(chrom != c or start + LENGTH <= a or start >= b for c, a, b in peaks)
    row = int(kept[5])
    region = table.iloc[row]
    np.testing.assert_array_equal(
        store.codes(row, row + 1)[0], source.codes(region["chrom"], region["start"], region["end"])
    )
    target = read_targets(WINDOWS / "targets.tsv")[2]
    with pyBigWig.open(str(target.file)) as handle:
        values = np.nan_to_num(handle.values(region["chrom"], int(region["start"]), int(region["end"]), numpy=True))
    np.testing.assert_allclose(store.targets([row])[0, 2], values.mean(), rtol=1e-6, atol=1e-9)
    lost = table[(table["origin"] == "gc") & ~table["kept"]]
    assert lost["reason"].str.match(r"no window of GC 0\.\d\d \+- 0\.03 left on w\d\d").all()
    assert store.header["kept"] == int(table["kept"].sum()) == sum(store.header["splits"].values())


def test_two_modalities_and_their_intersection(tmp_path: Path) -> None:
    run = shard("genome", tmp_path / "g", fasta=[fasta(tmp_path / "g.fa", {"c": "ACGTACGTACGTAAAA"})])
    (tmp_path / "r.bed").write_text("c\t0\t8\ta\nc\t4\t12\tb\nc\t8\t16\tx\n")
    (tmp_path / "rna.tsv").write_text("n\tt1\tt2\nb\t3\t4\na\t1\t2\nzz\t0\t0\n")
    np.savez(
        tmp_path / "atac.npz",
        counts=np.arange(18, dtype=np.float32).reshape(3, 2, 3),
        names=np.array(["x", "a", "b"]),
        celltypes=np.array(["t1", "u"]),
    )
    options: dict[str, Any] = {
        "genome": run, "regions": tmp_path / "r.bed", "counts": [f"expr={tmp_path / 'rna.tsv'}", tmp_path / "atac.npz"],
    }  # fmt: skip
    notes = " ".join(plan("regions", tmp_path / "p", **options).notes)
    assert "1 rows have no labels in" in notes and "such as x" in notes and "1 rows of" in notes
    store = open_dataset(shard("regions", tmp_path / "s", target_dtype="float16", **options))
    assert list(store.modalities) == ["expr", "atac"] and store.modalities["atac"].bins == 3
    assert store.tracks == ["t1_expr", "t2", "t1_atac", "u"]  # t1 is in both
    assert store.regions["reason"].tolist() == ["", "", "no labels in rna.tsv"]
    np.testing.assert_array_equal(store.targets([0, 1, 2], modality="expr"), [[1, 2], [3, 4], [np.nan, np.nan]])
    np.testing.assert_array_equal(store.targets([1], modality="atac")[0], np.arange(12, 18).reshape(2, 3))
    assert store.target_block(0, 3, "atac")[0].dtype == np.float16
    with pytest.raises(InputError, match="modalities of the store differ in bins"):
        store.targets([0])
    with pytest.raises(InputError, match=r"has no labels for 1 of 3 rows: x"):
        plan("regions", tmp_path / "q", strict=True, **options)
    kept = [line.split("\t") for line in (tmp_path / "s/kept.tsv").read_text().splitlines()]
    assert [line[kept[0].index("kept")] for line in kept[1:]] == ["1", "1", "0"]


def test_several_inputs_joined_by_name(tmp_path: Path) -> None:
    run = shard("genome", tmp_path / "g", fasta=[fasta(tmp_path / "g.fa", {"c": "ACGTACGTTTGGCCAA"})])
    (tmp_path / "dna.bed").write_text("c\t0\t8\ta\t0\t+\nc\t4\t12\tb\t0\t-\nc\t0\t4\tonly\t0\t+\n")
    (tmp_path / "rna.bed").write_text("c\t8\t12\tb\t0\t-\nc\t12\t16\ta\t0\t+\n")
    options: dict[str, Any] = {
        "genome": run, "input": [f"dna={tmp_path / 'dna.bed'}:6", f"rna={tmp_path / 'rna.bed'}:4"], "stranded": True,
    }  # fmt: skip
    store = open_dataset(shard("regions", tmp_path / "s", negatives="dinuc:1", **options))
    assert {name: item.length for name, item in store.inputs.items()} == {"dna": 6, "rna": 4}
    assert store.regions["name"].tolist()[:3] == ["a", "b", "only"]
    assert store.regions["kept"].tolist()[:3] == [True, True, False] and "rna" in store.regions["reason"][2]
    dna, rna = store.sequences([0, 1])
    letters = np.array(list("ACGT"))
    assert "".join(letters[dna[0].argmax(axis=0)]) == "CGTACG" and "".join(letters[rna[0].argmax(axis=0)]) == "CCAA"
    assert "".join(letters[rna[1].argmax(axis=0)]) == "CCAA"  # TTGG, reversed
    assert store.intervals("rna")["start"].tolist()[:2] == [12, 8]
    with pytest.raises(InputError, match="one sequence a row is needed here"):
        _ = store.length
    assert store.codes(4, 5, name="rna").tolist() != [] and store.regions["origin"][4] == "dinuc"


def test_flanks_are_stored_and_hidden(genome: Path, tmp_path: Path) -> None:
    (tmp_path / "r.bed").write_text("w00\t1000\t1040\ta\t0\t-\nw00\t0\t40\tb\t0\t+\n")
    options: dict[str, Any] = {
        "genome": genome, "regions": tmp_path / "r.bed", "negatives": "dinuc:1", "stranded": True,
    }  # fmt: skip
    plain = open_dataset(shard("regions", tmp_path / "p", **options))
    store = open_dataset(shard("regions", tmp_path / "f", flank=5, **options))
    np.testing.assert_array_equal(store.codes(0, 2), plain.codes(0, 2))
    np.testing.assert_array_equal(store.sequences([1, 0]), plain.sequences([1, 0]))
    wide = store.codes(0, 2, flank=True)
    source = open_store(genome)
    assert isinstance(source, GenomeStore)
    np.testing.assert_array_equal(wide[0], 3 - source.codes("w00", 995, 1045)[::-1])
    assert (wide[1, :5] == 4).all() and wide.shape == (2, 50)
    assert store.regions.iloc[0][["start", "end"]].tolist() == [1000, 1040]


def test_genomic_negatives_need_one_interval_a_row(genome: Path, tmp_path: Path) -> None:
    inputs = [f"a={WINDOWS / 'accessible.bed'}", f"b={WINDOWS / 'accessible.bed'}"]
    with pytest.raises(UsageError, match="one interval a row"):
        plan("regions", tmp_path / "r", genome=genome, input=inputs, negatives="gc:1")
