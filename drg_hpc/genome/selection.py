"""Conditions ``KEY=VALUE[,VALUE]`` that choose rows of a region file. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.text import numbered_lines

_VERSIONED = re.compile(r"(ENS[A-Z]*\d+|[NX][MRP]_\d+)\.\d+(.*)")
Conditions = list[tuple[str, list[str]]]


def parse_conditions(texts: Iterable[str], *, flag: str = "--select") -> Conditions:
    """Keys with their values, of texts ``KEY=VALUE[,VALUE]`` or ``KEY=@FILE`` (one value per line).

    Parameters
    ----------
    flag : that they were given to, for messages

    Raises
    ------
    UsageError : another form
    InputError : the file cannot be read, or has no value
    """
    found = []
    for text in texts:
        key, equals, rest = text.partition("=")
        values = _from_file(Path(rest[1:])) if rest.startswith("@") else [v.strip() for v in rest.split(",")]
        if not equals or not key.strip() or not all(values):
            raise UsageError(f"{flag} {text[:60]!r}: KEY=VALUE is needed", fix=f"such as {flag} biotype=protein_coding")
        found.append((key.strip(), values))
    return found


def _from_file(path: Path) -> list[str]:
    lines = (line.strip() for _, line in numbered_lines(path))
    if not (values := [line for line in lines if line and not line.startswith("#")]):
        raise InputError(f"no values in {path}")
    return values


def without_version(identifier: str) -> str:
    """An Ensembl or RefSeq identifier without its version: ``ENSG00000002586.20_PAR_Y`` -> ``ENSG00000002586_PAR_Y``.

    Other identifiers stay as they are: the dots of ``Y74C9A.3`` do not begin a version.
    """
    match = _VERSIONED.fullmatch(identifier)
    return match[1] + match[2] if match else identifier


class Selection:
    """Rows that meet all conditions; a condition holds when one of the row's values is one of the wanted.

    Identifiers (key ``id`` and keys that end in ``_id``) match with or without their version: a wanted one without
    version matches every version, one with a version matches that and a row that has none.

    Attributes
    ----------
    seen, chosen : rows asked about, and rows that met all conditions
    """

    def __init__(self, conditions: Iterable[tuple[str, Sequence[str]]]) -> None:
        self.seen = self.chosen = 0
        self._conditions = [(key, self._wanted(key, values)) for key, values in conditions]

    @staticmethod
    def _wanted(key: str, values: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
        bare = frozenset(without_version(value) for value in values) if _is_id(key) else frozenset[str]()
        return frozenset(values), bare

    @property
    def keys(self) -> list[str]:
        """Keys of the conditions."""
        return [key for key, _ in self._conditions]

    def accepts(self, values_of: Callable[[str], Sequence[str]]) -> bool:
        """Whether a row is chosen; ``values_of`` gives its values of a key."""
        self.seen += 1
        for key, (wanted, bare) in self._conditions:
            if not any(_matches(value, wanted, bare) for value in values_of(key)):
                return False
        self.chosen += 1
        return True


def _is_id(key: str) -> bool:
    return key == "id" or key.endswith("_id")


def _matches(value: str, wanted: frozenset[str], bare: frozenset[str]) -> bool:
    if value in wanted or not bare:
        return value in wanted
    plain = without_version(value)
    return plain in wanted or (plain == value and value in bare)
