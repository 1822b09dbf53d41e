"""Classes of tracks: DRG's table of two columns, and the modalities of a model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc.errors import InputError
from drg_hpc.genome.text import columns, numbered_lines
from drg_hpc.models.header import track_heads

log = logging.getLogger(__name__)
_NAMED = 5


@dataclass(frozen=True)
class Group:
    """Tracks that belong together.

    Parameters
    ----------
    by : all, class or modality
    name : of the class or modality
    tracks : their numbers
    """

    by: str
    name: str
    tracks: tuple[int, ...]

    @property
    def label(self) -> str:
        """What the columns of the group end with."""
        return f"{self.by}:{self.name}"


def read_classes(path: Path) -> dict[str, str]:
    """Class of each track, from lines of a track's name and its class.

    Columns are separated by tabs (names may then hold blanks) or by blanks. Empty lines and lines that begin with ``#``
    are left out.

    Raises
    ------
    InputError : with the line: not two columns, an empty one, or a track for the second time; no line at all
    """
    found: dict[str, str] = {}
    for number, line in numbered_lines(path):
        if not line.strip() or line.startswith("#"):
            continue
        fields = columns(line)
        if len(fields) != 2 or not all(fields):
            raise InputError(
                f"{path}: line {number}: {len(fields)} columns" if len(fields) != 2 else
                f"{path}: line {number}: an empty column",
                fix="a line is a track's name and its class, with a tab or blanks between",
            )  # fmt: skip
        track, group = fields
        if track in found:
            raise InputError(f"{path}: line {number}: track {track!r} for the second time", fix="a track has one class")
        found[track] = group
    if not found:
        raise InputError(f"{path}: no track has a class", fix="a line is a track's name and its class")
    return found


def class_groups(path: Path, tracks: Sequence[str]) -> list[Group]:
    """The classes of a model's tracks, in the order of their first tracks.

    Raises
    ------
    InputError : as :func:`read_classes`, or tracks without a class
    """
    classes = read_classes(path)
    if missing := [name for name in tracks if name not in classes]:
        raise InputError(
            f"{path} has no class for {len(missing)} of {len(tracks)} tracks: {_listed(missing)}",
            fix="add a line for each of them",
        )
    if unknown := [name for name in classes if name not in set(tracks)]:
        log.warning("%s names %d tracks that are not evaluated: %s", path, len(unknown), _listed(unknown))
    return _groups("class", [classes[name] for name in tracks])


def modality_groups(header: Mapping[str, Any], tracks: Sequence[int]) -> list[Group]:
    """The modalities of some tracks of a model, when there are several."""
    heads = track_heads(header)
    names = [heads[track] for track in tracks]
    return _groups("modality", names) if len(set(names)) > 1 else []


def _groups(by: str, names: Sequence[str]) -> list[Group]:
    return [
        Group(by, name, tuple(i for i, found in enumerate(names) if found == name)) for name in dict.fromkeys(names)
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_NAMED])) + (" …" if len(names) > _NAMED else "")
