"""Which rows train, validate and test: by contig, by a file of names, or by folds of contigs. Standard library only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.folds import deal_contigs
from drg_hpc.genome.text import numbered_lines

EXCLUDED = "excluded"
_SHOWN = 5
_HEADERS = ("split", "set", "subset", "partition")
_SET = re.compile(r"#\s*Set_(\d+)\s*")
_NAMES = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "test": "test"}


@dataclass(frozen=True)
class Splitter:
    """Gives each row (split, fold). Made by one of the functions below, or again by :func:`from_params`.

    Attributes
    ----------
    mode : ``none`` (all rows train), ``contigs``, ``names`` or ``folds``
    splits : row name or contig -> split (modes ``contigs`` and ``names``)
    folds : row name or contig -> fold number (mode ``folds``)
    fold, count : the fold that validates, and the number of folds (mode ``folds``)
    """

    mode: str
    splits: Mapping[str, str]
    folds: Mapping[str, int]
    fold: int = 0
    count: int = 0

    def assign(self, name: str, chrom: str) -> tuple[str, int]:
        """(split, fold) of a row; the row's name goes before its contig; fold is -1 where there are no folds."""
        if self.mode == "none":
            return "train", -1
        if self.mode == "contigs":
            # Where a sequence comes from must be known before it may train: it could lie on a held-out contig.
            return self.splits.get(chrom, "train" if chrom else EXCLUDED), -1
        if self.mode == "names":
            return self.splits.get(name, self.splits.get(chrom, EXCLUDED)), -1
        fold = self.folds.get(name, self.folds.get(chrom, -1))
        if fold < 0:
            return EXCLUDED, -1
        return ("valid" if fold == self.fold else "test" if fold == (self.fold + 1) % self.count else "train"), fold

    @property
    def requested(self) -> tuple[str, ...]:
        """Splits that must not be empty."""
        if self.mode == "folds":
            return ("train", "valid", "test")
        return tuple(sorted(set(self.splits.values()) - {EXCLUDED}))


def by_contigs(valid: Iterable[str], test: Iterable[str]) -> Splitter:
    """Contigs that validate and test; all others train.

    Raises
    ------
    UsageError : a contig is in both
    """
    chosen = dict.fromkeys(valid, "valid")
    for name in test:
        if name in chosen:
            raise UsageError(f"contig {name} is in both --valid and --test")
        chosen[name] = "test"
    return Splitter("contigs", chosen, {})


def balanced_folds(contig_rows: Mapping[str, int], count: int, fold: int, *, seed: int = 0) -> Splitter:
    """Contigs dealt into ``count`` folds by :func:`drg_hpc.genome.folds.deal_contigs`; ``fold`` validates.

    Raises
    ------
    UsageError : fewer contigs than folds, or no such fold
    """
    if not 0 <= fold < count:
        raise UsageError(f"--fold {fold}: folds are 0 to {count - 1}")
    if count < 3:
        raise UsageError(f"--folds {count}: at least 3 are needed (train, validation, test)")
    return Splitter("folds", {}, deal_contigs(contig_rows, count, seed=seed), fold, count)


def from_file(path: Path, fold: int | None) -> Splitter:
    """A DRG fold file (``# Set_i`` lines, each followed by a line of names) or a two-column name and split table.

    Of a fold file, set ``fold`` (from 0, in the order of the file) validates, set ``fold + 1`` tests (the last wraps)
    and the others train. Names are separated by blanks there, in any number of lines; in a table a tab, blanks or a
    comma separate name and split. A name may be a contig. Other lines that begin with ``#`` are comments; a table may
    have a header line.

    Raises
    ------
    InputError : neither form, a name in two sets, sets out of order (with the line), or fewer than 3 sets
    UsageError : ``--fold`` is missing or out of range for a fold file, or given for a table
    """
    lines = ((number, text.strip()) for number, text in numbered_lines(path))
    rows = [(number, line) for number, line in lines if line and (line[0] != "#" or _SET.fullmatch(line))]
    if not rows:
        raise InputError(f"no names in split file {path}")
    if any(line[0] == "#" for _, line in rows):
        return _fold_file(path, rows, fold)
    if fold is not None:
        raise UsageError(f"--fold {fold}: {path} is a table of names and splits, no fold file", fix="leave --fold out")
    return _table(path, rows)


