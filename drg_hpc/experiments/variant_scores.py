"""Scores of a variant from the predicted profiles with either allele: SAD, logSAD and D2, and z against backgrounds.

SAD, logSAD and D2 are those of Borzoi (Linder et al. 2025): with r and a the output of a bin with the reference and the
alternative allele, sum a - sum r; sum log2(a + 1) - sum log2(r + 1); and the square root of sum (a - r)^2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from drg_hpc.experiments.effect_tests import largest, rounding_of

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Bins:
    """Where the bins of an output lie in a sequence.

    Attributes
    ----------
    count : bins
    first : first base of the first one
    width : bases of each
    """

    count: int
    first: float
    width: float

    @staticmethod
    def of(*, length: int, span: int, count: int) -> Bins:
        """The bins of the middle ``span`` bases of a sequence (0: of all of it)."""
        covered = span or length
        return Bins(count, (length - covered) // 2, covered / count)

    def holding(self, base: int) -> int:
        """The bin of a base; -1 left of all bins, ``count`` right of them."""
        return int(np.clip(np.floor((base - self.first) / self.width), -1, self.count))

    def moved(self, gained: int) -> int:
        """Whole bins by which an allele that is ``gained`` bases longer moves what is to its right."""
        return int(np.rint(gained / self.width))


def aligned(profile: Values, *, at: int, moved: int) -> tuple[Values, NDArray[np.bool_]]:
    """Bins of the sequence with the alternative allele, each put where the reference sequence has the same bases.

    Bins that were inserted are added to the bin of the variant, bins that were deleted become 0, and bins whose bases
    only one of the two sequences shows are told.

    Parameters
    ----------
    profile : outputs (T, B)
    at : bin of the variant, -1 where it lies left of all, B where it lies right of them
    moved : bins by which an insertion (positive) or a deletion moved what is to its right

    Returns
    -------
    (T, B), and bool (B,): the bins that can be compared
    """
    count = profile.shape[-1]
    both = np.ones(count, np.bool_)
    if not moved or at >= count:
        return profile, both
    places = np.arange(count)
    right = places > at
    sources = np.where(right, places + moved, places)
    inside = (sources < count) & (sources >= 0)
    found = np.where(inside, profile[:, np.clip(sources, 0, count - 1)], 0)
    if moved > 0:
        both = inside
        if at >= 0:
            found[:, at] += profile[:, at + 1 : at + 1 + moved].sum(axis=-1)
    else:
        lost = right & (places <= at - moved)
        found[:, lost] = 0
        if at < 0:
            both = ~lost
    return found, both


def _sad(ref: Values, alt: Values) -> Values:
    return np.asarray((alt - ref).sum(axis=-1))


def _log_sad(ref: Values, alt: Values) -> Values:
    return np.asarray((np.log2(alt + 1) - np.log2(ref + 1)).sum(axis=-1))


def _d2(ref: Values, alt: Values) -> Values:
    return np.asarray(np.sqrt(((alt - ref) ** 2).sum(axis=-1)))


SCORES: Mapping[str, Callable[[Values, Values], Values]] = {"SAD": _sad, "logSAD": _log_sad, "D2": _d2}
"""Of outputs (T, B) with the reference and the alternative allele, as float64: (T,)."""


def profile_scores(ref: Values, alt: Values, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Scores of two aligned profiles (T, B), (T,) each.

    Parameters
    ----------
    names : keys of :data:`SCORES`
    """
    pair = np.asarray(ref, np.float64), np.asarray(alt, np.float64)
    return {name: SCORES[name](*pair).astype(np.float64) for name in names}


def largest_of(ref: Values, alt: Values, effect: Values, *, compare: str) -> NDArray[np.float64]:
    """The size that rounding of an effect is a share of: of a difference the largest value, of a ratio the largest
    ratio, and 1 of a logarithm.

    Parameters
    ----------
    ref, alt, effect : (S, n, k) in each background
    compare : as ``--compare``

    Returns
    -------
    (n, k)
    """
    if compare == "log2fc":
        return np.ones(effect.shape[1:])
    sides = (effect,) if compare == "divide" else (ref, alt)
    found: NDArray[np.float64] = np.max([largest(side.swapaxes(0, 1)) for side in sides], axis=0)
    return found


def against_backgrounds(
    effect: Values, backgrounds: Values, *, sizes: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """How far an effect is from those of the same alleles in shuffled sequences, taken as normal.

    Parameters
    ----------
    effect : (n, k)
    backgrounds : (S, n, k), S at least 2
    sizes : (n, k) see :func:`largest_of`

    Returns
    -------
    mean and sd (divided by S - 1) of the backgrounds, z = (effect - mean) / sd, and p of an effect drawn with them, by
    Student's t with S - 1 degrees of freedom: t = z / sqrt(1 + 1 / S); z and p are NaN where the backgrounds differ by
    no more than rounding
    """
    assert len(backgrounds) > 1
    values = np.asarray(backgrounds, np.float64)
    mean, sd = values.mean(axis=0), values.std(axis=0, ddof=1)
    none = sd <= rounding_of(sizes)
    z = np.where(none, np.nan, (np.asarray(effect, np.float64) - mean) / np.where(none, 1.0, sd))
    p = 2 * stdtr(len(values) - 1, -np.abs(z) / np.sqrt(1 + 1 / len(values)))
    return {"mean": mean, "sd": sd, "z": z, "p": p}
