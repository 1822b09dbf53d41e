"""In-silico mutagenesis against plain numpy on sequences written out as text."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

from drg_hpc.attribution.edit_lists import RowInput, edit_pieces
from drg_hpc.attribution.edits import concatenated, sequence_codes
from drg_hpc.attribution.ism_recipe import make_ism_recipe
from drg_hpc.attribution.mutate import Mutator, RowEffects
from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.attribution.views import View, make_views
from drg_hpc.errors import UsageError
from drg_hpc.models.compute import Scale
from tests.attribution.ism_world import LENGTH, Net, mutants_of, predict, random_text, text_onehot

TEXT = random_text()
ONE_VIEW = (View(),)
USER = "tests.attribution.functions_of_a_user"
FREQUENCIES = (0.3, 0.2, 0.1, 0.4)
COMPARES: dict[str, Any] = {
    "subtract": lambda m, r: m - r,
    "divide": lambda m, r: m / r,
    "log2fc": lambda m, r: np.log(m / r) / np.log(2),
    "none": lambda m, r: m,
    f"{USER}:squared": lambda m, r: (m - r) ** 2 + 1,
}


def mutated(
    *nets: Net, texts: tuple[str, ...] = (TEXT,), scored: Any = None, views: Any = ONE_VIEW, batch: int = 16,
    scale: Scale | None = None, row: int = 0, **recipe: Any,
) -> RowEffects:  # fmt: skip
    made = make_ism_recipe(**{"engine": "full", **recipe})
    statistics = [TrackStatistic(net, [0, 1], made.scale(scale)) for net in nets]
    inputs = [f"input{i}" for i in range(len(texts))]
    mutator = Mutator(statistics, made, batch=batch, views=views, inputs=inputs)
    return mutator.row([text_onehot(text) for text in texts], row, scored=scored)


def expected(net: Net, text: str, compare: str, *, pseudo: float = 0.0) -> np.ndarray:
    """(2, 4, L)."""
    function, on = COMPARES[compare], (np.asarray if compare in ("subtract", "none") else np.exp)
    reference = on(predict(net, text)) + pseudo
    found = np.empty((2, 4, len(text)))
    for at in range(len(text)):
        for code, base in enumerate("ACGT"):
            found[:, code, at] = function(on(predict(net, text[:at] + base + text[at + 1 :])) + pseudo, reference)
    return found


@pytest.mark.parametrize("engine", ["full", "incremental"])
@pytest.mark.parametrize("compare", list(COMPARES))
def test_every_base_at_every_position(compare: str, engine: str) -> None:
    net = Net()
    assert "N" in TEXT
    found = mutated(net, compare=compare, engine=engine)
    np.testing.assert_allclose(found.inputs[0].ism, expected(net, TEXT, compare), rtol=1e-9, atol=1e-12)
    scale = np.asarray if compare in ("subtract", "none") else np.exp
    np.testing.assert_allclose(found.prediction, scale(predict(net, TEXT)), rtol=1e-12)
    assert found.prediction_sd is None and found.inputs[0].ism_sd is None and found.inputs[0].scored.all()


@pytest.mark.parametrize("compare", ["divide", "log2fc"])
def test_the_pseudo_count_is_added_to_both(compare: str) -> None:
    net = Net()
    found = mutated(net, compare=compare, pseudo=0.7)
    np.testing.assert_allclose(found.inputs[0].ism, expected(net, TEXT, compare, pseudo=0.7), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("compare", ["subtract", "divide", "none"])
@pytest.mark.parametrize("projection", ["mean-effect", "centred", "hypothetical"])
def test_projections(projection: str, compare: str) -> None:
    net = Net()
    extra = {"base_freqs": ",".join(map(str, FREQUENCIES))} if projection == "hypothetical" else {}
    (found,) = mutated(net, compare=compare, projection=projection, **extra).inputs
    ism = expected(net, TEXT, compare)
    for value in range(2):
        form = found.contribution(value)
        for at, base in enumerate(TEXT):
            if base == "N":
                assert not form[:, at].any() and found.projected[value, at] == 0
                continue
            here = "ACGT".index(base)
            change = [float(ism[value, b, at] - ism[value, here, at]) for b in range(4)]
            mean = {
                "mean-effect": sum(change) / 3,
                "centred": sum(change) / 4,
                "hypothetical": sum(p * d for p, d in zip(FREQUENCIES, change, strict=True)),
            }[projection]
            np.testing.assert_allclose(form[:, at], [d - mean for d in change], atol=1e-12)
            np.testing.assert_allclose(found.projected[value, at], -mean, atol=1e-12)


def test_positions_that_are_not_asked_for_are_marked() -> None:
    net, asked = Net(), np.zeros(LENGTH, np.bool_)
    asked[[0, 5, 6, LENGTH - 1]] = True
    (found,) = mutated(net, scored=[asked]).inputs
    np.testing.assert_allclose(found.ism[..., asked], expected(net, TEXT, "subtract")[..., asked], atol=1e-12)
    assert np.isnan(found.ism[..., ~asked]).all() and (found.scored == asked).all()
    assert not found.contribution(1)[:, ~asked].any() and not found.projected[:, ~asked].any()
    assert np.isfinite(found.contribution(1)).all()
    (none,) = mutated(net, scored=[np.zeros(LENGTH, np.bool_)]).inputs
    assert np.isnan(none.ism).all() and not none.projected.any() and not none.contribution(0).any()


@pytest.mark.parametrize("engine", ["full", "incremental"])
def test_each_input_is_mutated_with_the_others_as_they_are(engine: str) -> None:
    net, texts = Net((20, 31)), (random_text(20, seed=1), random_text(31, seed=2))
    found = mutated(net, texts=texts, engine=engine)
    np.testing.assert_allclose(found.prediction, predict(net, *texts), atol=1e-12)
    for number, one in enumerate(found.inputs):
        for at in range(len(texts[number])):
            for base, mutant in mutants_of(texts[number], at):
                pair = [mutant if i == number else text for i, text in enumerate(texts)]
                effect = predict(net, *pair) - predict(net, *texts)
                np.testing.assert_allclose(one.ism[:, "ACGT".index(base), at], effect, atol=1e-12)


def seen(text: str, view: View) -> str:
    """What a view shows."""
    moved = ("N" * view.shift + text)[: len(text)] if view.shift >= 0 else text[-view.shift :] + "N" * -view.shift
    return moved[::-1].translate(str.maketrans("ACGT", "TGCA")) if view.reverse else moved


@pytest.mark.parametrize(
    ("compare", "rc_average", "engine"),
    [("subtract", False, "full"), ("log2fc", True, "full"), ("subtract", True, "incremental")],
)
def test_values_are_averaged_over_views_before_they_are_compared(compare: str, rc_average: bool, engine: str) -> None:
    net, views = Net(), make_views(rc_average=rc_average, shifts=(0, 4, -3))

    def mean(text: str) -> np.ndarray:
        on = np.exp if compare == "log2fc" else np.asarray
        return np.mean([on(predict(net, seen(text, view))) for view in views], axis=0)

    edits = "substitutions,deletions:2,insertions:GTC,windows:5/4:n"
    effects = mutated(net, compare=compare, views=views, edits=edits, engine=engine)
    np.testing.assert_allclose(effects.prediction, mean(TEXT), rtol=1e-9)
    (found,) = effects.inputs
    for at in range(LENGTH):
        made = {
            "deletion_2": (TEXT[:at] + TEXT[at + 2 :] + "NN") if at + 2 <= LENGTH else None,
            "insertion_GTC": (TEXT[:at] + "GTC" + TEXT[at:])[:LENGTH],
            "window_5_n": TEXT[:at] + "NNNNN" + TEXT[at + 5 :] if at % 4 == 0 and at + 5 <= LENGTH else None,
        }
        for slug, mutant in made.items():
            if mutant is None:
                assert np.isnan(found.edits[slug][:, at]).all()
                continue
            wanted = COMPARES[compare](mean(mutant), mean(TEXT))
            np.testing.assert_allclose(found.edits[slug][:, at], wanted, rtol=1e-8, atol=1e-11)
        for base, mutant in mutants_of(TEXT, at):
            wanted = COMPARES[compare](mean(mutant), mean(TEXT))
            np.testing.assert_allclose(found.ism[:, "ACGT".index(base), at], wanted, rtol=1e-8, atol=1e-11)


def test_shuffled_windows_are_the_mean_of_their_compared_copies() -> None:
    net = Net()
    recipe = make_ism_recipe(compare="log2fc", edits="windows:6/3:shuffle:4", engine="full")
    (found,) = mutated(net, compare="log2fc", edits="windows:6/3:shuffle:4", row=9).inputs
    given = RowInput(0, "", sequence_codes(text_onehot(TEXT)), 9, 0)
    starts = np.arange(0, LENGTH - 5, 3)
    edits = concatenated(list(edit_pieces(recipe.edits[0], given, starts)))
    mutants = edits.apply(torch.from_numpy(text_onehot(TEXT)))
    with torch.no_grad():
        values = ((net(mutants).numpy() - predict(net, TEXT)) / np.log(2)).reshape(len(starts), 4, 2).mean(axis=1)
    np.testing.assert_allclose(found.edits["window_6_shuffle"][:, starts], values.T, atol=1e-12)
    assert np.isnan(np.delete(found.edits["window_6_shuffle"], starts, axis=1)).all()
    assert np.isnan(found.ism).all() and not found.projected.any()  # no substitutions were asked for


def test_of_several_models_compared_values_are_averaged() -> None:
    nets = [Net(seed=seed) for seed in (1, 2, 3)]
    both = mutated(*nets, compare="divide", edits="substitutions,deletions:1")
    each = [mutated(net, compare="divide", edits="substitutions,deletions:1") for net in nets]
    for name in ("ism", "projected"):
        values = np.stack([getattr(one.inputs[0], name) for one in each])
        np.testing.assert_allclose(getattr(both.inputs[0], name), values.mean(axis=0), atol=1e-10)
        np.testing.assert_allclose(getattr(both.inputs[0], f"{name}_sd"), values.std(axis=0), atol=1e-10)
    form = np.mean([one.inputs[0].contribution(1) for one in each], axis=0)
    np.testing.assert_allclose(both.inputs[0].contribution(1), form, atol=1e-10)
    deletion = np.mean([one.inputs[0].edits["deletion_1"] for one in each], axis=0)
    np.testing.assert_allclose(both.inputs[0].edits["deletion_1"], deletion, atol=1e-10)
    predictions = np.stack([one.prediction for one in each])
    np.testing.assert_allclose(both.prediction, predictions.mean(axis=0))
    assert both.prediction_sd is not None
    np.testing.assert_allclose(both.prediction_sd, predictions.std(axis=0))


def test_the_size_of_passes_changes_nothing() -> None:
    net = Net().float()
    found = [mutated(net, batch=batch, edits="substitutions,deletions:3").inputs[0] for batch in (1, 5, 64)]
    largest = np.abs(found[0].ism).max()
    for other in found[1:]:
        assert other.ism.dtype == np.float32
        np.testing.assert_allclose(other.ism, found[0].ism, atol=1e-6 * largest, rtol=0)
        np.testing.assert_allclose(other.edits["deletion_3"], found[0].edits["deletion_3"], atol=1e-6 * largest, rtol=0)


def test_what_is_no_number_is_said_once_with_its_count(caplog: pytest.LogCaptureFixture) -> None:
    net = Net()
    net.links = ["identity", "identity"]
    made = make_ism_recipe(compare="log2fc", engine="full")
    mutator = Mutator([TrackStatistic(net, [0, 1], "output")], made, batch=8)
    with caplog.at_level(logging.WARNING):
        found = mutator.row([text_onehot(TEXT)], 7)
        mutator.row([text_onehot(TEXT)], 8)
    values = found.inputs[0].ism
    with np.errstate(invalid="ignore", divide="ignore"):
        raw = expected(net, TEXT, "none")
        np.testing.assert_allclose(values, np.log2(raw / predict(net, TEXT)[:, None, None]), atol=1e-12)
    bad = [int(np.isnan(value).sum()) for value in values]
    assert any(bad)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1 and "row 7" in lines[0] and "--pseudo" in lines[0]
    for name, count in zip(net.tracks, bad, strict=True):
        known = [at for at, base in enumerate(TEXT) if base != "N"]
        assert (f"'{name}' {count} of {3 * len(known) + 4 * (LENGTH - len(known))}" in lines[0]) == (count > 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [("worst", r"gives float64 \(\d+,\) on arrays"), ("fails", "KeyError: 'weight'"), ("absent", "has no 'absent'")],
)
def test_a_function_of_the_user_is_held_to_its_word(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        mutated(Net(), compare=f"{USER}:{name}")
