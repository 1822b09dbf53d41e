"""Distinct k-mers as numbers of two bits a base, so that each can be counted once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drg_hpc.interpretation import kernel_motifs as motifs
from drg_hpc.interpretation.kernel_limits import require_countable
from drg_hpc.interpretation.kernel_motifs import Activation, Choice, Float64, Responses, Spread

Words = NDArray[np.uint64]
_AT_ONCE = 1 << 15


def pack(codes: NDArray[np.uint8]) -> Words:
    """K-mers (n, w) of codes 0 to 3 as numbers (n,), the first base highest.

    Raises
    ------
    UsageError : wider than 32 bases
    """
    require_countable(codes.shape[1])
    words = np.zeros(len(codes), np.uint64)
    for column in codes.T:
        words = (words << np.uint64(2)) | column.astype(np.uint64)
    return words


def unpack(words: Words, width: int) -> NDArray[np.uint8]:
    """The k-mers (n, width) of numbers."""
    shifts = np.arange(2 * (width - 1), -1, -2, dtype=np.uint64)
    return ((words[:, None] >> shifts) & np.uint64(3)).astype(np.uint8)


def distinct_words(codes: NDArray[np.uint8], *, both_strands: bool) -> Words:
    """Sorted numbers of the k-mers (n, w), each once, and of their reverse complements too."""
    return np.unique(pack(np.concatenate([codes, 3 - codes[:, ::-1]]) if both_strands else codes))


def window_words(windows: Responses, width: int) -> Words:
    """Sorted numbers of one-hot windows (n, 4 width), each once; both strands are in them already."""
    return np.unique(pack(windows.reshape(len(windows), 4, width).argmax(1).astype(np.uint8)))


def motifs_of_words(
    weight: NDArray[np.generic], bias: NDArray[np.generic] | None, words: Words, *, activation: Activation,
    choice: Choice,
) -> tuple[Float64, NDArray[np.int64]]:  # fmt: skip
    """:func:`~drg_hpc.interpretation.kernel_motifs.motif_sums` of kernels (K, 4, w) over k-mers, in bounded memory."""
    width = weight.shape[2]
    blocks = [words[at : at + _AT_ONCE] for at in range(0, len(words), _AT_ONCE)]

    def made(block: Words) -> tuple[Responses, Responses]:
        windows = motifs.onehot_windows(unpack(block, width), both_strands=False)
        return windows, activation(motifs.responses(windows, weight, bias))

    spread = _joined([motifs.spread_of(made(block)[1]) for block in blocks])
    sums, counts = np.zeros((len(weight), 4 * width)), np.zeros(len(weight), np.int64)
    for block in blocks:
        more, counted = motifs.motif_sums(*made(block), spread, choice)
        sums, counts = sums + more, counts + counted
    return sums, counts


def _joined(parts: list[Spread]) -> Spread:
    return Spread(
        sum(part.count for part in parts), np.sum([part.total for part in parts], axis=0),
        np.sum([part.squares for part in parts], axis=0), np.min([part.low for part in parts], axis=0),
        np.max([part.high for part in parts], axis=0),
    )  # fmt: skip
