"""Writers of BED, FASTA, tables and bigWig, read back by other programs' readers or compared with brute force."""

from __future__ import annotations

import errno
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyBigWig
import pyfaidx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from stores import load_matrix

from drg_hpc.errors import DiskFullError, InputError, UsageError
from drg_hpc.genome import export_bigwig
from drg_hpc.genome.counts import scan_matrix
from drg_hpc.genome.export import place_rows, read_sizes, write_bed, write_fasta, write_table
from drg_hpc.genome.export_bigwig import write_bigwig
from drg_hpc.genome.fasta import read_records

CONTIGS = {"chr2": 60, "chr10": 45, "chr1": 30}
Row = tuple[str, int, str]


def table(rows: Sequence[Row], width: int, origin: str = "given") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "chrom": [r[0] for r in rows],
            "start": np.array([r[1] for r in rows], np.int64),
            "end": np.array([r[1] + width for r in rows], np.int64),
            "name": [f"r{i}" for i in range(len(rows))],
            "strand": [r[2] for r in rows],
            "kept": True,
            "origin": origin,
        }
    )


def bigwig(path: Path, regions: pd.DataFrame, values: NDArray[Any], width: int) -> int:
    """Write values (rows, positions) in genome direction."""
    placed = place_rows(regions, np.arange(len(regions)), CONTIGS, length=width)

    def read(rows: NDArray[np.int64]) -> NDArray[Any]:
        assert (np.diff(rows) > 0).all()
        return values[rows]

    start = regions["start"].to_numpy()
    return write_bigwig(path, CONTIGS, placed, start=start, width=width, positions=values.shape[1], read=read)


def read_all(path: Path) -> dict[str, NDArray[np.float64]]:
    handle = pyBigWig.open(str(path))
    assert list(handle.chroms().items()) == list(CONTIGS.items())
    found = {name: np.array(handle.values(name, 0, length)) for name, length in CONTIGS.items()}
    handle.close()
    return found


def by_hand(regions: pd.DataFrame, values: NDArray[Any], width: int) -> dict[str, NDArray[np.float64]]:
    """Mean over the regions that cover a base, NaN left out."""
    covering: dict[tuple[str, int], list[float]] = {}
    for row, (chrom, start) in enumerate(zip(regions["chrom"], regions["start"], strict=True)):
        for at in range(width):
            value = float(values[row, at * values.shape[1] // width])
            if not np.isnan(value):
                covering.setdefault((chrom, start + at), []).append(value)
    return {
        name: np.array([np.mean(covering.get((name, at), [np.nan])) for at in range(length)])
        for name, length in CONTIGS.items()
    }


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(list(CONTIGS)), st.integers(-5, 40), st.just("+")), min_size=1, max_size=12
    ),
    shape=st.sampled_from([(12, 1), (12, 3), (12, 12), (4, 4), (1, 1)]),
    seed=st.integers(0, 999),
    levels=st.sampled_from([2, 1000]),
    limits=st.sampled_from([(128 << 20, 1 << 20, 1 << 16, 128), (200, 5, 2, 4), (1, 1, 1, 1)]),
)
def test_bigwig_is_the_mean_of_what_covers_a_base(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Row],
    shape: tuple[int, int],
    seed: int,
    levels: int,
    limits: tuple[int, int, int, int],
) -> None:
    width, positions = shape
    rows = [(chrom, min(start, CONTIGS[chrom] - 1), strand) for chrom, start, strand in rows if start + width > 0]
    if not rows:
        return
    rng = np.random.default_rng(seed)
    values = rng.integers(0, levels, (len(rows), positions)).astype(np.float32) / 7
    values[rng.random(values.shape) < 0.2] = np.nan
    regions = table(rows, width)
    expected = by_hand(regions, values, width)
    bases = sum(int((~np.isnan(found)).sum()) for found in expected.values())
    path = tmp_path_factory.mktemp("bw") / "x.bw"
    with pytest.MonkeyPatch.context() as patch:
        for name, limit in zip(("_AT_ONCE_BYTES", "_STRETCH", "_RUNS", "_FIXED_STEP"), limits, strict=True):
            patch.setattr(export_bigwig, name, limit)
        if not bases:
            with pytest.raises(InputError, match="all values are missing"):
                bigwig(path, regions, values, width)
            assert not path.exists() and not list(path.parent.iterdir())
            return
        assert bigwig(path, regions, values, width) == bases
    for name, found in read_all(path).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-6)


