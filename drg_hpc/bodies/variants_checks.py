"""Scores that are not numbers are refused, with the line of the VCF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from drg_hpc.attribution.ism_recipe import RATIOS
from drg_hpc.errors import InputError
from drg_hpc.genome.vcf import Variant
from drg_hpc.results.attributions_blocks import undefined_at

_SIDES = {"ref": "reference", "alt": "alternative"}


def require_numbers(
    scores: Mapping[str, NDArray[Any]], rows: Sequence[Variant], *, names: Sequence[str], compare: str, vcf: Path,
    where: str = "",
) -> None:  # fmt: skip
    """Refuse what is not finite.

    Parameters
    ----------
    scores : of alleles, (n, k) by name: ``ref``, ``alt``, ``effect`` and others
    names : of the values
    where : the sequences, where they are not those of the genome

    Raises
    ------
    InputError : a prediction, an effect or a score that is not finite (the first one, with its line)
    """
    for score in ("ref", "alt", *(name for name in scores if name not in _SIDES)):
        at = undefined_at(scores[score])
        if not at:
            continue
        row, value = at
        place = f"at {vcf}: line {rows[row].line}{where}, {rows[row].name[:60]}"
        name, found = names[value], float(scores[score][row, value])
        if score in _SIDES:
            raise InputError(
                f"the prediction of {name!r} with the {_SIDES[score]} allele is {found} {place}",
                fix="the statistic is not defined there, or the model's weights are not finite",
            )
        if score == "effect":
            raise InputError(
                f"--compare {compare} of {name!r} is not defined {place}",
                fix="--pseudo adds a number to both values; --compare subtract is always defined"
                if compare in RATIOS else "the predictions are too large",
            )  # fmt: skip
        raise InputError(
            f"{score} of {name!r} is {found} {place}: outputs are too large to be added up",
            fix="leave it out of --stats (none: no scores of bins)",
        )


def require_gene_numbers(
    scores: Mapping[str, NDArray[Any]], alleles: Sequence[Variant], *, names: Sequence[str], vcf: Path
) -> None:
    """The same of the genes of alleles.

    Parameters
    ----------
    scores : (pairs, values) by name
    alleles : of each pair
    """
    for score, values in scores.items():
        if at := undefined_at(values):
            row, value = at
            raise InputError(
                f"{score} of {names[value]!r} of a gene is {float(values[row, value])} at {vcf}: "
                f"line {alleles[row].line}, {alleles[row].name[:60]}",
                fix="the coverage is too large, or the model's weights are not finite",
            )
