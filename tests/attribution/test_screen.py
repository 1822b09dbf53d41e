"""Screens by TISM: which positions are mutated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from drg_hpc.attribution.attribute import attribute
from drg_hpc.attribution.ism_recipe import make_ism_recipe
from drg_hpc.attribution.mutate import Mutator
from drg_hpc.attribution.screen import Screen
from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.attribution.views import make_views
from tests.attribution.ism_world import LENGTH, Net, random_text, text_onehot

TEXT = random_text()
EVERYWHERE = [np.ones(LENGTH, np.bool_)]


def statistic(net: nn.Module) -> TrackStatistic:
    return TrackStatistic(net, [0, 1], "link")


def strength(net: Net, text: str = TEXT) -> np.ndarray:
    """From the gradients of the module: largest share of each track's largest mean effect, (L,)."""
    x = torch.from_numpy(text_onehot(text))[None].requires_grad_()
    shares = []
    for track in range(2):
        (gradient,) = torch.autograd.grad(net(x)[0, track], x)
        change = (gradient - (gradient * x).sum(dim=1, keepdim=True)).detach()[0].numpy()
        effect = np.abs(change.sum(axis=0) / 3) * text_onehot(text).any(axis=0)
        shares.append(effect / effect.max())
    return np.max(shares, axis=0)


@pytest.mark.parametrize("keep", [1, 5, 12])
def test_the_strongest_positions_are_kept(keep: int) -> None:
    net = Net()
    (kept,) = Screen([statistic(net)], keep).strongest([text_onehot(TEXT)], 0, scored=EVERYWHERE)
    assert sorted(np.argsort(-strength(net))[:keep]) == np.flatnonzero(kept).tolist()


def test_only_positions_that_are_asked_for_are_looked_at() -> None:
    net, asked = Net(), np.zeros(LENGTH, np.bool_)
    asked[2:9] = True
    (kept,) = Screen([statistic(net)], 3).strongest([text_onehot(TEXT)], 0, scored=[asked])
    # shares are of the largest among these, track by track
    x = text_onehot(TEXT)[None]
    effect = np.abs((attribute(net, x, "tism", output="corrected") * x[:, None]).sum(axis=2))[0] * asked
    order = np.argsort(-(effect / effect.max(axis=1, keepdims=True)).max(axis=0))
    assert sorted(order[:3]) == np.flatnonzero(kept).tolist()
    (every,) = Screen([statistic(net)], 50).strongest([text_onehot(TEXT)], 0, scored=[asked])
    assert (every == asked).all()


def test_a_track_of_small_numbers_counts_as_much_as_another() -> None:
    class Two(nn.Module):
        """One position each, of effects a thousand times apart, and a slope that lies between."""

        def __init__(self) -> None:
            super().__init__()
            weight = torch.zeros(2, 4, LENGTH, dtype=torch.float64)
            weight[0, :, 3], weight[1, :, 17] = torch.tensor([0.0, 1, 2, 3]), torch.tensor([0.0, 1, 2, 3]) / 1000
            weight[0, :, 10] = weight[0, :, 3] / 2
            self.weight = nn.Parameter(weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.einsum("tbl,nbl->nt", self.weight, x)

    (kept,) = Screen([statistic(Two())], 2).strongest([text_onehot("A" * LENGTH)], 0, scored=EVERYWHERE)
    assert np.flatnonzero(kept).tolist() == [3, 17]


def test_a_screened_row_is_mutated_there_and_the_rest_is_marked() -> None:
    net, views = Net(), make_views(rc_average=True, shifts=(0, 2))
    recipe = make_ism_recipe(screen="tism:6", engine="full", edits="substitutions,windows:3/2:n")
    whole = make_ism_recipe(engine="full", edits="substitutions,windows:3/2:n")
    x = [text_onehot(TEXT)]
    (found,) = Mutator([statistic(net)], recipe, batch=8, views=views).row(x, 0).inputs
    (full,) = Mutator([statistic(net)], whole, batch=8, views=views).row(x, 0).inputs
    (kept,) = Screen([statistic(net)], 6, views=views).strongest(x, 0, scored=EVERYWHERE)
    assert kept.sum() == 6 and (found.scored == kept).all()
    np.testing.assert_allclose(found.ism[..., kept], full.ism[..., kept], atol=1e-12)
    np.testing.assert_allclose(found.projected, np.where(kept, full.projected, 0), atol=1e-12)
    assert np.isnan(found.ism[..., ~kept]).all()
    here = kept & np.isfinite(full.edits["window_3_n"][0])
    assert here.any() and (np.isfinite(found.edits["window_3_n"][0]) == here).all()


def test_positions_of_all_inputs_of_a_row_compete() -> None:
    net, texts = Net((20, 31)), [random_text(20, seed=1), random_text(31, seed=2)]
    xs = [text_onehot(text) for text in texts]
    found = Screen([statistic(net)], 9, inputs=["a", "b"]).strongest(
        xs, 0, scored=[np.ones(20, bool), np.ones(31, bool)]
    )
    each = attribute(net, [x[None] for x in xs], "tism", output="corrected")
    effect = np.abs(np.concatenate([(m[0] * x).sum(axis=1) for m, x in zip(each, xs, strict=True)], axis=1))
    order = np.argsort(-(effect / effect.max(axis=1, keepdims=True)).max(axis=0))
    assert np.flatnonzero(np.concatenate(found)).tolist() == sorted(order[:9])
    assert [len(mask) for mask in found] == [20, 31]
