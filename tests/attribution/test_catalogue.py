"""Which methods, forms and options go together."""

from __future__ import annotations

import typing

import pytest

from drg_hpc.attribution.catalogue import OUTPUTS, SPECS, make_recipe, parse_references
from drg_hpc.attribution.methods import METHODS
from drg_hpc.bodies.attr_plan import Options
from drg_hpc.errors import UsageError


def test_each_method_has_one_entry_in_both_tables_and_on_the_command_line() -> None:
    assert set(SPECS) == set(METHODS) == set(typing.get_args(Options.model_fields["method"].annotation))
    assert all(output in OUTPUTS for spec in SPECS.values() for output in spec.outputs)


@pytest.mark.parametrize(
    ("method", "output", "form", "references"),
    [
        ("gradient", None, "corrected", None),
        ("gradient", "global", "global", (0.25,) * 4),
        ("inputxgradient", None, "global", (0.0,) * 4),
        ("tism", None, "tism", None),
        ("tism", "corrected", "corrected", None),
        ("integrated-gradients", None, "global", (0.0,) * 4),
        ("integrated-gradients", "corrected", "corrected", (0.0,) * 4),
    ],
)
def test_defaults(method: str, output: str | None, form: str, references: tuple[float, ...] | None) -> None:
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
        (("integrated-gradients",), {"references": "dinuc"}, "'dinuc' is not known"),
    ],
)
def test_nonsense_is_refused(arguments: tuple[str, ...], options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_recipe(*arguments, **options)


def test_references() -> None:
    assert parse_references("freq:0.3,0.2,0.2,0.3") == (0.3, 0.2, 0.2, 0.3)
