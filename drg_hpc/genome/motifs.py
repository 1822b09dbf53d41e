"""Motif files in MEME format: a reader that names the faulty line, and a writer whose files every reader takes.

The format is that of https://meme-suite.org/meme/doc/meme-format.html (minimal form, DNA).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.files import write_atomic

_MATRIX = "letter-probability matrix:"
_SUM_TOLERANCE = 0.05


@dataclass(frozen=True, eq=False)
class Motif:
    """One motif.

    Parameters
    ----------
    name : identifier without blanks
    pfm : (4, width) float64 letter probabilities, rows in the order A, C, G, T, columns sum to 1
    alternate : the second name of the MOTIF line, may be empty
    nsites : number of sites that the matrix was made from
    """

    name: str
    pfm: NDArray[np.float64]
    alternate: str = ""
    nsites: float = 20.0

    @property
    def width(self) -> int:
        """Number of positions."""
        return int(self.pfm.shape[1])


def _fault(path: Path, line: int, what: str, fix: str = "mend the MEME file") -> InputError:
    return InputError(f"{path}, line {line}: {what}", fix=fix)


def _number(path: Path, line: int, text: str, key: str, pattern: str) -> float | None:
    found = re.search(rf"\b{key}=\s*(\S+)", text)
    if found is None:
        return None
    if not re.fullmatch(pattern, found[1]):
        raise _fault(path, line, f"{key}= {found[1]!r} is not a number")
    return float(found[1])


def _row(path: Path, line: int, text: str, name: str) -> list[float]:
    try:
        values = [float(item) for item in text.split()]
    except ValueError:
        raise _fault(path, line, f"motif {name}: not a row of numbers: {text.strip()[:60]!r}") from None
    if len(values) != 4:
        raise _fault(path, line, f"motif {name}: {len(values)} numbers in a row, 4 expected")
    if not all(math.isfinite(value) and 0 <= value <= 1 + _SUM_TOLERANCE for value in values):
        raise _fault(path, line, f"motif {name}: not probabilities: {text.strip()[:60]!r}")
    if abs(sum(values) - 1) > _SUM_TOLERANCE:
        raise _fault(path, line, f"motif {name}: probabilities sum to {sum(values):.3f}, not 1")
    return values


def _looks_numeric(text: str) -> bool:
    return bool(re.match(r"\s*[-+.\d]", text))


def _matrix(path: Path, lines: list[str], at: int, name: str) -> tuple[NDArray[np.float64], float, int]:
    """The matrix whose header is line index ``at``: (4, width) values, nsites, index after its last row."""
    header = lines[at]
    alength = _number(path, at + 1, header, "alength", r"\d+")
    if alength not in (None, 4):
        raise _fault(path, at + 1, f"motif {name}: alength= {alength:.0f}, DNA has 4 letters")
    width = _number(path, at + 1, header, "w", r"\d+")
    nsites = _number(path, at + 1, header, "nsites", r"\d+(\.\d*)?([eE][-+]?\d+)?")
    index = at + 1
    while index < len(lines) and not lines[index].strip():
        index += 1
    rows: list[list[float]] = []
    while index < len(lines) and (len(rows) < width if width is not None else _looks_numeric(lines[index])):
        if not _looks_numeric(lines[index]):
            break
        rows.append(_row(path, index + 1, lines[index], name))
        index += 1
    if not rows or (width is not None and len(rows) < width):
        rest = "" if width is None else f" of {width:.0f}"
        raise _fault(path, min(index, len(lines)), f"motif {name}: matrix ends after {len(rows)} rows{rest}")
    return np.array(rows, dtype=np.float64).T.copy(), 20.0 if nsites is None else nsites, index


def _parse(path: Path, lines: list[str]) -> Iterator[Motif]:
    seen: dict[str, int] = {}
    name, alternate, named_at = "", "", -1
    index = 0
    while index < len(lines):
        text = lines[index].strip()
        if text.startswith("ALPHABET"):
            letters = text.partition("=")[2].strip()
            if letters and letters.upper() != "ACGT":
                raise _fault(path, index + 1, f"alphabet {letters!r}, only ACGT is read", "give a DNA motif file")
        elif re.match(r"MOTIF(\s|$)", text):
            if named_at >= 0:
                raise _fault(path, named_at + 1, f"motif {name} has no letter-probability matrix")
            words = text[5:].split(maxsplit=1)
            if not words:
                raise _fault(path, index + 1, "MOTIF without a name")
            name, alternate = words[0], words[1] if len(words) > 1 else ""
            if name in seen:
                raise _fault(path, index + 1, f"motif {name} stands twice (first on line {seen[name]})")
            seen[name], named_at = index + 1, index
        elif text.startswith(_MATRIX):
            if named_at < 0:
                raise _fault(path, index + 1, "a matrix without a MOTIF line before it")
            pfm, nsites, index = _matrix(path, lines, index, name)
            yield Motif(name=name, pfm=pfm, alternate=alternate.strip(), nsites=nsites)
            named_at = -1
            continue
        index += 1
    if named_at >= 0:
        raise _fault(path, named_at + 1, f"motif {name} has no letter-probability matrix")


def read_meme(path: Path) -> list[Motif]:
    """Every motif of a MEME file, in its order.

    Raises
    ------
    InputError : missing, not MEME, or a faulty line (its number is in the message)
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"no such motif file: {path}", fix="check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read motif file {path}: {error}", fix="give a MEME text file") from None
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    if not first.lstrip("\ufeff").startswith("MEME version"):
        raise InputError(f"not a MEME file: {path}, first line {first[:40]!r}", fix="it must begin with 'MEME version'")
    motifs = list(_parse(path, lines))
    if not motifs:
        raise InputError(f"no motif in {path}", fix="give a MEME file with MOTIF entries")
    return motifs


def format_meme(motifs: Sequence[Motif]) -> str:
    """MEME text. Numbers are written so that reading them gives the same float64 again.

    A blank line follows each matrix, the last one too: some readers drop a motif that ends without one.

    Raises
    ------
    InputError : a name is empty, repeated or has blanks
    """
    out = ["MEME version 4\n", "ALPHABET= ACGT\n", "strands: + -\n", "Background letter frequencies"]
    out.append("A 0.25 C 0.25 G 0.25 T 0.25\n")
    seen: set[str] = set()
    for motif in motifs:
        if not motif.name or motif.name.split() != [motif.name] or motif.name in seen:
            raise InputError(f"not a usable motif name: {motif.name!r}", fix="names must be unique and without blanks")
        seen.add(motif.name)
        out.append(f"MOTIF {motif.name} {motif.alternate}".rstrip())
        out.append(f"{_MATRIX} alength= 4 w= {motif.width} nsites= {motif.nsites:.15g} E= 0")
        out.extend(" ".join(repr(float(value)) for value in column) for column in motif.pfm.T)
        out.append("")
    return "\n".join(out) + "\n"


def write_meme(path: Path, motifs: Sequence[Motif]) -> None:
    """Write a MEME file atomically; see :func:`format_meme`."""
    write_atomic(path, format_meme(motifs))
