"""What drg-motifs asks of its seqlets before it compares them, and why there are no motifs of some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.interpretation.config import MotifsOptions
from drg_hpc.results.seqlets import Seqlets

_BLOCK = 4096
_AGAIN = "run drg-seqlets again with another -o"


def check_seqlets(seqlets: Seqlets, source: Path) -> None:
    """Refuse seqlets that cannot be compared or averaged.

    Parameters
    ----------
    source : their file, for the message

    Raises
    ------
    InputError : contributions or attributions are infinite or no numbers
    CorruptError : arrays do not fit together, or values that drg-seqlets does not write
    """
    table, count = seqlets.table, len(seqlets.table)
    shapes = {seqlets.contribution.shape, seqlets.sequence.shape}
    tracks = seqlets.attributes.get("tracks")
    if not isinstance(tracks, list):
        raise CorruptError(f"{source} does not name its tracks", fix=_AGAIN)
    shape = seqlets.sequence.shape
    if len(shapes) != 1 or len(shape) != 3 or shape[:2] != (count, 4):
        raise CorruptError(f"{source} has {count} seqlets with windows of {sorted(shapes)}", fix=_AGAIN)
    finite = "attribute those rows again, or leave them out"
    for bad, what in (
        (~np.isfinite(table["attribution"].to_numpy()), "an attribution"),
        (_rows(seqlets.contribution, _not_finite), "a contribution"),
    ):
        _refuse(bad, source, f"{what} that is not a finite number", InputError, finite)
    track = table["track"].to_numpy()
    for bad, what in (
        (~np.isin(table["sign"].to_numpy(), (1, -1)), "a sign other than 1 and -1"),
        ((track < 0) | (track >= len(tracks)), f"a track that is not one of the {len(tracks)} named"),
        (_rows(seqlets.sequence, _not_letters), "bases other than 0 and 1"),
    ):
        _refuse(bad, source, what, CorruptError, _AGAIN)


def _not_finite(block: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(~np.isfinite(block), bool)


def _not_letters(block: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray((block < 0) | (block > 1), bool)


def _rows(windows: NDArray[Any], bad: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Which windows have an element that is bad; in blocks, as they are large."""
    found = [bad(block).any(axis=(1, 2)) for block in _blocks(windows)]
    return np.concatenate(found) if found else np.zeros(0, bool)


def _blocks(windows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for at in range(0, len(windows), _BLOCK):
        yield windows[at : at + _BLOCK]


def _refuse(
    bad: NDArray[np.bool_], source: Path, what: str, kind: type[InputError] | type[CorruptError], fix: str
) -> None:
    numbers = np.flatnonzero(bad)
    if len(numbers):
        more = f" (the first of {len(numbers)})" if len(numbers) > 1 else ""
        raise kind(f"{source}: seqlet {numbers[0]}{more} has {what}", fix=fix)


def why_nothing(seqlets: Seqlets, options: MotifsOptions) -> str:
    """Why there is no motif, and what to do."""
    count, width = len(seqlets.table), seqlets.sequence.shape[2]
    if not count:
        return f"no motifs: {options.seqlets} holds no seqlets; run drg-seqlets with a larger --threshold"
    pairs = zip(_blocks(seqlets.contribution), _blocks(seqlets.sequence), strict=True)
    if not any((form * sequence).any() for form, sequence in pairs):
        return (
            f"no motifs: in the windows of all {count} seqlets no base that is there contributes; "
            "look at the attributions (drg-plot)"
        )
    few, end = f"--min-seqlets={options.min_seqlets}", "or attribute more sequences, and give another -o"
    if options.method == "modisco":
        return f"{count} seqlets but no pattern of modisco-lite has {few} of them; lower it, {end}"
    dull = f"--min-information={options.min_information:g} and --min-positions={options.min_positions}"
    fact = f"{count} seqlets but no motif reached {few} with {dull}"
    if options.min_overlap == width:
        return (
            f"{fact}; windows of {width} bases were compared without a shift, as --min-overlap is their whole width: "
            f"lower --min-overlap, {end}"
        )
    cut = "raise --by-chance" if options.similarity is None else "lower --similarity"
    return f"{fact}; lower it, {cut}, {end}"
