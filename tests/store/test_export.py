"""Stores as other programs' files: DRG's npz both ways, bigWig against the files the targets came from."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyBigWig
import pytest
from numpy.typing import NDArray
from stores import TINY, fasta, shard

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.fasta import read_records
from drg_hpc.store import dataset_layout
from drg_hpc.store import export as exports
from drg_hpc.store.export import DatasetExport, genome_fasta
from drg_hpc.store.reader import GenomeStore, open_dataset, open_store

LENGTH, BIN = 64, 8
SIZES = {"chrB": 4000, "chrA": 2000}


def drg_files(folder: Path, rows: int, *, bins: int) -> dict[str, NDArray[Any]]:
    """DRG's two files, with N, padding, names of any kind, and counts of two or three dimensions."""
    rng = np.random.default_rng(bins)
    onehot = (rng.integers(0, 5, (rows, 40, 1)) == np.arange(4)).astype(np.int8)
    onehot[3, 25:] = 0
    counts = rng.normal(size=(rows, 3, bins) if bins else (rows, 3)).astype(np.float32)
    names = np.array([f"gene,{i} é" for i in range(rows)])
    np.savez_compressed(folder / "x.npz", seqfeatures=onehot, genenames=names, featurenames=np.array(list("ACGT")))
    order = rng.permutation(rows)  # joined by name, not by place
    tracks = np.array(["B.mem", "T+", "T-"])
    np.savez_compressed(folder / "y.npz", counts=counts[order], names=names[order], celltypes=tracks)
    return {
        "seqfeatures": onehot,
        "genenames": names,
        "featurenames": np.array(list("ACGT")),
        "counts": counts,
        "names": names,
        "celltypes": tracks,
    }


def assert_same(path: Path, expected: dict[str, NDArray[Any]]) -> None:
    with np.load(path, allow_pickle=False) as found:
        for name in found:
            np.testing.assert_array_equal(found[name], expected[name], strict=name in ("seqfeatures", "counts"))
        assert len(list(found)) == 3


@pytest.mark.parametrize("bins", [0, 5])
def test_drg_npz_in_store_out_the_same_arrays(tmp_path: Path, bins: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_layout, "ROW_SHARD_LIMITS", (32, 32))
    monkeypatch.setattr(dataset_layout, "ROW_CHUNK_LIMITS", (8, 8))
    monkeypatch.setattr(exports, "_AT_ONCE_BYTES", 20_000)  # several blocks
    expected = drg_files(tmp_path, 50, bins=bins)
    shard("sequences", tmp_path / "a", sequences=tmp_path / "x.npz", counts=[tmp_path / "y.npz"])
    out = DatasetExport(open_dataset(tmp_path / "a"), "all")
    assert out.sequences_npz(tmp_path / "x2.npz", "seq").counts == {"rows": 50, "bases": 40}
    out.counts_npz(tmp_path / "y2.npz", "main", [0, 1, 2])
    assert_same(tmp_path / "x2.npz", expected)
    assert_same(tmp_path / "y2.npz", expected)
    shard("sequences", tmp_path / "b", sequences=tmp_path / "x2.npz", counts=[tmp_path / "y2.npz"])
    first, second = open_dataset(tmp_path / "a"), open_dataset(tmp_path / "b")
    arrays = [name for name in first.manifest if name.startswith(("inputs/", "targets", "regions/"))]
    assert len(arrays) > 40 and all(first.manifest[name] == second.manifest[name] for name in arrays)


def test_missing_values_and_rows_that_are_not_kept(tmp_path: Path) -> None:
    fasta(tmp_path / "x.fa", {f"s{i}": "ACGTN" * 4 for i in range(6)})
    (tmp_path / "y.tsv").write_text("n\tt\tu\ns0\t0.1\t\ns2\t3\tNA\ns4\t-1e-30\t7\ns5\t5\t5\n")
    options = {
        "sequences": tmp_path / "x.fa",
        "counts": [tmp_path / "y.tsv"],
        "missing": "mask",
        "negatives": "dinuc:1",
    }
    shard("sequences", tmp_path / "run", **options)
    out = DatasetExport(open_dataset(tmp_path / "run"), "all")
    assert out.table(tmp_path / "t.tsv", "main", [1, 0]).left_out == {"rows are not kept": 4}
    text = (tmp_path / "t.tsv").read_text().splitlines()
    assert text[:4] == ["name\tu\tt", "s0\tNA\t0.1", "s2\tNA\t3.0", "s4\t7.0\t-1e-30"]
    assert text[5:] == [f"s{i}_dinuc0\t0.0\t0.0" for i in (0, 2, 4, 5)]
    out.counts_npz(tmp_path / "c.npz", "main", [1])
    with np.load(tmp_path / "c.npz") as found:
        np.testing.assert_array_equal(found["counts"][:4, 0], np.array([np.nan, np.nan, 7, 5], np.float32))
        assert found["celltypes"].tolist() == ["u"]
    out.fasta(tmp_path / "s.fa.gz", "seq")
    store = open_dataset(tmp_path / "run")
    records = list(read_records(tmp_path / "s.fa.gz"))
    assert [r.name for r in records] == [row.split("\t")[0] for row in text[1:]]
    assert records[0].sequence == b"ACGTN" * 4
    letters = "".join("ACGTN"[code] for code in store.codes(6, 7)[0])
    assert records[4].sequence.decode() == letters
    with pytest.raises(
        InputError, match=r"no row has a place on the genome: 4 shuffled sequences .*; 4 rows have no coord"
    ):
        out.bed(tmp_path / "x.bed", "seq", None)
    with pytest.raises(InputError, match="no kept rows in split 'test'"):
        DatasetExport(store, "test")
    with pytest.raises(UsageError, match="has one value a region"):
        out.bigwig(tmp_path / "x.bw", "main", 0, {"c": 9})


