"""The models of a run over sequences of one input, and the values that it computes of each. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from drg_hpc.attribution.cost import Work
from drg_hpc.attribution.recipe import parse_shifts
from drg_hpc.attribution.transform_spec import Scale
from drg_hpc.bodies.selection import describe_models, require_alike
from drg_hpc.bodies.value_rows import Named, only_length, plan_values, require_groups_named, used_tracks
from drg_hpc.models.header import model_paths, other_strand, read_model_header

Header = Mapping[str, Any]


class Asked(Named, Protocol):
    """Flags that name models, values, and the views that they are means of."""

    @property
    def model(self) -> Path: ...
    @property
    def rc_average(self) -> bool: ...
    @property
    def shifts(self) -> str | None: ...


@dataclass(frozen=True)
class Models:
    """Models that take one sequence.

    Attributes
    ----------
    headers : alike
    length : bases of a sequence
    """

    paths: Sequence[Path]
    headers: Sequence[dict[str, Any]]
    length: int

    @property
    def header(self) -> dict[str, Any]:
        """The first one's."""
        return self.headers[0]


@dataclass(frozen=True)
class ModelValues:
    """What is computed.

    Attributes
    ----------
    target : record of the statistic
    used : numbers of the model's tracks that it is made of
    shifts : of views, in bases
    files : records of the models, and of files that the statistic takes
    """

    target: dict[str, Any]
    used: Sequence[int]
    shifts: Sequence[int]
    work: Work
    files: dict[str, Any]
    notes: tuple[str, ...]


def read_models(model: Path, *, why: str, fix: str) -> Models:
    """Models of one input.

    Parameters
    ----------
    why, fix : one of several is refused with, see :func:`drg_hpc.bodies.value_rows.only_length`

    Raises
    ------
    InputError : no model, or models that are not alike
    UsageError : they take several sequences
    """
    paths = model_paths(model)
    headers = [read_model_header(path) for path in paths]
    require_alike(paths, headers)
    return Models(paths, headers, only_length(headers[0], why=why, fix=fix))


def plan_model_values(options: Asked, models: Models, *, scale: Scale | None) -> ModelValues:
    """The values that the flags name.

    Parameters
    ----------
    scale : of the outputs; None for the default of the target

    Raises
    ------
    UsageError : flags that clash, no such track or group, or no track of the other strand
    """
    require_groups_named(options)
    header = models.header
    values, files, notes = plan_values(options, header, scale=scale)
    target = dict(values.record())
    used = used_tracks(target, header)
    if options.rc_average:
        other_strand(header["strand_partners"], used, header["tracks"])
    shifts = parse_shifts(options.shifts, length=models.length)
    work = Work(
        header, values=len(target["names"]), tracks=False, references=0,
        views=len(shifts) * (2 if options.rc_average else 1), models=len(models.paths),
    )  # fmt: skip
    return ModelValues(target, used, shifts, work, describe_models(models.paths) | files, notes)
