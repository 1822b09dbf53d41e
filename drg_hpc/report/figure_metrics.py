"""Metrics of several predictors side by side: each track with its interval, tracks by class, regions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from drg_hpc.report.figure_style import GREY, colour, figure, grid, legend_above, marker, short, spread

LABELS = {
    "auroc": "AUROC", "auprc": "AUPRC", "pearson": "Pearson r", "spearman": "Spearman ρ", "r2": "R²",
    "pearson_total": "Pearson r of row totals", "pearson_region": "Pearson r within regions",
    "pearson_tracks": "Pearson r over tracks", "jsd": "profile JSD (bits)", "mse": "MSE",
}  # fmt: skip
_BY_CLASS = ("auroc", "auprc", "pearson", "spearman", "pearson_total", "jsd")
_BY_REGION = ("auroc", "pearson", "spearman", "pearson_tracks", "jsd")
_MOST_PANELS = 4
_MOST_TRACKS = 40
_MOST_CLASSES = 16
_MOST_MODELS = 8
_FEWEST_BOXED = 5
Values = NDArray[np.float64]
Model = Mapping[str, Any]


def _column(tracks: Sequence[Model], metric: str) -> Values:
    return np.array([np.nan if (v := track.get(metric)) is None else v for track in tracks], np.float64)


def _defined(models: Sequence[Model], metric: str) -> int:
    """Tracks for which some predictor has the metric."""
    columns = [~np.isnan(_column(model["tracks"], metric)) for model in models]
    return int(np.logical_or.reduce(columns).sum())


def draw_tracks(path: Path, models: Sequence[Model]) -> None:
    """One metric of every track and predictor, with the bootstrap interval where there is one; of many tracks the
    first 40."""
    metric = next((name for name in ("auroc", "pearson") if _defined(models, name)), None)
    some = metric == "pearson" and any("pearson_low" in track for track in models[0]["tracks"])
    if metric is None or (len(models) * len(models[0]["tracks"]) == 1 and not some):
        return
    models = models[:_MOST_MODELS]
    names = [str(track["name"]) for track in models[0]["tracks"]][:_MOST_TRACKS]
    each = min(0.8 / len(models), 0.24)
    height = len(names) * max(0.26, 0.17 * len(models)) + 1.1
    with figure(path, size=(6.6, height)) as (_, panels):
        axes = panels[0, 0]
        for number, model in enumerate(models):
            tracks = model["tracks"][:_MOST_TRACKS]
            at = np.arange(len(names)) + (number - (len(models) - 1) / 2) * each
            values = _column(tracks, metric)
            if some:
                ends = np.stack([_column(tracks, f"pearson_{end}") for end in ("low", "high")])
                axes.hlines(at, *ends, color=colour(number), linewidth=1.4)
            axes.plot(values, at, marker(number), color=colour(number), markersize=4.5, label=short(model["name"]))
        for line in np.arange(len(names) - 1) + 0.5:
            axes.axhline(line, color="#e7ebef", linewidth=0.7)
        grid(axes, "x")
        if axes.get_xlim()[0] < 0:
            axes.axvline(0, color=GREY, linewidth=0.8, zorder=1)
        axes.set_yticks(range(len(names)), [short(name, 34) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(LABELS[metric] + (", with its 95 % interval" if some else ""))
        if len(models) > 1:
            legend_above(axes, width=6.4)


def _classes(models: Sequence[Model]) -> dict[str, list[int]]:
    """Tracks of each class, or modality, or all of them."""
    tracks = models[0]["tracks"]
    for by in ("class", "modality"):
        if tracks and by in tracks[0]:
            names = list(dict.fromkeys(str(track[by]) for track in tracks))
            found = {name: [i for i, track in enumerate(tracks) if track[by] == name] for name in names}
            return dict(list(found.items())[:_MOST_CLASSES])
    return {"all tracks": list(range(len(tracks)))}


def draw_classes(path: Path, models: Sequence[Model], comparison: Sequence[Mapping[str, Any]]) -> None:
    """Distributions of the tracks' metrics by class, predictors side by side: a point for each track and, for five or
    more, a box (quartiles, whiskers to 1.5 times their distance). Two predictors are compared in the title."""
    metrics = [name for name in _BY_CLASS if _defined(models, name) >= 3][:_MOST_PANELS]
    if not metrics:
        return
    models, classes = models[:_MOST_MODELS], _classes(models)
    with _box_figure(path, metrics, list(classes), models) as (_, panels):
        for axes, metric in zip(panels.ravel(), metrics, strict=False):
            values = [[_column(m["tracks"], metric)[tracks] for m in models] for tracks in classes.values()]
            _boxes(axes, values, list(classes))
            axes.set_ylabel(f"{LABELS[metric]} of a track")
            axes.set_title(_verdict(comparison, metric) if len(models) == 2 else "")


def _verdict(comparison: Sequence[Mapping[str, Any]], metric: str) -> str:
    """The signed-rank test of the only pair."""
    for record in comparison:
        if (record["over"], record["metric"]) == ("tracks", metric) and record["p"] is not None:
            return f"Wilcoxon p = {record['p']:.2g}, n = {record['n']}"
    return ""


def draw_regions(path: Path, models: Sequence[Model], regions: pd.DataFrame, *, shown: str) -> None:
    """Distributions of the regions' metrics, predictors side by side; ``shown`` has the columns without a name."""

    def values(model: Model, metric: str) -> Values:
        name = metric if model["name"] == shown else f"{metric}@{model['name']}"
        return regions[name].to_numpy(np.float64) if name in regions else np.full(len(regions), np.nan)

    models = models[:_MOST_MODELS]
    metrics = [m for m in _BY_REGION if m in regions and regions[m].notna().sum() >= 3][:_MOST_PANELS]
    if not metrics:
        return
    with _box_figure(path, metrics, [""], models) as (_, panels):
        for axes, metric in zip(panels.ravel(), metrics, strict=False):
            _boxes(axes, [[values(model, metric) for model in models]], [""])
            axes.set_ylabel(f"{LABELS[metric]} of a region")
            axes.set_xticks([])


