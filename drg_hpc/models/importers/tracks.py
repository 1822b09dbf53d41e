"""Names of an imported model's tracks: given, from a table, or made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drg_hpc.errors import InputError, UsageError


@dataclass(frozen=True)
class TrackNames:
    """Tracks in order.

    Parameters
    ----------
    names : of each
    partners : of each, the track that takes its place on the other strand; None where the source does not say
    """

    names: tuple[str, ...]
    partners: tuple[int | None, ...] | None = None


def track_names(given: Sequence[str]) -> TrackNames | None:
    """What ``--tracks`` names: a table, names separated by commas, or names; None when nothing is given.

    Raises
    ------
    InputError : as :func:`read_track_table`
    """
    if not given:
        return None
    if len(given) == 1 and Path(given[0]).is_file():
        return read_track_table(Path(given[0]))
    return TrackNames(tuple(name.strip() for text in given for name in text.split(",")))


def read_track_table(path: Path) -> TrackNames:
    """Tracks of a tab-separated table: Borzoi's targets (``identifier``, ``strand_pair`` in values of the first
    column), a MODEL's tracks.tsv (``name``), or a list of one name a line without a header.

    Raises
    ------
    InputError : not text, no tracks, lines of different numbers of columns, or partners that do not name each other; a
        partner that is not in the table is one that the model does not have
    """
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file of tracks") from None
    rows = [line.split("\t") for line in lines if line.strip()]
    header = rows[0] if rows else []
    column = next((header.index(name) for name in ("identifier", "name") if name in header), None)
    if column is None:
        if not rows or any(len(row) > 1 for row in rows):
            raise InputError(f"{path}: no column identifier or name in its header",
                             fix="give a targets table, or one name a line")  # fmt: skip
        return TrackNames(tuple(row[0].strip() for row in rows))
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InputError(f"{path}: row {number} has {len(row)} columns, the header {len(header)}")
    names = tuple(row[column].strip() for row in rows[1:])
    if "strand_pair" not in header:
        return TrackNames(names)
    index = {row[0].strip(): i for i, row in enumerate(rows[1:])}
    pairs = [row[header.index("strand_pair")].strip() for row in rows[1:]]
    partners = tuple(index.get(pair) if pair else i for i, pair in enumerate(pairs))
    for i, partner in enumerate(partners):
        if partner is not None and partners[partner] != i:
            raise InputError(f"{path}: row {i + 2}: strand_pair {pairs[i]!r} is not mutual")
    return TrackNames(names, partners)


def name_tracks(given: Sequence[str] | None, heads: Mapping[str, int]) -> list[str]:
    """The names given, or ``<head><number>``.

    Raises
    ------
    UsageError : another number of names than tracks, or a name twice
    """
    if given is None:
        return [f"{head}{i}" for head, count in heads.items() for i in range(count)]
    total = sum(heads.values())
    if len(given) != total:
        shown = ", ".join(f"{head} {count}" for head, count in heads.items())
        raise UsageError(f"--tracks has {len(given)} names, the model {total} tracks ({shown})")
    if len(set(given)) < total:
        twice = next(name for name in given if list(given).count(name) > 1)
        raise UsageError(f"--tracks has {twice!r} twice")
    return list(given)
