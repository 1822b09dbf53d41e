"""Makes what test_ctcf_modisco.py reads: ``python tests/interpretation/peer_ctcf.py OUT.h5 FOLDER``.

OUT.h5 is that of the quick start's attributions; ``modisco`` (modisco-lite) must be on PATH.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

PEAKS, SHUFFLES, STEP = 300, 100, 0.025


def take(source: Path, folder: Path) -> None:
    """The first peaks and shuffles with attributions in whole steps."""
    with h5py.File(source) as handle:
        origin = handle["regions/origin"].asstr()[()]
        rows = np.concatenate([np.flatnonzero(origin == "given")[:PEAKS], np.flatnonzero(origin == "dinuc")[:SHUFFLES]])
        steps = np.rint(handle["shap/seq"][()][rows].astype(np.float32) / STEP)
        codes = handle["raw/seq"][()][rows].argmax(axis=1).astype(np.int8)
        names = handle["regions/name"].asstr()[()][rows].astype(str)
    assert np.abs(steps).max() <= 127
    np.savez_compressed(folder / "attributions.npz", steps=steps.astype(np.int8), step=STEP, codes=codes, names=names)


def ask(folder: Path) -> None:
    """What modisco-lite finds in them: CWMs of its patterns, most seqlets first."""
    given = np.load(folder / "attributions.npz")
    onehot = (given["codes"][:, None] == np.arange(4)[:, None]).astype(np.int8)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        np.savez(place / "sequences.npz", onehot)
        np.savez(place / "attributions.npz", given["steps"].astype(np.float32) * np.float32(given["step"]))
        line = ["modisco", "motifs", "-s", place / "sequences.npz", "-a", place / "attributions.npz"]
        line += ["-n", "3000", "-w", str(onehot.shape[2]), "-o", place / "out.h5"]
        subprocess.run(line, check=True)
        with h5py.File(place / "out.h5") as found:
            patterns = found["pos_patterns"]
            cwms = {name: patterns[name]["contrib_scores"][()].T.astype(np.float32) for name in sorted(patterns)}
    np.savez_compressed(folder / "modisco.npz", **cwms)


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
    ask(Path(sys.argv[2]))