@contextmanager
def _box_figure(
    path: Path, metrics: Sequence[str], classes: Sequence[str], models: Sequence[Model]
) -> Iterator[tuple[Figure, NDArray[Any]]]:
    """A panel for each metric, two in a row where there are classes, with a legend of several predictors."""
    columns = len(metrics) if len(classes) == 1 else min(len(metrics), 2)
    rows = -(-len(metrics) // columns)
    each = max(1.7 if len(classes) == 1 else 3.2, 0.7 + len(classes) * (0.22 * len(models) + 0.15))
    size = (max(each * columns, 3.6), rows * (3.3 if _turned(classes) else 2.8) + 0.3)
    with figure(path, size=size, rows=rows, columns=columns) as (drawn, panels):
        for axes in panels.ravel()[len(metrics) :]:
            axes.set_axis_off()
        yield drawn, panels
        if len(models) > 1:
            for number, model in enumerate(models):
                panels[0, 0].plot([], [], "s", color=colour(number), label=short(model["name"]))
            legend_above(panels[0, 0], width=size[0])


def _turned(names: Sequence[str]) -> bool:
    """Whether labels need more room than they have side by side."""
    return len(names) > 2 and any(len(name) > 8 for name in names)


def _boxes(axes: Axes, groups: Sequence[Sequence[Values]], names: Sequence[str]) -> None:
    """Boxes and points of ``groups[class][predictor]``."""
    count = len(groups[0])
    each = min(0.8 / count, 0.5)
    for place, group in enumerate(groups):
        for number, values in enumerate(group):
            seen = values[~np.isnan(values)]
            if not len(seen):
                continue
            at, shade = place + (number - (count - 1) / 2) * each, colour(number)
            if len(seen) >= _FEWEST_BOXED:
                axes.boxplot(
                    [seen], positions=[at], widths=each * 0.7, showfliers=False, patch_artist=True, manage_ticks=False,
                    zorder=3, boxprops={"facecolor": (1, 1, 1, 0.6), "edgecolor": shade}, capprops={"color": shade},
                    whiskerprops={"color": shade}, medianprops={"color": shade, "linewidth": 2},
                )  # fmt: skip
            axes.scatter(at + spread(len(seen), each * 0.5), seen, s=14 if len(seen) <= 50 else 5, color=shade,
                         alpha=0.6 if len(seen) <= 50 else 0.2, linewidths=0, rasterized=len(seen) > 500)  # fmt: skip
    grid(axes, "y")
    labels, turned = [short(name, 18) for name in names], _turned(names)
    axes.set_xticks(range(len(names)), labels, rotation=40 if turned else 0, ha="right" if turned else "center",
                    rotation_mode="anchor" if turned else "default")  # fmt: skip
    axes.set_xlim(-0.55, len(groups) - 0.45)
