"""Contigs dealt into sets of about equal rows, and DRG's fold files. Standard library only."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.regions import Region
from drg_hpc.rng import row_key

_WORK = 800_000  # pairs of contigs looked at in one pass each, over all tries: about a second
_MOST_TRIES = 1000
_KICKS = 3


def deal_contigs(contig_rows: Mapping[str, int], count: int, *, seed: int = 0) -> dict[str, int]:
    """The set of each contig, so that the sets' rows deviate little from their mean.

    Contigs are dealt the largest first, each to the set with the fewest rows so far; then contigs are moved and
    swapped as long as the mean absolute deviation falls. Then a few contigs of the best sets so far are put at random
    (by ``seed``) and moved and swapped again, for about half a second. Of equal answers the largest deviation decides.
    Set 0 has the largest contig, set 1 the largest of the others, and so on.

    Parameters
    ----------
    contig_rows : contig -> its rows, at least 1
    count : sets

    Raises
    ------
    UsageError : fewer contigs than sets
    """
    if len(contig_rows) < count:
        raise UsageError(f"--folds {count}: the rows lie on {len(contig_rows)} contigs only", fix="use fewer folds")
    ordered = sorted(contig_rows.items(), key=lambda item: (-item[1], item[0]))
    sizes = [rows for _, rows in ordered]
    sets = [0] * len(sizes)
    totals = [0] * count
    for i, size in enumerate(sizes):
        sets[i] = totals.index(min(totals))
        totals[sets[i]] += size
    if len(sizes) ** 2 <= _WORK:
        sets = _search(sizes, sets, totals, seed=seed)
    numbers: dict[int, int] = {}
    return {name: numbers.setdefault(group, len(numbers)) for (name, _), group in zip(ordered, sets, strict=True)}


def _search(sizes: list[int], sets: list[int], totals: list[int], *, seed: int) -> list[int]:
    """The best sets found from a first deal; iterated local search."""
    count, whole = len(totals), sum(sizes)
    generator = random.Random(row_key(seed, 0, "folds"))
    best = (sets[:], totals[:])
    deviation: tuple[int, int] | None = None
    for number in range(min(_MOST_TRIES, _WORK // len(sizes) ** 2)):
        sets, totals = best[0][:], best[1][:]
        for _ in range(_KICKS if number else 0):
            i, other = int(generator.random() * len(sizes)), int(generator.random() * count)
            totals[sets[i]] -= sizes[i]
            totals[other] += sizes[i]
            sets[i] = other
        while _improve(sizes, sets, totals):
            pass
        # Deviations times ``count``, so that they are whole numbers.
        apart = [abs(count * total - whole) for total in totals]
        found = (sum(apart), max(apart))
        if len(set(sets)) == count and (deviation is None or found <= deviation):
            best, deviation = (sets, totals), found
        if deviation is not None and not deviation[1]:
            break
    return best[0]


def _improve(sizes: list[int], sets: list[int], totals: list[int]) -> bool:
    """One pass over all contigs that makes every move and swap that lowers the deviation; whether there was any."""
    count, whole = len(totals), sum(sizes)
    better = False
    for i, size in enumerate(sizes):
        for j in range(-count, len(sizes)):
            # j < 0: a move into set -j - 1; otherwise a swap with a later contig
            here, there = sets[i], sets[j] if j >= 0 else -j - 1
            rows = size - sizes[j] if j >= 0 else size
            if here == there or -1 < j <= i or not rows:
                continue
            a, b = count * totals[here] - whole, count * totals[there] - whole
            if abs(a - count * rows) + abs(b + count * rows) < abs(a) + abs(b):
                totals[here] -= rows
                totals[there] += rows
                sets[i] = there
                if j >= 0:
                    sets[j] = here
                better = True
    return better


@dataclass(frozen=True)
class FoldNames:
    """Rows of a region file by contig.

    Attributes
    ----------
    names : contig -> different row names, in the order of the file
    rows : contig -> rows; more than names where some occur twice
    excluded : contig -> rows that are in no set, 0 where the file has none
    """

    names: dict[str, list[str]]
    rows: Counter[str]
    excluded: Counter[str]


def names_by_contig(rows: Iterable[Region], *, path: Path, exclude: Collection[str] = ()) -> FoldNames:
    """Names of rows by contig, fit for a fold file.

    Raises
    ------
    InputError : with the line, a name that a fold file cannot hold (blanks, a leading ``#``), that is on two contigs,
        or that is a contig's, since readers of the file take such names for contigs; no rows; an excluded contig that
        is spelled otherwise in the file
    """
    found = FoldNames({}, Counter(), Counter(dict.fromkeys(exclude, 0)))
    first: dict[str, Region] = {}
    for row in rows:
        at = f"{path}: line {row.line}"
        if row.name.split() != [row.name] or row.name[0] == "#":
            raise InputError(f"{at}: a fold file cannot hold the name {row.name!r}", fix="no blanks and no leading #")
        other = first.setdefault(row.name, row)
        if other.chrom != row.chrom:
            raise InputError(
                f"{at}: {row.name!r} is on {row.chrom}, and on {other.chrom} in line {other.line}",
                fix="names must tell rows apart, such as gene_id",
            )
        (found.excluded if row.chrom in exclude else found.rows)[row.chrom] += 1
        if other is row and row.chrom not in exclude:
            found.names.setdefault(row.chrom, []).append(row.name)
    contigs = {name for name, rows in (found.rows + found.excluded).items() if rows}
    for name in contigs & first.keys():
        raise InputError(f"{path}: line {first[name].line}: {name!r} is the name of a row and of a contig")
    for name in set(exclude) - contigs:
        spelled = {name.removeprefix("chr"), f"chr{name}"} & contigs
        if spelled:
            raise InputError(f"--exclude {name}: {path} calls it {spelled.pop()}")
    if not found.rows:
        raise InputError(f"no rows of {path} are left to deal", fix="exclude fewer contigs")
    return found


def fold_text(names: Mapping[str, Sequence[str]], sets: Mapping[str, int], count: int) -> str:
    """A fold file in DRG's format: for each set a line ``# Set_i`` and a line of all its names.

    Parameters
    ----------
    names : contig -> names
    sets : contig -> set
    """
    members: list[list[str]] = [[] for _ in range(count)]
    for contig, listed in names.items():
        members[sets[contig]].extend(listed)
    return "".join(f"# Set_{number}\n{' '.join(listed)}\n" for number, listed in enumerate(members))
