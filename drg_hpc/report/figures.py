"""Figures of an evaluation, from the files in its folder: loss curves, scatters, tracks, classes, regions, curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.files import read_json
from drg_hpc.report.figure_curves import draw_curves, draw_losses
from drg_hpc.report.figure_metrics import draw_classes, draw_regions, draw_tracks
from drg_hpc.report.figure_scatter import draw_scatters

FIGURES = "figures"


@dataclass(frozen=True)
class EvaluationFolder:
    """The files of an evaluation.

    Parameters
    ----------
    path : the folder
    """

    path: Path

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json."""
        found: dict[str, Any] = read_json(self.path / "metrics.json")
        return found

    @property
    def models(self) -> list[dict[str, Any]]:
        """Records of all predictors, in an order that gives each one colour in all figures."""
        found: list[dict[str, Any]] = self.metrics.get("models") or [{"name": self.metrics["shown"], **self.metrics}]
        return found

    @cached_property
    def regions(self) -> pd.DataFrame:
        """regions.tsv."""
        return pd.read_csv(self.path / "regions.tsv", sep="\t")

    @cached_property
    def curves(self) -> dict[str, NDArray[Any]]:
        """curves.npz."""
        with np.load(self.path / "curves.npz", allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


def draw_evaluation(folder: Path, models: Mapping[str, Path]) -> None:
    """Draw what there is to draw into ``figures/``.

    Parameters
    ----------
    folder : of the evaluation, with its tables
    models : model folders by name, for their history.tsv
    """
    out = folder / FIGURES
    out.mkdir()
    found = EvaluationFolder(folder)
    draw_losses(out / "loss", models)
    draw_scatters(out / "scatter", found.metrics, found.curves)
    draw_curves(out / "curves", found.models, found.curves)
    draw_tracks(out / "tracks", found.models)
    draw_classes(out / "classes", found.models, found.metrics.get("comparison", []))
    draw_regions(out / "regions", found.models, found.regions, shown=found.metrics["shown"])
