"""Parts of the extraction of modisco-lite against numpy over the whole array, and any cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drg_hpc.errors import InputError, UsageError
from drg_hpc.interpretation.isotonic import cutoff
from drg_hpc.interpretation.seqlet_methods import call_seqlets
from drg_hpc.interpretation.sorted_pieces import SortedPieces
from drg_hpc.interpretation.tfmodisco import TfmodiscoRule, drawn_places, find_thresholds, laplace_null, window_sums

FLOATS = arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e30, 1e30))


@settings(max_examples=60, deadline=None)
@given(values=FLOATS, cut=st.integers(0, 40), value=st.floats(-1e30, 1e30))
def test_pieces_are_the_whole(values: np.ndarray, cut: int, value: float) -> None:
    pieces = SortedPieces([np.sort(values[:cut]), np.sort(values[cut:])])
    ordered = np.sort(values)
    n = len(values)
    assert pieces.order(range(n)) == tuple(ordered.tolist())
    probes = np.array([value, *values])
    np.testing.assert_array_equal(pieces.count_below(probes), [(values < p).sum() for p in probes])
    np.testing.assert_array_equal(pieces.count_up_to(probes), [(values <= p).sum() for p in probes])
    assert pieces.count_absolute_below(abs(value)) == (np.abs(values) < abs(value)).sum()
    assert [pieces.order_absolute(i) for i in range(n)] == np.sort(np.abs(values)).tolist()
    percents = np.array([0, 5, 37, 50, 95, 100])
    np.testing.assert_array_equal(pieces.percentiles(percents, 0, n), np.percentile(values, percents))


def noise(rows: int = 200, length: int = 120) -> np.ndarray:
    rng = np.random.default_rng(3)
    values = rng.laplace(0, 1, (rows, length))
    values[:, 40:52] += 1.5
    values[::2, 80:90] -= 2
    return values


def test_thresholds_do_not_depend_on_the_pieces() -> None:
    rule = TfmodiscoRule(core=11, flank=3)
    sums = window_sums(noise(), rule.core)
    whole = find_thresholds(rule, SortedPieces([np.sort(sums.reshape(-1))]), sums.reshape(-1))
    assert -40 < whole.negative < 0 < whole.positive < 40
    for cuts in ([1], [17, 18, 150]):
        pieces = SortedPieces([np.sort(part.reshape(-1)) for part in np.split(sums, cuts)])
        assert find_thresholds(rule, pieces, np.random.default_rng(1).permutation(sums.reshape(-1))) == whole


def test_null_has_the_tails_of_the_sums() -> None:
    """Draws from a Laplace distribution give its scale back, to what the steepest percentile adds."""
    sums = np.random.default_rng(4).laplace(0.5, 2, 400_000)
    positive, negative = laplace_null(SortedPieces([np.sort(sums)]))
    assert len(positive) + len(negative) == 10_000
    assert positive.mean() == pytest.approx(2.3, rel=0.12) and -negative.mean() == pytest.approx(2, rel=0.12)


def test_draw_is_that_of_a_choice_without_replacement() -> None:
    values = np.random.default_rng(5).normal(size=5000)
    chosen = np.random.RandomState(1234).choice(a=values, size=700, replace=False)
    np.testing.assert_array_equal(np.sort(values[drawn_places(5000, 700)]), np.sort(chosen))
    np.testing.assert_array_equal(drawn_places(10, 10), np.arange(10))


def test_cutoff_on_a_case_by_hand() -> None:
    """Null 1..4 of weight 2 each among 8 real sums: blocks of 0.2, and real ones only above 4."""
    real, null = np.array([0.5, 1.5, 2.5, 3.5, 5.0, 6.0, 7.0, 8.0]), np.array([1.0, 2.0, 3.0, 4.0])
    assert cutoff(real, null, increasing=True, fdr=0.2) == 5.0
    assert cutoff(-real, -null, increasing=False, fdr=0.2) == -5.0
    assert cutoff(real[:0], null, increasing=True, fdr=0.2) == np.inf
    assert cutoff(-real, null[:0], increasing=False, fdr=0.2) == -np.inf


def test_windows_are_taken_strongest_first_and_apart() -> None:
    values = noise()
    found = call_seqlets(values, "tfmodisco", core=11, flank=3)
    assert (found["end"] - found["start"] == 17).all() and found["start"].min() >= 0 and found["end"].max() <= 120
    for _, row in found.groupby("row"):
        assert (np.diff(row["start"]) > int(0.5 * 11) + 3).all()
    core = [values[r.row, r.start + 3 : r.end - 3].sum() for r in found.itertuples()]
    np.testing.assert_allclose(found["attribution"], core)
    assert ((found["sign"] == 0) | (np.sign(found["attribution"]) == found["sign"])).all()
    assert len(call_seqlets(values, "tfmodisco", core=11, flank=0)) > len(found)  # modisco-lite calls none then


def test_one_sign_only_and_nothing() -> None:
    above = np.abs(noise()) + 0.1
    found = call_seqlets(above, "tfmodisco", core=11, flank=3)
    assert len(found) and (found["sign"] >= 0).all()
    assert len(call_seqlets(-above, "tfmodisco", core=11, flank=3)) == len(found)
    for flat in (np.zeros((3, 30)), np.zeros((0, 30))):
        assert call_seqlets(flat, "tfmodisco").empty


def test_bad_settings() -> None:
    with pytest.raises(UsageError, match="longer than the rows"):
        call_seqlets(np.zeros((2, 9)), "tfmodisco")
    with pytest.raises(InputError, match="NaN"):
        call_seqlets(np.full((2, 30), np.nan), "tfmodisco")
    for bad in ({"core": 0}, {"flank": -1}, {"fdr": 1}, {"weak": 1}, {"min_passing": 0.5}):
        with pytest.raises(UsageError):
            call_seqlets(np.zeros((2, 30)), "tfmodisco", **bad)
