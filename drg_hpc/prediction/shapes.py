"""The shape of profiles: how far the share of each bin in a row's total is from that of the measured one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.models.moments import compiled, doubles

Array = NDArray[Any]


@compiled
def _divergences(prediction: Array, target: Array, out: Array) -> None:
    rows, tracks, bins = target.shape
    for row in range(rows):
        for track in range(tracks):
            total_p, total_t, fit = 0.0, 0.0, True
            for i in range(bins):
                t = target[row, track, i]
                if t == t:
                    p = prediction[row, track, i]
                    fit = fit and t >= 0.0
                    total_p += 0.0 if p < 0.0 else p
                    total_t += t
            if not (fit and 0.0 < total_p < np.inf and 0.0 < total_t < np.inf):
                out[row, track] = np.nan
                continue
            found = 0.0
            for i in range(bins):
                t = target[row, track, i]
                if t == t:
                    p, q = max(prediction[row, track, i], 0.0) / total_p, t / total_t
                    middle = 0.5 * (p + q)
                    if p > 0.0:
                        found += p * np.log2(p / middle)
                    if q > 0.0:
                        found += q * np.log2(q / middle)
            out[row, track] = min(max(0.5 * found, 0.0), 1.0)


def shape_divergence(prediction: Array, target: Array) -> Array:
    """Jensen-Shannon divergence in bits (Lin 1991) of each row and track, ``(rows, tracks, bins) -> (rows, tracks)``.

    Values are divided by their sum over the bins whose target is there; predictions below 0 count as 0. 0: the same
    shape, 1: no bin in common. NaN where a target is negative, or where a side adds up to nothing.
    A target is NaN where it is missing.
    """
    found = np.empty(target.shape[:2])
    _divergences(doubles(prediction), doubles(target), found)
    return found


def flat_divergence(target: Array) -> Array:
    """:func:`shape_divergence` of a flat profile."""
    return shape_divergence(np.ones(target.shape), target)


@compiled
def _fill_ranks(values: Array, order: Array, out: Array) -> None:
    rows, count = values.shape
    for row in range(rows):
        first = 0
        while first < count:
            value = values[row, order[row, first]]
            if value != value:  # missing values are sorted to the end
                break
            last = first + 1
            while last < count and values[row, order[row, last]] == value:
                last += 1
            for i in range(first, last):
                out[row, order[row, i]] = 0.5 * (first + last + 1)
            first = last


def row_ranks(values: Array) -> Array:
    """Ranks from 1 along the last axis, ties sharing the mean of theirs; 0 for NaN, which takes no rank."""
    flat = doubles(values).reshape(-1, values.shape[-1])
    found = np.zeros(flat.shape)
    _fill_ranks(flat, np.argsort(flat, axis=-1), found)
    return found.reshape(values.shape)


def row_spearman(prediction: Array, target: Array) -> Array:
    """Spearman correlation over the last axis, ``(…, n) -> (…)``, over the values whose target is there; ties have
    their mean rank. NaN for fewer than two values, or where either side is constant."""
    seen = ~np.isnan(target)
    n = seen.sum(-1, keepdims=True)
    ranks = [row_ranks(np.where(seen, values, np.nan)) for values in (prediction, target)]
    x, y = (np.where(seen, r - r.sum(-1, keepdims=True) / np.maximum(n, 1), 0.0) for r in ranks)
    scale = np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    defined = (n[..., 0] >= 2) & (scale > 0)
    found: Array = np.where(defined, (x * y).sum(-1) / np.where(defined, scale, 1.0), np.nan)
    return found
