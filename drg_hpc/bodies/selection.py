"""Which rows and tracks a run over a model works on, settled in the plan. Light."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from drg_hpc.bodies.bed_rows import select_regions
from drg_hpc.bodies.row_options import ROWS, RowOptions, require_rows_of_one, where_of
from drg_hpc.bodies.selected import ROW_MEMORY, Selection
from drg_hpc.bodies.where_rows import Where
from drg_hpc.config import nearest
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.fasta import scan
from drg_hpc.genome.regions import Region, parse_region
from drg_hpc.models.header import MODEL_MEMBERS, model_inputs, model_length, track_links
from drg_hpc.runs.spec import BLOCK_ROWS
from drg_hpc.store.dataset_layout import inputs_of
from drg_hpc.store.header import describe_store, require_kind, split_count

ROW_TABLE_BYTES = 96  # of a row of the table of regions, in result files
Header: TypeAlias = Mapping[str, Any]
_BASE_MEMORY = 700 << 20  # interpreter with torch, zarr and h5py


def select_tracks(text: str, known: Sequence[str]) -> list[tuple[int, str]]:
    """(index, name) of the tracks that ``all`` or ``a,b`` asks for, in the order of the model.

    Raises
    ------
    UsageError : no such track
    """
    if text == "all":
        return list(enumerate(known))
    wanted = [text] if text in known else [item.strip() for item in text.split(",")]
    for name in wanted:
        if name not in known:
            raise UsageError(f"--tracks: no track {name!r}", fix=nearest(name, known))
    return [(index, name) for index, name in enumerate(known) if name in wanted]


def _limited(rows: int, limit: int | None) -> int:
    return rows if limit is None else min(rows, limit)


def select_store(
    path: Path, model: Header, *, split: str | None, limit: int | None, where: Where | None = None, key: str = ROWS
) -> Selection:
    """Kept rows of a split (default: test, or that of the evaluation) of a store whose sequences fit the model.

    Parameters
    ----------
    key : of the store among the inputs of the plan

    Raises
    ------
    UsageError : the condition does not fit the columns there are
    InputError : not a dataset store, an input that it lacks or has in another length, no such split, or no rows in it
    """
    header = require_kind(path, "dataset")
    names = _inputs(path, model, {item.name: item.length for item in inputs_of(header)})
    record = describe_store(path)
    if where is not None:
        if split is not None:
            _require_rows(path, header, split)
        chosen = where.of_store(path, header, record, model=model, split=split)
        return Selection("store", {key: record}, 0, split, names).only(chosen)
    split = split or "test"
    return Selection("store", {key: record}, _limited(_require_rows(path, header, split), limit), split, names)


def _require_rows(path: Path, header: dict[str, Any], split: str) -> int:
    if not (rows := split_count(header, split)):
        raise InputError(f"split {split!r} of {path} has no rows", fix="choose another with --split")
    return rows


def _inputs(path: Path, model: Header, known: Mapping[str, int]) -> tuple[str, ...]:
    """Names of the store's inputs that the model takes; () where both have one."""
    wanted = model_inputs(model)
    if len(wanted) == len(known) == 1:
        _require_length(str(path), next(iter(known.values())), model_length(model))
        return ()
    for name, length in wanted.items():
        if name not in known:
            shown = ", ".join(f"{other} ({bases})" for other, bases in known.items())
            raise InputError(
                f"the model takes an input {name!r}, which {path} lacks",
                fix=f"its inputs: {shown}; shard with --input {name}=BED:{length}",
            )
        _require_length(f"input {name!r} of {path}", known[name], length)
    return tuple(wanted)


