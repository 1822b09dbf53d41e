"""From compared values of edits to arrays over positions and bases: the conventions of in-silico mutagenesis.

``ism`` (k, 4, L) holds the compared value of putting base b at position l. At the base that is there it is that of the
sequence with itself, ``unchanged`` (0 of subtract and log2fc, 1 of divide, the prediction of none). With
``D = ism - unchanged``, the forms are those of the DRG package: mean-effect ``D - sum_b D / 3`` (minus the mean of the
three substitutions at the base that is there), centred ``D - mean_b D`` and hypothetical ``D - sum_b p_b D`` with base
frequencies p. At an unknown base, whose four alternatives are all edits, and where nothing was mutated they are 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.attribution.edits import NO_BASE, Codes, Edits
from drg_hpc.attribution.ism_recipe import IsmRecipe

Values = NDArray[Any]


def base_weights(recipe: IsmRecipe) -> NDArray[np.float64]:
    """What D of each base is weighted by in a projection, (4,)."""
    if recipe.projection == "hypothetical":
        assert recipe.base_freqs is not None
        return np.asarray(recipe.base_freqs)
    return np.full(4, 1 / 3 if recipe.projection == "mean-effect" else 1 / 4)


def grid(values: Values, edits: Edits, *, codes: Codes, unchanged: Values) -> Values:
    """Values (E, k) of substitutions as ``(k, 4, L)``, NaN where nothing was mutated.

    Parameters
    ----------
    codes : of the sequence, (L,)
    unchanged : value at the bases that are there, (k,)
    """
    found = np.full((values.shape[1], 4, len(codes)), np.nan, values.dtype)
    found[:, edits.codes, edits.starts] = values.T
    known = np.unique(edits.starts)
    known = known[codes[known] < NO_BASE]
    found[:, codes[known], known] = unchanged[:, None]
    return found


def projected(values: Values, edits: Edits, *, codes: Codes, unchanged: Values, recipe: IsmRecipe) -> Values:
    """Projection (k, L) of values (E, k) of substitutions: the contribution of the base that is there."""
    found = np.zeros((values.shape[1], len(codes)), values.dtype)
    there = codes[edits.starts] < NO_BASE
    weights = base_weights(recipe)[edits.codes].astype(values.dtype)
    with np.errstate(invalid="ignore"):  # inf - inf of a ratio
        weighted = (values - unchanged) * weights[:, None]
        starts = np.flatnonzero(np.diff(edits.starts, prepend=-1))  # substitutions come position by position
        if len(starts):
            sums = np.add.reduceat(weighted, starts, axis=0)
            found[:, edits.starts[starts[there[starts]]]] = -sums[there[starts]].T
    return found


def contribution(
    ism: Values, *, codes: Codes, scored: NDArray[np.bool_], unchanged: Values, recipe: IsmRecipe
) -> Values:
    """The four-base form ``(…, 4, L)`` whose product with the sequence, summed over bases, is the projection.

    Parameters
    ----------
    ism : (…, 4, L)
    codes : of the sequence, (L,)
    scored : where it was mutated, (L,)
    unchanged : value of ``ism`` at the bases that are there, (…,)
    """
    with np.errstate(invalid="ignore"):
        change = ism - np.asarray(unchanged)[..., None, None]
        weights = base_weights(recipe).astype(ism.dtype)[:, None]
        found: Values = change - (weights * change).sum(axis=-2, keepdims=True)
    found[..., ~(scored & (codes < NO_BASE))] = 0
    return found
