"""Files of an evaluation: metrics.json, tracks.tsv, regions.tsv, curves.npz."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.files import write_json
from drg_hpc.models.metrics import auprc, auroc, pearson, spearman
from drg_hpc.prediction.curves import curve_points

SCATTER_ROWS = 2000
_METRICS = ("auroc", "auprc", "pearson", "spearman", "mse", "pearson_total")

Array = NDArray[Any]


def _plain(value: float) -> float | None:
    """A number for JSON; undefined is null."""
    return float(value) if math.isfinite(value) else None


def track_metrics(target: Array, prediction: Array) -> dict[str, Any]:
    """Metrics of one track over all rows (and bins) whose target is there.

    Parameters
    ----------
    target, prediction : (rows[, bins]); target NaN where missing

    Returns
    -------
    n, positives, auroc and auprc (null with a ``reason`` unless targets are 0 and 1 and both occur), pearson, spearman,
    mse, and for binned targets ``pearson_total``: of the sums over bins of rows without a missing bin
    """
    seen = ~np.isnan(target)
    y, p = target[seen].astype(np.float64), prediction[seen].astype(np.float64)
    found: dict[str, Any] = {"n": len(y), "positives": None, "auroc": None, "auprc": None}
    reason = _no_classes(y)
    if reason is None:
        found |= {"positives": int((y == 1).sum()), "auroc": _plain(auroc(p, y)), "auprc": _plain(auprc(p, y))}
    else:
        found["reason"] = reason
    found |= {"pearson": _plain(pearson(p, y)), "spearman": _plain(spearman(p, y))}
    found["mse"] = _plain(float(((p - y) ** 2).mean())) if len(y) else None
    if target.ndim == 2:
        whole = seen.all(axis=1)
        totals = [values[whole].sum(axis=1, dtype=np.float64) for values in (prediction, target)]
        found["pearson_total"] = _plain(pearson(*totals))
    return found


def _no_classes(y: Array) -> str | None:
    """Why a ranking of two classes means nothing for these targets, or None."""
    if len(y) == 0:
        return "no target is present"
    if not np.isin(y, (0.0, 1.0)).all():
        return "targets are not 0 and 1"
    if (y == y[0]).all():
        return f"all targets are {int(y[0])}: both classes are needed"
    return None


def write_tables(
    folder: Path, *, header: dict[str, Any], regions: pd.DataFrame, tracks: list[str], target: Array, prediction: Array
) -> None:
    """Write all files of an evaluation into a folder.

    Parameters
    ----------
    header : what determined the result; goes to metrics.json
    regions : table of the rows, with ``row``
    target, prediction : (rows, tracks[, bins])
    """
    metrics = [{"name": name} | track_metrics(target[:, i], prediction[:, i]) for i, name in enumerate(tracks)]
    means = {key: _mean([track.get(key) for track in metrics]) for key in _METRICS}
    write_json(folder / "metrics.json", header | {"tracks": metrics, "mean": means})
    columns = ["name", "n", "positives", *_METRICS, "reason"]
    pd.DataFrame(metrics).reindex(columns=columns).dropna(axis=1, how="all").to_csv(
        folder / "tracks.tsv", sep="\t", index=False, na_rep="NA", float_format="%.6g"
    )
    _write_regions(folder / "regions.tsv", regions, tracks=tracks, target=target, prediction=prediction)
    np.savez(folder / "curves.npz", allow_pickle=False, **_curves(regions, tracks, target, prediction))


def _mean(values: list[float | None]) -> float | None:
    """Mean over the tracks where a metric is defined."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _totals(values: Array) -> Array:
    """(rows, tracks): binned values summed over bins."""
    return values if values.ndim == 2 else values.sum(axis=2)


def _write_regions(path: Path, regions: pd.DataFrame, *, tracks: list[str], target: Array, prediction: Array) -> None:
    """A line per row: region, and per track target, prediction and their distance (binned values as sums)."""
    y, p = _totals(target), _totals(prediction)
    table = regions[["row", "name", "chrom", "start", "end", "split"]].reset_index(drop=True)
    values: dict[str, Array] = {}
    for i, track in enumerate(tracks):
        values |= {f"target.{track}": y[:, i], f"prediction.{track}": p[:, i]}
        values[f"error.{track}"] = np.abs(p[:, i] - y[:, i])
    whole = pd.concat([table, pd.DataFrame(values)], axis=1)
    whole.to_csv(path, sep="\t", index=False, na_rep="NA", float_format="%.6g")


def _curves(regions: pd.DataFrame, tracks: list[str], target: Array, prediction: Array) -> dict[str, Array]:
    """Arrays for plots.

    ``tracks`` (T,) names; ``roc.00000`` and ``pr.00000`` (points, 2) of tracks with two classes;
    ``scatter_row`` (m,), ``scatter_target`` and ``scatter_prediction`` (m, T) of rows at even steps.
    """
    found: dict[str, Array] = {"tracks": np.array(tracks)}
    for i in range(len(tracks)):
        seen = ~np.isnan(target[:, i])
        if _no_classes(target[:, i][seen]) is None:
            roc, pr = curve_points(prediction[:, i][seen], target[:, i][seen] == 1)
            found |= {f"roc.{i:05d}": roc, f"pr.{i:05d}": pr}
    chosen = np.unique(np.linspace(0, len(regions) - 1, min(SCATTER_ROWS, len(regions))).astype(np.int64))
    found["scatter_row"] = regions["row"].to_numpy()[chosen]
    found["scatter_target"] = _totals(target)[chosen].astype(np.float32)
    found["scatter_prediction"] = _totals(prediction)[chosen].astype(np.float32)
    return found
