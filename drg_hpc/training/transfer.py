"""Weights from one network into another: names translated, rows of tracks picked by name, first dimensions cropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from drg_hpc.errors import UsageError
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.config import AnyConfig
from drg_hpc.training.config_init import InitTable
from drg_hpc.training.name_maps import matching, shown, suggestion, translate
from drg_hpc.training.track_rows import POSITION, find_track_rows

_FAULTS = 3


@dataclass(frozen=True)
class Known:
    """The model that weights come from."""

    config: AnyConfig
    shape: ModelShape
    tracks: list[str]
    tensors: Mapping[str, torch.Tensor]


@dataclass
class Transfer:
    """Names of tensors: ours that were loaded (by track, cropped), that keep fresh values, and theirs not used."""

    loaded: list[str] = field(default_factory=list)
    by_track: list[str] = field(default_factory=list)
    cropped: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


class _Head:
    """What becomes of the tensors that have rows for each track.

    Attributes
    ----------
    rows : of our tensors, by name, where they are told apart
    """

    def __init__(self, model: SequenceModel, config: AnyConfig, other: Known, table: InitTable) -> None:
        self._model, self._other, self._kind = model, other, table.head
        ours, theirs = model.shape, other.shape
        alike = (
            (model.tracks, ours.links, ours.bins) == (other.tracks, theirs.links, theirs.bins)
            and [head.tracks for head in ours.heads] == [head.tracks for head in theirs.heads]
        )  # fmt: skip
        self._by_name = table.head == "name" and not alike
        self.rows = find_track_rows(config, ours) if self._by_name or table.head == "new" else {}
        self._their_rows = find_track_rows(other.config, theirs) if self._by_name else {}
        if not self.rows and (table.head == "new" or (self._by_name and not table.include and not table.exclude)):
            raise UsageError(
                "which tensors hold the tracks cannot be told: none depends on their number",
                fix=POSITION,
            )

    @property
    def is_new(self) -> bool:
        """Whether its tensors keep their fresh values."""
        return self._kind == "new"

    def picked(self, name: str, called: str) -> torch.Tensor:
        """Rows of our tracks from a tensor of the other model.

        Raises
        ------
        UsageError : it does not have the tracks, or has them on another scale
        """
        tracks, theirs = self._model.tracks, self._their_rows.get(called)
        fresh = f"init.head = 'new' for a fresh head, or --exclude {name}"
        if theirs is None:
            raise UsageError(f"tensor {name} has rows for each track, {called} of the other model has not", fix=fresh)
        there = {self._other.tracks[track]: track for track in theirs.tracks}
        mine = self.rows[name].tracks
        if missing := [tracks[track] for track in mine if tracks[track] not in there]:
            raise UsageError(
                f"tensor {name}: no track {shown(missing)} in the other model, which has {shown(list(there))}",
                fix=f"--tracks for those that it has, or {fresh}",
            )
        links = [self._other.shape.links[there[tracks[track]]] for track in mine]
        for track, link in zip(mine, links, strict=True):
            if self._model.links[track] != link:
                raise UsageError(
                    f"track {tracks[track]!r} has {link} outputs there, and {self._model.links[track]} ones here",
                    fix=f"a loss on the scale {link}, or {fresh}",
                )
        return theirs.pick(self._other.tensors[called], [there[tracks[track]] for track in mine])


def _cropped(tensor: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """The first rows, and zeros for those that are missing."""
    found = torch.zeros(size, dtype=tensor.dtype)
    count = min(len(tensor), size[0])
    found[:count] = tensor[:count]
    return found


def transfer(model: SequenceModel, config: AnyConfig, other: Known, table: InitTable) -> Transfer:
    """Load weights as an ``[init]`` table says.

    Every tensor that is asked for (all, or those of ``include``, without those of ``exclude``) must be there.

    Parameters
    ----------
    model : built from ``config``, its tracks named; changed in place

    Raises
    ------
    UsageError : patterns that fit nothing, tensors that are missing or do not fit, or tracks that are not there
    """
    own = model.state_dict()
    wanted = matching(table.include, list(own), option="--include") if table.include else set(own)
    wanted -= matching(table.exclude, list(own), option="--exclude")
    head = _Head(model, config, other, table)
    done = Transfer(fresh=[name for name in own if name not in wanted or (head.is_new and name in head.rows)])
    asked = [name for name in own if name not in done.fresh]
    called = translate(asked, table.load_map, theirs=other.tensors)
    if missing := [name for name in asked if called[name] not in other.tensors]:
        raise _missing(missing, called, other)
    values, faults = {}, []
    for name in asked:
        value = other.tensors[called[name]]
        if name in head.rows:
            value = head.picked(name, called[name])
            done.by_track.append(name)
        size = own[name].shape
        if value.shape != size and table.crop and value.shape[1:] == size[1:] and name not in head.rows:
            value = _cropped(value, size)
            done.cropped.append(name)
        if value.shape != size:
            faults.append(f"{name} is {tuple(size)}, {called[name]} is {tuple(value.shape)}")
        values[name] = value
    if faults:
        fix = (
            "--exclude them"
            if table.crop
            else "init.crop = true where only the first dimension differs, or --exclude them"
        )
        raise UsageError(f"tensors that do not fit: {shown(faults, _FAULTS)}", fix=fix)
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)
    done.loaded = asked
    done.unused = [name for name in other.tensors if name not in {called[name] for name in asked}]
    return done


def _missing(names: list[str], called: Mapping[str, str], other: Known) -> UsageError:
    first = names[0]
    also = "" if called[first] == first else f" (as {called[first]})"
    more = f", nor {len(names) - 1} more" if len(names) > 1 else ""
    return UsageError(
        f"the other model has no tensor {first}{also}{more}",
        fix=f"--load-map, or --exclude for fresh values; {suggestion(called[first], other.tensors)}",
    )
