"""First-layer kernels by the formulas of DRG's description, one sequence at a time, in float64, without our layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import erf

Rest = Callable[[Sequence[np.ndarray]], np.ndarray]
"""What comes after the first layers: (kernels, L) or (2, kernels, L) of each -> (tracks,)."""


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def scanned(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """w . x + b of kernels (K, 4, w), w odd, at every position of (4, L), zeros beyond the ends: (K, L)."""
    half = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (half, half)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2], axis=1)
    return np.einsum("kcj,cpj->kp", weight, windows, optimize=True) + bias[:, None]


def both_strands(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(2, K, L): the sequence, and its reverse complement read in the sequence's positions."""
    return np.stack([scanned(x, weight, bias), scanned(x[::-1, ::-1], weight, bias)[:, ::-1]])


def max_pool(values: np.ndarray, size: int) -> np.ndarray:
    return np.stack([values[:, at : at + size].max(1) for at in range(0, values.shape[1], size)], axis=1)


def every_kmer(kmers: np.ndarray, *, both: bool) -> np.ndarray:
    """Codes (n, w), then those of the reverse complements."""
    return np.array([*kmers.tolist(), *([[3 - c for c in kmer[::-1]] for kmer in kmers.tolist()] if both else [])])


def kmers_of(onehot: Sequence[np.ndarray], width: int) -> np.ndarray:
    """Codes of all k-mers of known bases of some sequences (4, L)."""
    words = [x[:, i : i + width] for x in onehot for i in range(x.shape[1] - width + 1)]
    return np.array([word.argmax(0) for word in words if word.sum() == width])


def kmer_responses(kmers: np.ndarray, weight: np.ndarray, bias: float) -> np.ndarray:
    """w . x + b of codes (n, w) for one kernel (4, w)."""
    return sum(weight[kmers[:, i], i] for i in range(weight.shape[1])) + bias


def activation_motif(
    kmers: np.ndarray, weight: np.ndarray, bias: float, *, active: Callable[[np.ndarray], np.ndarray],
    cutoff: float, maximum: float | None,
) -> tuple[np.ndarray, int]:  # fmt: skip
    """Motif (4, w) and number of k-mers of one kernel."""
    a = active(kmer_responses(kmers, weight, bias))
    scaled = (a - a.min()) / (a.max() - a.min())
    chosen = scaled >= (scaled.mean() + cutoff * scaled.std() if maximum is None else maximum)
    sums = np.full(weight.shape, 0.025)
    for kmer, value in zip(kmers[chosen].tolist(), scaled[chosen].tolist(), strict=True):
        for i, c in enumerate(kmer):
            sums[c, i] += value
    return sums / sums.sum(0), int(chosen.sum())


def direct_motif(weight: np.ndarray, bias: float) -> np.ndarray:
    """(4, w) of one kernel's weights; columns need not sum to 1."""
    values = weight + bias / (4 * weight.shape[1])
    values = values / np.sqrt(np.mean((values - values.mean()) ** 2))
    odds = 2 ** (values + np.log2(1 / 4))
    return odds / max(odds[:, i].sum() for i in range(weight.shape[1]))


@dataclass(frozen=True)
class Predictions:
    """(rows, tracks), and of each kernel in turn (kernels, rows, tracks)."""

    full: np.ndarray
    without: np.ndarray


def ablated(
    rows: Sequence[Sequence[np.ndarray]], scans: Sequence[Callable[[np.ndarray], np.ndarray]],
    constants: Sequence[Sequence[float]], rest: Rest,
) -> Predictions:  # fmt: skip
    """Predictions with one channel of one first layer at its constant, on both strands and at every position.

    Parameters
    ----------
    rows : of each row its sequences (4, L)
    scans : of each input its first layer
    constants : of each input those of its kernels
    """
    full, without = [], []
    for row in rows:
        before = [scan(x) for scan, x in zip(scans, row, strict=True)]
        full.append(rest(before))
        own = []
        for number, values in enumerate(constants):
            for kernel, constant in enumerate(values):
                changed = list(before)
                changed[number] = changed[number].copy()
                changed[number][..., kernel, :] = constant
                own.append(rest(changed))
        without.append(own)
    return Predictions(np.array(full), np.array(without).transpose(1, 0, 2))


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    known = ~np.isnan(b)
    a, b = a[known] - a[known].mean(), b[known] - b[known].mean()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def row_losses(found: Predictions, y: np.ndarray, tracks: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """R of each row over some tracks (rows,), and what is lost of it without each kernel (kernels, rows)."""
    tracks = list(tracks)
    base = np.array([pearson(f[tracks], t[tracks]) for f, t in zip(found.full, y, strict=True)])
    each = [[pearson(f[tracks], t[tracks]) for f, t in zip(values, y, strict=True)] for values in found.without]
    return base, base - np.array(each)


def five_statistics(
    found: Predictions, y: np.ndarray, classes: Sequence[Sequence[int]], cut: float
) -> dict[str, np.ndarray]:
    """kernattrack, kernmsetrack, kerneffct, kernimpact (kernels, tracks), kernattmeantestclass (kernels, classes)."""
    kernels, _, tracks = found.without.shape
    out = {name: np.zeros((kernels, tracks)) for name in ("kernattrack", "kernmsetrack", "kerneffct", "kernimpact")}
    for k in range(kernels):
        for t in range(tracks):
            f, fk, truth = found.full[:, t], found.without[k, :, t], y[:, t]
            out["kernattrack"][k, t] = (1 - pearson(fk, truth)) - (1 - pearson(f, truth))
            rmse = [np.sqrt(np.nanmean((p - truth) ** 2)) for p in (fk, f)]
            out["kernmsetrack"][k, t] = rmse[0] - rmse[1]
        for f, fk in zip(found.full, found.without[k], strict=True):
            d = f - fk
            out["kerneffct"][k] += d
            out["kernimpact"][k] += d**3 / (d**2).sum()
    means = []
    for tracks_of in classes:
        base, loss = row_losses(found, y, tracks_of)
        means.append(loss[:, base >= cut].mean(1))
    return out | {"kernattmeantestclass": np.stack(means, 1)}


def read_table(path: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Column names, row names and numbers of a table of drg-kernels."""
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    return lines[0][1:], [line[0] for line in lines[1:]], np.array([[float(v) for v in line[1:]] for line in lines[1:]])
