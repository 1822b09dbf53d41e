"""Perturbation tests: the part a shard writes, the merged HDF5 file, and its table as text.

``regions/`` has a row per sequence, ``before`` (rows, tracks) what the model says of it, NaN where it is in no test,
and ``labels`` (rows, tracks), where effects need them, 0, 1 or NaN for none. ``tests/0007/`` is a test (attributes
``kind``, ``motifs``): ``status`` (rows,), a number of the root attribute ``statuses`` (0: tested), and ``loss``,
``logit`` and ``value`` (rows, tracks), effects of each sequence, NaN where it was not tested or has no label.
``table/`` has a line per test, effect and track; a number that there is none of is NaN there, and ``table/note`` says
why. ``tracks`` has the names of the values.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.results import h5
from drg_hpc.results.effect_table import write_test_table
from drg_hpc.results.layout import REGION_DATASETS, write_regions
from drg_hpc.results.opened import open_result

FORMAT = "drg-perturbation/1"
CONVENTIONS = {
    "loss": "cross entropy (nats) of the sequence minus the mean of its perturbed copies: negative, what was perturbed "
    "matters; of interaction: with both motifs replaced, minus that of additive changes of the logit",
    "logit": "mean logit of the copies minus that of the sequence, times -1 for label 0: negative, what was perturbed "
    "speaks for the label; of interaction: the change with both replaced beyond the sum of the changes with each",
    "value": "mean value of the copies minus that of the sequence; of interaction as logit, without a sign",
    "p": "Wilcoxon's signed-rank test, two-sided, of the finite effects; those of less than a millionth of the largest "
    "value count as 0",
    "q": "Benjamini-Hochberg over all tests and tracks of one effect",
    "interval": "of the mean, 95 %: percentiles of 2,000 resamples of the sequences; 1.96 standard errors from 50,000 "
    "sequences on",
    "relative": "mean and interval over the size of the mean effect of presence, averaged over the motifs of a pair",
    "sites": "presence and interaction replace all sites of a motif, order and distance take one of each in a "
    "sequence: the last one, of scanned sites the one of least p",
    "gap": "bases from the end of the left site to the start of the right one",
}
_TEXTS = ("test", "kind", "effect", "track", "note")
_COUNTS = ("count", "missing", "overlapping", "unplaceable", "unlabelled")
_NUMBERS = ("total", "mean", "p", "q", "low", "high", "relative", "relative_low", "relative_high")
COLUMNS = (
    "test", "effect", "track", "count", "total", "mean", "low", "high", "p", "q", "relative", "relative_low",
    "relative_high", "missing", "overlapping", "unplaceable", "unlabelled", "note",
)  # fmt: skip
"""Of out.tsv."""
_CSV = {
    "test": "test", "effect_size": "total", "count": "count", "avg_loss": "mean", "p_value": "p", "track": "track",
    "q_value": "q", "interval_low": "low", "interval_high": "high", "note": "note",
}  # fmt: skip
"""Columns of out.csv, the first five as the perturbation seed writes them, and what they hold."""


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes
    ----------
    count, total, mean : of the finite effects of the sequences tested
    p, q, interval, relative : see :data:`CONVENTIONS`; None where ``note`` says why, or there is no test of presence
    missing, overlapping, unplaceable, unlabelled : sequences that were left out: without the motifs, with sites that
        overlap or have no other place, without a label
    """

    test: str
    kind: str
    motifs: tuple[str, ...]
    effect: str
    track: str
    count: int
    total: float
    mean: float
    p: float | None
    q: float | None
    interval: tuple[float, float] | None
    relative: float | None
    relative_interval: tuple[float, float] | None
    missing: int
    overlapping: int
    unplaceable: int
    unlabelled: int
    note: str

    def values(self) -> dict[str, Any]:
        """Every column by its name."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        low, high = self.interval or (None, None)
        relative_low, relative_high = self.relative_interval or (None, None)
        return own | {"low": low, "high": high, "relative_low": relative_low, "relative_high": relative_high}


def test_group(number: int) -> str:
    """Where a test is stored."""
    return f"tests/{number:04d}"


test_group.__test__ = False  # type: ignore[attr-defined]  # not one of pytest's


def write_part(
    path: Path,
    regions: pd.DataFrame,
    statuses: Sequence[NDArray[np.uint8]],
    effects: Sequence[Mapping[str, NDArray[np.float64]]],
    *,
    before: NDArray[np.float64],
    labels: NDArray[np.float64] | None,
) -> None:
    """Write one shard.

    Parameters
    ----------
    before : (rows, tracks) values of the sequences
    labels : (rows, tracks), where effects need them
    statuses : (rows,) of each test
    effects : (rows, tracks) of each test, by name
    """
    with h5.create(path) as part:
        write_regions(part, regions)
        h5.write_array(part, "before", before)
        if labels is not None:
            h5.write_array(part, "labels", labels.astype(np.float32))
        for number, (status, found) in enumerate(zip(statuses, effects, strict=True)):
            h5.write_array(part, f"{test_group(number)}/status", status)
            for name, values in found.items():
                h5.write_array(part, f"{test_group(number)}/{name}", values)


class Merged:
    """The merged file while it is written: what the parts hold first, then the table of it.

    Parameters
    ----------
    tests : kind and motifs of each
    effects : names
    labelled : there are labels
    """

    def __init__(
        self, handle: h5py.File, parts: Sequence[h5.PartFile], *, tests: Sequence[tuple[str, Sequence[str]]],
        effects: Sequence[str], labelled: bool, tracks: Sequence[str], attributes: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self._handle = handle
        h5.set_attributes(handle, {**attributes, "format": FORMAT, "conventions": CONVENTIONS})
        names = ["before", *(["labels"] if labelled else [])]
        names += [f"{test_group(n)}/{name}" for n in range(len(tests)) for name in ("status", *effects)]
        h5.merge_fixed(parts, [*REGION_DATASETS, *names], handle)
        for number, (kind, motifs) in enumerate(tests):
            h5.set_attributes(handle[test_group(number)], {"kind": kind, "motifs": list(motifs)})
        h5.write_text(handle, "tracks", tracks)

    def values(self, name: str) -> NDArray[np.float64]:
        """All rows of ``before`` or ``labels``."""
        found: NDArray[np.float64] = self._handle[name][()].astype(np.float64)
        return found

    def column(self, test: int, name: str) -> NDArray[Any]:
        """All rows of a dataset of a test."""
        found: NDArray[Any] = self._handle[f"{test_group(test)}/{name}"][()]
        return found

    def write_table(self, lines: Sequence[Line]) -> None:
        """The ``table`` group."""
        rows = [line.values() for line in lines]
        write_test_table(self._handle, rows, texts=_TEXTS, counts=_COUNTS, numbers=_NUMBERS)


def write_texts(folder: Path, lines: Sequence[Line]) -> None:
    """``out.tsv`` with all lines, and ``out.csv`` with those of losses where there are any; where there is no number
    the cell is empty. Numbers of the TSV have six digits."""
    rows = [line.values() for line in lines]
    _write(folder / "out.tsv", "\t", COLUMNS, ([_short(row[name]) for name in COLUMNS] for row in rows))
    losses = [row for row in rows if row["effect"] == "loss"]
    if losses:
        _write(folder / "out.csv", ",", tuple(_CSV), ([row[name] for name in _CSV.values()] for row in losses))


def _short(cell: Any) -> Any:
    return f"{cell:.6g}" if isinstance(cell, float) else cell


def _write(path: Path, delimiter: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as handle:
        table = csv.writer(handle, delimiter=delimiter, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)


def read_table(path: Path) -> pd.DataFrame:
    """The table of a file: columns as of out.tsv, and kind; NaN where there is no number.

    Raises
    ------
    InputError : nothing there, or another file
    CorruptError : not whole
    """
    needed = [f"table/{name}" for name in (*_TEXTS, *_COUNTS, *_NUMBERS)]
    with open_result(path, FORMAT, what="perturbation tests", command="drg-perturb", needed=needed) as handle:
        table = handle["table"]
        texts = {name: h5.read_text(table[name]) for name in _TEXTS}
        numbers = {name: table[name][()] for name in (*_COUNTS, *_NUMBERS)}
    return pd.DataFrame(texts | numbers)[["kind", *COLUMNS]]
