"""Groups of a model's tracks: from a table, else its modalities. Light."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drg_hpc.errors import InputError
from drg_hpc.models.header import track_heads
from drg_hpc.prediction.classes import read_classes

GROUPS = "groups"
"""Key of the table among the inputs of a plan."""


def read_groups(path: Path | None, header: Mapping[str, Any]) -> tuple[dict[str, list[int]], dict[str, Path]]:
    """Numbers of the tracks of each group, by its name; and the files they come from, for the inputs of a plan.

    Parameters
    ----------
    path : table of two columns, track and group; a track without a line is in no group. None: the model's modalities,
        where there are several

    Raises
    ------
    InputError : a faulty table, or one that names none of the tracks
    """
    if path is None:
        named = track_heads(header)
        named = named if len(set(named)) > 1 else [""] * len(named)
    else:
        classes = read_classes(path)
        named = [classes.get(str(name), "") for name in header["tracks"]]
        if not any(named):
            raise InputError(f"{path} names none of the model's {len(named)} tracks",
                             fix=f"a line is a track, such as {header['tracks'][0]!r}, and its group")  # fmt: skip
    found: dict[str, list[int]] = {}
    for number, name in enumerate(named):
        if name:
            found.setdefault(name, []).append(number)
    return found, {} if path is None else {GROUPS: path}
