"""Windows, bins and their weights: base by base, mirrored, and as Borzoi's scripts have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.attribution.gene_windows import (
    Edge,
    Geometry,
    bin_weights,
    compat_exons,
    compat_window_at,
    middle,
    whole_bins,
    window_at,
)
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.regions import merged

GEOMETRIES = st.builds(
    lambda crop, size, bins: Geometry(2 * crop + size * bins, crop, size, bins),
    st.integers(0, 70), st.integers(1, 40), st.integers(1, 30),
)  # fmt: skip
INTERVALS = st.lists(st.tuples(st.integers(-300, 900), st.integers(1, 200)), min_size=1, max_size=5).map(
    lambda pairs: list(merged([(start, start + size) for start, size in pairs]))
)


def header(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "seq", "length": 512}], "bins": 24, "span": 384} | changes


def test_of_a_model() -> None:
    assert Geometry.of_model(header()) == Geometry(512, 64, 16, 24)
    assert Geometry.of_model(header(span=0, bins=16)) == Geometry(512, 0, 32, 16)
    published = header(inputs=[{"name": "seq", "length": 524288}], bins=6144, span=196608)
    assert Geometry.of_model(published) == Geometry(524288, 5120 * 32, 32, 6144)
    for changes, words in [
        ({"bins": 0}, "one value per track"),
        ({"bins": 7}, "7 bins of 384"),
        ({"span": 383, "bins": 383}, "no whole numbers"),
    ]:
        with pytest.raises(UsageError, match=words):
            Geometry.of_model(header(**changes))
    with pytest.raises(InputError, match="2 inputs"):
        Geometry.of_model(header(inputs=[{"name": "a", "length": 5}, {"name": "b", "length": 5}]))


@settings(deadline=None)
@given(GEOMETRIES, INTERVALS, st.integers(-200, 500))
def test_weights_count_bases(geometry: Geometry, intervals: list[tuple[int, int]], start: int) -> None:
    """Base by base; sums are bases."""
    first, last = geometry.output(start)
    wanted = np.zeros(geometry.bins)
    for begin, end in intervals:
        for position in range(begin, end):
            if first <= position < last:
                wanted[(position - first) // geometry.size] += 1 / geometry.size
    found = np.zeros(geometry.bins)
    for number, weight in bin_weights(intervals, start, geometry).items():
        assert 0 < weight <= 1
        found[number] = weight
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(GEOMETRIES, INTERVALS, st.integers(0, 999), st.integers(1000, 1010))
def test_a_mirrored_gene_has_the_mirrored_window(
    geometry: Geometry, intervals: list[tuple[int, int]], at: int, contig: int
) -> None:
    turned = [(contig - end, contig - start) for start, end in reversed(intervals)]
    assert middle(turned, "-") == contig - 1 - middle(intervals, "+")
    start = window_at(at, "+", geometry, contig=contig)
    other = window_at(contig - 1 - at, "-", geometry, contig=contig)
    assert other == contig - start - geometry.length
    weights, back = bin_weights(intervals, start, geometry), bin_weights(turned, other, geometry)
    assert weights == {geometry.bins - 1 - number: weight for number, weight in back.items()}


@settings(deadline=None)
@given(GEOMETRIES, st.integers(0, 999), st.sampled_from("+-"))
def test_windows_have_the_base_in_the_middle_and_their_bins_on_the_contig(
    geometry: Geometry, at: int, strand: str
) -> None:
    start = window_at(at, strand, geometry, contig=1000)
    first, last = geometry.output(start)
    before = at - start if strand == "+" else start + geometry.length - 1 - at
    if geometry.size * geometry.bins <= 1000:
        assert first >= 0 and last <= 1000
        assert before == geometry.length // 2 or first == 0 or last == 1000
    else:
        assert before == geometry.length // 2


def test_middle_is_the_mean_of_all_positions() -> None:
    for intervals in ([(3, 8)], [(3, 9)], [(0, 4), (100, 103)], [(5, 6), (7, 12), (90, 91)]):
        positions = [p for start, end in intervals for p in range(start, end)]
        assert middle(intervals, "+") == int(np.floor(np.mean(positions)))
        assert middle(intervals, "-") == int(np.ceil(np.mean(positions)))


BORZOI = Geometry(524288, 16 * 32, 32, 16352)


@settings(deadline=None)
@given(st.integers(0, 2_000_000), st.integers(200, 250_000), st.booleans(), st.sampled_from(["site", "junction"]))
def test_compat_sides_are_those_of_the_scripts(at: int, base: int, plus: bool, kind: Any) -> None:
    """By the published formulas, with numpy's rounding: a site is [P, P + 1), a junction ends where it starts."""
    start = compat_window_at(at, BORZOI)
    o, s, place = start + 32 * 16, 32, base + at + 1
    end = place + 1 if kind == "site" else place
    r0, r1 = int(np.round(max(0, place - o) / s)), int(np.round(max(0, end - o) / s))
    up, down = (4, 5) if kind == "site" else (3, 3)
    wanted = {
        (True, "site"): ((r0 - 3, r0 + 1), (r1 + 1, r1 + 6)),
        (False, "site"): ((r1, r1 + 4), (r0 - 5, r0)),
        (True, "junction"): ((r0 - 2, r0 + 1), (r1 + 1, r1 + 4)),
        (False, "junction"): ((r1, r1 + 3), (r0 - 3, r0)),
    }[plus, kind]
    found = Edge(place - 1, plus, kind).compat_sides(start, BORZOI)
    assert found == wanted and [b - a for a, b in found] == [up, down]
    inside = bin_weights(whole_bins([wanted[0]], start, BORZOI), start, BORZOI)
    assert list(inside) == [b for b in range(*wanted[0]) if 0 <= b < BORZOI.bins] and set(inside.values()) <= {1.0}


@settings(deadline=None)
@given(INTERVALS, st.integers(-100, 300))
def test_compat_exons_are_those_of_the_scripts(intervals: list[tuple[int, int]], start: int) -> None:
    geometry = Geometry(640, 64, 16, 32)
    o, s = start + 64, 16
    wanted = set[int]()
    for a, b in intervals:
        first, last = int(np.floor(max(0, a - o) / s)), int(np.ceil(max(0, b - o) / s))
        wanted |= set(np.arange(first, last).clip(0, 31)) if first < 32 else set()
    found = bin_weights(
        whole_bins(compat_exons(intervals, start, geometry, span=False), start, geometry), start, geometry
    )
    assert set(found.values()) <= {1.0} and set(found) == {b for b in wanted if b < 32}
    whole = (intervals[0][0], intervals[-1][1])
    first, last = (int(np.round(max(0, place - o) / s)) for place in whole)
    spanned = whole_bins(compat_exons([whole], start, geometry, span=True), start, geometry)
    assert list(bin_weights(spanned, start, geometry)) == [b for b in range(first, last) if b < 32]


def test_compat_windows_begin_no_earlier_than_the_first_bin() -> None:
    assert compat_window_at(500_000, BORZOI) == 500_000 - 262_144
    assert compat_window_at(1000, BORZOI) == -512


@pytest.mark.parametrize("left", [True, False])
def test_sides_meet_at_the_edge(left: bool) -> None:
    up, down = Edge(100, left, "site").sides((128, 160))
    assert (up, down) == (((-27, 101), (101, 261)) if left else ((100, 228), (-60, 100)))
    bounded = Edge(100, left, "junction", before=(80, 120), behind=(90, 110)).sides((96, 96))
    assert bounded == (((80, 101), (101, 110)) if left else ((100, 120), (90, 100)))
