"""Labels of simulated sequences: by the rule, or values that motifs add up to. Light.

A value of a track is the sum of the weights of the motifs that are there (*additive*); *synergistic* adds ``synergy``
where the rule of the grammar holds; and noise of a standard deviation, normally distributed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from drg_hpc.errors import InputError
from drg_hpc.genome.text import columns, numbered_lines

LabelKind = Literal["rule", "additive", "synergistic"]
RULE_TRACK, VALUE_TRACK = "label", "activity"
_EXTRA = ("synergy", "noise")
LARGEST = 1e30
"""Of weights, synergy and noise: labels are stored as float32, and sums of these stay below its largest (3.4e38)."""


@dataclass(frozen=True)
class Effects:
    """What makes the values of one track.

    Parameters
    ----------
    weights : of each motif of the grammar
    synergy : added where the rule holds
    noise : standard deviation
    """

    track: str
    weights: tuple[float, ...]
    synergy: float = 0.0
    noise: float = 0.0


def effects_as_params(effects: Sequence[Effects]) -> list[dict[str, Any]]:
    """Plain values; :func:`effects_of` is the way back."""
    return [asdict(item) | {"weights": list(item.weights)} for item in effects]


def effects_of(params: Sequence[Mapping[str, Any]]) -> list[Effects]:
    """The effects of a plan; empty for labels by the rule."""
    return [Effects(p["track"], tuple(p["weights"]), p["synergy"], p["noise"]) for p in params]


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}: line {line}: {column} = {text!r} is not a number")
    if abs(value) > LARGEST:
        raise InputError(f"{path}: line {line}: {column} = {text} is beyond {LARGEST:g}", fix="labels are float32")
    return value


def _header(path: Path, line: int, names: list[str], motifs: Sequence[str], kind: LabelKind) -> None:
    if names[0] != "track":
        fix = "the header is track, names of motifs, and, where wanted, synergy and noise"
        raise InputError(f"{path}: line {line}: the first column is {names[0]!r}, not 'track'", fix=fix)
    for name in names[1:]:
        if name not in (*motifs, *_EXTRA):
            raise InputError(f"{path}: line {line}: no motif {name!r}", fix=f"--motifs has {', '.join(motifs)}")
        if names.count(name) > 1:
            raise InputError(f"{path}: line {line}: two columns are called {name!r}")
    if "synergy" in names and kind != "synergistic":
        raise InputError(f"{path}: line {line}: a column synergy, labels are {kind}", fix="--labels synergistic")


def read_weights(
    path: Path, motifs: Sequence[str], kind: LabelKind, *, synergy: float = 0.0, noise: float = 0.0
) -> list[Effects]:
    """Effects of each track of a table: header ``track``, motifs, ``synergy``, ``noise``; a motif without a column
    has no weight.

    Parameters
    ----------
    synergy, noise : of all tracks, where the table has no such column

    Raises
    ------
    InputError : a faulty table, or a number beyond :data:`LARGEST`, with the line
    """
    found: list[Effects] = []
    names: list[str] = []
    for line, text in numbered_lines(path):
        if not text.strip() or text.startswith("#"):
            continue
        fields = columns(text)
        if not names:
            names = fields
            _header(path, line, names, motifs, kind)
            continue
        if len(fields) != len(names) or not fields[0]:
            raise InputError(f"{path}: line {line}: {len(fields)} columns, the header has {len(names)}")
        if fields[0] in (item.track for item in found):
            raise InputError(f"{path}: line {line}: track {fields[0]} stands twice")
        values = {name: _number(path, line, name, word) for name, word in zip(names[1:], fields[1:], strict=True)}
        if values.get("noise", 0.0) < 0:
            raise InputError(f"{path}: line {line}: noise = {values['noise']:g} is negative")
        weights = tuple(values.get(motif, 0.0) for motif in motifs)
        found.append(Effects(fields[0], weights, values.get("synergy", synergy), values.get("noise", noise)))
    if not found:
        raise InputError(f"{path} has no track", fix="give a header and a line per track")
    return found
