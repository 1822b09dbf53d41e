"""Which rows and tracks a run over a model works on, settled in the plan. Light."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from drg_hpc.config import nearest
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.fasta import scan
from drg_hpc.models.header import MODEL_MEMBERS, model_inputs, model_length, track_links
from drg_hpc.runs.spec import BLOCK_ROWS
from drg_hpc.store.dataset_layout import inputs_of
from drg_hpc.store.header import describe_store, require_kind, split_count

ROW_TABLE_BYTES = 96  # of a row of the table of regions, in result files
_BASE_MEMORY = 700 << 20  # interpreter with torch, zarr and h5py


@dataclass(frozen=True)
class Selection:
    """Rows of an input.

    Parameters
    ----------
    kind : store or fasta
    record : description of the input, for the plan
    rows : number of rows selected
    split : of a store, else None
    inputs : names of the store's sequences in the order of the model; nothing where both have one, whatever its name
    """

    kind: Literal["store", "fasta"]
    record: dict[str, Any]
    rows: int
    split: str | None
    inputs: tuple[str, ...] = ()


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


def select_store(path: Path, model: dict[str, Any], *, split: str, limit: int | None) -> Selection:
    """Kept rows of a split of a dataset store whose sequences fit the model.

    Raises
    ------
    InputError : not a dataset store, an input that it lacks or has in another length, no such split, or no rows in it
    """
    header = require_kind(path, "dataset")
    names = _inputs(path, model, {item.name: item.length for item in inputs_of(header)})
    rows = split_count(header, split)
    if rows == 0:
        raise InputError(f"split {split!r} of {path} has no rows", fix="choose another with --split")
    return Selection("store", describe_store(path), _limited(rows, limit), split, names)


def _inputs(path: Path, model: dict[str, Any], known: Mapping[str, int]) -> tuple[str, ...]:
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
            fix=f"shard with --length {wanted}, or take the model trained on this store",
        )


def select_fasta(path: Path, model: dict[str, Any], *, limit: int | None) -> Selection:
    """All sequences of a FASTA; each must have the model's length.

    Raises
    ------
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
    return Selection("fasta", describe_input(path), _limited(len(records), limit), None)


def select_rows(path: Path, model: dict[str, Any], *, split: str | None, limit: int | None) -> Selection:
    """Rows of a dataset store (``split``, default test) or of a FASTA.

    Raises
    ------
    UsageError : a split of a FASTA
    InputError : as :func:`select_store` and :func:`select_fasta`
    """
    if not path.exists():
        raise InputError(f"no such file or folder: {path}", fix="give a dataset store or a FASTA file")
    if not path.is_file():
        return select_store(path, model, split=split or "test", limit=limit)
    if split is not None:
        raise UsageError(f"--split {split}: {path} is a FASTA and has no splits", fix="leave --split out")
    return select_fasta(path, model, limit=limit)


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
                    fix="predict with each by itself",
                )


def _difference(there: Any, here: Any) -> str:
    """The first place where two lists differ, or two values."""
    if not isinstance(here, list):
        return f"{there} and {here}"
    if len(there) != len(here):
        return f"{len(there)} and {len(here)}"
    at = next(i for i, (a, b) in enumerate(zip(there, here, strict=True)) if a != b)
    return f"number {at} is {there[at]!r} and {here[at]!r}"


def worker_memory(model: dict[str, Any]) -> int:
    """Bytes of a worker with a model at work on one block: an activation is taken to cost at least 32 multiply-adds."""
    bases = sum(model_inputs(model).values())
    activations = BLOCK_ROWS * (int(model["operations"]["macs_per_row"]) // 32 + 64 * bases) * 4
    return _BASE_MEMORY + 3 * int(model["weights"]["bytes"]) + activations
