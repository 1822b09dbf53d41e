"""Backgrounds: frequencies, and chains counted from FASTA against a plain count of neighbours."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.errors import InputError, UsageError
from drg_hpc.experiments.background import (
    Background,
    _pairs,
    dinucleotides,
    fasta_of,
    parse_frequencies,
    read_background,
)


@settings(max_examples=300, deadline=None)
@given(st.text("ACGTacgtNR", max_size=60))
def test_neighbours_are_counted_with_overlaps(text: str) -> None:
    want = np.zeros((4, 4), int)
    for a, b in pairwise(text.upper()):
        if a in "ACGT" and b in "ACGT":
            want["ACGT".index(a), "ACGT".index(b)] += 1
    assert _pairs(text.encode()) == want.tolist()


def test_chain_of_a_fasta(tmp_path: Path) -> None:
    """Pairs do not reach from one sequence to the next."""
    path = tmp_path / "x.fa.gz"
    path.write_bytes(gzip.compress(b">a\nAAC\nGT\n>b\ntgca\n>c\nTTTG\n"))
    found = dinucleotides(path)
    counts = np.zeros((4, 4))
    for text in ("AACGT", "TGCA", "TTTG"):
        for a, b in pairwise(text):
            counts["ACGT".index(a), "ACGT".index(b)] += 1
    np.testing.assert_allclose(found.following, counts / counts.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found.first, counts.sum(axis=1) / counts.sum())
    assert Background.from_params(found.as_params()) == found
    assert read_background([f"dinuc:{path}"]) == found


def test_a_base_without_follower(tmp_path: Path) -> None:
    path = tmp_path / "x.fa"
    path.write_text(">a\nACACGCGAT\n")
    with pytest.raises(InputError, match=r"no T is followed by a base in .*x.fa"):
        dinucleotides(path)


@pytest.mark.parametrize("given", [["0.15", "0.2", "0.3", "0.35"], [0.15, 0.2, 0.3, 0.35], ["0.15,0.2,0.3,0.35"]])
def test_frequencies(given: list[str | float]) -> None:
    found = parse_frequencies(given)
    assert found.first == pytest.approx((0.15, 0.2, 0.3, 0.35)) and found.following == (found.first,) * 4
    assert fasta_of(given) is None and fasta_of(["dinuc:a b.fa"]) == Path("a b.fa")


def test_thirds_are_made_to_sum_to_one() -> None:
    assert sum(parse_frequencies(["0.3333", "0.3333", "0.3333", "0"]).first) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["0.3", "0.3", "0.3", "0.3"],
            "--background-dist 0.3 0.3 0.3 0.3: sums to 1.2, not 1; four numbers that sum to 1",
        ),
        (["0.5", "0.5"], "2 numbers, one for each of A, C, G, T"),
        (["0.5", "0.5", "0.5", "-0.5"], "a frequency is at least 0"),
        (["0.5", "0.5", "nan", "0"], "a frequency is at least 0"),
        (["x.fa"], "not numbers; .*dinuc:FASTA"),
    ],
)
def test_faults(given: list[str | float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_background(given)
