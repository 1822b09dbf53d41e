"""Motifs of the kernels of a network's first layer: from their weights, and from the k-mers that they respond to.

The response of a kernel to a k-mer x is ``w . x + b``. Formulas are those of DRG's ``kernel_to_ppm`` and
``transform_kernels_to_pwms.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.results.kernels import consensus as consensus
from drg_hpc.rng import row_generator

Float64 = NDArray[np.float64]
Responses = NDArray[np.float32]
Activation = Callable[[Responses], Responses]
PSEUDO_COUNT = 0.025
"""Added to each cell of a motif's sums."""
_KMER_BLOCK = 4096
_AT_ONCE = 32


@dataclass(frozen=True)
class Choice:
    """Which k-mers make a kernel's motif, by activations scaled to 0 for the least of all and 1 for the largest.

    Parameters
    ----------
    cutoff : standard deviations above the mean
    maximum : instead, a share of the largest
    """

    cutoff: float = 1.64
    maximum: float | None = None


@dataclass(frozen=True)
class Spread:
    """Activations of each kernel over many k-mers: their number, sums, sums of squares, least and largest, (K,)."""

    count: int
    total: Float64
    squares: Float64
    low: Float64
    high: Float64

    def cuts(self, choice: Choice) -> Float64:
        """The least activation of a k-mer that is chosen, (K,), not scaled; NaN for a kernel that does not vary."""
        span = self.high - self.low
        if choice.maximum is not None:
            cut = self.low + choice.maximum * span
        else:
            mean = self.total / self.count
            cut = mean + choice.cutoff * np.sqrt(np.maximum(self.squares / self.count - mean**2, 0.0))
        return np.asarray(np.where(span > 0, cut, np.nan))


def direct_ppm(weight: NDArray[np.generic], bias: NDArray[np.generic] | None) -> Float64:
    """Probabilities that the weights (K, 4, w) stand for, (K, 4, w), in DRG's way; columns need not sum to 1.

    ``w + bias / (4 w_len)``, over the standard deviation of the kernel's cells, ``2^(that + log2(1/4))``, over the
    largest column sum of the kernel.
    """
    values = np.asarray(weight, np.float64)
    if bias is not None:
        values = values + (np.asarray(bias, np.float64) / (4 * values.shape[2]))[:, None, None]
    spread = values.std(axis=(1, 2), keepdims=True)
    odds = 2.0 ** (values / np.where(spread > 0, spread, 1.0) + np.log2(0.25))
    return np.asarray(odds / odds.sum(1, keepdims=True).max(2, keepdims=True))


def random_kmers(seed: int, count: int, width: int) -> NDArray[np.uint8]:
    """Codes 0 to 3 of k-mers whose bases are independent and equally likely, (count, width)."""
    blocks = [
        row_generator(seed, number, f"kernel k-mers {width}").integers(0, 4, (_KMER_BLOCK, width), dtype=np.uint8)
        for number in range(-(-count // _KMER_BLOCK))
    ]
    return np.concatenate(blocks)[:count]


def onehot_windows(codes: NDArray[np.uint8], *, both_strands: bool) -> Responses:
    """K-mers (n, w) as rows (n, 4 w) in the order of a kernel's weights; then those of their reverse complements."""
    if both_strands:
        codes = np.concatenate([codes, 3 - codes[:, ::-1]])
    return np.ascontiguousarray(np.eye(4, dtype=np.float32)[codes].transpose(0, 2, 1)).reshape(len(codes), -1)


def sequence_windows(onehot: NDArray[np.generic], width: int, *, both_strands: bool) -> Responses:
    """All k-mers of known bases that lie within sequences (n, 4, L), as :func:`onehot_windows` gives them."""
    views = np.lib.stride_tricks.sliding_window_view(np.asarray(onehot, np.float32), width, axis=2)
    windows = np.ascontiguousarray(views.transpose(0, 2, 1, 3)).reshape(-1, 4, width)
    windows = windows[(windows.sum(1) == 1).all(1)]
    if both_strands:
        windows = np.concatenate([windows, windows[:, ::-1, ::-1]])
    return np.ascontiguousarray(windows.reshape(len(windows), -1))


def responses(windows: Responses, weight: NDArray[np.generic], bias: NDArray[np.generic] | None) -> Responses:
    """``w . x + b`` of windows (n, 4 w) for kernels (K, 4, w): (n, K)."""
    found = windows @ np.asarray(weight, np.float32).reshape(len(weight), -1).T
    return np.asarray(found if bias is None else found + np.asarray(bias, np.float32), np.float32)


def spread_of(activations: Responses) -> Spread:
    """:class:`Spread` of activations (n, K), n > 0."""
    exact = activations.astype(np.float64)
    return Spread(len(exact), exact.sum(0), (exact**2).sum(0), exact.min(0), exact.max(0))


def motif_sums(
    windows: Responses, activations: Responses, spread: Spread, choice: Choice
) -> tuple[Float64, NDArray[np.int64]]:
    """Sums over the chosen k-mers, each weighted by its scaled activation, (K, 4 w), and how many they are, (K,)."""
    span = np.where(spread.high > spread.low, spread.high - spread.low, 1.0)
    chosen = activations >= spread.cuts(choice)  # never for NaN
    weights = np.where(chosen, (activations - spread.low) / span, 0.0)
    return weights.T @ windows.astype(np.float64), chosen.sum(0)


def probabilities(sums: Float64, width: int) -> Float64:
    """Motifs (K, 4, w) of sums (K, 4 w), with the pseudo-count; every column sums to 1."""
    cells = sums.reshape(len(sums), 4, width) + PSEUDO_COUNT
    return np.asarray(cells / cells.sum(1, keepdims=True))


@dataclass(frozen=True)
class Random:
    """What random k-mers say of kernels.

    Attributes
    ----------
    mean, median : of responses, (K,)
    sums, counts : see :func:`motif_sums`
    """

    mean: Float64
    median: Float64
    sums: Float64
    counts: NDArray[np.int64]


def on_random_kmers(
    weight: NDArray[np.generic], bias: NDArray[np.generic] | None, *, kmers: NDArray[np.uint8], both_strands: bool,
    activation: Activation, choice: Choice,
) -> Random:  # fmt: skip
    """Responses and motifs of kernels (K, 4, w) on k-mers (n, w), and on their reverse complements too."""
    windows = onehot_windows(kmers, both_strands=both_strands)
    parts = [
        _some(windows, weight[here], None if bias is None else bias[here], activation, choice)
        for here in _chunks(len(weight))
    ]
    mean, median, sums, counts = (np.concatenate([part[i] for part in parts]) for i in range(4))
    return Random(mean, median, sums, counts)


def _chunks(kernels: int) -> Iterator[slice]:
    return (slice(first, min(first + _AT_ONCE, kernels)) for first in range(0, kernels, _AT_ONCE))


def _some(
    windows: Responses, weight: NDArray[np.generic], bias: NDArray[np.generic] | None, activation: Activation,
    choice: Choice,
) -> tuple[Float64, Float64, Float64, NDArray[np.int64]]:  # fmt: skip
    found = responses(windows, weight, bias)
    active = activation(found)
    sums, counts = motif_sums(windows, active, spread_of(active), choice)
    return found.astype(np.float64).mean(0), np.median(found.astype(np.float64), axis=0), sums, counts
