"""Counts of kernels' responses to all k-mers of some data, from which a median follows without keeping them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation.kernel_motifs import Float64, Responses

BINS = 16_384
"""Of the counts between the least and the largest response that a kernel can have; a median is exact to half of one."""


def response_bounds(weight: NDArray[np.generic], bias: NDArray[np.generic] | None) -> tuple[Float64, Float64]:
    """Least and largest ``w . x + b`` of any k-mer, (K,) each, for kernels (K, 4, w)."""
    values = np.asarray(weight, np.float64)
    shift = np.zeros(len(values)) if bias is None else np.asarray(bias, np.float64)
    return values.min(1).sum(1) + shift, values.max(1).sum(1) + shift


def count_responses(found: Responses, low: Float64, high: Float64) -> NDArray[np.int64]:
    """Counts of responses (n, K) in equal bins from ``low`` to ``high`` of each kernel: (K, BINS)."""
    span = np.where(high > low, high - low, 1.0)
    bins = np.clip(((found - low) / span * BINS).astype(np.int64), 0, BINS - 1)
    flat = (bins + np.arange(found.shape[1]) * BINS).ravel()
    return np.bincount(flat, minlength=found.shape[1] * BINS).reshape(-1, BINS)


def median_of(counts: NDArray[np.int64], low: Float64, high: Float64) -> Float64:
    """Median of each kernel's counts (K, BINS), (K,): the mean of the middle two values, each at the middle of its bin.

    It is off by half a bin at most.
    """
    below = counts.cumsum(1)
    total = below[:, -1]
    middle = [(below <= rank[:, None]).sum(1) + 0.5 for rank in ((total - 1) // 2, total // 2)]
    return np.asarray(low + (middle[0] + middle[1]) / 2 * (high - low) / BINS)
