"""Scores of variants one at a time, as a script writes them: the other side of bench/variants."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from drg_hpc.models.base import SequenceModel
from drg_hpc.models.compute import module_links
from drg_hpc.models.links import apply_links, totals_over_bins

LETTERS = "ACGT"
Row = tuple[str, int, str, str]
"""Contig, start from 0, reference allele, alternative allele."""


def random_rows(texts: Mapping[str, str], count: int) -> list[Row]:
    """SNVs, and every tenth an insertion or deletion of some bases."""
    rng = np.random.default_rng(1)
    chrom, text = next(iter(texts.items()))
    found = []
    for number, start in enumerate(rng.integers(0, len(text) - 10, count).tolist()):
        ref = text[start]
        other = str(rng.choice([base for base in LETTERS if base != ref]))
        if number % 20 == 10:
            found.append((chrom, start, ref, ref + other * 3))
        elif number % 20 == 0:
            found.append((chrom, start, text[start : start + 4], ref))
        else:
            found.append((chrom, start, ref, other))
    return found


def saturated_rows(texts: Mapping[str, str], count: int) -> list[Row]:
    """All three SNVs of bases that follow each other."""
    chrom, text = next(iter(texts.items()))
    first = len(text) // 2
    places = ((start, text[start]) for start in range(first, first + -(-count // 3)))
    return [(chrom, start, ref, other) for start, ref in places for other in LETTERS if other != ref][:count]


class Plain:
    """Values of a model's tracks with either allele, their difference, SAD and D2; of indels that move no bin.

    Parameters
    ----------
    texts : letters of each contig
    """

    def __init__(self, module: SequenceModel, texts: Mapping[str, str]) -> None:
        self._module, self._length = module, module.length
        unknown = "N" * self._length
        self._texts = {name: f"{unknown}{text}{unknown}" for name, text in texts.items()}
        self._links = module_links(module, range(module.shape.n_tracks))

    def _values(self, text: str) -> torch.Tensor:
        onehot = np.zeros((1, 4, self._length), np.float32)
        for at, letter in enumerate(text):
            if letter in LETTERS:
                onehot[0, LETTERS.index(letter), at] = 1
        with torch.inference_mode():
            return self._module(torch.from_numpy(onehot))

    def scores(self, row: Row) -> dict[str, torch.Tensor]:
        """By name, (tracks,)."""
        chrom, start, ref, alt = row
        text, at = self._texts[chrom], start + self._length
        shared = 0
        while shared < min(len(ref), len(alt)) and ref[-1 - shared] == alt[-1 - shared]:
            shared += 1
        left = 0
        while left < min(len(ref), len(alt)) - shared and ref[left] == alt[left]:
            left += 1
        changed = text[:at] + alt + text[at + len(ref) :]
        first = at + left - self._length // 2
        z, other = (self._values(each[first : first + self._length])[0] for each in (text, changed))
        r, a = (apply_links(each[None], self._links)[0] for each in (z, other))
        if z.ndim == 1:
            return {"ref": z, "alt": other, "effect": other - z, "SAD": a - r, "D2": (a - r).abs()}
        z, other = (totals_over_bins(each[None], self._links)[0] for each in (z, other))
        distance = (a - r).square().sum(dim=-1).sqrt()
        return {"ref": z, "alt": other, "effect": other - z, "SAD": (a - r).sum(dim=-1), "D2": distance}
