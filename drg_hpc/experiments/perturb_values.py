"""Values of the perturbation tests of some sequences, all of their copies in one call of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.background import Background
from drg_hpc.experiments.perturb_effects import Array, interaction_effects, logit_effects, loss_effects
from drg_hpc.experiments.perturb_sites import Codes, Site, moved, replaced, slid, swapped
from drg_hpc.rng import row_generator

Kind = Literal["presence", "order", "distance", "shift", "interaction"]
Predict = Callable[[Codes], Array]
"""Logits (n,) of sequences (n, L)."""


@dataclass(frozen=True)
class Test:
    """A test of one motif (presence) or of a pair; ``shift`` is the control of distance."""

    __test__ = False  # not one of pytest's

    kind: Kind
    motifs: tuple[str, ...]


@dataclass(frozen=True)
class Perturbation:
    """How copies are made.

    Attributes
    ----------
    background : of what replaces a site
    copies : per sequence and test; swapped sites give one
    excluded : gaps that a moved pair may not have, both included; None: it may have any
    """

    background: Background
    copies: int = 5
    excluded: tuple[int, int] | None = None
    seed: int = 0

    def make(self, codes: Codes, sites: Mapping[str, Sequence[Site]], test: Test, *, row: int) -> Codes:
        """Copies (count, L) of one sequence; interaction: with the first motif replaced, the second, and both.

        Presence and interaction replace all sites of a motif, the others take the last one. Random numbers depend on
        seed, row and test alone.
        """
        rng = row_generator(self.seed, row, f"perturb:{test.kind}:{':'.join(test.motifs)}")
        if test.kind in ("presence", "interaction"):
            sets = [[name] for name in test.motifs]
            if test.kind == "interaction":
                sets.append(list(test.motifs))
            chosen = [[site for name in names for site in sites[name]] for names in sets]
            return np.concatenate([
                replaced(codes, each, self.background, count=self.copies, generator=rng) for each in chosen
            ])  # fmt: skip
        one, other = (max(sites[name]) for name in test.motifs)
        if test.kind == "order":
            return swapped(codes, one, other)[None]
        if test.kind == "shift":
            return slid(codes, one, other, count=self.copies, generator=rng)
        return moved(codes, one, other, count=self.copies, generator=rng, excluded=self.excluded)


def values_of(
    predict: Predict,
    codes: Codes,
    labels: Array,
    sites: Sequence[Mapping[str, Sequence[Site]]],
    test: Test,
    how: Perturbation,
    *,
    rows: NDArray[np.int64],
) -> tuple[NDArray[np.int64], Array, Array]:
    """Number of each sequence that has all motifs of the test, its effect in loss and in the signed logit, (k,) each.

    Parameters
    ----------
    codes : (n, L)
    labels : 0 or 1, (n,)
    sites : of each sequence, the sites of each motif that it has
    rows : global number of each sequence
    """
    used = np.array([n for n, each in enumerate(sites) if all(each.get(name) for name in test.motifs)], np.int64)
    if not len(used):
        return used, np.zeros(0), np.zeros(0)
    copies = np.stack([how.make(codes[n], sites[n], test, row=int(rows[n])) for n in used.tolist()])
    logits = predict(np.concatenate([codes[used], copies.reshape(-1, codes.shape[1])]))
    original, after, own = logits[: len(used)], logits[len(used) :].reshape(copies.shape[:2]), labels[used]
    if test.kind != "interaction":
        return used, loss_effects(original, after, own), logit_effects(original, after, own)
    one, other, both = np.split(after, 3, axis=1)
    excess = both.mean(axis=1) - one.mean(axis=1) - other.mean(axis=1) + original
    return used, interaction_effects(original, one, other, both, own), (2 * own - 1) * excess
