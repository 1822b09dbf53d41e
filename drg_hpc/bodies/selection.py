"""Which rows and tracks a run over a model works on, settled in the plan. Light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from drg_hpc.config import nearest
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.fasta import scan
from drg_hpc.models.header import model_length
from drg_hpc.runs.spec import BLOCK_ROWS
from drg_hpc.store.dataset_layout import single_input
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
    """

    kind: Literal["store", "fasta"]
    record: dict[str, Any]
    rows: int
    split: str | None


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
    InputError : not a dataset store, another length, no such split, or no rows in it
    """
    header = require_kind(path, "dataset")
    length = single_input(header).length
    if length != model_length(model):
        raise InputError(
            f"sequences of {path} have {length} bases, the model takes {model_length(model)}",
            fix=f"shard with --length {model_length(model)}, or take the model trained on this store",
        )
    rows = split_count(header, split)
    if rows == 0:
        raise InputError(f"split {split!r} of {path} has no rows", fix="choose another with --split")
    return Selection("store", describe_store(path), _limited(rows, limit), split)


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


def worker_memory(model: dict[str, Any]) -> int:
    """Bytes of a worker with a model at work on one block: an activation is taken to cost at least 32 multiply-adds."""
    activations = BLOCK_ROWS * (int(model["operations"]["macs_per_row"]) // 32 + 64 * model_length(model)) * 4
    return _BASE_MEMORY + 3 * int(model["weights"]["bytes"]) + activations
