"""Edits against sequences written out as text."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from drg_hpc.attribution.edits import (
    Edits,
    concatenated,
    deletions,
    insertions,
    replacements,
    sequence_codes,
    substitutions,
    unchanged,
)
from drg_hpc.attribution.views import View
from tests.attribution.ism_world import mutants_of, random_text, text_onehot

TEXT = "ACGTNNACGGTTTACN"
BASES = "ACGTN"


def codes(text: str) -> np.ndarray:
    return np.array([BASES.index(base) for base in text], np.uint8)


def texts(edits: Edits, text: str = TEXT) -> list[str]:
    """The mutants as text."""
    found = edits.apply(torch.from_numpy(text_onehot(text))).numpy()
    assert set(np.unique(found)) <= {0, 1} and found.sum(axis=1).max() <= 1
    return ["".join(BASES[code] for code in sequence_codes(each)) for each in found]


def test_substitutions_are_every_other_base_and_all_four_at_n() -> None:
    positions = np.array([0, 4, 15, 7])
    wanted = [mutant for position in positions for _, mutant in mutants_of(TEXT, position)]
    assert len(wanted) == 3 + 4 + 4 + 3
    assert texts(substitutions(codes(TEXT), positions)) == wanted


def test_replacements() -> None:
    put = np.stack([codes("GATN"), codes("CCCC")])
    assert texts(replacements(np.array([0, 12]), put)) == ["GATN" + TEXT[4:], TEXT[:12] + "CCCC"]


def test_deletions_pull_the_right_side_up() -> None:
    for size in (1, 3, 16):
        starts = np.arange(len(TEXT) - size + 1)
        wanted = [TEXT[:at] + TEXT[at + size :] + "N" * size for at in starts]
        assert texts(deletions(codes(TEXT), starts, size)) == wanted


def test_insertions_push_the_right_side_out() -> None:
    for size in (1, 4):
        put = np.random.default_rng(size).integers(0, 4, (len(TEXT), size)).astype(np.uint8)
        there = ["".join(BASES[code] for code in each) for each in put]
        wanted = [(TEXT[:at] + there[at] + TEXT[at:])[: len(TEXT)] for at in range(len(TEXT))]
        assert texts(insertions(codes(TEXT), np.arange(len(TEXT)), put)) == wanted


def some_edits(text: str) -> Edits:
    """Of every kind."""
    length, given = len(text), codes(text)
    starts = np.arange(0, length - 3)
    rng = np.random.default_rng(3)
    return concatenated([
        substitutions(given, np.arange(length)),
        unchanged(2),
        replacements(starts, rng.integers(0, 5, (len(starts), 3)).astype(np.uint8)),
        deletions(given, starts, 2),
        insertions(given, starts, rng.integers(0, 4, (len(starts), 3)).astype(np.uint8)),
    ])  # fmt: skip


@given(st.integers(-16, 16), st.booleans(), st.integers(5, 17), st.integers(0, 50))
def test_edits_as_a_view_shows_them_are_the_view_of_the_mutants(
    shift: int, reverse: bool, length: int, seed: int
) -> None:
    shift = max(-length + 1, min(length - 1, shift))
    text = random_text(length, seed=seed)
    x, edits, view = torch.from_numpy(text_onehot(text)), some_edits(text), View(reverse, shift)
    seen = edits.as_seen(view, length)
    assert (seen.starts >= 0).all() and (seen.starts + seen.widths <= length).all()
    assert torch.equal(seen.apply(view.apply(x)), view.apply(edits.apply(x)))


def test_parts_of_a_list_of_edits() -> None:
    edits = some_edits(TEXT)
    every = texts(edits)
    assert texts(edits[3:60]) == every[3:60] and len(edits[60:3]) == 0
    assert texts(edits[50:10_000]) == every[50:]
    chosen = np.array([60, 2, 2, 47, 90])
    assert texts(edits.take(chosen)) == [every[at] for at in chosen]
    wide = edits.widths > 1
    assert texts(edits.take(wide)) == [every[at] for at in np.flatnonzero(wide)]
    assert edits.offsets[-1] == len(edits.codes) and len(edits.offsets) == len(edits) + 1


def test_edits_keep_the_type_of_the_sequence_and_leave_it_alone() -> None:
    x = torch.from_numpy(text_onehot(TEXT)).float()
    before = x.clone()
    found = substitutions(codes(TEXT), np.array([1])).apply(x)
    assert found.dtype == torch.float32 and torch.equal(x, before)
    assert unchanged(0).apply(x).shape == (0, 4, len(TEXT))
