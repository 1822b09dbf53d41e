"""Motifs as arrays: read from files of several formats (:mod:`drg_hpc.genome.motif_formats`), written as MEME."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.files import write_atomic
from drg_hpc.genome.motif_formats import MotifFormat, read_raw
from drg_hpc.genome.motif_text import MATRIX, RawMotif


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


def _motif(raw: RawMotif) -> Motif:
    pfm = np.array(raw.rows, dtype=np.float64).T.copy()
    return Motif(name=raw.name, pfm=pfm, alternate=raw.alternate, nsites=raw.nsites)


def read_motifs(path: Path, format: MotifFormat = "auto") -> list[Motif]:
    """Every motif of a file, in its order.

    Parameters
    ----------
    format : auto: told from the file itself

    Raises
    ------
    InputError : missing, of no known format, or a faulty line (its number is in the message)
    """
    return [_motif(raw) for raw in read_raw(path, format)]


def read_meme(path: Path) -> list[Motif]:
    """:func:`read_motifs` of a file that must be MEME."""
    return read_motifs(path, "meme")


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
        out.append(f"{MATRIX} alength= 4 w= {motif.width} nsites= {motif.nsites:.15g} E= 0")
        out.extend(" ".join(repr(float(value)) for value in column) for column in motif.pfm.T)
        out.append("")
    return "\n".join(out) + "\n"


def write_meme(path: Path, motifs: Sequence[Motif]) -> None:
    """Write a MEME file atomically; see :func:`format_meme`."""
    write_atomic(path, format_meme(motifs))
