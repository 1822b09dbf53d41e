"""Runs of drg-marginalize in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import pandas as pd
from prediction.small_world import finish
from support import EXAMPLES

from drg_hpc.bodies import marginalize_plan

MOTIFS = EXAMPLES / "motifs" / "encode_motifs.txt"
PAIR = ["STAT_known2", "CTCF_known1"]


def options_of(model: Path, source: Path | None, out: Path, **chosen: Any) -> marginalize_plan.Options:
    alone = "sequences" in chosen and "motifs" not in chosen
    given: dict[str, Any] = {"engine": "full"} | ({} if alone else {"motif_db": [MOTIFS]})
    return marginalize_plan.Options(model=model, input=source, out=out, **(given | chosen))


def marginalize(out: Path, model: Path, source: Path | None, **chosen: Any) -> dict[str, Any]:
    """A whole run; its done.json."""
    return finish(options_of(model, source, out, **chosen), marginalize_plan)


def read(out: Path) -> dict[str, Any]:
    """All datasets of a run by their path; texts as lists."""
    found: dict[str, Any] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item.asstr()[()].tolist() if h5py.check_string_dtype(item.dtype) else item[()]

    with h5py.File(out / "out.h5") as handle:
        handle.visititems(take)
    return found


def table(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "out.tsv", sep="\t", keep_default_na=False)
