"""Which rows, tracks and positions drg-plot takes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report.attribution_files import CHROM, START, regions_of

from drg_hpc.errors import InputError, UsageError
from drg_hpc.report.places import Place
from drg_hpc.report.plot_choice import Chosen, choose_regions, choose_tracks, choose_window
from drg_hpc.report.plot_config import Window, parse_window
from drg_hpc.report.windows import strongest_window


@pytest.fixture
def regions() -> pd.DataFrame:
    found = regions_of(6, 100)
    found["name"] = ["a", "b,c", "twice", "twice", "4", "gone"]
    found.loc[5, ["kept", "reason"]] = (False, "outside the contig")
    return found


def test_by_name_number_and_interval(regions: pd.DataFrame) -> None:
    assert choose_regions(["a, 1", "b,c"], regions) == [Chosen(0), Chosen(1), Chosen(1)]
    assert choose_regions(["4"], regions) == [Chosen(4)]  # a name before a number
    start = START + 10_000
    assert choose_regions([f"{CHROM}:{start}-{start + 100}"], regions) == [Chosen(1)]
    assert choose_regions([f"{CHROM}:{start + 3}-{start + 9}"], regions) == [Chosen(1, (start + 3, start + 9))]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("twice", UsageError, "the name of 2 rows; give the number of one: 2, 3"),
        ("6", InputError, "rows 0 to 5"),
        ("gome", InputError, "did you mean 'gone'"),
        ("zzz", InputError, "row numbers and chrom:start-end will do too"),
        ("gone", InputError, r"'gone' \(row 5\) was not attributed: outside the contig"),
        (f"{CHROM}:{START + 50_000}-{START + 50_100}", InputError, "outside the contig"),
        (f"{CHROM}:{START + 50_001}-{START + 50_090}", InputError, "no region of the file holds it"),
        (f"{CHROM}:{START}-{START + 101}", InputError, "no region of the file holds it"),
        (f"chr1:{START}-{START + 5}", InputError, "no region of the file holds it"),
        (f"{CHROM}:9-9", UsageError, "behind the start"),
        (" , ", UsageError, "nothing is named"),
    ],
)
def test_no_such_region(regions: pd.DataFrame, text: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        choose_regions([text], regions)


def test_by_gene(regions: pd.DataFrame) -> None:
    genes = regions.assign(
        gene_name=["UP", "UP", "DOWN", "", "7", "DOWN"], gene_id=["E1.4", "E1.4", "E2.11", "E3.1_PAR_Y", "E4", "E2.11"],
        choice=["exon 1, number 1 of T", "1 exons", "", "", "", ""],
    )  # fmt: skip
    assert choose_regions(["DOWN,E2,E2.11", "E3_PAR_Y"], genes) == [Chosen(2), Chosen(2), Chosen(2), Chosen(3)]
    assert choose_regions(["7"], genes) == [Chosen(4)] and choose_regions(["a"], genes) == [Chosen(0)]
    for text in ("UP", "E1", "E1.4"):
        with pytest.raises(UsageError, match=f"--regions {text}: the gene of 2 rows") as caught:
            choose_regions([text], genes)
        assert "the number of one: 0 (exon 1, number 1 of T); 1 (1 exon)" in str(caught.value)
    with pytest.raises(InputError, match="did you mean 'DOWN'"):
        choose_regions(["DOWNN"], genes)
    with pytest.raises(InputError, match=r"'gone' \(row 5\) was not attributed: outside the contig"):
        choose_regions(["LOST"], genes.assign(gene_name=[*"UVWXY", "LOST"]))


def test_shuffles_lie_nowhere(regions: pd.DataFrame) -> None:
    doubled = pd.concat([regions, regions.assign(origin="dinuc", name="s")], ignore_index=True)
    assert choose_regions([f"{CHROM}:{START}-{START + 100}"], doubled) == [Chosen(0)]
    doubled.loc[7, "origin"] = "gc"  # a genomic window of its own
    with pytest.raises(UsageError, match="the interval of 2 rows; give the number of one: 1, 7"):
        choose_regions([f"{CHROM}:{START + 10_000}-{START + 10_100}"], doubled)


def test_tracks_keep_the_order_asked_for() -> None:
    known = ["x", "y, z", "w"]
    assert choose_tracks("all", known) == known
    assert choose_tracks("w, x", known) == ["w", "x"]
    assert choose_tracks("y, z", known) == ["y, z"]
    assert choose_tracks("all", ["all", "x"]) == ["all"]
    with pytest.raises(UsageError, match="no track 'v'"):
        choose_tracks("v", known)
    with pytest.raises(UsageError, match="named twice"):
        choose_tracks("x,x", known)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_windows_are_read(first: int, last: int) -> None:
    if first < last:
        assert parse_window(f"{first}-{last}") == Window("span", first, last)
    else:
        with pytest.raises(ValueError):
            parse_window(f"{first}-{last}")


@given(st.text(alphabet="0123456789-:abstronge", max_size=14))
def test_nothing_else_is_a_window(text: str) -> None:
    try:
        found = parse_window(text)
    except ValueError:
        return
    assert found.kind == "all" or found.last > found.first


@given(st.integers(0, 1000), st.integers(1, 400), st.booleans(), st.data())
def test_positions_and_coordinates_are_inverse(start: int, length: int, flipped: bool, data: st.DataObject) -> None:
    place = Place("r", "chr1", start, start + length, flipped, False, length)
    first = data.draw(st.integers(0, length - 1))
    last = data.draw(st.integers(first + 1, length))
    begin, end = place.span(first, last)
    assert place.positions(begin, end) == (first, last)
    bases = np.arange(start, start + length)  # of the genome, in the order of the sequence
    held = (bases[::-1] if flipped else bases)[first:last]
    assert (held.min(), held.max() + 1) == (begin, end)


def test_a_place_in_words() -> None:
    place = Place("r", "chr1", 1000, 1100, True, False, 100)
    assert place.words(0, 10) == "chr1:1,090–1,100 (reverse strand)"
    assert Place("r", "chr1", 0, 10, False, True, 10).words(2, 4) == "r (shuffled), bases 2–4"
    assert Place("t", "chr1", 0, 500, False, False, 10).words(2, 4) == "t, bases 2–4"  # joined exons


@given(st.integers(1, 120), st.integers(1, 140), st.integers(0, 2**31))
def test_the_strongest_window_is_around_the_strongest_stretch(length: int, width: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(2, length))
    width = min(width, length)
    first, last = strongest_window(values, width)
    assert 0 <= first < last <= length and last - first == width
    stretch = min(30, length)
    sums = [sum(abs(row[i : i + stretch].sum()) for row in values) for i in range(length - stretch + 1)]
    middle = int(np.argmax(sums)) + stretch // 2
    assert first == min(max(middle - width // 2, 0), length - width)


def test_windows_of_a_row() -> None:
    place = Place("r", "chr1", 1000, 1160, True, False, 160)
    values = np.zeros((1, 160))
    values[0, 130:140] = 1.0
    ask = {"values": values, "what": "region 'r'"}
    first, last = choose_window(None, Chosen(0), place, **ask)
    assert last - first == 100 and first <= 130 and last >= 140
    assert choose_window("all", Chosen(0), place, **ask) == (0, 160)
    assert choose_window("strongest:500", Chosen(0), place, **ask) == (0, 160)
    assert choose_window("3-9", Chosen(0), place, **ask) == (3, 9)
    assert choose_window(None, Chosen(0, (1000, 1004)), place, **ask) == (156, 160)
    with pytest.raises(UsageError, match="--window 3-161: region 'r' has 160 bases"):
        choose_window("3-161", Chosen(0), place, **ask)
    with pytest.raises(UsageError, match="leave out --window all"):
        choose_window("all", Chosen(0, (1000, 1004)), place, **ask)
    spliced = Place("t", "chr1", 1000, 1900, False, False, 160)
    with pytest.raises(UsageError, match="no coordinates"):
        choose_window(None, Chosen(0, (1000, 1004)), spliced, **ask)
