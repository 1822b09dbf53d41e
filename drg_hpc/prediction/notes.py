"""What a reader of an evaluation should know about its numbers, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drg_hpc.prediction.streaming import RANKED_VALUES, Outputs, Truth

COLUMN_VALUES = 1 << 22
"""Rows times tracks up to which regions.tsv has columns for each track."""


def notes(truth: Truth, outputs: Sequence[Outputs]) -> list[str]:
    """Lines for metrics.json and the log."""
    found = []
    if truth.bins and not len(truth.kept):
        found.append(
            f"spearman, auroc and auprc of tracks need all values in memory; {truth.tracks} tracks of {truth.bins} "
            "bins are too many, they are left out"
        )
    elif truth.bins and len(truth.kept) < truth.rows:
        found.append(
            f"spearman, auroc and auprc of tracks, and ROC and PR curves, are over the bins of {len(truth.kept)} of "
            f"{truth.rows} regions, at even steps"
        )
    if truth.bins and not truth.ranked:
        found.append(
            f"spearman of regions is left out for more than {RANKED_VALUES} bins in all tracks, here "
            f"{truth.tracks * truth.bins}"
        )
    if truth.rows * truth.tracks > COLUMN_VALUES:
        found.append(
            f"regions.tsv has no columns for single tracks: {truth.rows} regions of {truth.tracks} tracks are too many"
        )
    for each in outputs:
        found += _of(truth, each)
    return found


def _of(truth: Truth, outputs: Outputs) -> list[str]:
    found = []
    if not outputs.finite.all() and outputs.kind != "baseline":
        found.append(f"some outputs of {outputs.name} are infinite or no numbers; metrics over them are undefined")
    if outputs.divergence is not None and truth.flat is not None:
        shapeless = np.isnan(outputs.divergence) & ~np.isnan(truth.flat)
        if count := int(shapeless.sum()):
            total = int((~np.isnan(truth.flat)).sum())
            found.append(
                f"jsd of {outputs.name} leaves out {count} of {total} profiles: no output is above 0, so they have no "
                "shape"
            )
    return found
