"""Which methods, forms and options go together."""

from __future__ import annotations

import json
import typing

import pytest

from drg_hpc.attribution.catalogue import ATTENTION, OUTPUTS, SPECS
from drg_hpc.attribution.methods import METHODS
from drg_hpc.attribution.recipe import Recipe, make_recipe, parse_shifts
from drg_hpc.bodies.attr_plan import Options
from drg_hpc.errors import UsageError


def test_each_method_has_one_entry_in_both_tables_and_on_the_command_line() -> None:
    assert set(SPECS) == set(METHODS) == set(typing.get_args(Options.model_fields["method"].annotation)) - {ATTENTION}
    assert all(output in OUTPUTS for spec in SPECS.values() for output in spec.outputs)
    assert typing.get_args(typing.get_args(Options.model_fields["output"].annotation)[0]) == OUTPUTS


@pytest.mark.parametrize(
    ("method", "output", "form", "references"),
    [
        ("gradient", None, "corrected", None),
        ("gradient", "global", "global", "uniform"),
        ("inputxgradient", None, "global", "zero"),
        ("tism", None, "tism", None),
        ("tism", "corrected", "corrected", None),
        ("integrated-gradients", None, "global", "zero"),
        ("integrated-gradients", "corrected", "corrected", "zero"),
        ("deeplift", None, "hypothetical", "uniform"),
        ("deepshap", None, "hypothetical", "dinuc:20"),
        ("expected-gradients", "global", "global", "dinuc:20"),
        ("smoothgrad", None, "corrected", None),
    ],
)
def test_defaults(method: str, output: str | None, form: str, references: str | None) -> None:
    recipe = make_recipe(method, output)
    assert (recipe.form, recipe.references) == (form, references)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("gradients",), {}, "did you mean 'gradient'"),
        (("gradient", "corected"), {}, "did you mean 'corrected'"),
        (("tism", "global"), {}, "--output global means nothing for --method tism"),
        (("inputxgradient", "raw"), {}, "--output raw means nothing"),
        (("inputxgradient",), {"references": "uniform"}, "defined with reference zero"),
        (("gradient",), {"references": "zero"}, "no effect"),
        (("gradient", "raw"), {"base_freqs": "0.25,0.25,0.25,0.25"}, "no effect"),
        (("gradient", "hypothetical"), {"base_freqs": "0.5,0.5"}, "not four frequencies"),
        (("gradient", "hypothetical"), {"base_freqs": "0.5,0.5,0.5,0.5"}, "sums to 2"),
        (("gradient", "hypothetical"), {"base_freqs": "nan,0.5,0.5,0.5"}, "not four frequencies"),
        (("integrated-gradients",), {"references": "dnuc:20"}, "dnuc:20"),
        (("gradient",), {"samples": 4}, "--samples has no effect on --method gradient"),
        (("tism",), {"level": 0.5}, "--sample-level has no effect"),
        (("smoothgrad",), {"level": 0.2}, "lies in 0.25"),
        (("smoothgrad",), {"samples": 0}, "at least one copy"),
        (("smoothgrad-gaussian",), {"level": 0.0}, "above 0"),
    ],
)
def test_nonsense_is_refused(arguments: tuple[str, ...], options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_recipe(*arguments, **options)


@pytest.mark.parametrize("method", sorted(SPECS))
def test_a_recipe_survives_a_plan(method: str) -> None:
    recipe = make_recipe(method)
    assert Recipe.from_params(json.loads(json.dumps(recipe.params()))) == recipe


def test_the_hypothetical_form_is_relative_to_references_unless_frequencies_are_given() -> None:
    assert make_recipe("deepshap").uses_products
    given = make_recipe("deepshap", base_freqs="0.3,0.2,0.2,0.3")
    assert given.base_freqs == (0.3, 0.2, 0.2, 0.3)
    assert not given.uses_products
    assert make_recipe("gradient", "hypothetical").base_freqs == (0.25,) * 4


def test_shifts() -> None:
    assert parse_shifts(None, length=9) == (0,)
    assert parse_shifts("0,-3,8", length=9) == (0, -3, 8)
    for text, message in (("0,x", "whole numbers"), ("9", "moves all of a sequence of 9 bases out"), ("1,1", "twice")):
        with pytest.raises(UsageError, match=message):
            parse_shifts(text, length=9)
