"""Strands and shifts: what a model is shown, and back."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.attribution.views import View, make_views

LENGTH = 12


def test_a_view_by_hand() -> None:
    x = torch.eye(4)[[0, 1, 2, 3]].T[None]  # ACGT
    assert torch.equal(View(shift=1).apply(x).argmax(1), torch.tensor([[0, 0, 1, 2]]))
    assert not View(shift=1).apply(x)[..., 0].any()  # what comes in is unknown
    assert torch.equal(View(reverse=True).apply(x), x)  # its own reverse complement
    codes = View(reverse=True, shift=-1).apply(x)  # CGT- turned round: -ACG
    assert torch.equal(codes[..., 1:].argmax(1), torch.tensor([[0, 1, 2]]))
    assert not codes[..., 0].any()


@settings(deadline=None)
@given(reverse=st.booleans(), shift=st.integers(-LENGTH + 1, LENGTH - 1), seed=st.integers(0, 99))
def test_undo_is_the_adjoint_of_apply_and_gives_back_what_was_covered(reverse: bool, shift: int, seed: int) -> None:
    view = View(reverse, shift)
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 3, 4, LENGTH, generator=generator, dtype=torch.float64)
    torch.testing.assert_close((view.apply(x) * y).sum(), (x * view.undo(y)).sum())
    covered = view.covered(LENGTH)
    assert covered.sum() == LENGTH - abs(shift)
    assert torch.equal(view.undo(view.apply(x)), x * covered)


def test_views_of_an_ensemble() -> None:
    assert make_views(rc_average=False, shifts=()) == (View(),)
    found = make_views(rc_average=True, shifts=(0, 2))
    assert found == (View(False, 0), View(False, 2), View(True, 0), View(True, 2))
