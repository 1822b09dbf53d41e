"""Designs, words, sites, backgrounds and statistics of drg-marginalize."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from drg_hpc.errors import UsageError
from drg_hpc.experiments.background import independent
from drg_hpc.experiments.marginal_backgrounds import draw_rows, random_backgrounds, shuffled
from drg_hpc.experiments.marginal_designs import Designs, Item, Site, consensus, insertions_of
from drg_hpc.experiments.marginal_sites import Sites, put
from drg_hpc.experiments.marginal_statistics import Summaries
from drg_hpc.experiments.marginal_words import ORIENTATIONS, parse_numbers, parse_orientations, parse_sequence
from drg_hpc.genome.onehot import decode, encode

ENDS = st.integers(1, 300)
PARTS = st.lists(
    st.one_of(st.integers(0, 400), st.tuples(*[st.none() | st.integers(0, 400)] * 2, st.none() | st.integers(0, 60))),
    min_size=1, max_size=4,
)  # fmt: skip


def as_text(part: int | tuple[int | None, ...]) -> str:
    if isinstance(part, int):
        return str(part)
    first, last, step = ("" if each is None else str(each) for each in part)
    return f"{first}:{last}" + (f":{step}" if step else "")


@given(parts=PARTS, end=ENDS)
def test_numbers_are_those_of_python(parts: list[int | tuple[int | None, ...]], end: int) -> None:
    """Every text either gives what range() gives, all of it below the end, or is refused for a reason it has."""
    wanted: list[int] = []
    wrong = False
    for part in parts:
        if isinstance(part, int):
            own: list[int] | range = [part]
        else:
            first, last, step = part
            own = [] if step == 0 else range(first or 0, end if last is None else last, step or 1)
        wrong |= not own or max(own) >= end
        wanted += own
    text = ", ".join(map(as_text, parts))
    if wrong:
        with pytest.raises(UsageError, match="--x ") as caught:
            parse_numbers(text, flag="--x", end=end, why="why")
        assert "\n" not in str(caught.value)
    else:
        assert parse_numbers(text, flag="--x", end=end, why="why") == tuple(dict.fromkeys(wanted))


@given(st.text(alphabet="0123456789:,- ab", max_size=12))
def test_any_text_is_numbers_or_refused(text: str) -> None:
    try:
        found = parse_numbers(text, flag="--x", end=50, why="why")
    except UsageError:
        return
    assert found and all(0 <= number < 50 for number in found)


@given(st.lists(st.sampled_from(ORIENTATIONS), max_size=6))
def test_orientations(words: list[str]) -> None:
    wanted = tuple(dict.fromkeys(words)) or ORIENTATIONS
    letters = [word.replace("+", "f").replace("-", "r") for word in words]
    for each in (words, letters, [",".join(words)], [" ".join(letters)]):
        if each and not words:
            with pytest.raises(UsageError, match="--orientations '': no strands"):
                parse_orientations(each)
        else:
            assert parse_orientations(each) == wanted


def test_sequences() -> None:
    assert parse_sequence("acgtn") == Item("ACGTN", "ACGTN")
    assert parse_sequence("Ebox=CANNTG") == Item("Ebox", "CANNTG")
    for text in ("", "x=", "ACGU", "E box=ACG", "=ACG"):
        with pytest.raises(UsageError, match=f"--sequences {text!r}: "):
            parse_sequence(text)


def test_the_consensus_says_nothing_where_the_matrix_does_not() -> None:
    rows = [(0.1, 0.2, 0.3, 0.4), (0.25, 0.25, 0.25, 0.25), (0.4, 0.4, 0.1, 0.1), (0, 1, 0, 0)]
    assert consensus(rows) == "TNAC"


def test_a_pair_with_itself_has_two_sites() -> None:
    designs = Designs("spacing", 40, (Item("m", "ACG"),), (), (), ((0, 0),), ("+-",), (4,))
    assert designs[0] == (Site(0, 15, "+"), Site(0, 22, "-", second=True)) and len(designs) == 1
    assert insertions_of(designs[0]) == (designs[0], designs[0][:1], designs[0][1:])
    assert Designs.from_params(designs.as_params(), length=40) == designs
    with pytest.raises(IndexError):
        designs[1]
    matrix = np.full((3, 4), 0.25)
    sites = Sites(designs.items, {0: matrix}, rows=np.arange(200), copies=np.zeros(200, np.int64), seed=0)
    left, right = (sites.bases(Site(0, 0, "+", second)) for second in (False, True))
    assert 0.15 < (left == right).mean() < 0.35
    np.testing.assert_array_equal(sites.bases(Site(0, 9, "-")), 3 - left[:, ::-1])


def test_sites_are_drawn_from_the_matrix() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.dirichlet([0.5] * 4, 6)
    matrix[2] = (0, 0, 1, 0)
    rows = np.arange(20_000)
    sites = Sites([Item("m", "ACGTAC")], {0: matrix}, rows=rows // 2, copies=rows % 2, seed=1)
    drawn = sites.bases(Site(0, 0))
    shares = np.stack([(drawn == base).mean(axis=0) for base in range(4)], axis=1)
    assert (np.abs(shares - matrix) < 4.5 * np.sqrt(matrix * (1 - matrix) / len(rows)) + 1e-9).all()
    assert (drawn[:, 2] == 2).all() and (drawn[::2] != drawn[1::2]).any()  # two shuffles of a row are two backgrounds
    some = Sites([Item("m", "ACGTAC")], {0: matrix}, rows=rows[70:90] // 2, copies=rows[70:90] % 2, seed=1)
    np.testing.assert_array_equal(some.bases(Site(0, 5)), drawn[70:90])


def test_n_keeps_the_background_on_either_strand() -> None:
    codes = np.stack([encode(b"AAAAAAAAAA"), encode(b"CCCCCCCCCN")])
    sites = Sites([Item("m", "GNNAC")], {}, rows=np.arange(2), copies=np.zeros(2, np.int64), seed=0)
    texts = [decode(row).decode() for strand in "+-" for row in put(codes, sites, (Site(0, 5, strand),))]
    assert texts == ["AAAAAGAAAC", "CCCCCGCCAC", "AAAAAGTAAC", "CCCCCGTCCC"]


def test_backgrounds() -> None:
    rows = np.arange(500) * 3
    drawn = draw_rows(rows, 40, seed=1)
    assert len(set(drawn.tolist())) == 40 and drawn.tolist() == sorted(drawn.tolist())
    assert set(drawn.tolist()) < set(draw_rows(rows, 80, seed=1).tolist())
    assert draw_rows(rows, 500, seed=1).tolist() == list(range(500))
    assert abs(drawn.mean() - 250) < 120 and not np.array_equal(drawn, draw_rows(rows, 40, seed=2))
    codes = np.random.default_rng(0).integers(0, 5, (6, 200)).astype(np.uint8)
    numbers, copies = np.array([5, 5, 7, 8, 9, 9]), np.array([0, 1, 0, 0, 0, 1])
    for how in ("mono", "dinuc"):
        found = shuffled(codes, numbers, copies, how=how, seed=0)
        np.testing.assert_array_equal(found == 4, codes == 4)
        np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(codes, axis=1))
        np.testing.assert_array_equal(shuffled(codes[2:4], numbers[2:4], copies[2:4], how=how, seed=0), found[2:4])
        assert (found != codes).any() and (found != shuffled(codes, numbers, copies, how=how, seed=1)).any()
    assert shuffled(codes, numbers, copies, how="none", seed=0) is codes
    made = random_backgrounds(np.arange(50), independent((0.1, 0.2, 0.3, 0.4)), length=1000, seed=0)
    shares = np.bincount(made.ravel(), minlength=4) / made.size
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.3, 0.4], atol=0.01)
    np.testing.assert_array_equal(
        random_backgrounds(np.arange(20, 30), independent((0.1, 0.2, 0.3, 0.4)), length=1000, seed=0), made[20:30]
    )


def test_statistics() -> None:
    """Against plain calculations, with values that are not finite, ties, zeros and too few."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.3, 1, (40, 6))
    values[:3, 1] = np.nan
    values[:, 2] = values[:, 2].round(1)
    values[:, 3] = 0
    values[5:, 4] = np.inf
    found = Summaries(40, seed=0).of(values)
    for column in range(6):
        own = values[np.isfinite(values[:, column]), column]
        assert found["count"][column] == len(own)
        assert found["mean"][column] == pytest.approx(own.mean()) and found["sd"][column] == pytest.approx(
            own.std(ddof=1)
        )
        if len(own) < 6:
            assert np.isnan([found[name][column] for name in ("low", "high", "p")]).all()
            continue
        assert found["p"][column] == (pytest.approx(wilcoxon(own).pvalue) if own.any() else 1)
        means = [rng.choice(own, len(own)).mean() for _ in range(4000)]
        ends = np.quantile(means, [0.025, 0.975])
        np.testing.assert_allclose([found["low"][column], found["high"][column]], ends, atol=0.04)
    many = rng.normal(0, 1, (3000, 1))
    wide = Summaries(3000, seed=0).of(many)
    assert float(wide["high"][0] - wide["mean"][0]) == pytest.approx(1.96 * many.std(ddof=1) / np.sqrt(3000))


def test_rounding_is_not_significant() -> None:
    noise = np.random.default_rng(0).normal(1e-7, 1e-8, (50, 2))
    noise[:, 1] *= 1e6
    p = Summaries(50, seed=0).of(noise, rounding=np.full(2, 3e-6))["p"]
    assert p[0] == 1 and p[1] < 1e-8
