"""Backgrounds of simulated sequences: independent bases, or dinucleotides as in given sequences. Light.

``dinuc:FILE`` is a Markov chain of order 1: each base is drawn given the one before it, in the proportions in which
neighbours stand in the FASTA; the first base in the proportions in which bases are followed by another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.fasta import read_records

_LETTERS = "ACGT"
_KNOWN = bytes(chr(i).upper().encode()[0] if chr(i).upper() in _LETTERS else ord("N") for i in range(128)) + b"N" * 128
_TOLERANCE = 1e-3
_DINUC = "dinuc:"
_FORMS = "four numbers that sum to 1, such as 0.3 0.2 0.2 0.3, or dinuc:FASTA"


@dataclass(frozen=True)
class Background:
    """Probabilities of bases.

    Parameters
    ----------
    first : of A, C, G, T at the start of a sequence
    following : of A, C, G, T after each of A, C, G, T
    """

    first: tuple[float, ...]
    following: tuple[tuple[float, ...], ...]

    def as_params(self) -> dict[str, Any]:
        """Plain values; :meth:`from_params` is the way back."""
        return {"first": list(self.first), "following": [list(row) for row in self.following]}

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Background:
        """The background of a plan."""
        return cls(tuple(params["first"]), tuple(tuple(row) for row in params["following"]))


def independent(frequencies: Sequence[float]) -> Background:
    """Independent bases of given frequencies of A, C, G, T."""
    first = tuple(frequencies)
    return Background(first, (first,) * 4)


def fasta_of(given: Sequence[str | float]) -> Path | None:
    """The file of ``dinuc:FILE``; None where four numbers are given."""
    if len(given) == 1 and str(given[0]).startswith(_DINUC):
        return Path(str(given[0]).removeprefix(_DINUC))
    return None


def parse_frequencies(given: Sequence[str | float]) -> Background:
    """Independent bases of ``A C G T``; a sum within 0.001 of 1 is made 1.

    Raises
    ------
    UsageError : not four numbers of at least 0 that sum to 1
    """
    words = str(given[0]).replace(",", " ").split() if len(given) == 1 else [str(word) for word in given]
    shown = " ".join(words)
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise UsageError(f"--background-dist {shown}: not numbers", fix=_FORMS) from None
    if len(values) != 4:
        raise UsageError(f"--background-dist {shown}: {len(values)} numbers, one for each of A, C, G, T", fix=_FORMS)
    if not all(0 <= value < math.inf for value in values):
        raise UsageError(f"--background-dist {shown}: a frequency is at least 0", fix=_FORMS)
    total = math.fsum(values)
    if abs(total - 1) > _TOLERANCE:
        raise UsageError(f"--background-dist {shown}: sums to {total:.6g}, not 1", fix=_FORMS)
    return independent([value / total for value in values])


def _pairs(sequence: bytes) -> list[list[int]]:
    """Neighbours (first base, second base) of a sequence; a pair with any other letter does not count.

    ``bytes.count`` does not count overlaps, and only a base with itself can overlap: those are the places of the base
    that are followed by nothing else.
    """
    letters = sequence.translate(_KNOWN)
    found = [[0] * 4 for _ in range(4)]
    for i, base in enumerate(_LETTERS):
        others = 0
        for other in "ACGTN":
            if other != base:
                count = letters.count((base + other).encode())
                others += count
                if other != "N":
                    found[i][_LETTERS.index(other)] = count
        found[i][i] = letters.count(base.encode()) - others - letters.endswith(base.encode())
    return found


def dinucleotides(path: Path) -> Background:
    """The chain that the sequences of a FASTA (plain, gzip, bgzip) give; case does not matter.

    Raises
    ------
    InputError : not FASTA, or a base that is never followed by another
    """
    counts = [[0] * 4 for _ in range(4)]
    for record in read_records(path):
        pairs = _pairs(record.sequence)
        counts = [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(counts, pairs, strict=True)]
    totals = [sum(row) for row in counts]
    for base, total in zip(_LETTERS, totals, strict=True):
        if not total:
            raise InputError(f"no {base} is followed by a base in {path}", fix="give sequences with all four bases")
    following = tuple(tuple(count / total for count in row) for row, total in zip(counts, totals, strict=True))
    return Background(tuple(total / sum(totals) for total in totals), following)


def read_background(given: Sequence[str | float]) -> Background:
    """What ``--background-dist`` asks for.

    Raises
    ------
    UsageError : as :func:`parse_frequencies`, or no file after ``dinuc:``
    InputError : as :func:`dinucleotides`
    """
    if list(given) == [_DINUC]:
        raise UsageError(f"--background-dist {_DINUC} needs a FASTA", fix="give dinuc:FASTA")
    path = fasta_of(given)
    return parse_frequencies(given) if path is None else dinucleotides(path)
