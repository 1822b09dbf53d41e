"""The trainings of a sweep: a table of settings, seeds and folds, multiplied out and named. Light: no torch here."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drg_hpc.config import load_toml, nearest
from drg_hpc.errors import UsageError
from drg_hpc.training.config import flatten

SHORT = {
    "lr": "optim.lr", "epochs": "train.epochs", "batch_size": "train.batch_size", "precision": "train.precision",
}  # fmt: skip
"""Settings that have a flag of their own, and their place in the tables."""
MOST = 10_000
"""Trainings of one sweep."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*")
_LONGEST = 100
_TABLES = ("grid", "run", "seed")


@dataclass(frozen=True)
class Settings:
    """What sets one training of a sweep apart.

    Parameters
    ----------
    name : of its model folder
    values : by dotted key, such as ``optim.lr``
    fold : the fold that validates, where the sweep is over folds
    """

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    fold: int | None = None


def read_grid(path: Path) -> list[Settings]:
    """The settings of a grid file.

    ``[grid]`` holds lists of values by key, all combinations of which are made, the first key slowest. Each ``[[run]]``
    is one training more, with a ``name``. ``seed = [0, 1, 2]`` trains all of them with each seed.

    Raises
    ------
    InputError : no such file, or not TOML
    UsageError : another table, a key without a list, no name or one that is used twice
    """
    raw = load_toml(path)
    for key in raw:
        if key not in _TABLES:
            raise UsageError(f"{path}: unknown key {key!r}", fix=f"{nearest(key, _TABLES)} (settings go into [grid])")
    found = [*_product(path, raw.get("grid", {})), *_runs(path, raw.get("run", []))]
    if "seed" in raw:
        seeds = [Settings(f"seed-{_text(seed)}", {"seed": seed}) for seed in _values(path, "seed", raw["seed"])]
        found = [_joined(one, seed) for one in found or [Settings("")] for seed in seeds]
    if not found:
        raise UsageError(f"{path} asks for no training", fix='give it a table such as [grid] with "optim.lr" = [0.001]')
    return _distinct(path, found)


def _values(path: Path, key: str, values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise UsageError(f"{path}: {key} = {json.dumps(values, default=str)}: a list of values is needed")
    for value in _leaves(values):
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{path}: {key}: {value} is no setting", fix="finite numbers only")
        if not isinstance(value, str | bool | int | float):
            raise UsageError(f"{path}: {key}: {value} is no setting", fix="numbers, text, true, false, lists of them")
    return values


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    else:
        yield value


def _product(path: Path, table: Any) -> Iterator[Settings]:
    if not isinstance(table, dict):
        raise UsageError(f"{path}: grid must be a table of lists, [grid]")
    lists = {key: _values(path, key, values) for key, values in _dotted(path, table)}
    if not lists:
        return
    short = _short_names(lists)
    for combination in itertools.product(*lists.values()):
        values = dict(zip(lists, combination, strict=True))
        yield Settings("_".join(f"{short[key]}-{_text(value)}" for key, value in values.items()), values)


def _runs(path: Path, tables: Any) -> Iterator[Settings]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{path}: run must be written as [[run]], one table for each training")
    for number, table in enumerate(tables, start=1):
        name = table.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _LONGEST:
            raise UsageError(
                f"{path}: [[run]] {number}: name = {name!r}", fix="a name of letters, digits and . _ + = - is needed"
            )
        rest = {key: value for key, value in table.items() if key != "name"}
        values = dict(_dotted(path, rest))
        for key, value in values.items():
            _values(path, key, [value])
        yield Settings(name, values)


def _dotted(path: Path, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """``"optim.lr"``, ``optim.lr`` and ``[grid.optim] lr`` are the same key; so are ``lr`` and ``optim.lr``."""
    seen = set()
    for key, value in flatten(dict(table)):
        key = key.replace("-", "_")
        key = SHORT.get(key, key)
        if key in seen:
            raise UsageError(f"{path}: {key} is given twice")
        seen.add(key)
        yield key, value


def _short_names(keys: Iterable[str]) -> dict[str, str]:
    """The last word of each key, or all of it where two end alike."""
    last = {key: key.rpartition(".")[2] for key in keys}
    return {key: word if list(last.values()).count(word) == 1 else key for key, word in last.items()}


def _text(value: Any) -> str:
    """A value as a part of a folder's name."""
    if isinstance(value, list):
        return "x".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", str(value)).strip(".") or "empty"


def _joined(one: Settings, other: Settings) -> Settings:
    name = "_".join(filter(None, (one.name, other.name)))
    fold = other.fold if one.fold is None else one.fold
    return Settings(name, {**one.values, **other.values}, fold)


def _distinct(path: Path, found: Sequence[Settings]) -> list[Settings]:
    """Names that can be folders, each once: a long one is replaced by a number; nothing is trained twice."""
    if len(found) > MOST:
        raise UsageError(f"{path} asks for {len(found)} trainings, more than {MOST}", fix="cut it in two")
    named = [
        one if len(one.name) <= _LONGEST else Settings(f"setting-{number:04d}", one.values)
        for number, one in enumerate(found)
    ]
    seen: dict[str, Settings] = {}
    same: dict[str, str] = {}
    for one in named:
        if one.name in seen:
            raise UsageError(f"{path}: two trainings are called {one.name!r}", fix="write them as [[run]] with names")
        seen[one.name] = one
        key = json.dumps(sorted(one.values.items()))
        if key in same:
            raise UsageError(f"{path}: {same[key]} and {one.name} have the same settings", fix="take one of them out")
        same[key] = one.name
    return named


def with_folds(settings: Sequence[Settings], count: int) -> list[Settings]:
    """Each training once for each of ``count`` folds."""
    return [_joined(one, Settings(f"fold-{fold}", fold=fold)) for one in settings for fold in range(count)]


def fold_splits(fold: int, count: int) -> dict[str, str]:
    """The splits of a training over folds: ``fold`` validates, the next one tests (after the last comes the first, as
    in DRG's fold files), all others train."""
    tested = (fold + 1) % count
    rest = ",".join(str(other) for other in range(count) if other not in (fold, tested))
    return {"train": f"fold:{rest}", "valid": f"fold:{fold}", "test": f"fold:{tested}"}
