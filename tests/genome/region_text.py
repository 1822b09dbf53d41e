"""Pieces of good and bad region files for the fuzz tests, and files made of them."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path

from hypothesis import strategies as st

from drg_hpc.errors import InputError
from drg_hpc.genome.regions import Region

NUMBERS = st.one_of(
    st.integers(-3, 60).map(str),
    st.sampled_from(
        ["", "1.5", "1e3", "x", "٣", "²", "+5", "1_000", str(2**40), str(2**40 + 1), "9" * 5000, "0007", "-0"]
    ),
)
CONTIGS = st.sampled_from(["chr1", "chr2", "1", "chrX", "chrUn_KI1", "", "chr 1", "chrα", "12"])
NAMES = st.sampled_from(["a", "b", "peak 1", ".", "", "naïve", "a\x07", "x\u2028y", "12"])
STRANDS = st.sampled_from(["+", "-", ".", "*", "?", "", "−"])
NOISE = st.sampled_from(["", " ", "\t", "# c", "#chr1\t1\t2", "track name=x", "browser y", "  # c", "junk", "a b c"])
ENDS = st.sampled_from(["\n", "\r\n"])


def write(folder: Path, content: str | bytes, name: str) -> Path:
    """A file, compressed when its name ends in .gz."""
    data = content.encode() if isinstance(content, str) else content
    path = folder / name
    path.write_bytes(gzip.compress(data, 1) if name.endswith(".gz") else data)
    return path


def outcome(read: Callable[[], Iterable[Region]]) -> list[Region] | str:
    """The regions, or the message of the error; any other exception is a failure of the test."""
    try:
        return list(read())
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 500
        return str(error)


def agrees(found: list[Region] | str, rows: list[tuple[object, ...]], fault: int | None) -> bool:
    """Whether a reader found what an oracle did: rows of (chrom, start, end, name, strand, line), or a faulty line."""
    if fault is not None:
        return isinstance(found, str) and f"line {fault}: " in found
    if not rows:
        return isinstance(found, str) and found.startswith("no regions in ")
    return [(r.chrom, r.start, r.end, r.name, r.strand, r.line) for r in found if isinstance(r, Region)] == rows
