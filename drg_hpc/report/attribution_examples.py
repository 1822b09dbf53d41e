"""Example regions of an attribution run: logos of the strongest stretches, seqlets marked and named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drg_hpc.report import html
from drg_hpc.report.attribution_scale import PredictionScale
from drg_hpc.report.logos import Band, LogoRow, logo_figure, span_of
from drg_hpc.report.places import Place, gene_words
from drg_hpc.report.seqlets import SeqletFacts
from drg_hpc.report.windows import strongest_window, window_sums
from drg_hpc.results.attributions_top import expand
from drg_hpc.results.reader import Attributions

_SHOWN = 80
_BLOCK = 4096
_BAND_COLOURS = {1: "#fff0b8", -1: "#e3ecf7"}


def strongest_rows(opened: Sequence[Attributions], count: int) -> NDArray[np.int64]:
    """Kept rows with the largest |sum| over any 30 positions of any input, strongest first; ties by row.

    Parameters
    ----------
    opened : the first track of each input is read, in blocks
    """
    rows = np.flatnonzero(opened[0].kept)
    best = np.zeros(opened[0].rows)
    for found in opened:
        track = next(iter(found.tracks))
        for first in range(0, found.rows, _BLOCK):
            sums = np.abs(window_sums(found.projected(track, first, first + _BLOCK))).max(axis=1, initial=0.0)
            best[first : first + _BLOCK] = np.maximum(best[first : first + _BLOCK], sums)
    return rows[np.argsort(-best[rows], kind="stable")][:count].astype(np.int64)


def example(
    opened: Sequence[Attributions], row: int, rank: int, marked: Sequence[SeqletFacts], shown_as: PredictionScale
) -> str:
    """Heading and logos of one row."""
    places, figures = [], ""
    for found in opened:
        track = next(iter(found.tracks))
        where, svg = _logo(found, row, [item.of_track(track) for item in marked if _is_of(item, found)])
        places.append(where)
        figures += (f"<p>{html.escape(f'{found.input}: {where}')}</p>" if found.input else "") + html.wide(svg)
    found = opened[0]
    group, region = next(iter(found.tracks.values())), found.regions.iloc[row]
    prediction = shown_as.text(float(group["prediction"][row])) if "prediction" in group else "–"
    if shown_as.link == "identity" and "prediction_sd" in group:
        prediction += f" ± {html.number(float(group['prediction_sd'][row]))}"
    what = str(region["name"]) if len(opened) > 1 else places[0]
    gene = f"{words}, " if (words := gene_words(region)) else ""
    title = f"{rank}. {gene}{what}, prediction {prediction}"
    return f'<div class="example"><h3>{html.escape(title)}</h3>{figures}</div>'


def _is_of(item: SeqletFacts, found: Attributions) -> bool:
    """Whether seqlets were called in this input."""
    return item.source.header.get("params", {}).get("input") in (None, found.input)


def _logo(found: Attributions, row: int, seqlets: Sequence[SeqletFacts]) -> tuple[str, str]:
    """Where the strongest 80 bases of a row lie, and their logo."""
    name = next(iter(found.tracks))
    values = np.asarray(found.projected(name, row, row + 1)[0], np.float64)
    first, last = strongest_window(values[None], _SHOWN)
    heights = (np.asarray(found.sequences[row], np.float64) * values)[:, first:last]
    deviations = _deviations(found, name, row)[first:last] if deviates(found) else None
    low, high = span_of(heights)
    if deviations is not None:
        totals = heights.sum(axis=0)
        low, high = min(low, float((totals - deviations).min())), max(high, float((totals + deviations).max()))
    near = [found for item in seqlets for found in _in_row(item, row) if found[0] < last and found[1] > first]
    bands = [
        Band(max(start, first) - first, min(end, last) - first, text, _BAND_COLOURS[sign])
        for start, end, sign, text in _apart(near)
    ]
    stranded = bool(found.attributes.get("stranded", False))
    where = Place.of(found.regions.iloc[row], stranded=stranded, length=found.length).words(first, last)
    svg = logo_figure(
        [LogoRow(heights, 0, "", low, high, height=84, deviations=deviations)],
        columns=last - first, label=f"attribution logo of {where}", bands=bands, min_columns=_SHOWN,
        first_position=first, step=10,
    )  # fmt: skip
    return where, svg


def deviates(found: Attributions) -> bool:
    """Whether there are deviations over models."""
    group = next(iter(found.tracks.values()))
    return "projected_sd" in group.get("top", group)


def _deviations(found: Attributions, track: str, row: int) -> NDArray[np.float64]:
    """Standard deviations over models of the contributions of one row, (length,)."""
    group = found.tracks[track]
    held = group.get("top", group)
    values = np.asarray(held["projected_sd"][row : row + 1], np.float64)
    if "top" in group:
        values = expand(values, held["positions"][row : row + 1], found.length)
    return np.asarray(values[0], np.float64)


def _apart(near: list[tuple[int, int, int, str]]) -> list[tuple[int, int, int, str]]:
    """The same seqlets, names left out that would be written over the name of a longer one."""
    taken: list[tuple[int, int]] = []
    named: set[int] = set()
    for i in sorted(range(len(near)), key=lambda i: (near[i][0] - near[i][1], near[i][0])):
        start, width = near[i][0], len(near[i][3])
        if width and all(start >= stop or start + width <= begin for begin, stop in taken):
            taken.append((start, start + width))
            named.add(i)
    return [item if i in named else (*item[:3], "") for i, item in enumerate(near)]


def _in_row(item: SeqletFacts, row: int) -> list[tuple[int, int, int, str]]:
    """(start, end, sign, motif) of the seqlets of one row; motifs too weak for the motif table go without a name."""
    rows = item.table["row"].to_numpy()
    near = slice(*np.searchsorted(rows, [row, row + 1]).tolist())  # the table is sorted by row
    starts, ends, signs = (item.table[name].to_numpy()[near].tolist() for name in ("start", "end", "sign"))
    names = [name if name in item.shown else "" for name in item.names[near]]
    return list(zip(starts, ends, signs, names, strict=True))
