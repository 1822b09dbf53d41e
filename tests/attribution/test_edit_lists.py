"""Edits that kinds of edits ask for."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from drg_hpc.attribution import edit_lists
from drg_hpc.attribution.edit_lists import RowInput, edit_pieces, edit_starts
from drg_hpc.attribution.edit_spec import EditSpec, parse_edits
from drg_hpc.attribution.edits import Edits, concatenated, sequence_codes
from tests.attribution.ism_world import random_text, text_onehot

TEXT = random_text(40, seed=5, unknown=0.15)


def given(text: str = TEXT, *, row: int = 3, seed: int = 0, name: str = "") -> RowInput:
    return RowInput(0, name, sequence_codes(text_onehot(text)), row, seed)


def spec(text: str) -> EditSpec:
    (found,) = parse_edits(text)
    return found


def mutants(edits: Edits, text: str = TEXT) -> list[str]:
    found = edits.apply(torch.from_numpy(text_onehot(text))).numpy()
    return ["".join("ACGTN"[code] for code in sequence_codes(each)) for each in found]


def every(text: str, starts: np.ndarray, **changes: int | str) -> list[str]:
    return mutants(concatenated(list(edit_pieces(spec(text), given(**changes), starts))))


def test_starts_fit_into_the_sequence_and_follow_the_stride() -> None:
    asked = np.zeros(12, np.bool_)
    asked[[1, 2, 3, 4, 7, 9, 10, 11]] = True
    assert edit_starts(spec("substitutions"), asked).tolist() == [1, 2, 3, 4, 7, 9, 10, 11]
    assert edit_starts(spec("insertions:3"), asked).tolist() == [1, 2, 3, 4, 7, 9, 10, 11]
    assert edit_starts(spec("deletions:2"), asked).tolist() == [1, 2, 3, 4, 7, 9, 10]
    assert edit_starts(spec("windows:5/3:n"), asked).tolist() == [1, 4, 7]
    # a screen does not move the grid of windows
    assert edit_starts(spec("windows:5/3:n"), asked, among=np.arange(12) > 3).tolist() == [4, 7]
    assert not len(edit_starts(spec("windows:5/3:n"), np.zeros(12, np.bool_)))


def test_windows_of_given_bases() -> None:
    starts = np.array([0, 11, 36])
    assert every("windows:motif:TGAC", starts) == [TEXT[:at] + "TGAC" + TEXT[at + 4 :] for at in starts]
    assert every("windows:4:n", starts) == [TEXT[:at] + "NNNN" + TEXT[at + 4 :] for at in starts]
    assert every("insertions:GA", starts) == [(TEXT[:at] + "GA" + TEXT[at:])[:40] for at in starts]


@pytest.mark.parametrize("fill", ["shuffle", "dinuc"])
def test_shuffles_keep_the_bases_of_their_window(fill: str) -> None:
    starts = np.arange(0, 29, 7)
    found = np.array(every(f"windows:12:{fill}:8", starts)).reshape(len(starts), 8)
    different = 0
    for at, copies in zip(starts, found, strict=True):
        window = TEXT[at : at + 12]
        for mutant in copies:
            assert mutant[:at] + mutant[at + 12 :] == TEXT[:at] + TEXT[at + 12 :]
            new = mutant[at : at + 12]
            assert Counter(new) == Counter(window)
            assert [base == "N" for base in new] == [base == "N" for base in window]
            if fill == "dinuc":
                assert Counter(pairwise(new)) == Counter(pairwise(window))
        different += len(set(copies))
    assert different > (30 if fill == "shuffle" else 6)


def test_shuffles_are_even() -> None:
    text = "ACGT" * 10
    found = concatenated(list(edit_pieces(spec("windows:4:shuffle:3000"), given(text), np.array([0]))))
    counts = Counter(mutant[:4] for mutant in mutants(found, text))
    assert len(counts) == 24 and min(counts.values()) > 80 and max(counts.values()) < 175  # 125 expected, s.d. 11


@pytest.mark.parametrize("kind", ["insertions:4", "windows:9:shuffle:3", "windows:9:dinuc:3"])
def test_random_edits_depend_on_seed_row_input_and_position_alone(kind: str) -> None:
    starts = np.arange(31)
    whole = every(kind, starts)
    copies = spec(kind).copies
    assert every(kind, starts[[20]]) == whole[20 * copies : 21 * copies]
    assert every(kind, starts) == whole
    assert all(every(kind, starts, **other) != whole for other in ({"seed": 1}, {"row": 4}, {"name": "b"}))


def test_random_insertions_use_all_bases() -> None:
    text = "N" * 40
    found = mutants(concatenated(list(edit_pieces(spec("insertions:20"), given(text), np.arange(20)))), text)
    counts = Counter("".join(found).replace("N", ""))
    assert set(counts) == set("ACGT") and min(counts.values()) > 60  # 100 expected


def test_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("substitutions", "deletions:2", "insertions:2", "windows:5/2:shuffle:3"):
        starts = edit_starts(spec(kind), np.ones(40, np.bool_))
        whole = every(kind, starts)
        with monkeypatch.context() as patch:
            patch.setattr(edit_lists, "PIECE_CODES", 100)
            pieces = list(edit_pieces(spec(kind), given(), starts))
        assert len(pieces) > 1 and max(len(piece.codes) for piece in pieces) <= 133
        assert mutants(concatenated(pieces)) == whole
