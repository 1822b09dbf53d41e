"""Motif files as text: what every format's reader needs, and the reader of MEME. Light: plans name motifs.

MEME is that of https://meme-suite.org/meme/doc/meme-format.html (minimal form, DNA).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drg_hpc.errors import InputError
from drg_hpc.genome.text import numbered_lines

MATRIX = "letter-probability matrix:"
NSITES = 20.0
"""Number of sites where a file does not say."""
_SUM_TOLERANCE = 0.05


@dataclass(frozen=True)
class RawMotif:
    """One motif of a file.

    Parameters
    ----------
    name : identifier without blanks
    rows : per position the probabilities of A, C, G, T
    alternate : its second name, may be empty
    nsites : number of sites that the matrix was made from
    line : where it begins in the file
    """

    name: str
    rows: tuple[tuple[float, ...], ...]
    alternate: str = ""
    nsites: float = NSITES
    line: int = 0


def fault(path: Path, line: int, what: str, fix: str = "mend the motif file") -> InputError:
    """The error of a faulty line."""
    return InputError(f"{path}, line {line}: {what}", fix=fix)


def read_lines(path: Path) -> list[str]:
    """All lines of a motif file, plain or gzip.

    Raises
    ------
    InputError : missing, unreadable, or not text
    """
    if not path.exists():
        raise InputError(f"no such motif file: {path}", fix="check the path")
    return [line for _, line in numbered_lines(path)]


def numbers(path: Path, line: int, words: Sequence[str], name: str, *, expected: int | None = 4) -> tuple[float, ...]:
    """Counts or probabilities of one row.

    Raises
    ------
    InputError : not ``expected`` numbers, or one that is negative or not finite
    """
    shown = " ".join(words)[:60]
    try:
        values = tuple(float(word) for word in words)
    except ValueError:
        raise fault(path, line, f"motif {name}: not a row of numbers: {shown!r}") from None
    if expected is not None and len(values) != expected:
        raise fault(path, line, f"motif {name}: {len(values)} numbers in a row, {expected} expected")
    if any(value < 0 for value in values):
        fix = "log odds cannot be read; give the file of counts or probabilities (PCM, PFM or PPM)"
        raise fault(path, line, f"motif {name}: a negative number: {shown!r}", fix)
    if not all(map(math.isfinite, values)):
        raise fault(path, line, f"motif {name}: not counts or probabilities: {shown!r}")
    return values


def probabilities(path: Path, line: int, words: Sequence[str], name: str) -> tuple[float, ...]:
    """Four probabilities, as the file has them.

    Raises
    ------
    InputError : not four numbers that sum to 1 (within 0.05)
    """
    values = numbers(path, line, words, name)
    if max(values) > 1 + _SUM_TOLERANCE:
        raise fault(path, line, f"motif {name}: not probabilities: {' '.join(words)[:60]!r}")
    if abs(sum(values) - 1) > _SUM_TOLERANCE:
        raise fault(path, line, f"motif {name}: probabilities sum to {sum(values):.3f}, not 1")
    return values


def from_counts(
    path: Path, name: str, rows: Iterable[tuple[int, Sequence[float]]], *, alternate: str, line: int
) -> RawMotif:
    """The motif of a matrix of counts, or of probabilities (then of :data:`NSITES` sites).

    Parameters
    ----------
    rows : per position its line in the file and the counts of A, C, G, T

    Raises
    ------
    InputError : no position, or one without any count
    """
    found: list[tuple[float, ...]] = []
    most = 0.0
    for at, counts in rows:
        total = math.fsum(counts)
        if not 0 < total < math.inf:
            raise fault(path, at, f"motif {name}: position {len(found) + 1} has no counts")
        found.append(tuple(count / total for count in counts))
        most = max(most, total)
    if not found:
        raise fault(path, line, f"motif {name} has no matrix")
    return RawMotif(name, tuple(found), alternate, most if most > 1 + _SUM_TOLERANCE else NSITES, line)


def _value(path: Path, line: int, text: str, key: str, pattern: str) -> float | None:
    found = re.search(rf"\b{key}=\s*(\S+)", text)
    if found is None:
        return None
    if not re.fullmatch(pattern, found[1]):
        raise fault(path, line, f"{key}= {found[1]!r} is not a number")
    return float(found[1])


def _looks_numeric(text: str) -> bool:
    return bool(re.match(r"\s*[-+.\d]", text))


def _matrix(path: Path, lines: list[str], at: int, name: str) -> tuple[list[tuple[float, ...]], float, int]:
    """The matrix whose header is line index ``at``: its rows, nsites, index after its last row."""
    header = lines[at]
    alength = _value(path, at + 1, header, "alength", r"\d+")
    if alength not in (None, 4):
        raise fault(path, at + 1, f"motif {name}: alength= {alength:.0f}, DNA has 4 letters")
    width = _value(path, at + 1, header, "w", r"\d+")
    nsites = _value(path, at + 1, header, "nsites", r"\d+(\.\d*)?([eE][-+]?\d+)?")
    index = at + 1
    while index < len(lines) and not lines[index].strip():
        index += 1
    rows: list[tuple[float, ...]] = []
    while index < len(lines) and (len(rows) < width if width is not None else _looks_numeric(lines[index])):
        if not _looks_numeric(lines[index]):
            break
        rows.append(probabilities(path, index + 1, lines[index].split(), name))
        index += 1
    if not rows or (width is not None and len(rows) < width):
        rest = "" if width is None else f" of {width:.0f}"
        raise fault(path, min(index, len(lines)), f"motif {name}: matrix ends after {len(rows)} rows{rest}")
    return rows, NSITES if nsites is None else nsites, index


def parse_meme(path: Path, lines: list[str]) -> Iterator[RawMotif]:
    """Motifs of a MEME file.

    Raises
    ------
    InputError : not MEME, or a faulty line
    """
    first = next((line for line in lines if line.strip()), "")
    if not first.startswith("MEME version"):
        raise InputError(f"not a MEME file: {path}, first line {first[:40]!r}", fix="it must begin with 'MEME version'")
    name, alternate, named_at = "", "", -1
    index = 0
    while index < len(lines):
        text = lines[index].strip()
        if text.startswith("ALPHABET"):
            letters = text.partition("=")[2].strip()
            if letters and letters.upper() != "ACGT":
                raise fault(path, index + 1, f"alphabet {letters!r}, only ACGT is read", "give a DNA motif file")
        elif re.match(r"MOTIF(\s|$)", text):
            if named_at >= 0:
                raise fault(path, named_at + 1, f"motif {name} has no letter-probability matrix")
            words = text[5:].split(maxsplit=1)
            if not words:
                raise fault(path, index + 1, "MOTIF without a name")
            name, alternate, named_at = words[0], words[1].strip() if len(words) > 1 else "", index
        elif text.startswith(MATRIX):
            if named_at < 0:
                raise fault(path, index + 1, "a matrix without a MOTIF line before it")
            rows, nsites, index = _matrix(path, lines, index, name)
            yield RawMotif(name, tuple(rows), alternate, nsites, named_at + 1)
            named_at = -1
            continue
        index += 1
    if named_at >= 0:
        raise fault(path, named_at + 1, f"motif {name} has no letter-probability matrix")