@pytest.fixture(scope="module")
def signals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A genome, a stranded pair of bigWigs and one without strand, constant in steps of ``BIN``."""
    folder = tmp_path_factory.mktemp("signals")
    rng = np.random.default_rng(0)
    fasta(folder / "g.fa", {name: "".join(rng.choice(list("ACGT"), size)) for name, size in SIZES.items()})
    shard("genome", folder / "genome", fasta=[folder / "g.fa"])
    lines = ["\tidentifier\tfile\tstrand_pair"]
    for number, (track, partner) in enumerate((("t+", 1), ("t-", 0), ("d", 2))):
        with pyBigWig.open(str(folder / f"{number}.bw"), "w") as handle:
            handle.addHeader(list(SIZES.items()))
            for name, size in SIZES.items():
                values = rng.normal(size=size // BIN).astype(np.float32)
                handle.addEntries(name, 0, values=values, span=BIN, step=BIN)
        lines.append(f"{number}\t{track}\t{number}.bw\t{partner}")
    (folder / "targets.tsv").write_text("\n".join(lines) + "\n")
    return folder


def bed(path: Path, starts: dict[str, list[int]]) -> Path:
    """Regions of both strands, in no order."""
    regions = [(chrom, start) for chrom, found in starts.items() for start in found]
    np.random.default_rng(1).shuffle(regions)
    strands = itertools.cycle("+-")
    path.write_text(
        "".join(f"{c}\t{s}\t{int(s) + LENGTH}\tr{i}\t0\t{next(strands)}\n" for i, (c, s) in enumerate(regions))
    )
    return path


@pytest.mark.parametrize("margin", [0, 2 * BIN])
@pytest.mark.parametrize("stranded", [True, False])
def test_bigwig_out_is_bigwig_in(
    tmp_path: Path, signals: Path, stranded: bool, margin: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overlaps in whole bins, both strands, ends of contigs: what regions cover comes back as it was."""
    monkeypatch.setattr(exports, "_AT_ONCE_BYTES", 5000)
    starts = {"chrA": [0, 8, 40, 200, 264, 1936], "chrB": [3936, 3900 - 3900 % BIN, 16, 1000]}
    regions = bed(tmp_path / "r.bed", starts)
    tracks = {"genome": signals / "genome", "regions": regions, "tracks": signals / "targets.tsv", "bin": BIN}
    shard("regions", tmp_path / "run", **tracks, stranded=stranded, negatives="dinuc:1", length=LENGTH,
          target_length=LENGTH - 2 * margin)  # fmt: skip
    export = DatasetExport(open_dataset(tmp_path / "run"), "all")
    for number in range(3):
        path = tmp_path / f"{number}.bw"
        done = export.bigwig(path, "main", number, None)
        assert done.left_out == {"shuffled sequences are not on the genome": 10} and done.counts["regions"] == 10
        with pyBigWig.open(str(path)) as found, pyBigWig.open(str(signals / f"{number}.bw")) as given:
            assert list(found.chroms()) == list(SIZES)
            for chrom, size in SIZES.items():
                covered = np.zeros(size, bool)
                for start in starts[chrom]:
                    covered[start + margin : start + LENGTH - margin] = True
                expected = np.where(covered, given.values(chrom, 0, size, numpy=True), np.nan)
                np.testing.assert_array_equal(found.values(chrom, 0, size, numpy=True), expected.astype(np.float32))