def _require_length(whose: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise InputError(
            f"sequences of {whose} have {found} bases, the model takes {wanted}",
            fix=f"make the store with {wanted} (drg-shard --length, drg-simulate --seq-length), or take the model "
            "trained on this store",
        )


def fasta_region(name: str, length: int) -> Region:
    """The region that a sequence's name says it is of; else the sequence itself."""
    return parse_region(name, length) or Region(name, 0, length, name)


def select_fasta(path: Path, model: Header, *, limit: int | None, where: Where | None = None) -> Selection:
    """All sequences of a FASTA; each must have the model's length.

    Raises
    ------
    UsageError : the condition does not fit the columns there are
    InputError : not a FASTA, or a sequence of another length (named)
    """
    length = model_length(model)
    records = scan(path)
    for record in records:
        if record.length != length:
            raise InputError(
                f"{path}: {record.name!r} has {record.length} bases, the model takes {length}",
                fix="cut or pad the sequences to the model's length",
            )
    regions = [fasta_region(record.name, record.length) for record in records]
    chosen = where.of_regions(regions) if where else None
    rows = _limited(len(records), limit) if chosen is None else len(chosen.rows)
    found = Selection(
        "fasta", {ROWS: describe_input(path)}, rows, None, memory=rows * (length + ROW_MEMORY),
        regions=regions if chosen else regions[:rows],
    )  # fmt: skip
    return found if chosen is None else found.only(chosen)


def select_input(options: RowOptions, model: Header, *, store: str = ROWS) -> Selection:
    """The rows that the flags ask for: of a dataset store, of a FASTA, or regions of a genome.

    Parameters
    ----------
    store : key of a dataset store among the inputs of the plan; other inputs have the key ``sequences``

    Raises
    ------
    UsageError : flags that clash, or a condition that does not fit the columns there are
    InputError : as :func:`select_store`, :func:`select_fasta`, :func:`drg_hpc.bodies.bed_rows.select_regions`
    """
    where = where_of(options)
    require_rows_of_one(options)
    if options.regions is not None:
        assert options.genome is not None
        limit, stranded = options.limit, options.stranded
        return select_regions(options.regions, options.genome, model, stranded=stranded, where=where, limit=limit)
    path = options.input
    assert path is not None
    if not path.exists():
        raise InputError(f"no such file or folder: {path}", fix="give a dataset store or a FASTA file")
    if not path.is_file():
        return select_store(path, model, split=options.split, limit=options.limit, where=where, key=store)
    if options.split is not None:
        raise UsageError(f"--split {options.split}: {path} is a FASTA and has no splits", fix="leave --split out")
    return select_fasta(path, model, limit=options.limit, where=where)


def describe_models(paths: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Descriptions of a run's models: ``model``, or of several ``model1``, ``model2``, …"""
    records = [describe_input(path, MODEL_MEMBERS) for path in paths]
    if len(records) == 1:
        return {"model": records[0]}
    return {f"model{number}": record for number, record in enumerate(records, start=1)}


def model_keys(inputs: Iterable[str]) -> list[str]:
    """The names that :func:`describe_models` gave, in its order."""
    return sorted((name for name in inputs if re.fullmatch(r"model\d*", name)), key=lambda name: (len(name), name))


def require_alike(paths: Sequence[Path], models: Sequence[dict[str, Any]]) -> None:
    """Refuse models whose predictions have no mean: they must have the same inputs and outputs, on one scale.

    Raises
    ------
    InputError : what differs, in which of them
    """
    first = models[0]
    for path, other in zip(paths[1:], models[1:], strict=True):
        mine, theirs = model_inputs(first), model_inputs(other)
        if len(mine) == len(theirs) == 1:  # its name is of no consequence
            mine, theirs = {"sequence": model_length(first)}, {"sequence": model_length(other)}
        checks: list[tuple[str, Any, Any]] = [
            ("inputs", list(mine.items()), list(theirs.items())),
            ("tracks", first["tracks"], other["tracks"]),
            ("bins", first["bins"], other["bins"]),
            ("bases that the bins are of", first["span"], other["span"]),
            ("links", track_links(first), track_links(other)),
            ("strand partners", first["strand_partners"], other["strand_partners"]),
        ]
        for what, here, there in checks:
            if here != there:
                raise InputError(
                    f"{path} and {paths[0]} have no mean, their {what} differ: {_difference(there, here)}",
                    fix="give each by itself",
                )


def _difference(there: Any, here: Any) -> str:
    """The first place where two lists differ, or two values."""
    if not isinstance(here, list):
        return f"{there} and {here}"
    if len(there) != len(here):
        return f"{len(there)} and {len(here)}"
    at = next(i for i, (a, b) in enumerate(zip(there, here, strict=True)) if a != b)
    return f"number {at} is {there[at]!r} and {here[at]!r}"


def worker_base(models: Iterable[Header]) -> int:
    """Bytes of a worker that holds some models, at rest."""
    return _BASE_MEMORY + 3 * sum(int(model["weights"]["bytes"]) for model in models)


def worker_memory(model: Header) -> int:
    """Bytes of a worker with a model at work on one block: an activation is taken to cost at least 32 multiply-adds."""
    bases = sum(model_inputs(model).values())
    activations = BLOCK_ROWS * (int(model["operations"]["macs_per_row"]) // 32 + 64 * bases) * 4
    return worker_base([model]) + activations
