"""Truth for the tests: motif instances planted on both strands, with a noisy contribution track."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drg_hpc.genome.motifs import Motif, read_meme

MOTIFS = Path(__file__).parents[2] / "examples" / "motifs" / "hocomoco_v12_core.meme"


@dataclass(frozen=True)
class Planted:
    """Sequences (n, 4, L), projected contributions (n, L), and per row: motif number, start, strand."""

    onehot: NDArray[np.int8]
    projected: NDArray[np.float32]
    motif: NDArray[np.int64]
    start: NDArray[np.int64]
    flipped: NDArray[np.bool_]


def named(*names: str) -> list[Motif]:
    """HOCOMOCO motifs by the first part of their names."""
    by_name = {motif.name.split(".")[0]: motif for motif in reversed(read_meme(MOTIFS))}
    return [by_name[name] for name in names]


def plant(motifs: list[Motif], signs: list[int], *, rows: int, length: int, noise: float, seed: int) -> Planted:
    """One instance per row of motifs drawn in turn; contribution = information content x sign + noise."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (rows, length))
    projected = rng.normal(0, noise, (rows, length))
    which = np.arange(rows) % len(motifs)
    starts, flipped = np.zeros(rows, np.int64), rng.random(rows) < 0.5
    for row in range(rows):
        pfm = motifs[which[row]].pfm
        content = 2 + (pfm * np.log2(np.maximum(pfm, 1e-9))).sum(axis=0)
        site = np.array([rng.choice(4, p=column / column.sum()) for column in pfm.T])
        share = pfm[site, np.arange(len(site))]
        effect = content * (share - 0.25) * signs[which[row]]
        if flipped[row]:
            site, effect = 3 - site[::-1], effect[::-1]
        starts[row] = rng.integers(0, length - len(site) + 1)
        span = slice(starts[row], starts[row] + len(site))
        codes[row, span] = site
        projected[row, span] += effect
    onehot = (codes[:, None, :] == np.arange(4)[None, :, None]).astype(np.int8)
    return Planted(onehot, projected.astype(np.float32), which, starts, flipped)
