"""Measured against predicted, a panel for each track."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from drg_hpc.report.figure_style import GREY, colour, figure, grid, short

PANELS = 25
"""Of a page."""
PAGES = 4
Values = NDArray[np.float64]
_WIDE = 50.0


def draw_scatters(path: Path, metrics: Mapping[str, Any], curves: Mapping[str, NDArray[Any]]) -> None:
    """Pages ``path``-1, -2, … of up to 25 tracks each, four pages at most; of tracks with two classes histograms."""
    tracks = metrics["tracks"][: PANELS * PAGES]
    for page, first in enumerate(range(0, len(tracks), PANELS), start=1):
        chosen = range(first, min(first + PANELS, len(tracks)))
        columns = min(5, math.ceil(math.sqrt(len(chosen))))
        rows = math.ceil(len(chosen) / columns)
        size = (max(4.2, 2.1 * columns + 0.5), 2.0 * rows + 0.9)
        with figure(path.with_name(f"{path.name}-{page}"), size=size, rows=rows, columns=columns) as (drawn, panels):
            binary = []
            for axes, track in zip(panels.ravel(), chosen, strict=False):
                pair = (curves[f"scatter_{side}"][:, track].astype(np.float64) for side in ("target", "prediction"))
                binary.append(_panel(axes, *pair, record=tracks[track], bins=bool(metrics.get("bins"))))
            for axes in panels.ravel()[len(chosen) :]:
                axes.set_axis_off()
            values = "row total (sum over bins)" if metrics.get("bins") else "value"
            if all(binary):
                drawn.supxlabel("prediction", fontsize=9)
                drawn.supylabel("share of the class", fontsize=9)
            else:
                drawn.supxlabel(f"measured {values} (dotted: predicted = measured)", fontsize=9)
                drawn.supylabel(f"predicted {values}", fontsize=9)
            shown, rows_shown = metrics["shown"], len(curves["scatter_row"])
            drawn.suptitle(f"{short(shown, 40)}, {rows_shown:,} regions of split {metrics['split']}", fontsize=10)


def _panel(axes: Axes, target: Values, prediction: Values, *, record: Mapping[str, Any], bins: bool) -> bool:
    """Draw one track; whether it has two classes."""
    seen = np.isfinite(target) & np.isfinite(prediction)
    x, y = target[seen], prediction[seen]
    two = bool(len(x)) and bool(np.isin(x, (0.0, 1.0)).all()) and not bins
    if two:
        _histograms(axes, x, y)
        score = f"AUROC {record['auroc']:.3f}" if record.get("auroc") is not None else "one class"
    else:
        name = "pearson_total" if bins else "pearson"
        score = f"r {record[name]:.3f}".replace("-", "−") if record.get(name) is not None else "r undefined"
        _dots(axes, x, y)
    axes.set_title(f"{short(str(record['name']))}\n{score}", fontsize=8)
    axes.tick_params(labelsize=7)
    return two


def _histograms(axes: Axes, target: Values, prediction: Values) -> None:
    low, high = (0.0, 1.0) if prediction.min() >= 0 and prediction.max() <= 1 else (prediction.min(), prediction.max())
    edges = np.linspace(low, high if high > low else low + 1, 26)
    for value, number in ((0.0, 1), (1.0, 0)):
        chosen = prediction[target == value]
        if len(chosen):
            share = np.histogram(chosen, edges)[0] / len(chosen)
            axes.stairs(
                share, edges, fill=True, color=colour(number), alpha=0.55, label=f"{int(value)} ({len(chosen)})"
            )
    axes.legend(fontsize=7, handlelength=1)


def _dots(axes: Axes, x: Values, y: Values) -> None:
    count = max(len(x), 1)
    size = 14.0 if count <= 100 else 7.0 if count <= 500 else 3.0
    axes.scatter(x, y, s=size, color=colour(0), alpha=0.75 if count <= 100 else 0.35, linewidths=0, rasterized=True)
    grid(axes)
    if not len(x):
        return
    axes.locator_params(nbins=4)
    wide = _log(x), _log(y)
    for axis, scale, is_wide in zip((axes.xaxis, axes.yaxis), (axes.set_xscale, axes.set_yscale), wide, strict=True):
        if is_wide:
            scale("log")
            axis.set_major_locator(LogLocator(numticks=4))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_locator(NullLocator())
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    low, high = max(left, bottom), min(right, top)
    if low < high:
        along = np.geomspace(low, high, 60) if any(wide) and low > 0 else np.linspace(low, high, 60)
        axes.plot(along, along, ":", color=GREY, linewidth=1)
        axes.set(xlim=(left, right), ylim=(bottom, top))


def _log(values: Values) -> bool:
    """Whether values are above 0 and range so widely that a linear axis shows the largest only."""
    return bool((values > 0).all()) and float(values.max()) > _WIDE * float(np.median(values))
