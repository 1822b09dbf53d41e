"""The rows of a run and the values that are explained of each: tracks of the rows of an input, or statistics of genes.
Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from drg_hpc.attribution.cost import PASS_SIZES
from drg_hpc.attribution.recipe import parse_shifts
from drg_hpc.attribution.transform_spec import Scale, Target, plan_target
from drg_hpc.attribution.transform_tracks import GROUP
from drg_hpc.bodies.gene_options import uses_genes
from drg_hpc.bodies.gene_plan import plan_genes
from drg_hpc.bodies.groups import read_groups
from drg_hpc.bodies.selection import select_input
from drg_hpc.bodies.user_code import source_of
from drg_hpc.bodies.value_options import ValueOptions
from drg_hpc.config import changed
from drg_hpc.digests import describe_input
from drg_hpc.errors import UsageError
from drg_hpc.models.header import model_inputs
from drg_hpc.runs.spec import BLOCK_ROWS
from drg_hpc.store.header import describe_store, genome_contigs, known_contigs

Header = Mapping[str, Any]
_NOT_OF_GENES = ("input", "regions", "split", "where", "evaluation", "stranded", "transform", "scale")


@dataclass(frozen=True)
class ValueRows:
    """What a run explains.

    Attributes
    ----------
    names : of the values, with the number that names their group
    tracks : of the model that they are made of
    plain : the values are these tracks as they are
    unkept : there are rows with kept=false
    aside : see :class:`drg_hpc.runs.spec.RunSpec`
    memory : bytes that a worker needs for the list of rows
    """

    rows: int
    params: dict[str, Any]
    inputs: dict[str, Any]
    names: list[tuple[int, str]]
    tracks: Sequence[int]
    plain: bool
    unkept: bool
    notes: tuple[str, ...] = ()
    aside: Mapping[str, Any] = field(default_factory=dict)
    memory: int = 0


def choose_values(options: ValueOptions, header: Header, *, scale: Scale | None) -> ValueRows:
    """The rows and values that the flags ask for.

    Parameters
    ----------
    header : of the model
    scale : of the outputs; None for the default of the target

    Raises
    ------
    UsageError : flags that clash, or no such track, group or gene
    InputError : no rows, or sequences of another length
    """
    return _genes(options, header) if uses_genes(options) else _tracks(options, header, scale)


class Named(Protocol):
    """Flags that name values."""

    @property
    def tracks(self) -> str: ...
    @property
    def groups(self) -> Path | None: ...
    @property
    def transform(self) -> str | None: ...


class Batched(Protocol):
    """The flag of a pass."""

    @property
    def batch_size(self) -> int | None: ...


def require_groups_named(options: Named) -> None:
    """Refuse a table of groups of which none is named.

    Raises
    ------
    UsageError : with the table
    """
    if options.groups is not None and GROUP not in f"{options.tracks}{options.transform}":
        raise UsageError(f"--groups {options.groups} has no effect: no group is named", fix=f"--tracks {GROUP}NAME")


def batch_size(options: Batched) -> int | None:
    """Rows of a pass, None for what a worker's device is good for.

    Raises
    ------
    UsageError : no power of two up to 64
    """
    if options.batch_size not in (None, *PASS_SIZES):
        raise UsageError(
            f"--batch-size {options.batch_size} is no power of two up to {BLOCK_ROWS}",
            fix=f"blocks of {BLOCK_ROWS} rows are cut into equal passes: {', '.join(map(str, PASS_SIZES))}",
        )
    return options.batch_size


def contigs_for(options: ValueOptions, exports: Sequence[str]) -> dict[str, int] | None:
    """Lengths of contigs, where an export needs them and the input knows them."""
    store = options.genome or options.input
    return known_contigs(store) if "bigwig" in exports and store and store.is_dir() else None


def _tracks(options: ValueOptions, header: Header, scale: Scale | None) -> ValueRows:
    """Tracks, groups or a transform, of the rows of an input."""
    chosen = select_input(options, header)
    target, files, notes = plan_values(options, header, scale=scale)
    record, plain = target.record(), target.kind == "tracks"
    numbers = record["tracks"] if plain else range(len(target.names))
    return ValueRows(
        rows=chosen.rows,
        params=chosen.params | {"target": record},
        inputs=dict(chosen.records) | files,
        names=list(zip(numbers, target.names, strict=True)),
        tracks=used_tracks(record, header),
        plain=plain,
        unkept=chosen.unkept,
        aside=chosen.aside,
        memory=chosen.memory,
        notes=(*chosen.notes, *notes),
    )


def plan_values(
    options: Named, header: Header, *, scale: Scale | None
) -> tuple[Target, dict[str, Any], tuple[str, ...]]:
    """The statistic that the flags name, records of the files it takes, and notes.

    Raises
    ------
    UsageError : flags that clash, or no such track or group
    """
    groups, files = read_groups(options.groups, header)
    target = plan_target(header, tracks=options.tracks, transform=options.transform, groups=groups, scale=scale)
    notes: tuple[str, ...] = ()
    if target.kind == "user":
        factory = target.record()["factory"]
        code = source_of(factory)
        files |= {} if code is None else {"transform": code}
        if code is None:
            notes = (f"the code of {factory} is not found here: workers take theirs unchecked",)
    return target, {name: describe_input(path) for name, path in files.items()}, notes


def only_length(header: Header, *, why: str, fix: str) -> int:
    """Bases of the one input of a model.

    Raises
    ------
    UsageError : it takes several
    """
    inputs = model_inputs(header)
    if len(inputs) > 1:
        raise UsageError(f"the model takes {len(inputs)} sequences ({', '.join(inputs)}), {why}", fix=fix)
    return next(iter(inputs.values()))


def used_tracks(record: Mapping[str, Any], header: Header) -> list[int]:
    """Numbers of the model's tracks that a statistic is made of."""
    found = {track for key in ("tracks", "on", "off") for track in record.get(key, ())}
    found |= {track for group in record.get("groups", ()) for track in group}
    return sorted(found) or list(range(len(header["tracks"])))


def _genes(options: ValueOptions, header: Header) -> ValueRows:
    """Statistics of genes, a row each.

    Raises
    ------
    UsageError : options of rows of an input
    """
    if options.genome is None:
        raise UsageError("--gtf needs --genome: the store that windows of genes are cut from")
    for name in changed(options, _NOT_OF_GENES):
        shown = f"{getattr(options, name)}" if name == "input" else f"--{name}"
        raise UsageError(f"{shown} with --gtf: rows are the genes, values their statistic", fix="leave it out")
    groups, files = read_groups(options.groups, header)
    target = plan_target(header, tracks=options.tracks, groups=groups, scale="output")
    tracks = used_tracks(target.record(), header)
    found = plan_genes(
        options,
        header,
        contigs=genome_contigs(options.genome),
        tracks=tracks,
        limit=options.limit,
        shifts=parse_shifts(options.shifts, length=min(model_inputs(header).values())),
    )
    files |= found.files
    return ValueRows(
        rows=len(found.rows),
        params={"genes": found.params},
        inputs={"genome": describe_store(options.genome)} | {name: describe_input(p) for name, p in files.items()},
        names=list(enumerate(found.names)),
        tracks=tracks,
        plain=False,
        unkept=not all(row.kept for row in found.rows),
        notes=found.notes,
    )
