from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drg_hpc.genome.bed import read_bed
from drg_hpc.genome.regions import (
    Anchor,
    Region,
    bases_of,
    centred,
    merged,
    parse_region,
    resize,
    spliced_pieces,
    tss_of,
    window,
)

GENOME = "".join("ACGT"[(i * i // 7 + i) % 4] for i in range(400))
TURNED = str.maketrans("ACGT", "TGCA")


def along(region: Region) -> str:
    """The sequence of a region along its strand, by plain slicing."""
    text = "".join(GENOME[start:end] for start, end in region.blocks or ((region.start, region.end),))
    return text[::-1].translate(TURNED) if region.strand == "-" else text


def test_headers_as_regions() -> None:
    assert parse_region("chr1:10-20", 10) == Region("chr1", 10, 20, "chr1:10-20")
    assert parse_region("chr1:10-20", 11) == Region("chr1", 9, 20, "chr1:10-20")  # samtools: 1-based, closed
    assert parse_region("p::chr1:10-20(-)", 10) == Region("chr1", 10, 20, "p::chr1:10-20(-)", "-")
    assert parse_region("chr1:10-20", 12) is None
    assert parse_region("peak1", 12) is None


def test_lines_do_not_tell_regions_apart() -> None:
    assert Region("c", 1, 2, "n", line=3) == Region("c", 1, 2, "n", line=4)
    assert len({Region("c", 1, 2, "n", line=3), Region("c", 1, 2, "n", line=4), Region("c", 1, 3, "n")}) == 2


@given(st.integers(0, 1000), st.integers(1, 500), st.integers(1, 700))
def test_centring_keeps_the_middle(start: int, size: int, length: int) -> None:
    region = centred(Region("c", start, start + size, "n"), length)
    assert region.end - region.start == length
    assert abs((region.start + region.end) - (2 * start + size)) <= 1
    assert centred(Region("c", start, start + size, "n"), size).start == start


@pytest.mark.parametrize(
    ("anchor", "strand", "even", "odd"),
    [
        ("centre", "+", (147, 153), (148, 153)),
        ("centre", "-", (147, 153), (148, 153)),
        ("start", "+", (100, 106), (100, 105)),
        ("start", ".", (100, 106), (100, 105)),
        ("start", "-", (195, 201), (196, 201)),
        ("summit", "+", (117, 123), (118, 123)),
        ("summit", "-", (117, 123), (118, 123)),
        ("tss", "+", (97, 103), (98, 103)),
        ("tss", "-", (198, 204), (198, 203)),
    ],
)
def test_anchors(anchor: Anchor, strand: str, even: tuple[int, int], odd: tuple[int, int]) -> None:
    region = Region("c", 100, 201, "n", strand, summit=20)
    assert window(region, 6, anchor) == even
    assert window(region, 5, anchor) == odd
    assert (resize(region, 6, anchor).start, resize(region, 6, anchor).end) == even
    assert resize(region, 6, anchor).summit == (120 - even[0] if even[0] <= 120 < even[1] else -1)


@given(start=st.integers(150, 200), size=st.integers(1, 50), length=st.integers(1, 120), strand=st.sampled_from("+-"))
def test_the_tss_stands_in_the_middle_of_the_oriented_sequence(start: int, size: int, length: int, strand: str) -> None:
    region = Region("c", start, start + size, "n", strand)
    first = along(region)[0]
    tss, begun = resize(region, length, "tss"), resize(region, length, "start")
    assert along(tss)[length // 2] == first
    assert along(begun)[: min(size, length)] == along(region)[: min(size, length)]
    assert tss.start <= tss_of(region) < tss.end


_BLOCKS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 20)), min_size=1, max_size=6)


@given(steps=_BLOCKS, length=st.integers(1, 150), strand=st.sampled_from("+-"))
def test_spliced_regions_are_cut_at_the_3_prime_end(steps: list[tuple[int, int]], length: int, strand: str) -> None:
    blocks, position = [], 10
    for gap, size in steps:
        blocks.append((position + gap, position + gap + size))
        position += gap + size
    region = Region("c", blocks[0][0], blocks[-1][1], "t", strand, blocks=tuple(blocks))
    pieces, missing = spliced_pieces(region, length)
    cut = resize(region, length)
    whole = along(region)
    assert bases_of(region) == len(whole)
    assert along(cut) == whole[:length]
    assert missing == max(0, length - len(whole))
    assert tuple(pieces) == cut.blocks
    assert (cut.start, cut.end) == (pieces[0][0], pieces[-1][1])
    assert all(a < b <= c for (a, b), (c, _) in zip(pieces, [*pieces[1:], (10**9, 0)], strict=True))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=8), st.booleans())
def test_merging(steps: list[tuple[int, int]], touching: bool) -> None:
    intervals = [(start, start + size) for start, size in steps]
    found = list(merged(intervals, touching=touching))
    assert {p for a, b in found for p in range(a, b)} == {p for a, b in intervals for p in range(a, b)}
    assert all(b < c or (b == c and not touching) for (_, b), (c, _) in pairwise(found))


def test_touching_intervals_may_stay_apart() -> None:
    assert list(merged([(5, 9), (0, 5), (8, 12)], touching=False)) == [(0, 5), (5, 12)]
    assert list(merged([(5, 9), (0, 5), (8, 12)])) == [(0, 12)]


def test_a_region_takes_less_than_350_bytes(tmp_path: Path) -> None:
    rows = [
        f"chr{i % 22}\t{i * 1000003 % 240000000}\t{i * 1000003 % 240000000 + 500}\tpeak_{i}\n" for i in range(20_000)
    ]
    (tmp_path / "x.bed").write_text("".join(rows))
    tracemalloc.start()
    found = list(read_bed(tmp_path / "x.bed"))
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / len(found) < 350
