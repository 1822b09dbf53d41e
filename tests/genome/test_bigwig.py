"""bigWig values against pyBigWig's base pairs, and against base pairs written by hand."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from bigwig_writer import BED_GRAPH, FIXED_STEP, VAR_STEP, Section, expanded, write_bigwig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from stores import TINY, WINDOWS

from drg_hpc.errors import InputError
from drg_hpc.genome.bigwig_header import read_contigs
from drg_hpc.genome.bigwig_reader import BigWigReader, Intervals
from drg_hpc.genome.transforms import Transform

REDUCTIONS = ("mean", "sum", "max", "median")
TRACKS = sorted(TINY.glob("tracks/*.bw")) + sorted(WINDOWS.glob("tracks/*.bw"))


def oracle(values: NDArray[np.float64], bins: int, reduce: str, missing: str) -> NDArray[np.float64]:
    """(bins or 1,) of base pairs (length,), NaN where there is none."""
    grid = values.reshape(bins or 1, -1)
    if missing == "zero":
        return np.asarray(getattr(np, reduce)(np.nan_to_num(grid, nan=0.0), axis=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's word for a bin without values
        found = np.asarray(getattr(np, f"nan{reduce}")(grid, axis=1))
    return np.where(np.isnan(grid).all(axis=1), np.nan, found)


def cut(values: NDArray[np.float64], start: int, end: int) -> NDArray[np.float64]:
    """Base pairs start to end of a contig; NaN outside."""
    padded = np.full(end - start, np.nan)
    first, last = max(start, 0), min(end, len(values))
    if first < last:
        padded[first - start : last - start] = values[first:last]
    return padded


def peaks(folder: Path) -> list[tuple[str, int, int]]:
    rows = [line.split("\t") for line in (folder / "accessible.bed").read_text().splitlines()]
    return [(row[0], int(row[1]), int(row[2])) for row in rows]


@pytest.mark.parametrize("path", TRACKS, ids=lambda p: f"{p.parent.parent.name}-{p.stem}")
def test_real_tracks_equal_pybigwig(path: Path) -> None:
    rows = peaks(path.parent.parent)
    contigs = read_contigs(path)
    rows += [(contig, start, start + 500) for contig in list(contigs)[:2] for start in (-200, 32600, 130900, 131072)]
    rng = np.random.default_rng(1)
    minus = rng.random(len(rows)) < 0.5
    intervals = Intervals.of(*zip(*rows, strict=True), contigs=contigs, minus=minus)  # type: ignore[call-arg]
    with pyBigWig.open(str(path)) as handle:
        whole = {
            name: handle.values(name, 0, length, numpy=True).astype(np.float64) for name, length in contigs.items()
        }
    expected = [cut(whole[contig], start, end) for contig, start, end in rows]
    with BigWigReader([path], contigs) as reader:
        for bins in (0, 20, 500):
            for reduce in REDUCTIONS:
                for missing in ("zero", "mask"):
                    got = reader.read(intervals, bins=bins, reduce=reduce, missing=missing, dtype=np.float64)  # type: ignore[arg-type]
                    want = np.stack([oracle(values, bins, reduce, missing) for values in expected])
                    want[minus] = want[minus, ::-1]
                    np.testing.assert_allclose(got.reshape(want.shape), want, rtol=1e-12, atol=0)
        contig, start, end = rows[0]
        np.testing.assert_array_equal(reader.values(0, contig, start, end), expected[0])


VALUES = st.one_of(
    st.floats(-1e3, 1e3, width=32), st.sampled_from([0.0, float("nan"), float("inf"), float("-inf"), 1.5])
)


@st.composite
def bigwigs(draw: st.DrawFn) -> tuple[dict[str, int], list[Section]]:
    """Contigs, and sections of all kinds with gaps, in genome order."""
    lengths = draw(st.lists(st.integers(1, 400), min_size=1, max_size=5))
    sections: list[Section] = []
    for contig, length in enumerate(lengths):
        at = draw(st.integers(0, 60))
        for _ in range(draw(st.integers(0, 5))):
            kind, span = draw(st.sampled_from([BED_GRAPH, VAR_STEP, FIXED_STEP])), draw(st.integers(1, 9))
            step, values = span + draw(st.integers(0, 4)), draw(st.lists(VALUES, min_size=1, max_size=8))
            starts, items = [at + i * step for i in range(len(values))], [(value,) for value in values]
            if kind != FIXED_STEP:
                gaps = draw(st.lists(st.integers(0, 12), min_size=len(values), max_size=len(values)))
                starts = [at + i * span + sum(gaps[: i + 1]) for i in range(len(values))]
                items = [(s, v) if kind == VAR_STEP else (s, s + span, v) for s, v in zip(starts, values, strict=True)]
            if starts[-1] + span > length:
                break
            sections.append(Section(contig, kind, items, start=starts[0], step=step, span=span))
            at = starts[-1] + span + draw(st.integers(0, 30))
    return {f"c{i}": length for i, length in enumerate(lengths)}, sections


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=bigwigs(), data=st.data())
def test_any_sections_in_any_layout(
    tmp_path: Path, content: tuple[dict[str, int], list[Section]], data: st.DataObject
) -> None:
    contigs, sections = content
    order, compress = data.draw(st.sampled_from("<>")), data.draw(st.booleans())
    path = write_bigwig(
        tmp_path / "x.bw", contigs, sections, order=order, compress=compress, fan=data.draw(st.integers(2, 5))
    )
    assert read_contigs(path) == contigs
    bins = data.draw(st.integers(0, 5))
    place = st.tuples(st.integers(0, len(contigs) - 1), st.integers(-30, 420), st.integers(1, 60), st.booleans())
    rows = data.draw(st.lists(place, min_size=1, max_size=12))
    chrom = [f"c{row[0]}" for row in rows]
    start, minus = np.array([row[1] for row in rows]), np.array([row[3] for row in rows])
    end = start + np.array([row[2] * (bins or 1) for row in rows])
    whole = [expanded(i, length, sections) for i, length in enumerate(contigs.values())]
    for values in whole:
        values[~np.isfinite(values)] = np.nan
    expected = [cut(whole[row[0]], int(a), int(b)) for row, a, b in zip(rows, start, end, strict=True)]
    intervals = Intervals.of(chrom, start, end, contigs=contigs, minus=minus)
    with BigWigReader([path], contigs) as reader:
        for reduce in REDUCTIONS:
            for missing in ("zero", "mask"):
                got = reader.read(intervals, bins=bins, reduce=reduce, missing=missing, dtype=np.float64)  # type: ignore[arg-type]
                want = np.stack([oracle(values, bins, reduce, missing) for values in expected])
                want[minus] = want[minus, ::-1]
                np.testing.assert_allclose(got.reshape(want.shape), want, rtol=1e-12, atol=1e-9)
    if order == "<" and sections:  # the files themselves are what pyBigWig reads
        with pyBigWig.open(str(path)) as handle:
            for i, (name, length) in enumerate(contigs.items()):
                read = np.array(handle.values(name, 0, length))
                np.testing.assert_array_equal(read, expanded(i, length, sections))


def written(path: Path, seed: int, *, lengths: dict[str, int], n: int = 3000) -> Path:
    """A file of pyBigWig's with all three of its ways to add entries."""
    rng = np.random.default_rng(seed)
    with pyBigWig.open(str(path), "w") as handle:
        handle.addHeader(list(lengths.items()), maxZooms=seed % 3)
        for i, (name, length) in enumerate(lengths.items()):
            values = np.round(rng.gamma(1, 2, n), 3).astype(np.float32)
            values[rng.random(n) < 0.05] = np.nan
            unit = length // (3 * n)
            if i % 3 == 0:
                handle.addEntries(name, 7, values=values, span=unit, step=2 * unit)
                continue
            starts = np.sort(rng.choice(length // unit - 1, n, replace=False)) * unit
            if i % 3 == 1:
                handle.addEntries(name, starts.tolist(), values=values, span=unit)
            else:
                ends = starts + rng.integers(1, unit + 1, n)
                handle.addEntries([name] * n, starts.tolist(), ends=ends.tolist(), values=values)
    return path


LENGTHS = {"chr1": 400_000, "chr2": 300_011, "chr3": 200_000, "chrX": 100_000}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bigwig")
    return [written(folder / f"{seed}.bw", seed, lengths=LENGTHS) for seed in range(5)]


def many_intervals(n: int, length: int) -> Intervals:
    rng = np.random.default_rng(5)
    contig = rng.integers(-1, len(LENGTHS), n)
    start = rng.integers(-length, 400_000, n)
    return Intervals(contig, start, start + length, rng.random(n) < 0.5)


def test_pybigwig_written_files(several: list[Path]) -> None:
    intervals = many_intervals(400, 960)
    with BigWigReader(several, LENGTHS) as reader:
        got = reader.read(intervals, bins=6, missing="mask", dtype=np.float64)
        assert np.isnan(got[intervals.contig < 0]).all()
    for track, path in enumerate(several):
        with pyBigWig.open(str(path)) as handle:
            whole = [np.array(handle.values(name, 0, length)) for name, length in LENGTHS.items()]
        for row in np.flatnonzero(intervals.contig >= 0):
            values = cut(whole[intervals.contig[row]], intervals.start[row], intervals.end[row])
            want = oracle(values, 6, "mean", "mask")
            np.testing.assert_allclose(got[row, track], want[:: -1 if intervals.minus[row] else 1], rtol=1e-12)


def test_threads_chunks_and_order_change_nothing(several: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    intervals = many_intervals(300, 960)
    transforms = [None, Transform("new", "median", 2.0), Transform("new", "sum_sqrt", 0.3, 20, 30), None, None]
    calls: list[int] = []
    with BigWigReader(several, LENGTHS) as reader:
        want = reader.read(intervals, bins=30, transforms=transforms, on_part=lambda: calls.append(1))
        assert len(calls) == len(several)  # two parts per thread and track would be 10
    assert want.dtype == np.float32 and want.shape == (300, 5, 30)
    with BigWigReader(several, LENGTHS, threads=4, max_open=1) as reader:  # files are closed and opened again
        for _ in range(2):
            np.testing.assert_array_equal(reader.read(intervals, bins=30, transforms=transforms), want)
    monkeypatch.setattr("drg_hpc.genome.bigwig_reader._JOB_BINS", 500)
    monkeypatch.setattr("drg_hpc.genome.bigwig_file._BATCH", 1)
    monkeypatch.setattr("drg_hpc.genome.bigwig_index._READ", 4096)
    new = np.random.default_rng(0).permutation(300)
    shuffled = Intervals(*(part[new] for part in (intervals.contig, intervals.start, intervals.end, intervals.minus)))
    with BigWigReader(several, LENGTHS, threads=2) as reader:
        np.testing.assert_array_equal(reader.read(shuffled, bins=30, transforms=transforms), want[new])
        one = reader.read(shuffled, bins=30, tracks=[3, 0])
        np.testing.assert_array_equal(one, want[new][:, [3, 0]])


def test_few_files_are_open(several: list[Path]) -> None:
    intervals = many_intervals(50, 96)
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    seen: list[int] = []
    with BigWigReader(several * 20, LENGTHS, max_open=3) as reader:
        reader.read(intervals, on_part=lambda: seen.append(len(list(descriptors.iterdir()))))
        assert max(seen) <= before + 3 < before + len(several)
    assert len(list(descriptors.iterdir())) == before


def test_a_file_is_opened_once(several: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    original = os.open
    monkeypatch.setattr(
        "drg_hpc.genome.bigwig_file.os.open", lambda path, *a: opened.append(path) or original(path, *a)
    )
    with BigWigReader(several, LENGTHS, threads=2) as reader:
        for seed in range(3):  # as row-shards follow each other
            reader.read(many_intervals(100 + seed, 96))
    assert sorted(opened) == sorted(several)


def test_what_on_part_raises_stops_the_reading(several: list[Path]) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    for threads in (1, 3):
        with BigWigReader(several, LENGTHS, threads=threads) as reader, pytest.raises(KeyboardInterrupt):
            reader.read(many_intervals(20, 96), on_part=stop)


def test_reduction_of_transforms_and_their_errors(tmp_path: Path) -> None:
    sections = [Section(0, BED_GRAPH, [(0, 10, 4.0), (10, 12, -3.0)])]
    path = write_bigwig(tmp_path / "t.bw", {"a": 40}, sections)
    intervals = Intervals.of(["a"], [0], [20], contigs={"a": 40})
    with BigWigReader([path, path], {"a": 40}) as reader:
        got = reader.read(intervals, bins=2, reduce="max", transforms=[Transform("new", "sum", 0.5), None])
        np.testing.assert_allclose(got, [[[20, -3], [4, 0]]])
        with pytest.raises(InputError, match=r"t.bw: -6 is below 0, where sum_stat sum_sqrt \(old order\)"):
            reader.read(intervals, bins=2, transforms=[None, Transform("old", "sum_sqrt")])
        with pytest.raises(InputError, match="interval 0 has 20 base pairs, not a multiple of 3"):
            reader.read(intervals, bins=3)
    huge = [Section(0, FIXED_STEP, [(3e38,)], span=40, step=40)]
    with BigWigReader([write_bigwig(tmp_path / "h.bw", {"a": 40}, huge)], {"a": 40}) as reader:
        assert reader.read(intervals, reduce="sum", dtype=np.float64)[0, 0] == pytest.approx(6e39)
        with pytest.raises(InputError, match=r"h.bw: 6e\+39 is too large for float32"):
            reader.read(intervals, reduce="sum")


def test_contig_names_and_lengths(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_bigwig(
        tmp_path / "s.bw",
        {"2": 30, "1": 20},
        [Section(0, BED_GRAPH, [(0, 5, 2.0)]), Section(1, BED_GRAPH, [(0, 5, 1.0)])],
    )
    with BigWigReader([path], {"chr1": 20, "chr2": 30, "chr9": 10}) as reader:
        where = Intervals.of(
            ["chr1", "chr2", "chr9", "chrZ", "chr1"],
            [0] * 5,
            [10] * 5,
            contigs=reader.contigs,
            kept=[True] * 4 + [False],
        )
        np.testing.assert_allclose(reader.read(where)[:, 0], [0.5, 1.0, 0.0, np.nan, np.nan])
        np.testing.assert_allclose(reader.read(where, missing="mask")[:, 0], [1, 2, np.nan, np.nan, np.nan])
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == [
        f"{path} has no contig chr9; regions there count as without values"
    ]
    with pytest.raises(InputError, match="shares no contig with the genome: 2, 1 against w0"):
        BigWigReader([path], {"w0": 20})
    with pytest.raises(InputError, match="contig 1 has length 20, the genome's chr1 21"):
        BigWigReader([path], {"chr1": 21})


def test_file_without_entries(tmp_path: Path) -> None:
    path = tmp_path / "empty.bw"
    with pyBigWig.open(str(path), "w") as handle:
        handle.addHeader([("a", 100)])
    intervals = Intervals.of(["a"], [0], [10], contigs={"a": 100})
    for file in (path, write_bigwig(tmp_path / "own.bw", {"a": 100}, [])):
        with BigWigReader([file], {"a": 100}) as reader:
            assert reader.read(intervals)[0, 0] == 0
            assert np.isnan(reader.read(intervals, missing="mask")[0, 0])
    path.write_bytes(path.read_bytes() + b"data")  # an index is written last, so an unfinished file has none
    with BigWigReader([path], {"a": 100}) as reader, pytest.raises(InputError, match="did not finish"):
        reader.read(intervals)
