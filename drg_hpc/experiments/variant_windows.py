"""Windows around variants: the sequence with either allele, in the genome or in a shuffled background."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.genome.onehot import UNKNOWN, encode
from drg_hpc.genome.shuffle import dinucleotide_shuffle, shuffle_keys
from drg_hpc.genome.vcf import Variant

Codes = NDArray[np.uint8]
_LETTERS = "ACGTN"


class Genome(Protocol):
    """Base codes of intervals; 4 beyond the ends of a contig."""

    def codes(self, contig: str, start: int, end: int) -> Codes: ...


@dataclass(frozen=True)
class Window:
    """A variant and what is around it.

    The first base in which the alleles differ is at ``length // 2``. What is left of it is the same in both sequences;
    an insertion pushes bases off the right end, a deletion lets more of the genome in.

    Attributes
    ----------
    source : codes of the genome from the window's start, as many more than ``length`` as a deletion takes out
    length : bases of a sequence
    """

    variant: Variant
    source: Codes
    length: int

    @property
    def start(self) -> int:
        """First base of the sequence with the reference allele, on the genome; it may lie before its contig."""
        return self.variant.trimmed().start - self.length // 2

    @property
    def gained(self) -> int:
        """Bases by which the alternative allele is longer."""
        return len(self.variant.alt) - len(self.variant.ref)

    def sequences(self) -> tuple[Codes, Codes]:
        """Codes (length,) with the reference allele, and with the alternative one."""
        return _placed(self.source, self.variant.trimmed(), self.length)

    def shuffled(self, *, seed: int, row: int, copy: int) -> tuple[Codes, Codes]:
        """The same alleles in dinucleotide shuffle number ``copy`` of the window; a function of (seed, row, copy)."""
        keys = shuffle_keys(seed, range(row, row + 1), copy)
        return _placed(dinucleotide_shuffle(self.source[None], keys)[0], self.variant.trimmed(), self.length)


def _placed(source: Codes, core: Variant, length: int) -> tuple[Codes, Codes]:
    centre = length // 2
    after = source[centre + len(core.ref) :]
    ref, alt = (
        np.concatenate([source[:centre], encode(allele.encode()), after])[:length] for allele in (core.ref, core.alt)
    )
    return ref, alt


def make_window(genome: Genome, variant: Variant, *, length: int, path: Path) -> Window:
    """The window of a variant.

    Parameters
    ----------
    length : bases that the model takes
    path : of the VCF, for messages

    Raises
    ------
    InputError : the genome has another base than the reference allele says (with the line); where the genome's base is
        unknown the allele is believed
    """
    found = genome.codes(variant.chrom, variant.start, variant.start + len(variant.ref))
    if bool(((found != encode(variant.ref.encode())) & (found != UNKNOWN)).any()):
        there = "".join(_LETTERS[code] for code in found[:20].tolist())
        raise InputError(
            f"{path}: line {variant.line}: REF of {variant.name[:60]} is {variant.ref[:20]}, the genome has {there} at "
            f"{variant.chrom}:{variant.start + 1}",
            fix="take the assembly that the VCF was called on",
        )
    core = variant.trimmed()
    first = core.start - length // 2
    more = max(0, len(core.ref) - len(core.alt))
    source = genome.codes(variant.chrom, first, first + length + more)
    begin = max(variant.start, first)
    stated = encode(variant.ref.encode())[begin - variant.start : first + len(source) - variant.start]
    source[begin - first : begin - first + len(stated)] = stated
    return Window(variant, source, length)
