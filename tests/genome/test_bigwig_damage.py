"""Truncated, altered and hostile bigWig files: an error that names the file, or the right numbers; never zeros."""

from __future__ import annotations

import resource
import struct
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from bigwig_writer import BED_GRAPH, FIXED_STEP, VAR_STEP, Section, write_bigwig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import TINY

from drg_hpc.errors import InputError
from drg_hpc.genome.bigwig_header import read_contigs, read_header
from drg_hpc.genome.bigwig_reader import BigWigReader, Intervals

TRACK = TINY / "tracks" / "ENCFF136DBS.bw"
CONTIGS = {f"w0{i}": 131072 for i in range(4)}
WHOLE = Intervals.of(list(CONTIGS), [0] * 4, [131072] * 4, contigs=CONTIGS)


def read_whole(path: Path) -> np.ndarray:
    with BigWigReader([path], CONTIGS) as reader:
        return reader.read(WHOLE, bins=1024, missing="mask", dtype=np.float64)


def test_contigs_without_pybigwig(tmp_path: Path) -> None:
    assert read_contigs(TRACK) == CONTIGS
    many = {f"contig_{i:05d}": i + 1 for i in range(3000)}  # more than one node of the tree
    with pyBigWig.open(str(tmp_path / "m.bw"), "w") as handle:
        handle.addHeader(list(many.items()))
        handle.addEntries(["contig_00005"], [0], ends=[2], values=[1.0])
    assert read_contigs(tmp_path / "m.bw") == many
    for content, message in ((b"", "not a bigWig"), (TRACK.read_bytes()[:80], "truncated"), (b"junk", "not a bigWig")):
        (tmp_path / "bad.bw").write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_contigs(tmp_path / "bad.bw")
    with pytest.raises(InputError, match="no such file"):
        read_contigs(tmp_path / "absent.bw")
    with pytest.raises(InputError, match="cannot read"):
        read_contigs(tmp_path)


def test_truncated_anywhere(tmp_path: Path) -> None:
    content, want = TRACK.read_bytes(), read_whole(TRACK)
    header = read_header(TRACK)
    lengths = {*range(0, 600, 7), *range(0, len(content), 97), *range(header.index - 5, len(content), 11)}
    failed = 0
    for length in sorted(lengths):
        path = tmp_path / "cut.bw"
        path.write_bytes(content[:length])
        try:
            got = read_whole(path)
        except InputError as error:
            assert "cut.bw" in str(error) and "\n" not in str(error)
            failed += 1
        else:
            assert length > header.index  # what is missing are summaries for browsers
            np.testing.assert_array_equal(got, want)
    assert failed > 200


SMALL = [
    Section(0, FIXED_STEP, [(float(i),) for i in range(60)], start=3, step=5, span=4),
    Section(0, BED_GRAPH, [(310 + 5 * i, 314 + 5 * i, 0.5 * i) for i in range(20)]),
    Section(1, VAR_STEP, [(10 + 7 * i, 1.0 + i) for i in range(30)], span=3),
]
SMALL_CONTIGS = {"a": 500, "b": 300}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), compress=st.booleans())
def test_altered_bytes_are_an_error_or_a_number(tmp_path: Path, data: st.DataObject, compress: bool) -> None:
    path = write_bigwig(tmp_path / "x.bw", SMALL_CONTIGS, SMALL, fan=2, compress=compress)
    intervals = Intervals.of(["a", "b"], [0, 0], [500, 300], contigs=SMALL_CONTIGS)
    with BigWigReader([path], SMALL_CONTIGS) as reader:
        want = reader.read(intervals, bins=4)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(4, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        with BigWigReader([path], SMALL_CONTIGS) as reader:
            got = reader.read(intervals, bins=4)
    except InputError as error:
        assert "x.bw" in str(error)
    else:
        assert got.shape == want.shape


def test_flipped_bits_in_compressed_data_are_found(tmp_path: Path) -> None:
    content, want = TRACK.read_bytes(), read_whole(TRACK)
    header, path = read_header(TRACK), tmp_path / "flip.bw"
    for at in range(header.data + 8, header.index, 211):
        altered = bytearray(content)
        altered[at] ^= 1 << (at % 8)
        path.write_bytes(altered)
        try:
            np.testing.assert_array_equal(read_whole(path), want)  # bits that mean nothing: as good as unaltered
        except InputError as error:
            assert "does not inflate" in str(error)


def patched(path: Path, at: int, form: str, *values: int) -> Path:
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, at, *values)
    path.write_bytes(content)
    return path


