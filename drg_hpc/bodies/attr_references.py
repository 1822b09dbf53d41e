"""References of a run of drg-attr: how many, and the file that they are in. Light."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drg_hpc.attribution.recipe import Recipe, require_one_reference
from drg_hpc.attribution.reference_files import count_references
from drg_hpc.attribution.reference_spec import parse_references
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError

REFERENCES = "references"
"""Key of a file of references among the inputs of a plan."""
_FILE = "file"
"""What ``references`` is in the parameters of a plan with such a file."""


def reference_file(recipe: Recipe | None) -> Path | None:
    """The file of references, None where they are made."""
    return None if recipe is None or recipe.references is None else parse_references(recipe.references).path


def count_of(recipe: Recipe | None, lengths: Mapping[str, int], *, rows: int) -> int:
    """References of a row; those of a file are counted, and seen to fit every input."""
    if recipe is None or recipe.references is None:
        return 0
    path = reference_file(recipe)
    if path is None:
        return parse_references(recipe.references).count
    several = len(lengths) > 1
    counts = {
        count_references(path, length=n, rows=rows, input_name=name if several else "") for name, n in lengths.items()
    }
    if len(counts) > 1:
        raise InputError(f"{path} has different numbers of references for the inputs: {sorted(counts)}")
    require_one_reference(recipe.method, count := counts.pop())
    return count


def input_of(recipe: Recipe | None) -> dict[str, Any]:
    """The file of references, as an input of the run."""
    path = reference_file(recipe)
    return {} if path is None else {REFERENCES: describe_input(path)}


def recipe_params(recipe: Recipe) -> dict[str, Any]:
    """The recipe for the plan, in which a file counts by its content: its path is among the inputs."""
    found = recipe.params()
    return found if reference_file(recipe) is None else found | {"references": _FILE}


def planned_recipe(params: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> Recipe:
    """The recipe of a plan, with the file where it is now."""
    if params["references"] != _FILE:
        return Recipe.from_params(params)
    return Recipe.from_params({**params, "references": inputs[REFERENCES]["path"]})
