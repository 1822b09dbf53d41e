"""Tracks, groups and bins as people name them. Light."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drg_hpc.config import nearest
from drg_hpc.errors import UsageError
from drg_hpc.models.header import track_links

GROUP = "group:"
_BINS = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True)
class Outputs:
    """What a model puts out.

    Attributes
    ----------
    names, links : of each track
    bins : 0 for one value a track
    groups : numbers of the tracks of each group, by its name
    """

    names: Sequence[str]
    links: Sequence[str]
    bins: int
    groups: Mapping[str, Sequence[int]]

    @classmethod
    def of(cls, header: Mapping[str, Any], groups: Mapping[str, Sequence[int]]) -> Outputs:
        """Those of a model's header."""
        return cls([str(name) for name in header["tracks"]], track_links(header), int(header["bins"]), groups)

    def require_one_link(self, tracks: Sequence[int], scale: str, *, what: str) -> None:
        """Refuse to put tracks of several links together on the link scale.

        Raises
        ------
        UsageError : the links
        """
        links = dict.fromkeys(self.links[track] for track in tracks)
        if scale == "link" and len(links) > 1:
            raise UsageError(
                f"{what}: tracks with links {' and '.join(links)} have no common link scale", fix="add --scale output"
            )


def listed(text: str) -> list[str]:
    """Items separated by commas, blanks around them taken off, empty ones left out."""
    return [item.strip() for item in text.split(",") if item.strip()]


def chosen_tracks(outputs: Outputs, text: str, *, option: str) -> list[tuple[str, tuple[int, ...]]]:
    """(name, numbers) of what ``all`` or a list of tracks and groups asks for, in the order given.

    A name may hold commas: the longest run of items that is a name is taken.

    Raises
    ------
    UsageError : nothing, or no such track or group
    """
    if text == "all":
        return [(name, (number,)) for number, name in enumerate(outputs.names)]
    known: dict[str, tuple[int, ...]] = {f"{GROUP}{name}": tuple(tracks) for name, tracks in outputs.groups.items()}
    known |= {name: (number,) for number, name in reversed(list(enumerate(outputs.names)))}
    parts, found, at = text.split(","), [], 0
    while at < len(parts):
        stop = next((n for n in range(len(parts), at, -1) if ",".join(parts[at:n]).strip() in known), None)
        name = ",".join(parts[at : stop or at + 1]).strip()
        if stop is None and name:
            _unknown(outputs, name, option)
        if stop is not None:
            found.append((name, known[name]))
        at = stop or at + 1
    if not found:
        raise UsageError(f"{option}: no track in {text!r}", fix="give names separated by commas, or all")
    return found


def _unknown(outputs: Outputs, name: str, option: str) -> None:
    """Raise for a track or group that is not there."""
    if not name.startswith(GROUP):
        raise UsageError(f"{option}: no track {name!r}", fix=nearest(name, outputs.names))
    group = name.removeprefix(GROUP)
    if not outputs.groups:
        raise UsageError(
            f"{option}: no group {group!r}: the model has one modality and no groups",
            fix="give --groups FILE, a table of two columns, track and group",
        )
    raise UsageError(f"{option}: no group {group!r}", fix=nearest(group, outputs.groups))


def tracks_of(outputs: Outputs, text: str, *, option: str) -> list[int]:
    """Numbers of the tracks that a list of tracks and groups stands for, each once, in the order given.

    Raises
    ------
    UsageError : as :func:`chosen_tracks`
    """
    return list(dict.fromkeys(n for _, numbers in chosen_tracks(outputs, text, option=option) for n in numbers))


def chosen_bins(outputs: Outputs, text: str | None, *, option: str) -> list[int] | None:
    """Bins of ``3,10-20`` (10 to 19: half-open), ascending, each once; None for all.

    Raises
    ------
    UsageError : another form, bins that the model does not have, or a model without bins
    """
    if text is None:
        return None
    if not outputs.bins:
        raise UsageError(f"{option}={text}, but the model has one value a track", fix="leave bins= out")
    found: set[int] = set()
    for item in listed(text):
        match = _BINS.fullmatch(item)
        if match is None:
            raise UsageError(f"{option}={text}: {item!r} is neither a bin nor a range such as 10-20")
        first = int(match[1])
        stop = int(match[2]) if match[2] else first + 1
        if not first < stop <= outputs.bins:
            raise UsageError(f"{option}={text}: {item} is empty or outside the model's {outputs.bins} bins",
                             fix="bins count from 0, the end of a range is not in it")  # fmt: skip
        found.update(range(first, stop))
    if not found:
        raise UsageError(f"{option}: no bin in {text!r}")
    return sorted(found)