def test_sizes_are_checked_before_memory_is_asked_for(tmp_path: Path) -> None:
    def fresh() -> Path:
        return write_bigwig(tmp_path / "x.bw", SMALL_CONTIGS, SMALL, fan=4)

    header = read_header(fresh())
    index = header.index + 48 + 4  # the root is a leaf: its first item
    tree = header.index - 32 - 4 - 2 * 9
    faults = [
        (tree + 8, "<I", 2**31, "truncated or damaged bigWig file"),  # bytes of a name
        (tree + 16, "<Q", 2**60, "truncated or damaged bigWig file"),  # number of names
        (52, "<I", 2**32 - 1, ""),  # bytes of an inflated block: a hint only
        (24, "<Q", 2**63 + 5, "index at byte"),
        (index + 16, "<Q", 2**62, "contradicts itself"),
        (index + 24, "<Q", 10**11, "contradicts itself"),
        (index + 24, "<Q", header.size, f"a block of {header.size} bytes"),
        (header.index + 48 + 2, "<H", 65535, "index at byte"),
    ]
    intervals = Intervals.of(["a"], [0], [500], contigs=SMALL_CONTIGS)
    with BigWigReader([fresh()], SMALL_CONTIGS) as reader:  # so that nothing is compiled under the limit
        reader.read(intervals)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), hard))
    try:
        for at, form, value, message in faults:
            path = patched(fresh(), at, form, value)
            if not message:
                with BigWigReader([path], SMALL_CONTIGS) as reader:
                    assert reader.read(intervals, reduce="max")[0, 0] == 59
                continue
            with pytest.raises(InputError, match=message), BigWigReader([path], SMALL_CONTIGS) as reader:
                reader.read(intervals)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize(
    ("sections", "at", "value", "message"),
    [
        ([Section(0, BED_GRAPH, [(0, 10, 1.0), (5, 15, 2.0)])], None, b"", "overlap or are out of order"),
        ([Section(0, VAR_STEP, [(0, 1.0), (3, 2.0)], span=5)], None, b"", "overlap or are out of order"),
        ([Section(0, FIXED_STEP, [(1.0,), (2.0,)], step=2, span=5)], None, b"", "overlap or are out of order"),
        ([Section(0, BED_GRAPH, [(0, 10, 1.0)]), Section(0, BED_GRAPH, [(9, 15, 2.0)])], None, b"", "overlap"),
        ([Section(0, BED_GRAPH, [(5, 10, 1.0)])], 20, b"\7", "unknown type"),
        ([Section(0, BED_GRAPH, [(5, 10, 1.0)])], 22, b"\2", "shorter than its items"),
        ([Section(0, BED_GRAPH, [(5, 10, 1.0)])], 0, b"\1", "lies elsewhere than the index says"),
        ([Section(0, BED_GRAPH, [(5, 10, 1.0)])], 24, b"\4", "lies elsewhere than the index says"),
    ],
)
def test_faulty_sections(tmp_path: Path, sections: list[Section], at: int | None, value: bytes, message: str) -> None:
    path = write_bigwig(tmp_path / "x.bw", {"a": 100}, sections, compress=False)
    if at is not None:
        content = bytearray(path.read_bytes())
        content[72 + at : 73 + at] = value
        path.write_bytes(content)
    with BigWigReader([path], {"a": 100}) as reader, pytest.raises(InputError, match=f"x.bw: .*{message}.* at byte"):
        reader.read(Intervals.of(["a"], [0], [100], contigs={"a": 100}))


def test_loops_in_the_trees_end(tmp_path: Path) -> None:
    contigs = {f"c{i:02d}": 50 for i in range(20)}
    path = write_bigwig(tmp_path / "x.bw", contigs, [Section(i, BED_GRAPH, [(0, 5, 1.0)]) for i in range(20)], fan=20)
    header = read_header(path)
    root = header.index + 48
    content = bytearray(path.read_bytes())
    content[root : root + 4] = struct.pack("<BBH", 0, 0, 1)  # an inner node whose child is itself
    content[root + 4 : root + 28] = struct.pack("<IIIIQ", 0, 0, 19, 50, root)
    path.write_bytes(content)
    with BigWigReader([path], contigs) as reader, pytest.raises(InputError, match="deeper than 32 levels"):
        reader.read(Intervals.of(["c00"], [0], [5], contigs=contigs))
    names = path.read_bytes().index(b"c00") - 4
    content[names : names + 4] = struct.pack("<BBH", 0, 0, 5)
    for i in range(5):
        content[names + 4 + 11 * i : names + 15 + 11 * i] = b"c00" + struct.pack("<Q", names)
    path.write_bytes(content)
    with pytest.raises(InputError, match="truncated or damaged"):
        read_contigs(path)


def test_a_file_that_changes_or_vanishes(tmp_path: Path) -> None:
    path = write_bigwig(tmp_path / "x.bw", {"a": 100}, [Section(0, BED_GRAPH, [(5, 10, 1.0)])])
    intervals = Intervals.of(["a"], [0], [100], contigs={"a": 100})
    with BigWigReader([path], {"a": 100}) as reader:
        write_bigwig(path, {"a": 100}, [Section(0, BED_GRAPH, [(5, 10, 1.0), (20, 30, 1.0)])])
        with pytest.raises(InputError, match=r"x\.bw changed while it was in use"):
            reader.read(intervals)
        path.unlink()
        with pytest.raises(InputError, match=r"cannot open .*x\.bw: No such file"):
            reader.read(intervals)
