"""Which tracks a gene statistic reads on which strand, and how their values were transformed. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc.attribution.gene_words import Order
from drg_hpc.config import nearest
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.targets import Target, read_targets

_EXPONENTS = {"sum_sqrt": {"new": 0.5, "old": 0.75}, "mean_sqrt": {"new": 0.5, "old": 0.75}, "sum_exp75": {"new": 0.75}}
_PLAIN = ("sum", "mean", "median", "max")


@dataclass(frozen=True, slots=True)
class TrackTransform:
    """What is undone to a track's output: ``scale`` above 0, ``exponent`` in (0, 1], ``clip_soft`` or None."""

    scale: float = 1.0
    exponent: float = 1.0
    clip_soft: float | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a statistic: the mean over some tracks, which ones by the gene's strand.

    Attributes
    ----------
    plus, minus, both : tracks read for a gene on +, on -, and on neither
    """

    name: str
    plus: tuple[int, ...]
    minus: tuple[int, ...]
    both: tuple[int, ...]

    def of(self, strand: str) -> tuple[int, ...]:
        """Tracks for a gene on a strand."""
        return self.plus if strand == "+" else self.minus if strand == "-" else self.both

    def record(self) -> dict[str, Any]:
        """Plain JSON values, for a plan."""
        return {"name": self.name, "plus": list(self.plus), "minus": list(self.minus), "both": list(self.both)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Value:
        """Back from :meth:`record`."""
        return cls(record["name"], tuple(record["plus"]), tuple(record["minus"]), tuple(record["both"]))


def strand_label(track: int, names: Sequence[str], partners: Sequence[int | None]) -> str:
    """``+`` or ``-`` of a track that has a partner, by the end of its name, else ``.``.

    Raises
    ------
    UsageError : the name of a track with a partner ends in neither
    """
    if partners[track] == track:
        return "."
    label = names[track][-1:]
    if label not in ("+", "-"):
        raise UsageError(
            f"track {names[track]!r} is one of a pair, but its name does not end in + or -: its strand is unknown",
            fix="choose other tracks with --tracks, or name them so in the targets table and train on that",
        )
    return label


def values_of(
    chosen: Sequence[int],
    names: Sequence[str],
    partners: Sequence[int | None],
    *,
    statistic: str,
    each: bool,
    strands: Sequence[str],
) -> list[Value]:
    """One value: the mean over all chosen tracks; or with ``each`` one per track, or pair of tracks.

    A pair is named without its + and -; where a track of neither strand has that name, with ``+-`` behind it. A gene
    on + has the chosen tracks that are not of strand -, one on - those not of strand +.

    Parameters
    ----------
    strands : of the genes

    Raises
    ------
    UsageError : no track for the genes of a strand
    """
    labels = {track: strand_label(track, names, partners) for track in chosen}
    groups = _groups(chosen, names, partners, labels) if each else {statistic: list(chosen)}
    found = []
    for name, members in groups.items():
        plus = tuple(track for track in members if labels[track] != "-")
        minus = tuple(track for track in members if labels[track] != "+")
        value = Value(name, plus, minus, tuple(members))
        for strand in strands:
            if not value.of(strand):
                raise UsageError(
                    f"no track for genes on {strand}: {', '.join(names[track] for track in members[:3])} is of the "
                    "other strand",
                    fix="choose both tracks of each pair with --tracks, or genes of one strand with --genes",
                )
        found.append(value)
    return found


def _groups(
    chosen: Sequence[int], names: Sequence[str], partners: Sequence[int | None], labels: Mapping[int, str]
) -> dict[str, list[int]]:
    """Tracks of each value by its name."""
    unstranded = {names[track] for track in chosen if labels[track] == "."}
    groups: dict[str, list[int]] = {}
    for track in chosen:
        name = names[track]
        if labels[track] != "." and partners[track] in labels:
            stem = name[:-1]
            name = f"{stem}+-" if stem in unstranded else stem
        groups.setdefault(name, []).append(track)
    return groups


def transforms_of(
    tracks: Sequence[int],
    names: Sequence[str],
    *,
    order: Order,
    targets: Path | None,
    scale: float | None,
    exponent: float | None,
    clip_soft: float | None,
) -> dict[int, TrackTransform]:
    """Transforms of tracks: of the targets table by the tracks' names, with overrides for all of them.

    The exponent of ``*_sqrt`` is 0.5 in the new order and 0.75 in the old one, that of ``sum_exp75`` 0.75, else 1.

    Raises
    ------
    InputError : a track that the table lacks, or whose sum_stat has no inverse here
    """
    if order == "none":
        return {track: TrackTransform() for track in tracks}
    rows = {row.name: row for row in read_targets(targets, files=False)} if targets is not None else {}
    found = {}
    for track in tracks:
        row = rows.get(names[track])
        if targets is not None and row is None:
            raise InputError(f"{targets} has no row for track {names[track]!r}", fix=nearest(names[track], rows))
        found[track] = TrackTransform(
            scale if scale is not None else row.scale if row else 1.0,
            exponent if exponent is not None else _exponent(row, order, targets) if row else 1.0,
            clip_soft if clip_soft is not None else row.clip_soft if row else None,
        )
    return found


def _exponent(row: Target, order: Order, table: Path | None) -> float:
    if row.stat in _PLAIN:
        return 1.0
    known: Mapping[str, float] = _EXPONENTS.get(row.stat, {})
    if order not in known:
        raise InputError(
            f"{table}: line {row.line}: {row.name}: sum_stat {row.stat} has no inverse in the {order} order",
            fix="give --track-transform, another order, or choose other tracks with --tracks",
        )
    return known[order]


def to_json(transforms: Mapping[int, TrackTransform]) -> list[list[Any]]:
    """``[track, scale, exponent, clip_soft]`` of each track, for a plan."""
    return [[track, t.scale, t.exponent, t.clip_soft] for track, t in sorted(transforms.items())]


def from_json(values: Sequence[Sequence[Any]]) -> dict[int, TrackTransform]:
    """Back from :func:`to_json`."""
    return {int(track): TrackTransform(*rest) for track, *rest in values}
