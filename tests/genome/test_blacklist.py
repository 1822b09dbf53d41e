from __future__ import annotations

from pathlib import Path

import pytest
from genome.region_text import write
from hypothesis import given
from hypothesis import strategies as st

from drg_hpc.errors import InputError
from drg_hpc.genome.blacklist import Blacklist
from drg_hpc.genome.regions import Region

CONTIGS = {"chr1": 1000, "chr2": 500}


def test_names_and_lines(tmp_path: Path) -> None:
    one = write(tmp_path, "# c\n1\t10\t20\nchrUn\t0\t9\n", "one.bed")
    two = write(tmp_path, "chr1\t15\t40\nchr2\t0\t5\n", "two.bed.gz")
    found = Blacklist([one, two], CONTIGS)
    assert found.find("chr1", 0, 10) == "" and found.find("chr1", 40, 50) == "" and found.find("chr3", 0, 9) == ""
    assert found.find("chr1", 19, 20) == "one.bed:2"
    assert found.find("chr1", 20, 21) == "two.bed.gz:1"
    assert found.find("chr2", 4, 400) == "two.bed.gz:2"
    assert found.hit(Region("chr1", 0, 100, "t", blocks=((0, 10), (40, 100)))) == ""
    assert found.hit(Region("chr1", 0, 100, "t", blocks=((0, 10), (39, 100)))) == "two.bed.gz:1"
    assert {chrom: list(flat) for chrom, flat in found.intervals.items()} == {"chr1": [10, 20, 15, 40], "chr2": [0, 5]}
    assert Blacklist([], CONTIGS).find("chr1", 0, 1000) == ""


def test_faulty_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.bed: line 1: negative start"):
        Blacklist([write(tmp_path, "chr1\t-1\t5\n", "x.bed")], CONTIGS)
    with pytest.raises(InputError, match="shares no contig with the genome"):
        Blacklist([write(tmp_path, "scaffold\t1\t5\n", "x.bed")], CONTIGS)


_INTERVALS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), min_size=1, max_size=12)


@given(listed=_INTERVALS, asked=_INTERVALS)
def test_every_overlap_is_found(
    tmp_path_factory: pytest.TempPathFactory, listed: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    text = "".join(f"chr1\t{start}\t{start + size}\n" for start, size in listed)
    found = Blacklist([write(tmp_path_factory.mktemp("b"), text, "b.bed")], CONTIGS)
    for start, size in asked:
        hits = {f"b.bed:{i}" for i, (a, n) in enumerate(listed, 1) if a < start + size and start < a + n}
        answer = found.find("chr1", start, start + size)
        assert answer in hits if hits else answer == ""