def test_genomic_negatives_are_on_the_genome(tmp_path: Path, signals: Path) -> None:
    regions = bed(tmp_path / "r.bed", {"chrA": [400, 800], "chrB": [1600]})
    tracks = {"genome": signals / "genome", "regions": regions, "tracks": signals / "targets.tsv", "bin": BIN}
    shard("regions", tmp_path / "run", **tracks, negatives="gc:1", length=LENGTH, gc_tolerance=0.5)
    store = open_dataset(tmp_path / "run")
    export = DatasetExport(store, "all")
    done = export.bed(tmp_path / "x.bed", "seq", None)
    frame = pd.read_csv(tmp_path / "x.bed", sep="\t", header=None)
    assert done.counts["regions"] == len(frame) == len(store.split_rows("all")) > 3
    expected = store.regions[store.regions["kept"]].sort_values(["chrom", "start"], ascending=[False, True])
    assert frame[[0, 1, 2, 3]].to_numpy().tolist() == expected[["chrom", "start", "end", "name"]].to_numpy().tolist()
    genome = open_store(signals / "genome")
    assert isinstance(genome, GenomeStore)
    for row in store.split_rows("all"):
        region = store.regions.iloc[row]
        np.testing.assert_array_equal(
            store.codes(row, row + 1)[0], genome.codes(region.chrom, region.start, region.end)
        )
    assert export.bigwig(tmp_path / "x.bw", "main", 0, None).counts["regions"] == len(frame)


def test_contigs_from_elsewhere(tmp_path: Path) -> None:
    fasta(tmp_path / "x.fa", {"chr1:0-8": "ACGTACGT", "chr1:4-12": "ACGTACGT", "chrU:0-8": "ACGTACGT"})
    np.savez(tmp_path / "y.npz", counts=np.arange(24.0).reshape(3, 1, 8), names=["chr1:0-8", "chr1:4-12", "chrU:0-8"])
    shard("sequences", tmp_path / "run", sequences=tmp_path / "x.fa", counts=[tmp_path / "y.npz"])
    export = DatasetExport(open_dataset(tmp_path / "run"), "all")
    with pytest.raises(UsageError, match=r"does not know its contigs; give --genome STORE or chrom\.sizes"):
        export.bigwig(tmp_path / "x.bw", "main", 0, None)
    done = export.bigwig(tmp_path / "x.bw", "main", 0, {"chr1": 11})
    assert done.left_out == {"rows lie on contigs that the genome does not have": 1}
    assert done.counts == {"regions": 2, "bases": 11}
    with pyBigWig.open(str(tmp_path / "x.bw")) as found:
        assert found.values("chr1", 0, 11) == [0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14]
    with pytest.raises(UsageError, match="targets/main has 8 bins a track"):
        export.table(tmp_path / "t.tsv", "main", [0])


def test_several_inputs(tmp_path: Path, signals: Path) -> None:
    (tmp_path / "a.bed").write_text("chrA\t100\t164\tx\t0\t+\nchrB\t8\t72\ty\t0\t-\n")
    (tmp_path / "b.bed").write_text("chrB\t300\t340\ty\t0\t-\nchrA\t500\t540\tx\t0\t+\n")
    shard(
        "regions",
        tmp_path / "run",
        genome=signals / "genome",
        input=[f"dna={tmp_path / 'a.bed'}:64", f"rna={tmp_path / 'b.bed'}:40"],
        tracks=signals / "targets.tsv",
        bin=BIN,
        stranded=True,
    )
    store = open_dataset(tmp_path / "run")
    export = DatasetExport(store, "all")
    export.bed(tmp_path / "dna.bed", "dna", None)
    export.bed(tmp_path / "rna.bed", "rna", None)
    assert (tmp_path / "dna.bed").read_text() == "chrB\t8\t72\ty\t0\t-\nchrA\t100\t164\tx\t0\t+\n"
    assert (tmp_path / "rna.bed").read_text() == "chrB\t300\t340\ty\t0\t-\nchrA\t500\t540\tx\t0\t+\n"
    export.sequences_npz(tmp_path / "rna.npz", "rna")
    with np.load(tmp_path / "rna.npz") as found:
        assert found["seqfeatures"].shape == (2, 40, 4)
        np.testing.assert_array_equal(found["seqfeatures"], store.onehot(0, 2, name="rna"))


def test_genome_as_fasta(tmp_path: Path) -> None:
    shard("genome", tmp_path / "g", fasta=[TINY / "genome.fa.gz"])
    store = open_store(tmp_path / "g")
    assert isinstance(store, GenomeStore)
    done = genome_fasta(store, tmp_path / "g.fa")
    given = {r.name: r.sequence.upper() for r in read_records(TINY / "genome.fa.gz")}
    found = {r.name: r.sequence for r in read_records(tmp_path / "g.fa")}
    assert found == given and list(found) == list(given)
    assert done.counts == {"contigs": len(given), "bases": sum(map(len, given.values()))}
