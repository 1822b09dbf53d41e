"""What models say of the sequences with either allele."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.bodies.gene_places import Weights
from drg_hpc.bodies.variants_sums import GeneBins

Array = NDArray[Any]


@dataclass(frozen=True)
class Scores:
    """What some alleles get.

    Attributes
    ----------
    alleles : ``ref``, ``alt``, ``effect`` and each of the scores of bins, float64 (n, k)
    genes : ``ref``, ``SED``, ``logSED`` of the genes of each allele, allele after allele, float64 (pairs, values)
    """

    alleles: dict[str, Array]
    genes: dict[str, Array]

    @staticmethod
    def mean(each: Sequence[Scores]) -> Scores:
        """Of models."""
        return Scores(_each_mean([one.alleles for one in each]), _each_mean([one.genes for one in each]))

    @staticmethod
    def joined(each: Sequence[Scores]) -> Scores:
        """One after the other."""
        return Scores(_each_joined([one.alleles for one in each]), _each_joined([one.genes for one in each]))


def _each_mean(each: Sequence[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}


def _each_joined(each: Sequence[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([one[name] for one in each]) for name in each[0]}


@dataclass(frozen=True)
class Asked:
    """What is wanted of a sequence besides its values.

    Attributes
    ----------
    gained : bases by which it is longer than the reference sequence
    genes : strand, and bins by shift, of each gene
    """

    gained: int
    genes: Sequence[tuple[str, Mapping[int, Weights]]]


@dataclass(frozen=True)
class AskedPairs:
    """The same of the sequences of alleles: of those with the reference, and of those with the alternative one."""

    ref: Sequence[Asked]
    alt: Sequence[Asked]

    @staticmethod
    def of(gained: Sequence[int], genes: Sequence[Sequence[GeneBins]] | None) -> AskedPairs:
        """What alleles that are longer by ``gained`` bases, and their genes, ask for."""
        near: Sequence[Sequence[GeneBins]] = genes if genes is not None else [()] * len(gained)
        return AskedPairs(
            [Asked(0, [(gene.strand, gene.ref) for gene in each]) for each in near],
            [Asked(more, [(gene.strand, gene.alt) for gene in each]) for more, each in zip(gained, near, strict=True)],
        )

    def chosen(self, refs: Sequence[int], alts: Sequence[int]) -> list[Asked]:
        """Of some reference sequences and then of some alternative ones."""
        return [*(self.ref[row] for row in refs), *(self.alt[row] for row in alts)]


@dataclass(frozen=True)
class Alleles:
    """What is scored.

    Attributes
    ----------
    ref, alt : base codes (n, length) with either allele
    places : of each allele, the first one that has its reference sequence
    asked : besides the values
    """

    ref: NDArray[np.uint8]
    alt: NDArray[np.uint8]
    places: Sequence[int]
    asked: AskedPairs | None

    def sequences(self, refs: Sequence[int], part: range) -> NDArray[np.uint8]:
        """Base codes of some reference sequences and then of alternative ones, (n, length)."""
        return np.concatenate([self.ref[list(refs)], self.alt[part.start : part.stop]])

    def wanted(self, refs: Sequence[int], part: range) -> Sequence[Asked] | None:
        """What is asked of these."""
        return None if self.asked is None else self.asked.chosen(refs, part)


@dataclass(frozen=True)
class Seen:
    """What one model says of some sequences, means over views.

    Attributes
    ----------
    values : of the statistic, (n, k)
    profiles : outputs (n, T, B) of the tracks in bins; None where no score needs them
    both : bins that can be compared, (n, B)
    sums : of the genes of each sequence, (genes, values)
    """

    values: Array
    profiles: Array | None = None
    both: NDArray[np.bool_] | None = None
    sums: Sequence[Array] = ()

    @staticmethod
    def joined(parts: Sequence[Seen]) -> Seen:
        """One after the other."""
        if len(parts) == 1:
            return parts[0]
        profiles = [part.profiles for part in parts if part.profiles is not None]
        both = [part.both for part in parts if part.both is not None]
        return Seen(
            np.concatenate([part.values for part in parts]),
            np.concatenate(profiles) if profiles else None,
            np.concatenate(both) if both else None,
            [each for part in parts for each in part.sums],
        )

    def part(self, rows: slice) -> Seen:
        """Some of the sequences, without a copy."""
        profiles = None if self.profiles is None else self.profiles[rows]
        both = None if self.both is None else self.both[rows]
        return Seen(self.values[rows], profiles, both, self.sums[rows])
