"""Recipes of a sweep's trainings: what all have in common, and the settings of each. Light: no torch here."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from drg_hpc.config import build
from drg_hpc.errors import UsageError
from drg_hpc.training.config import Recipe
from drg_hpc.training.grid import Settings, fold_splits
from drg_hpc.training.inputs import bias_folder


def common_values(base: Recipe) -> dict[str, Any]:
    """The tables of a recipe without what they say by default, which may depend on a choice that settings change: the
    weight decay of one optimizer is not that of another."""
    values = base.model_dump(exclude_unset=True)
    if (bias := bias_folder(base)) is not None:
        values["model"]["bias_model"] = bias
    for name, table in values.items():
        whole = getattr(base, name)
        if isinstance(whole, BaseModel):
            for key in list(table):
                rest = {other: value for other, value in table.items() if other != key}
                if _makes(whole, rest):
                    table.pop(key)
    values["model"].setdefault("architecture", base.model.architecture)
    return values


def _makes(whole: BaseModel, values: Mapping[str, Any]) -> bool:
    try:
        return type(whole).model_validate(values) == whole
    except ValidationError:
        return False


def recipe_with(common: Mapping[str, Any], one: Settings, *, folds: int, source: str) -> Recipe:
    """The recipe of one training of a sweep.

    Parameters
    ----------
    common : :func:`common_values`
    folds : number of folds, where ``one`` has a fold
    source : what to call the origin of the settings in messages

    Raises
    ------
    UsageError : an unknown setting, or a value that it does not take
    """
    values = copy.deepcopy(dict(common))
    if one.values.get("model.architecture", values["model"]["architecture"]) != values["model"]["architecture"]:
        values["model"] = {}  # nothing of one architecture means anything to another
    for key, value in one.values.items():
        _place(values, key, value, source=source)
    if one.fold is not None:
        splits = fold_splits(one.fold, folds)
        values["data"] |= {"train": splits["train"], "valid": splits["valid"]}
    return build(Recipe, values, source=source)


def _place(values: dict[str, Any], key: str, value: Any, *, source: str) -> None:
    *tables, last = key.split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise UsageError(f"{source}: {key}: {table} is not a table")
    values[last] = value


def require_same_files(base: Recipe, recipes: Mapping[str, Recipe], *, source: str) -> None:
    """Refuse settings that name files or stores: a run knows its inputs by one name each.

    Raises
    ------
    UsageError : a training's files are not those of the command
    """
    wanted = dict(_all_files(base))
    for name, recipe in recipes.items():
        for key, path in _all_files(recipe):
            if path != wanted.get(key):
                raise UsageError(
                    f"{source}: {name}: {key} is a file, which all trainings of a sweep have in common",
                    fix="train once for each file",
                )


def _all_files(recipe: Recipe) -> Iterator[tuple[str, Path]]:
    yield from _files(recipe.model_dump())
    if (bias := bias_folder(recipe)) is not None:
        yield "model.bias_model", bias


def _files(values: Any, prefix: str = "") -> Iterator[tuple[str, Path]]:
    items = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in items:
        if isinstance(value, Path):
            yield f"{prefix}{key}", value
        elif isinstance(value, dict | list | tuple):
            yield from _files(value, f"{prefix}{key}.")
