"""Runs of drg-perturb in this process, and a model that sees where two motifs are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import pandas as pd
from prediction.small_world import finish
from stores import shard
from support import EXAMPLES

from drg_hpc.bodies import perturb_plan

MOTIFS = EXAMPLES / "motifs" / "encode_motifs.txt"
PAIR = ["STAT_known2", "CTCF_known1"]
BACKGROUND = [0.15, 0.2, 0.3, 0.35]


def simulate(out: Path, **options: Any) -> Path:
    """A run of drg-simulate."""
    given: dict[str, Any] = {
        "motif_db": MOTIFS, "pos_motifs": PAIR, "gen_type": "order", "background_dist": BACKGROUND,
        "num_seqs": 300, "seq_length": 90, "valid_fraction": 0.0, "test_fraction": 0.9,
    }  # fmt: skip
    return shard("simulate", out, **(given | options))


def options_of(model: Path, source: Path | None, out: Path, **chosen: Any) -> perturb_plan.Options:
    return perturb_plan.Options(model=model, input=source, out=out, **chosen)


def perturb(out: Path, model: Path, source: Path | None, **chosen: Any) -> dict[str, Any]:
    """A whole run; its done.json."""
    return finish(options_of(model, source, out, **chosen), perturb_plan)


def read(out: Path, test: int) -> dict[str, Any]:
    """The datasets of a test."""
    with h5py.File(out / "out.h5") as handle:
        return {name: values[()] for name, values in handle[f"tests/{test:04d}"].items()}


def table(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "out.tsv", sep="\t", keep_default_na=False).set_index(["effect", "test", "track"])
