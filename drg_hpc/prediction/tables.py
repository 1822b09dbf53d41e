"""Files of an evaluation: metrics.json, tracks.tsv, regions.tsv, classes.tsv, comparison.tsv, curves.npz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.files import write_json
from drg_hpc.models import moments as sums
from drg_hpc.prediction.bootstrap import pearson_intervals
from drg_hpc.prediction.classes import Group
from drg_hpc.prediction.compare import COLUMNS, compare
from drg_hpc.prediction.curves import curve_arrays
from drg_hpc.prediction.notes import COLUMN_VALUES
from drg_hpc.prediction.scores import (
    REGION_METRICS,
    TRACK_METRICS,
    mean_where_defined,
    plain,
    region_moments,
    region_scores,
    row_totals,
    track_scores,
)
from drg_hpc.prediction.streaming import Outputs, Truth

Array = NDArray[Any]
_BESIDE = ("auroc", "pearson", "spearman", "mse", "pearson_tracks", "jsd")


@dataclass(frozen=True)
class Bootstrap:
    """How often regions are drawn, with which seed, and which of them together (units: a number each; None: each
    alone)."""

    replicates: int = 0
    seed: int = 0
    units: NDArray[np.int64] | None = None


class Scored:
    """All metrics of one predictor.

    Attributes
    ----------
    tracks : a record for each track
    mean : of each metric over the tracks where it is defined
    regions : each metric, (rows,)
    classes : a record for each group of tracks
    """

    def __init__(
        self, truth: Truth, outputs: Outputs, *, names: Sequence[str], groups: Sequence[Group], bootstrap: Bootstrap
    ) -> None:
        self.name, self.kind = outputs.name, outputs.kind
        labels = {(group.by, i): group.name for group in groups for i in group.tracks if group.by != "all"}
        self.tracks: list[dict[str, Any]] = [
            {"name": name}
            | {by: labels[by, i] for by in ("class", "modality") if (by, i) in labels}
            | track_scores(truth, outputs, i)
            for i, name in enumerate(names)
        ]
        self.regions = region_scores(truth, outputs, range(truth.tracks))
        self.mean = self._means(range(truth.tracks))
        if bootstrap.replicates:
            self._add_intervals(truth, outputs, bootstrap)
        self.by_group = {
            group.label: self.regions if group.by == "all" else region_scores(truth, outputs, group.tracks)
            for group in groups
        }
        self.classes = [self._class(group) for group in groups]

    def track_values(self) -> dict[str, Array]:
        """Each metric, (tracks,), NaN where undefined."""
        return {name: self._column(name) for name in TRACK_METRICS if any(name in track for track in self.tracks)}

    def _column(self, name: str) -> Array:
        return np.array([np.nan if (v := track.get(name)) is None else v for track in self.tracks], np.float64)

    def _means(self, tracks: Sequence[int]) -> dict[str, float | None]:
        chosen = list(tracks)
        return {name: plain(mean_where_defined(values[chosen])) for name, values in self.track_values().items()}

    def _add_intervals(self, truth: Truth, outputs: Outputs, bootstrap: Bootstrap) -> None:
        found, mean = pearson_intervals(
            truth, outputs, replicates=bootstrap.replicates, seed=bootstrap.seed, units=bootstrap.units
        )
        for record, low, high in zip(
            [*self.tracks, self.mean], [*found[0], mean[0]], [*found[1], mean[1]], strict=True
        ):
            record |= {"pearson_low": plain(low), "pearson_high": plain(high)}

    def _class(self, group: Group) -> dict[str, Any]:
        regions = {f"region_{name}": plain(mean_where_defined(v)) for name, v in self.by_group[group.label].items()}
        record = {"by": group.by, "name": group.name, "tracks": len(group.tracks)}
        return record | self._means(group.tracks) | regions

    def record(self) -> dict[str, Any]:
        """For metrics.json."""
        regions = {name: plain(mean_where_defined(values)) for name, values in self.regions.items()}
        return {
            "name": self.name, "kind": self.kind, "tracks": self.tracks, "mean": self.mean, "regions": regions,
            "classes": self.classes,
        }  # fmt: skip


def write_tables(
    folder: Path,
    *,
    header: Mapping[str, Any],
    regions: pd.DataFrame,
    tracks: Sequence[str],
    groups: Sequence[Group],
    truth: Truth,
    outputs: Sequence[Outputs],
    bootstrap: Bootstrap,
) -> None:
    """Write all files of an evaluation into a folder.

    Parameters
    ----------
    header : what determined the result; goes to metrics.json
    regions : table of the rows, with ``row``
    groups : the group of all tracks, then classes and modalities
    outputs : of each predictor; that of the ensemble, if there is one, else the first is shown where there is room for
        one only
    """
    found = [Scored(truth, each, names=tracks, groups=groups, bootstrap=bootstrap) for each in outputs]
    number = next((i for i, each in enumerate(found) if each.kind == "ensemble"), 0)
    shown = found[number]
    compared = compare("tracks", {each.name: each.track_values() for each in found}, TRACK_METRICS)
    compared += compare("regions", {each.name: each.regions for each in found}, REGION_METRICS)
    content = {**header, "bins": truth.bins, "shown": shown.name} | shown.record()
    del content["name"], content["kind"]
    if len(found) > 1:
        content |= {"models": [each.record() for each in found]}
        content["comparison"] = [{k: plain(v) if isinstance(v, float) else v for k, v in r.items()} for r in compared]
    write_json(folder / "metrics.json", content)
    _write(folder / "tracks.tsv", _tracks_table(found))
    _write(folder / "classes.tsv", pd.DataFrame([{"model": each.name} | row for each in found for row in each.classes]))
    if len(found) > 1:
        _write(folder / "comparison.tsv", pd.DataFrame(compared, columns=list(COLUMNS)))
    beside = [each for each in found if each is not shown]
    table = _regions_table(regions, shown, beside, truth=truth, outputs=outputs[number])
    if truth.rows * truth.tracks <= COLUMN_VALUES:
        table = pd.concat([table, _track_columns(tracks, truth, outputs[number])], axis=1)
    _write(folder / "regions.tsv", table)
    order = [number, *(i for i in range(len(found)) if i != number)]
    np.savez(
        folder / "curves.npz", allow_pickle=False, **curve_arrays(regions, tracks, truth, [outputs[i] for i in order])
    )


def _write(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, sep="\t", index=False, na_rep="NA", float_format="%.6g")


def _tracks_table(found: Sequence[Scored]) -> pd.DataFrame:
    at = TRACK_METRICS.index("pearson") + 1
    metrics = [*TRACK_METRICS[:at], "pearson_low", "pearson_high", *TRACK_METRICS[at:], "jsd_regions"]
    order = ["model", "name", "class", "modality", "n", "positives", *metrics, "reason"]
    rows = [{"model": each.name} | track for each in found for track in each.tracks]
    return pd.DataFrame(rows).reindex(columns=order).dropna(axis=1, how="all")


def _regions_table(
    regions: pd.DataFrame, shown: Scored, beside: Sequence[Scored], *, truth: Truth, outputs: Outputs
) -> pd.DataFrame:
    """A line per row: region, targets, metrics of the predictor shown, then by class and modality, then of others."""
    table = regions[["row", "name", "chrom", "start", "end", "split"]].reset_index(drop=True)
    n, mean_p, mean_t = region_moments(truth, outputs, range(truth.tracks))[:3]
    values: dict[str, Array] = {"n": n.astype(np.int64)}
    values["mean_target"] = np.where(n > 0, mean_t, np.nan)
    values["max_target"] = _largest(truth.largest)
    values["mean_prediction"] = np.where(n > 0, mean_p, np.nan)
    values["max_prediction"] = _largest(outputs.largest)
    values |= {name: shown.regions[name] for name in REGION_METRICS if name in shown.regions}
    for label, metrics in shown.by_group.items():
        if metrics is not shown.regions:
            values |= {f"{name}:{label}": metrics[name] for name in REGION_METRICS if name in metrics}
    for each in beside:
        values |= {f"{name}@{each.name}": each.regions[name] for name in _BESIDE if name in each.regions}
    return pd.concat([table, pd.DataFrame(values)], axis=1)


def _largest(values: Array) -> Array:
    """(rows,) of (rows, tracks), NaN where all are."""
    top = np.where(np.isnan(values), -np.inf, values).max(axis=1)
    return np.where(np.isnan(values).all(axis=1), np.nan, top)


def _track_columns(tracks: Sequence[str], truth: Truth, outputs: Outputs) -> pd.DataFrame:
    """Per track target, prediction and their distance (of bins the row's totals), and the correlation over bins."""
    moments = outputs.moments(slice(None))
    if truth.bins:
        p, y = row_totals(moments, truth.bins)
        correlation = sums.pearson(moments)
    else:
        p, y = outputs.values, truth.values
    error = np.abs(p - y)
    found: dict[str, Array] = {}
    for i, track in enumerate(tracks):
        found |= {f"target.{track}": y[:, i], f"prediction.{track}": p[:, i], f"error.{track}": error[:, i]}
        if truth.bins:
            found[f"pearson.{track}"] = correlation[:, i]
    return pd.DataFrame(found)
