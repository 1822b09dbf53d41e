"""Run by the Python that has modisco-lite: write a file with its own writer, or read one with its own reader."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import modiscolite.io
import modiscolite.util
import numpy as np

WIDTH = 14
LETTERS = {1: "CCACCAGGGGGCGC", -1: "AATGACTCATTCTA"}


def patterns(sign: int, rng: np.random.Generator, count: int) -> list[SimpleNamespace]:
    """One pattern: a core on either strand, with other bases here and there."""
    seqlets = []
    for number in range(count):
        codes = np.array(["ACGT".index(letter) for letter in LETTERS[sign]])
        other = rng.random(WIDTH) < 0.1
        codes[other] = rng.integers(0, 4, other.sum())
        sequence = np.eye(4)[codes]
        hypothetical = sign * (sequence - 0.25 + rng.normal(0, 0.05, (WIDTH, 4)))
        start = int(rng.integers(0, 40))
        seqlets.append(
            SimpleNamespace(
                example_idx=number, start=start, end=start + WIDTH, is_revcomp=bool(number % 2), sequence=sequence,
                contrib_scores=sequence * hypothetical, hypothetical_contribs=hypothetical,
            )
        )  # fmt: skip
    names = ("sequence", "contrib_scores", "hypothetical_contribs")
    means = {name: np.mean([getattr(seqlet, name) for seqlet in seqlets], axis=0) for name in names}
    return [SimpleNamespace(seqlets=seqlets, subclusters=None, **means)]


if __name__ == "__main__":
    action, path = sys.argv[1], Path(sys.argv[2])
    if action == "write":
        rng = np.random.default_rng(8)
        modiscolite.io.save_hdf5(path, patterns(1, rng, 25), patterns(-1, rng, 22), 60)
    else:
        modiscolite.io.write_meme_from_h5(path, modiscolite.util.MemeDataType.PFM, Path(sys.argv[3]), True)