def test_single_cover_is_exact_and_runs_are_joined(tmp_path: Path) -> None:
    values = np.array([[0.1, 0.1, 1e-20], [3e38, -0.0, 7.0]], np.float32)
    bigwig(tmp_path / "x.bw", table([("chr1", 6, "+"), ("chr1", 0, "+")], 6), values, 6)
    with pyBigWig.open(str(tmp_path / "x.bw")) as handle:
        found = list(handle.intervals("chr1"))
    expected = [(0, 2, values[1, 0]), (2, 4, 0.0), (4, 6, 7.0), (6, 10, values[0, 0]), (10, 12, values[0, 2])]
    assert found == [(a, b, float(v)) for a, b, v in expected]


def test_memory_is_bounded_by_regions_not_contigs(tmp_path: Path) -> None:
    contigs = {"chr1": 2_000_000_000}
    rows = [("chr1", i * 150_000_000, "+") for i in range(13)]
    regions = table(rows, 100)
    placed = place_rows(regions, np.arange(13), contigs, length=100)
    values = np.arange(1300, dtype=np.float32).reshape(13, 100)
    starts = regions["start"].to_numpy()
    assert (
        write_bigwig(
            tmp_path / "x.bw", contigs, placed, start=starts, width=100, positions=100, read=lambda rows: values[rows]
        )
        == values.size
    )
    with pyBigWig.open(str(tmp_path / "x.bw")) as handle:
        np.testing.assert_array_equal(handle.values("chr1", 1_800_000_000, 1_800_000_100), values[12])


def test_a_file_that_was_not_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_bigwig._Runs, "_finite", lambda *_: None)
    with pytest.raises(InputError, match=r"x\.bw was not written whole; is the disk full"):
        bigwig(tmp_path / "x.bw", table([("chr1", 0, "+")], 4), np.ones((1, 4), np.float32), 4)
    assert list(tmp_path.iterdir()) == []


def test_bins_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 positions do not divide regions of 4 bases"):
        bigwig(tmp_path / "x.bw", table([("chr1", 0, "+")], 4), np.ones((1, 3), np.float32), 4)


def test_rows_without_a_place_are_counted(tmp_path: Path) -> None:
    rows = [("chr1", 5, "+"), ("", 0, "+"), ("chr1", 1, "-"), ("chrU", 2, "+"), ("chr10", 44, "+"), ("chr10", 45, "+")]
    regions = table([*rows, ("chr2", 3, "+"), ("chr2", 2, "+"), ("chr2", 9, "+")], 4)
    regions.loc[6, "origin"] = "dinuc"
    regions.loc[7, "origin"] = "gc"
    regions.loc[8, "end"] += 90
    placed = place_rows(regions, np.arange(9), CONTIGS, length=4)
    assert [list(CONTIGS)[i] for i in placed.contig] == ["chr2", "chr10", "chr1", "chr1"]
    assert placed.rows.tolist() == [7, 4, 2, 0]
    assert dict(placed.left_out) == {
        "shuffled sequences are not on the genome": 1,
        "rows have no coordinates": 1,
        "rows do not span 4 bases (spliced)": 1,
        "rows lie on contigs that the genome does not have": 1,
        "rows lie off their contig": 1,
    }
    with pytest.raises(InputError, match="no row has a place on the genome: 1 rows have no coordinates"):
        place_rows(regions, np.array([1]), None)
    assert place_rows(regions, np.array([2, 7, 3, 0]), None).rows.tolist() == [2, 0, 7, 3]  # contigs as they occur
    aliased = place_rows(regions, np.array([0]), {"2": 9, "1": 30})
    assert aliased.contig.tolist() == [1]
    with pytest.raises(InputError, match="shares no contig with the genome"):
        place_rows(regions, np.array([0]), {"u": 9})


