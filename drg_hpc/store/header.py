"""What a store is, read from its root ``zarr.json`` without zarr: kind, rows, splits, tracks, contigs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drg_hpc.digests import describe_input
from drg_hpc.errors import CorruptError, InputError
from drg_hpc.runs.outputs import resolve_output
from drg_hpc.store.dataset_layout import common_bins, common_span, inputs_of, joined_tracks, modalities_of
from drg_hpc.store.layout import FORMAT, STORE


def find_store(path: Path) -> Path:
    """The store itself, given a merged RUN or the store.

    Raises
    ------
    InputError : nothing there, or not a store
    IncompleteError : the run has not been merged
    """
    store = resolve_output(Path(path), STORE)
    if not (store / "zarr.json").is_file():
        if (store / "manifest.json").is_file():
            raise CorruptError(f"store has lost its zarr.json: {store}", fix="make the store again with drg-shard")
        made = "a file; make a store of it first with drg-shard" if store.is_file() else ""
        raise InputError(f"not a store: {store}", fix=made or "give a folder made by drg-shard (RUN or RUN/out.zarr)")
    return store


def read_header(path: Path) -> dict[str, Any]:
    """The header of a store: ``attributes["drg"]`` of its root.

    Parameters
    ----------
    path : RUN or store

    Returns
    -------
    For ``kind`` ``dataset``: rows, kept, splits {train, valid, test, excluded}, folds (kept rows of each, where rows
    are in folds), inputs and modalities (see :mod:`drg_hpc.store.dataset_layout`), seed, sources; and, over all
    modalities, tracks (names), track_info and bins (0: one value a track; None: modalities differ). For ``genome``:
    contigs [{name, length, sha256, …}].

    Raises
    ------
    InputError : not a store, or one of another format
    CorruptError : zarr.json is cut off or damaged
    """
    store = find_store(path)
    try:
        root = json.loads((store / "zarr.json").read_bytes())
        attributes = root["attributes"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"damaged {store / 'zarr.json'}: {error}", fix="make the store again") from None
    header = attributes.get("drg") if isinstance(attributes, dict) else None
    if not isinstance(header, dict):
        raise InputError(f"a zarr group, but not made by drg-shard: {store}")
    if header.get("format") != FORMAT:
        raise InputError(
            f"{store} has store format {header.get('format')!r}, this version reads {FORMAT!r}",
            fix="make the store again with this version",
        )
    if header["kind"] == "dataset":
        modalities = modalities_of(header)
        info = joined_tracks(modalities)
        header |= {"tracks": [t["name"] for t in info], "track_info": info, "bins": common_bins(modalities)}
    return header


def require_bins(header: dict[str, Any]) -> int:
    """Bins of the targets where they must be the same in all modalities.

    Raises
    ------
    InputError : modalities differ
    """
    if header["bins"] is None:
        bins = ", ".join(f"{m.name} has {m.bins}" for m in modalities_of(header))
        raise InputError(f"modalities of the store differ in bins ({bins}); they cannot be used as one here")
    return int(header["bins"])


def require_span(header: dict[str, Any]) -> int:
    """Bases in the middle of the first input that targets in bins are of, 0 for all of them.

    Raises
    ------
    InputError : modalities differ
    """
    length = inputs_of(header)[0].length
    span = common_span(modalities_of(header), length)
    if span is None:
        raise InputError("targets of the store are of differing parts of the sequence; they cannot be used as one here")
    return 0 if span == length else span


def require_kind(path: Path, kind: str) -> dict[str, Any]:
    """The header of a store that must be a ``genome`` or a ``dataset``.

    Raises
    ------
    InputError : it is of the other kind
    """
    header = read_header(path)
    if header["kind"] != kind:
        raise InputError(f"{path} is a {header['kind']} store, a {kind} store is needed here")
    return header


def fold_counts(header: Mapping[str, Any]) -> list[int]:
    """Kept rows of each fold.

    Raises
    ------
    InputError : the rows of the store are in no folds
    """
    counts = [int(count) for count in header.get("folds") or []]
    if not counts:
        fix = "shard with --folds K --fold I, or with a fold file: --split-file FILE --fold I"
        raise InputError("the rows of the store are in no folds", fix=fix)
    return counts


def folds_of(split: str) -> tuple[int, ...] | None:
    """The folds of ``fold:3`` or ``fold:0,2,4``; None for the name of a split.

    Raises
    ------
    InputError : not numbers
    """
    word, colon, numbers = split.partition(":")
    if word != "fold" or not colon:
        return None
    if not re.fullmatch(r"\d+(,\d+)*", numbers):
        raise InputError(f"no split {split!r}", fix="write folds like fold:3 or fold:0,2,4")
    return tuple(sorted({int(number) for number in numbers.split(",")}))


def split_count(header: dict[str, Any], split: str) -> int:
    """Number of kept rows in a split: train, valid, test, excluded, all, or the folds of ``fold:0,2``.

    Raises
    ------
    InputError : no such split or fold
    """
    if split == "all":
        return int(header["kept"])
    if (folds := folds_of(split)) is not None:
        counts = fold_counts(header)
        if folds[-1] >= len(counts):
            raise InputError(f"no fold {folds[-1]}", fix=f"folds of the store: 0 to {len(counts) - 1}")
        return sum(counts[fold] for fold in folds)
    if split not in header["splits"]:
        raise InputError(f"no split {split!r}", fix=f"splits: {', '.join([*header['splits'], 'all'])}, fold:I")
    return int(header["splits"][split])


def genome_contigs(path: Path) -> dict[str, int]:
    """Name -> length of the contigs of a genome store, in its order.

    Raises
    ------
    InputError : not a genome store
    """
    return {str(c["name"]): int(c["length"]) for c in require_kind(path, "genome")["contigs"]}


def known_contigs(path: Path) -> dict[str, int] | None:
    """Name -> length of the contigs that the rows of a store lie on, in order; None where it does not know them."""
    return {str(c["name"]): int(c["length"]) for c in read_header(path).get("contigs", [])} or None


def describe_store(path: Path) -> dict[str, Any]:
    """Identity of a store as an input of a plan: its manifest, which holds the sha256 of every file.

    Raises
    ------
    CorruptError : the store was not finished
    """
    store = find_store(path).absolute()
    if not (store / "manifest.json").is_file():
        raise CorruptError(
            f"store was not finished, it has no manifest: {store}", fix="make the store again with drg-shard"
        )
    return describe_input(store, ("manifest.json",))
