"""The section on ablations: a table of named pieces; of windows, where in the sequences effects are, and examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.report import html
from drg_hpc.report.charts import COLOURS, Chart, padded
from drg_hpc.report.logos import LogoRow, logo_figure, span_of
from drg_hpc.report.places import Place
from drg_hpc.report.sources import Source
from drg_hpc.report.windows import strongest_window
from drg_hpc.results.ablation import SUMMARY_FILE
from drg_hpc.results.ablation_read import Ablation, read_ablation

Array = NDArray[np.float64]
_LINES, _SHOWN, _TRACKS = 40, 80, len(COLOURS)
_PIECES = {
    "spans": "intervals of a BED file", "seqlets": "seqlets", "motifs": "sites of motifs called from seqlets",
}  # fmt: skip
_REPLACE = {
    "background": "drawn afresh from the background", "mono": "shuffled (same bases, any order)",
    "dinuc": "shuffled keeping the counts of neighbouring pairs",
}  # fmt: skip
_SIGN = "An effect is the mean value of the copies minus that of the sequence: negative, the piece matters."


def ablation_section(source: Source, *, examples: int) -> str:
    """HTML of one run of drg-ablate.

    Parameters
    ----------
    examples : sequences drawn, of windows
    """
    params = source.header["params"]
    with read_ablation(source.file) as found:
        content = f"<p>{html.escape(f'{_lead(params, found)} {_SIGN}')}</p>"
        table = found.table()
        if table is not None:
            content += _table(table)
        if found.tiled and found.pieces:
            content += _windows(found, examples)
    return content


def _lead(params: dict[str, Any], found: Ablation) -> str:
    windows, copies = params["windows"], int(params["shuffles"])
    what = _PIECES.get(params["pieces"], "")
    if windows is not None:
        width, step = (html.counted(int(windows[name]), "base") for name in ("width", "step"))
        what = f"windows of {width}, one every {step} from {windows['start']}"
    times = "once" if copies == 1 else f"{html.number(copies)} times"
    there, rows = found.ablated, html.counted(int(params["rows"]), "sequence")
    of = rows if there == found.rows else f"{html.number(there)} of {rows}"
    return f"{html.counted(found.pieces, 'piece')} of {of} ({what}), each {_REPLACE[params['replace']]} {times}."


def _table(found: pd.DataFrame) -> str:
    """Names and values, those of the largest mean first."""
    order = np.argsort(-found["mean"].abs().fillna(-1).to_numpy(), kind="stable")
    shown = found.iloc[order[:_LINES]]
    several = found["track"].nunique() > 1
    head = ["piece", *(["track"] if several else []), "sequences", "pieces", "mean effect", "interval", "p", "q"]
    first = 2 if several else 1
    rows = []
    for line in shown.to_dict("records"):
        tested = math.isfinite(line["p"])
        low, high = (html.number(float(line[name])) for name in ("low", "high"))
        rows.append([
            line["name"],
            *([line["track"]] if several else []),
            html.number(int(line["sequences"])),
            html.number(int(line["pieces"])),
            html.number(float(line["mean"])),
            "; ".join([*([f"{low} to {high}"] if tested else []), *filter(None, [line["note"]])]),
            html.probability(float(line["p"])),
            html.probability(float(line["q"])),
        ])  # fmt: skip
    more = f"The {_LINES} largest of {html.number(len(found))} lines, all are in {SUMMARY_FILE}. "
    note = (
        f"{more if len(found) > _LINES else ''}Means are over sequences, each with the mean over its pieces of the "
        "name. Interval: 95 % of the mean. p: Wilcoxon’s signed-rank test; q: Benjamini–Hochberg over the table."
    )
    return html.table(head, rows, numeric=(first, first + 1, first + 2, first + 4, first + 5)) + (
        f'<p class="note">{html.escape(note)}</p>'
    )


@dataclass(frozen=True)
class _Profile:
    """Over sequences: mean effect and mean size of it (values, L), and the largest size in each sequence (rows,
    values)."""

    mean: Array
    size: Array
    largest: Array


def _profile(found: Ablation) -> _Profile:
    """In blocks; what no window covers, or no row has a finite effect of, is NaN."""
    total, sizes, count = np.zeros(()), np.zeros(()), np.zeros(())
    largest = []
    for block in found.positions():
        there = np.isfinite(block)
        effects = np.where(there, block, 0).astype(np.float64)
        total, sizes, count = (
            total + effects.sum(axis=0),
            sizes + np.abs(effects).sum(axis=0),
            count + there.sum(axis=0),
        )
        largest.append(np.where(there.any(axis=2), np.abs(effects).max(axis=2, initial=0), np.nan))
    with np.errstate(invalid="ignore"):
        return _Profile(total / count, sizes / count, np.concatenate(largest))


def _chart(profile: Array, names: Sequence[str], order: Sequence[int], title: str) -> str:
    """Some values along the sequence."""
    low, high = padded(np.append(profile[list(order)], 0))
    chart = Chart(
        f"{title} by position", (0, profile.shape[1]), (low if np.nanmin(np.append(profile, 0)) < 0 else 0, high),
        "position in the sequence", title,
    )  # fmt: skip
    for colour, value in zip(COLOURS, order, strict=False):
        points = np.stack([np.arange(profile.shape[1]) + 0.5, profile[value]], axis=1)
        chart.line(points, colour=colour, name=names[value])
    return chart.svg()


def _windows(file: Ablation, examples: int) -> str:
    names, found = file.tracks, _profile(file)
    order = np.argsort(-np.nan_to_num(found.size).mean(axis=1), kind="stable")[:_TRACKS].tolist()
    shown = f", of the {len(order)} of {len(names)} values with the largest ones" if len(names) > len(order) else ""
    of = f"of the windows that cover a position, mean over sequences{shown}."
    content = html.figures([
        html.figure(_chart(found.size, names, order, "mean |effect|"), f"Size of the effect {of}"),
        html.figure(_chart(found.mean, names, order, "mean effect"), f"Effect {of}"),
    ])  # fmt: skip
    first = order[0]
    strongest = np.argsort(-found.largest[:, first], kind="stable")[: min(examples, file.ablated)].tolist()
    if strongest:
        content += f"<h3>{html.escape(f'Sequences with the largest effects on {names[first]}')}</h3>"
        content += "<p>Letters are as high as the value that is lost: upright, the base is in windows that matter.</p>"
    regions = file.regions()
    for rank, row in enumerate(strongest, start=1):
        content += _example(file, regions.iloc[row], row, first, rank)
    return content


def _example(file: Ablation, region: pd.Series[Any], row: int, value: int, rank: int) -> str:
    """The strongest 80 bases of a sequence."""
    codes, effects = file.sequence(row, value)
    lost = np.where(np.isfinite(effects), -effects.astype(np.float64), np.nan)
    first, last = strongest_window(lost[None], _SHOWN)
    heights = (np.eye(5, 4)[codes].T * np.nan_to_num(lost))[:, first:last]
    low, high = span_of(heights)
    place = Place.of(region, stranded=True, length=len(lost)).words(first, last)
    svg = logo_figure(
        [LogoRow(heights, 0, "", low, high, height=84)], columns=last - first, label=f"values lost in {place}",
        min_columns=_SHOWN, first_position=first, step=10,
    )  # fmt: skip
    title = f"{rank}. {place}, value {html.number(file.value(row, value))}"
    return f'<div class="example"><h4>{html.escape(title)}</h4>{html.wide(svg)}</div>'