def test_bed(tmp_path: Path) -> None:
    regions = table([("chr1", -2, "-"), ("chr2", 58, "+")], 5)
    regions.loc[1, "name"] = "a b\tc"
    write_bed(tmp_path / "x.bed", regions, rows=np.array([1, 0]), contigs=CONTIGS)
    assert (tmp_path / "x.bed").read_text() == "chr2\t58\t60\ta b_c\t0\t+\nchr1\t0\t3\tr0\t0\t-\n"
    write_bed(tmp_path / "y.bed.gz", regions, rows=np.array([1]), contigs=None)
    assert gzip.decompress((tmp_path / "y.bed.gz").read_bytes()) == b"chr2\t58\t63\ta b_c\t0\t+\n"


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.text("abc:1-_", min_size=1), st.lists(st.text("ACGTN", max_size=90), max_size=4)), min_size=1)
)
def test_fasta_reads_back(tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, list[str]]]) -> None:
    records = [(name, pieces) for name, pieces in dict(records).items() if "".join(pieces)]
    if not records:
        return
    path = tmp_path_factory.mktemp("fa") / "x.fa"
    write_fasta(path, ((name, [piece.encode() for piece in pieces]) for name, pieces in records))
    assert [(r.name, r.sequence.decode()) for r in read_records(path)] == [(n, "".join(p)) for n, p in records]
    other = pyfaidx.Fasta(str(path))
    assert [(name, str(other[name])) for name in other.keys()] == [(n, "".join(p)) for n, p in records]  # noqa: SIM118
    assert max(map(len, path.read_text().splitlines())) <= max(60, *(len(n) + 1 for n, _ in records))


def test_fasta_names_with_blanks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'a b' cannot be a FASTA name"):
        write_fasta(tmp_path / "x.fa", [("a b", [b"A"])])
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None, max_examples=40)
@given(
    values=st.lists(
        st.lists(st.floats(width=32, allow_infinity=False), min_size=2, max_size=2), min_size=1, max_size=5
    ),
    name=st.sampled_from(["x.tsv", "x.csv", "x.tsv.gz", "x.csv.gz"]),
)
def test_tables_read_back(tmp_path_factory: pytest.TempPathFactory, values: list[list[float]], name: str) -> None:
    path = tmp_path_factory.mktemp("t") / name
    array = np.array(values, np.float32)
    names = [f"r,{i}\"'" for i in range(len(values))]
    write_table(path, names, ["a b", "c,d"], [array[:1], array[1:]])
    assert scan_matrix(path, allow_missing=True).tracks == ("a b", "c,d")
    found, loaded = load_matrix(path)
    assert found == names
    np.testing.assert_array_equal(loaded, array)
    frame = pd.read_csv(path, sep="," if ".csv" in name else "\t", index_col=0)
    np.testing.assert_array_equal(frame.to_numpy(np.float32), array)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.tsv.gz", "b.tsv.gz"):
        write_table(tmp_path / name, ["r"], ["t"], [np.ones((1, 1), np.float32)])
    assert (tmp_path / "a.tsv.gz").read_bytes() == (tmp_path / "b.tsv.gz").read_bytes()


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.tsv").write_text("mine")
    with pytest.raises(UsageError, match=r"x\.tsv exists; choose another -o"):
        write_table(tmp_path / "x.tsv", [], ["t"], [])
    with pytest.raises(InputError, match="no such folder"):
        write_table(tmp_path / "no" / "x.tsv", [], ["t"], [])

    def broken() -> Any:
        yield np.ones((1, 1), np.float32)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFullError, match=r"out of space while writing .*y\.tsv"):
        write_table(tmp_path / "y.tsv", ["r"], ["t"], broken())
    assert [path.name for path in tmp_path.iterdir()] == ["x.tsv"]


def test_sizes(tmp_path: Path) -> None:
    path = tmp_path / "hg.chrom.sizes"
    path.write_text("# c\nchr1\t100\textra\r\nchr2 20\n\n")
    assert list(read_sizes(path).items()) == [("chr1", 100), ("chr2", 20)]
    for text, message in (
        ("chr1\t1\nchr1\t1\n", "line 2: contig 'chr1' occurs twice"),
        ("chr1\n", "line 1: a contig and its length"),
        ("chr1\t0\n", "line 1: a contig"),
        ("chr1\t-4\n", "line 1: a contig"),
        ("", "no contigs"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_sizes(path)


def test_numbers_keep_their_float32(tmp_path: Path) -> None:
    values = np.array([[0.1, 1 / 3, 16777217.0, 1e-45]], np.float32)
    write_table(tmp_path / "x.tsv", ["r"], list("abcd"), [values])
    text = (tmp_path / "x.tsv").read_text().splitlines()[1]
    assert text == "r\t0.1\t0.33333334\t1.6777216e+07\t1e-45"
