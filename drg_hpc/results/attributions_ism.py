"""What a file of in-silico mutagenesis holds, as contributions of bases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def base_weights(params: Mapping[str, Any]) -> NDArray[np.float32]:
    """What a projection weights the four effects of a position by, (4,): a third each of mean-effect (the base that is
    there has none), a quarter of centred, base frequencies of hypothetical.

    Parameters
    ----------
    params : of the run
    """
    if params["projection"] == "hypothetical":
        return np.asarray(params["base_freqs"], np.float32)
    return np.full(4, 1 / 3 if params["projection"] == "mean-effect" else 1 / 4, np.float32)


def contributions(ism: NDArray[Any], onehot: NDArray[Any], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The four-base form ``D - sum_b w_b D`` (n, 4, L), where D is the value less that of the base that is there. Its
    product with the sequence, summed over bases, is the projection.

    Parameters
    ----------
    ism : (n, 4, L); NaN where nothing was mutated, which becomes 0, as does a position without a base
    onehot : (n, 4, L)
    weights : (4,), of :func:`base_weights`
    """
    found = np.asarray(ism, np.float32)
    there = np.asarray(onehot) != 0
    change = found - np.where(there, found, 0).sum(axis=1, keepdims=True)
    form = change - (weights[:, None] * change).sum(axis=1, keepdims=True)
    defined = there.any(axis=1, keepdims=True) & np.isfinite(form)
    return np.where(defined, form, np.float32(0))
