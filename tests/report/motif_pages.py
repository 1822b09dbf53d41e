"""Seqlet runs and motif folders with a grammar of pairs, on several tracks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bodies.seqlet_runs import do_run, write_attributions, write_done
from interpretation.planted import MOTIFS, named

from drg_hpc.bodies.seqlets_plan import Options
from drg_hpc.interpretation.effects_config import EffectFlags
from drg_hpc.interpretation.motifs import find_motifs

ROWS, LENGTH, GAP = 320, 140, 6


def write_grammar(folder: Path, *, effects: bool = True, tracks: int = 2) -> dict[str, Path]:
    """CTCF with GATA1 six bases downstream of it in every other row, SPI1 (lowering) and REST in the others."""
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 4, (ROWS, LENGTH))
    projected = rng.normal(0, 0.1, (ROWS, LENGTH))
    ctcf, gata, spi, rest = named("CTCF", "GATA1", "SPI1", "REST")
    for row in range(ROWS):
        pair = (ctcf, gata) if row % 2 == 0 else (spi, rest)
        gap = GAP if row % 2 == 0 else int(rng.integers(2, 40))
        turn = rng.random() < 0.5
        at = int(rng.integers(5, LENGTH - sum(m.width for m in pair) - gap - 5))
        for motif in pair[::-1] if turn else pair:
            site = np.array([rng.choice(4, p=column / column.sum()) for column in motif.pfm.T])
            content = 2 + (motif.pfm * np.log2(np.maximum(motif.pfm, 1e-9))).sum(axis=0)
            effect = content * (motif.pfm[site, np.arange(motif.width)] - 0.25) * (-1 if motif is spi else 1)
            flip = turn if row % 2 == 0 else rng.random() < 0.5
            span = slice(at, at + motif.width)
            codes[row, span] = 3 - site[::-1] if flip else site
            projected[row, span] += effect[::-1] if flip else effect
            at += motif.width + gap
    onehot = (codes[:, None, :] == np.arange(4)[None, :, None]).astype(np.int8)
    paths = {name: folder / name for name in ("attr", "seqlets", "motifs")}
    paths["attr"].mkdir()
    write_attributions(paths["attr"] / "out.h5", projected.astype(np.float32), onehot, tracks=tracks, keep=False)
    names = [f"track {i}" for i in range(tracks)]
    write_done(paths["attr"], "attr", {"rows": ROWS, "length": LENGTH, "tracks": names})
    _, summary = do_run(Options(attributions=paths["attr"], out=paths["seqlets"]))
    write_done(paths["seqlets"], "seqlets", summary)
    find_motifs(
        EffectFlags(
            seqlets=paths["seqlets"], database=(MOTIFS,), max_seqlets=300, effects=effects,
            permutations=199 if effects else 1000, out=paths["motifs"],
        )
    )  # fmt: skip
    return paths
