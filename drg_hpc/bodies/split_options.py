"""Flags that say which rows train, validate and test; shared by the commands that make dataset stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drg_hpc.config import FanoutOptions, flag
from drg_hpc.errors import UsageError
from drg_hpc.genome import splits
from drg_hpc.genome.regions import Region


class SplitOptions(FanoutOptions):
    """Split flags. One of three ways: contigs, a file, or balanced folds of contigs; without any, all rows train."""

    group = "splits"

    valid: str | None = flag(None, help="contigs whose rows validate, comma-separated", metavar="chr8,chr9")
    test: str | None = flag(None, help="contigs whose rows test, comma-separated", metavar="chr1,chr10")
    split_file: Path | None = flag(
        None,
        help="file that gives each row name (or contig) its split: two columns name and train|valid|test|excluded, "
        "or a fold file of '# Set_i' lines and lines of names, from drg-folds or DRG; rows in no set are excluded and "
        "counted",
        metavar="FILE",
    )
    folds: int | None = flag(
        None,
        help="deal contigs into K folds of about equal rows, as drg-folds does with this --seed",
        metavar="K",
        ge=3,
    )
    fold: int | None = flag(
        None,
        help="fold I validates and fold I+1 tests (the last wraps); with --folds or a fold file",
        metavar="I",
        ge=0,
    )


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def make_splitter(options: SplitOptions, rows: list[Region]) -> splits.Splitter:
    """The splitter that the flags ask for.

    Parameters
    ----------
    rows : rows that may train, validate or test (their contigs are dealt into folds)

    Raises
    ------
    UsageError : the flags exclude each other, or ``--fold`` is missing or out of range
    InputError : a faulty split file
    """
    ways = [
        name
        for name, used in (
            ("--valid/--test", options.valid is not None or options.test is not None),
            ("--split-file", options.split_file is not None),
            ("--folds", options.folds is not None),
        )
        if used
    ]
    if len(ways) > 1:
        raise UsageError(f"{' and '.join(ways)} exclude each other", fix="give one way to split")
    if options.fold is not None and ways in ([], ["--valid/--test"]):
        raise UsageError(f"--fold {options.fold} needs --folds K or a fold file given with --split-file")
    if options.split_file is not None:
        return splits.from_file(options.split_file, options.fold)
    if options.folds is not None:
        if options.fold is None:
            raise UsageError(f"--folds {options.folds} needs --fold I, the fold that validates")
        contigs = Counter(row.chrom for row in rows if row.chrom)
        return splits.balanced_folds(contigs, options.folds, options.fold, seed=options.seed)
    if ways:
        return splits.by_contigs(_names(options.valid), _names(options.test))
    return splits.Splitter("none", {}, {})


def describe_split(options: SplitOptions, splitter: splits.Splitter, rows: list[Region]) -> list[str]:
    """Notes for the plan: rows in no set, and names or contigs given that no row has.

    Parameters
    ----------
    rows : all rows, kept or not
    """
    what = str(options.split_file) if options.split_file is not None else "--valid and --test"
    return splits.split_notes(splitter, ((row.name, row.chrom) for row in rows), what=what)


def split_params(options: SplitOptions, splitter: splits.Splitter) -> dict[str, Any]:
    """What the plan keeps of a splitter; a split file is an input of its own, so its names are not repeated."""
    if options.split_file is not None:
        return {"mode": "file", "fold": options.fold}
    return splits.to_params(splitter)


def splitter_of(params: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> splits.Splitter:
    """The splitter of a plan."""
    if params["mode"] == "file":
        return splits.from_file(Path(inputs["split_file"]["path"]), params["fold"])
    return splits.from_params(params)
