"""In-silico mutagenesis of arrays in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import drg_hpc
from drg_hpc.attribution.saturation import saturation_mutagenesis
from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.errors import UsageError
from tests.attribution.ism_world import LENGTH, Net, random_text, text_onehot
from tests.attribution.test_engine import Smooth, ism, sequences


def test_it_is_a_public_name_and_alternative_minus_reference() -> None:
    model, x = Smooth(), sequences(3)
    found = drg_hpc.saturation_mutagenesis(model, x)
    assert found.shape == (3, 2, 4, x.shape[2]) and found.dtype == np.float32
    wanted = ism(model, x)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
    assert not (found * x[:, None]).any()  # 0 at the base that is there


def test_part_of_the_positions_in_either_engine() -> None:
    model, x = Smooth(), sequences(2)
    wanted = ism(model, x)[..., 7:19]
    for engine in ("auto", "full"):
        found = saturation_mutagenesis(model, torch.from_numpy(x), 7, 19, engine, batch=5)
        assert found.shape == (2, 2, 4, 12)
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_several_inputs_give_a_list_and_double_stays_double() -> None:
    net = Net((20, 31))
    xs = [np.stack([text_onehot(random_text(length, seed=seed)) for seed in range(3)]) for length in (20, 31)]
    found = saturation_mutagenesis(net, xs, 4, tracks=["down"], engine="full")
    assert [each.shape for each in found] == [(3, 1, 4, 16), (3, 1, 4, 27)] and found[0].dtype == np.float64
    changed = [x[1:2].copy() for x in xs]
    changed[1][0, :, 30] = [0, 0, 1, 0]
    with torch.no_grad():
        difference = net([torch.from_numpy(x) for x in changed]) - net([torch.from_numpy(x[1:2]) for x in xs])
    np.testing.assert_allclose(found[1][1, 0, 2, 26], difference[0, 1], atol=1e-12)


def test_a_function_compares_outputs_and_the_module_is_left_as_it_was() -> None:
    net, x = Net().train(), text_onehot(random_text())[None]
    shapes = set()

    def share(mutant: np.ndarray, reference: np.ndarray) -> np.ndarray:
        shapes.add((mutant.ndim, reference.shape))
        return (mutant - reference) / (mutant + reference)

    found = saturation_mutagenesis(net, x, compare=share, engine="full")
    assert net.training and shapes == {(2, (2,))}
    ratio = saturation_mutagenesis(net, x, compare="divide", engine="full")
    np.testing.assert_allclose(found, (ratio - 1) / (ratio + 1), atol=1e-12)
    assert (ratio * x[:, None]).sum(axis=2)[..., x.any(axis=1)[0]] == pytest.approx(1)


def test_a_statistic_of_its_own() -> None:
    net, x = Net(), text_onehot(random_text())[None]
    target = TrackStatistic(net, [1, 0], "output")
    found = saturation_mutagenesis(net, x, target=target, compare="none", engine="full")
    np.testing.assert_allclose(found[:, ::-1], saturation_mutagenesis(net, x, scale="output", compare="none"))
    with pytest.raises(UsageError, match="belong to the tracks"):
        saturation_mutagenesis(net, x, target=target, scale="link")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start": 5, "end": 5}, "positions 5 to 5"),
        ({"end": LENGTH + 1}, f"positions 0 to {LENGTH + 1} of sequences of {LENGTH}"),
        ({"start": -3}, "positions -3"),
        ({"compare": "log"}, "unknown --compare"),
        ({"compare": "divide", "scale": "link"}, "ratios are of outputs"),
        ({"compare": np.subtract, "pseudo": 1.0}, "no effect on a compare function"),
        ({"engine": "quick"}, "unknown --engine"),
        ({"tracks": ["none"]}, "no track 'none'"),
        ({"batch": 0}, "at least one row"),
        ({"shifts": (LENGTH,)}, "moves all of a sequence"),
    ],
)
def test_what_means_nothing_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        saturation_mutagenesis(Net(), text_onehot(random_text())[None], **given)


def test_sequences_must_be_of_single_bases() -> None:
    x = text_onehot(random_text())[None]
    with pytest.raises(UsageError, match="no single base"):
        saturation_mutagenesis(Net(), x / 2)
    with pytest.raises(UsageError, match="shape"):
        saturation_mutagenesis(Net(), x[0])
