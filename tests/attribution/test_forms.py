"""Forms against arithmetic by hand."""

from __future__ import annotations

import pytest
import torch

from drg_hpc.attribution import forms
from drg_hpc.attribution.catalogue import OUTPUTS, SPECS
from drg_hpc.attribution.recipe import make_recipe

M = torch.tensor([[[1.0, 2.0], [3.0, -4.0], [0.0, 6.0], [-2.0, 0.0]]])  # (1, 4, 2)
X = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]])  # C, then an unknown base
QUARTER = torch.full((1, 4, 2), 0.25)
Q = M * QUARTER


def test_corrected_sums_to_zero() -> None:
    expected = torch.tensor([[[0.5, 1.0], [2.5, -5.0], [-0.5, 5.0], [-2.5, -1.0]]])
    torch.testing.assert_close(forms.corrected(M), expected)


def test_hypothetical_with_uniform_frequencies_is_corrected() -> None:
    torch.testing.assert_close(forms.hypothetical(M, QUARTER), forms.corrected(M))


def test_hypothetical_by_hand() -> None:
    frequencies = torch.tensor([0.4, 0.1, 0.1, 0.4])[:, None]
    # column 0: 0.4 + 0.3 + 0 - 0.8 = -0.1; column 1: 0.8 - 0.4 + 0.6 + 0 = 1.0
    expected = M - torch.tensor([-0.1, 1.0])
    torch.testing.assert_close(forms.hypothetical(M, frequencies), expected)


def test_global_and_tism_by_hand() -> None:
    torch.testing.assert_close(forms.global_form(M, X, Q)[0, :, 0], torch.tensor([-0.25, 2.25, 0.0, 0.5]))
    torch.testing.assert_close(forms.tism(M, X)[0, :, 0], torch.tensor([-2.0, 0.0, -3.0, -5.0]))


def test_unknown_bases() -> None:
    assert forms.known_bases(X).flatten().tolist() == [1.0, 0.0]
    for output in ("raw", "corrected", "hypothetical", "global"):
        recipe = make_recipe("gradient", output)
        contribution = forms.contribution(M, Q, recipe)
        assert forms.projected(contribution, X)[0, 0, 1] == 0


def test_projection_of_global_is_its_sum_over_bases() -> None:
    frequencies = torch.tensor([0.4, 0.1, 0.2, 0.3])[None, :, None].expand(1, 4, 2) * forms.known_bases(X)
    recipe = make_recipe("gradient", "global", references="freq:0.4,0.1,0.2,0.3")
    form = forms.output_form(M, M * frequencies, X, recipe)
    projected = forms.projected(forms.contribution(M, M * frequencies, recipe), X)
    torch.testing.assert_close(projected, form.sum(dim=1, keepdim=True))


def test_projection_of_tism_is_minus_the_mean_effect_of_a_change() -> None:
    recipe = make_recipe("tism")
    projected = forms.projected(forms.contribution(M, None, recipe), X)
    torch.testing.assert_close(projected[0, 0, 0], -forms.tism(M, X)[0, :, 0].mean())


@pytest.mark.parametrize(("method", "output"), [(m, o) for m in SPECS for o in OUTPUTS if o in SPECS[m].outputs])
def test_form_times_sequence_is_the_projection_where_the_recipe_says_so(method: str, output: str) -> None:
    recipe = make_recipe(method, output)
    form = forms.output_form(M, Q, X, recipe)
    contribution = forms.contribution(M, Q, recipe)
    assert torch.equal(form, contribution) == recipe.form_is_contribution
