"""Curves: losses by epoch, and ROC and precision-recall curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from drg_hpc.report.figure_style import GREY, colour, figure, grid, short
from drg_hpc.report.performance import METRIC_NAMES

_MOST_LINES = 6
_MOST_TRACKS = 3
_MOST_INSIDE = 3


def draw_losses(path: Path, models: Mapping[str, Path]) -> None:
    """Training and validation loss, and validation scores, by epoch; a ring is at the lowest validation loss.

    Models without a history.tsv, which were imported, are left out.
    """
    histories = {
        name: pd.read_csv(model / "history.tsv", sep="\t")
        for name, model in models.items()
        if (model / "history.tsv").is_file()
    }
    histories = {name: table for name, table in histories.items() if len(table) and "epoch" in table}
    if not histories:
        return
    scores = [
        metric for metric in METRIC_NAMES
        if metric != "mse" and any(metric in t and t[metric].notna().any() for t in histories.values())
    ][:3]  # fmt: skip
    columns = 1 + len(scores)
    with figure(path, size=(3.4 * columns + 0.4, 3.1), columns=columns) as (_, panels):
        for number, (name, table) in enumerate(list(histories.items())[:_MOST_LINES]):
            alone = len(histories) == 1
            _loss_lines(panels[0, 0], table, short(name), number=number, alone=alone)
            for axes, metric in zip(panels[0, 1:], scores, strict=True):
                if metric in table:
                    axes.plot(table["epoch"], table[metric], color=colour(1 if alone else number), marker="o",
                              markersize=3, label=short(name))  # fmt: skip
        for axes, title in zip(panels[0], ["loss", *(METRIC_NAMES[s] for s in scores)], strict=True):
            grid(axes)
            axes.set_xlabel("epoch")
            axes.set_ylabel(title if title == "loss" else f"{title} (validation)")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        panels[0, 0].legend()


def _loss_lines(axes: Axes, table: pd.DataFrame, name: str, *, number: int, alone: bool) -> None:
    train, valid = (colour(0), colour(1)) if alone else (colour(number), colour(number))
    before = "" if alone else f"{name}, "
    for column, line, shade, label in (
        ("train_loss", "--", train, "training"),
        ("valid_loss", "-", valid, "validation"),
    ):
        if column in table and table[column].notna().any():
            axes.plot(table["epoch"], table[column], line, color=shade, marker="o", markersize=3, label=before + label)
    if "valid_loss" in table and table["valid_loss"].notna().any():
        losses = table["valid_loss"].to_numpy(np.float64)
        best = int(np.nanargmin(losses))
        epoch = float(table["epoch"].to_numpy()[best])
        axes.plot([epoch], [losses[best]], "o", markersize=9, markerfacecolor="none", color=valid)


def draw_curves(path: Path, models: Sequence[Mapping[str, Any]], curves: Mapping[str, NDArray[Any]]) -> None:
    """ROC and precision-recall curves: of one predictor those of several tracks, of several predictors a pair of panels
    for each of a few tracks."""
    names = [str(name) for name in curves["tracks"]]
    ranked = [i for i in range(len(names)) if f"roc.{i:05d}" in curves]
    if not ranked:
        return
    keys = {str(name): f"model{i}." if i else "" for i, name in enumerate(curves["models"])}
    models = models[:_MOST_LINES]
    if len(models) == 1:
        panels = [[_Line(f"{{}}.{i:05d}", names[i], models[0]["tracks"][i]) for i in ranked[:_MOST_LINES]]]
        titles = [""]
    else:
        chosen = ranked[:_MOST_TRACKS]
        panels = [[_Line(f"{keys[m['name']]}{{}}.{i:05d}", m["name"], m["tracks"][i]) for m in models] for i in chosen]
        titles = [names[i] for i in chosen]
    extra = sum(len(lines) + 1 for lines in panels if len(lines) > _MOST_INSIDE)
    with figure(path, size=(7.4, 3.5 * len(panels) + 0.19 * extra), rows=len(panels), columns=2) as (_, axes):
        for row, lines, title in zip(axes, panels, titles, strict=True):
            _curve_pair(row, lines, curves, title=short(title, 40))


class _Line(NamedTuple):
    """A curve: its key with a place for the kind, its name, and the metrics of its track."""

    key: str
    name: str
    record: Mapping[str, Any]


def _curve_pair(row: NDArray[Any], lines: Sequence[_Line], curves: Mapping[str, NDArray[Any]], *, title: str) -> None:
    kinds = (("roc", "auroc", "false positive rate", "true positive rate"), ("pr", "auprc", "recall", "precision"))
    shares = {line.record["positives"] / line.record["n"] for line in lines}
    for axes, (kind, metric, x, y) in zip(row, kinds, strict=True):
        for number, line in enumerate(lines):
            points = curves[line.key.format(kind)]
            label = f"{short(line.name)}: {METRIC_NAMES[metric]} {line.record[metric]:.3f}"
            axes.plot(points[:, 0], points[:, 1], color=colour(number), label=label)
        if kind == "roc":
            axes.plot([0, 1], [0, 1], ":", color=GREY, linewidth=1)
        elif len(shares) == 1:
            axes.axhline(shares.pop(), linestyle=":", color=GREY, linewidth=1)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), xlabel=x, ylabel=y, title=title)
        axes.set_box_aspect(1)
        axes.set_anchor("N")
        grid(axes)
        if len(lines) > _MOST_INSIDE:
            axes.legend(loc="upper left", bbox_to_anchor=(-0.12, -0.16))
        else:
            axes.legend(loc="lower right" if kind == "roc" else "lower left")