def _fold_file(path: Path, lines: list[tuple[int, str]], fold: int | None) -> Splitter:
    folds: dict[str, int] = {}
    current, first = -1, 0
    for number, line in lines:
        if heading := _SET.fullmatch(line):
            current += 1
            first = first if current else int(heading[1])
            if int(heading[1]) != first + current:
                raise InputError(f"{path}: line {number}: set {heading[1]} where set {first + current} is due")
            continue
        if current < 0:
            raise InputError(f"{path}: line {number}: names before the first '# Set_' line")
        for name in line.split():
            if folds.setdefault(name, current) != current:
                raise InputError(f"{path}: line {number}: {name!r} is in sets {folds[name]} and {current}")
    count = current + 1
    if count < 3:
        raise InputError(f"{path} has {count} sets", fix="at least 3 are needed (train, validation, test)")
    if not folds:
        raise InputError(f"no names in split file {path}")
    if fold is None:
        raise UsageError(f"{path} is a fold file of {count} sets", fix="say which set validates with --fold I")
    if not 0 <= fold < count:
        raise UsageError(f"--fold {fold}: {path} has sets 0 to {count - 1}")
    return Splitter("folds", {}, folds, fold, count)


def _columns(line: str) -> list[str]:
    """Two columns by a tab, else by blanks, else by a comma."""
    if "\t" in line:
        return [field.strip() for field in line.split("\t")]
    return line.split() if len(line.split()) > 1 else line.rsplit(",", 1)


def _table(path: Path, lines: list[tuple[int, str]]) -> Splitter:
    splits: dict[str, str] = {}
    known = {**_NAMES, EXCLUDED: EXCLUDED}
    for position, (number, line) in enumerate(lines):
        fields = _columns(line)
        split = known.get(fields[1].lower()) if len(fields) == 2 and fields[0] else None
        if split is None:
            if position == 0 and len(fields) == 2 and fields[1].lower() in _HEADERS:
                continue
            raise InputError(f"{path}: line {number}: a row is a name and train, valid, test or excluded, got {line!r}")
        if splits.setdefault(fields[0], split) != split:
            raise InputError(f"{path}: line {number}: {fields[0]!r} is in {splits[fields[0]]} and {split}")
    if not splits:
        raise InputError(f"no names in split file {path}")
    return Splitter("names", splits, {})


def count_splits(splitter: Splitter, rows: Iterable[tuple[str, str]], *, copies: int = 1) -> dict[str, int]:
    """Rows of each split.

    Parameters
    ----------
    rows : (name, contig) of the kept rows
    copies : rows that go with each of them (a positive and its negatives)

    Raises
    ------
    InputError : a split that was asked for is empty; the contigs seen are listed
    """
    counts = Counter({"train": 0, "valid": 0, "test": 0, EXCLUDED: 0})
    contigs: dict[str, None] = {}
    for name, chrom in rows:
        counts[splitter.assign(name, chrom)[0]] += copies
        contigs[chrom] = None
    for split in splitter.requested:
        if not counts[split]:
            asked = sorted(name for name, value in splitter.splits.items() if value == split)
            chosen = f" ({', '.join(asked[:3])}{' …' if len(asked) > 3 else ''})" if asked else ""
            named = sorted(filter(None, contigs))
            seen = ", ".join(named[:_SHOWN]) + (" …" if len(named) > _SHOWN else "")
            seen = seen or "none, the rows have names only"
            raise InputError(f"the {split} split{chosen} has no rows", fix=f"contigs of the rows: {seen}")
    return dict(counts)


def count_folds(splitter: Splitter, rows: Iterable[tuple[str, str]], *, copies: int = 1) -> list[int]:
    """Rows of each fold, as :func:`count_splits`; empty where there are no folds."""
    counts = [0] * splitter.count
    for name, chrom in rows:
        fold = splitter.assign(name, chrom)[1]
        if fold >= 0:
            counts[fold] += copies
    return counts


def split_notes(splitter: Splitter, rows: Iterable[tuple[str, str]], *, what: str) -> list[str]:
    """What a user should know of a split by names or contigs: rows in no set, and names that no row has.

    Parameters
    ----------
    rows : (name, contig) of all rows, kept or not
    what : the source of the names, for the message
    """
    given = splitter.splits or splitter.folds
    if not given:
        return []
    names: set[str] = set()
    outside, example = 0, ""
    for name, chrom in rows:
        names.update((name, chrom))
        if splitter.mode != "contigs" and name not in given and chrom not in given:
            outside, example = outside + 1, example or name
    notes = [f"{outside} rows are in no set of {what} and are excluded, such as {example}"] if outside else []
    unused = [name for name in given if name not in names]
    if unused:
        shown = ", ".join(unused[:3]) + (" …" if len(unused) > 3 else "")
        notes.append(f"{len(unused)} names of {what} are of no row: {shown}")
    return notes


def to_params(splitter: Splitter) -> dict[str, Any]:
    """Plain values for a plan; :func:`from_params` is the way back."""
    return {
        "mode": splitter.mode,
        "splits": dict(splitter.splits),
        "folds": dict(splitter.folds),
        "fold": splitter.fold,
        "count": splitter.count,
    }


def from_params(params: Mapping[str, Any]) -> Splitter:
    """The splitter of a plan."""
    return Splitter(params["mode"], params["splits"], params["folds"], params["fold"], params["count"])
