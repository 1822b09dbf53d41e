"""The section on motifs put into backgrounds: the strongest ones, effects by position, pairs by spacing."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.report import heat, html
from drg_hpc.report.charts import COLOURS, Chart, padded
from drg_hpc.report.sources import Source
from drg_hpc.results.marginalization_read import Marginalization, read_marginalization

_TRACKS, _LINES, _CHARTS = 3, 20, 6
"""Shown at most: tracks, lines of a table, charts of motifs or pairs."""
_CELLS = 40
_WHAT = {"motif": "effect", "position": "effect", "spacing": "interaction"}
Array = NDArray[np.float64]


def marginalization_section(source: Source) -> str:
    """HTML of one run of drg-marginalize."""
    found, params = read_marginalization(source.file), source.header["params"]
    by = str(params["designs"]["by"])
    content = f"<p>{html.escape(_lead(params, found))}</p>"
    shown = _strongest_tracks(found, _WHAT[by])
    for track in shown:
        if len(found.tracks) > 1:
            content += f"<h3>{html.escape(found.tracks[track])}</h3>"
        content += {"motif": _motifs, "position": _positions, "spacing": _spacings}[by](found, track)
    if len(shown) < len(found.tracks):
        content += (
            f'<p class="note">{len(shown)} of {html.counted(len(found.tracks), "track")}: those with the largest '
        )
        content += f"effects. The others are in {'out.h5' if params['format'] == 'h5' else 'out.tsv'}.</p>"
    return content + (
        '<p class="note">Interval: 95 % of the mean over backgrounds. q: Wilcoxon’s signed-rank test, '
        f"Benjamini–Hochberg over all designs of a track. Effects are on the {params['target']['scale']} scale.</p>"
    )


def _lead(params: dict[str, Any], found: Marginalization) -> str:
    made = {
        "dinuc": ("a dinucleotide shuffle of a given sequence", "dinucleotide shuffles of given sequences"),
        "mono": ("a shuffle of a given sequence", "shuffles of given sequences"),
        "none": ("a random sequence", "random sequences") if params["input"] == "random" else
        ("a sequence as it was given", "sequences as they were given"),
    }[params["shuffle"]][len(found.before) != 1]  # fmt: skip
    items = len(params["designs"]["items"])
    motifs = sum(file is not None for _, _, file in params["designs"]["items"])
    given = items - motifs
    how = {"consensus": "the consensus of", "sampled": "a site, drawn anew for each background, of"}[params["sites"]]
    what = " and ".join(
        [f"{how} {html.counted(motifs, 'motif')}"] * (motifs > 0)
        + [html.counted(given, "given sequence")] * (given > 0)
    )
    where = {
        "motif": "in the middle", "position": f"at {html.counted(len(params['designs']['positions']), 'position')}",
        "spacing": f"and side by side at {html.counted(len(params['designs']['spacings']), 'distance')}, the pair in "
        "the middle",
    }[params["designs"]["by"]]  # fmt: skip
    alike = "" if found.distinct == len(found.before) else (
        f" They are {html.counted(found.distinct, 'different sequence')}; p and q count each background by itself."
    )  # fmt: skip
    return (
        f"Into {html.counted(len(found.before), 'background')} ({made}) {what} {'was' if items == 1 else 'were'} put, "
        f"{'' if items == 1 else 'each '}by itself, {where}, in place of the bases that were there. The effect is the "
        f"value with it minus that without.{alike}"
    )


def _strongest_tracks(found: Marginalization, quantity: str) -> list[int]:
    """Numbers of the few tracks with the largest effects, in the order of the file."""
    means = np.abs(found.statistics[quantity]["mean"])
    largest = np.nan_to_num(means, nan=-1.0).max(axis=0)
    return sorted(np.argsort(-largest, kind="stable")[:_TRACKS].tolist())


def _of(found: Marginalization, quantity: str, track: int) -> pd.DataFrame:
    """Designs with the statistics of one track."""
    columns = {name: values[:, track] for name, values in found.statistics[quantity].items()}
    return found.designs.assign(**columns, size=np.nan_to_num(np.abs(columns["mean"]), nan=-1.0))


def _motifs(found: Marginalization, track: int) -> str:
    table = _of(found, "effect", track)
    strongest = table.sort_values("size", ascending=False, kind="stable").head(_LINES)
    several = table["strand"].nunique() > 1
    head = ["motif", *(["strand"] if several else []), "effect", "interval", "q"]
    rows = [
        [line["motif"], *([line["strand"]] if several else []), *_numbers(line)]
        for line in strongest.to_dict("records")
    ]
    content = html.table(head, rows, numeric=[len(head) - 3, len(head) - 1])
    if len(table) > _LINES:
        content = f"<p>The {_LINES} strongest of {html.number(len(table))}:</p>{content}"
        content += html.figures([_ranked(table), _against_q(table)])
    return content


def _ranked(table: pd.DataFrame) -> str:
    means = np.sort(table["mean"].to_numpy(np.float64))[::-1]
    chart = Chart("Effects by rank", (0, len(means)), padded(means), "rank", "effect")
    chart.line(np.array([[0.0, 0.0], [float(len(means)), 0.0]]), colour="#8c959f", dashed=True)
    chart.points(np.column_stack([np.arange(len(means)) + 0.5, means]), colour=COLOURS[0], opacity=0.7)
    return html.figure(chart.svg(), f"Effects of all {html.number(len(means))}, by rank.")


def _against_q(table: pd.DataFrame) -> str:
    """Effects and what speaks for them; q that is 0 is drawn as the least of the others."""
    q = table["q"].to_numpy(np.float64)
    least = q[q > 0].min() if (q > 0).any() else 1.0
    heights = -np.log10(np.maximum(q, least))
    means = table["mean"].to_numpy(np.float64)
    chart = Chart("Effects and q", padded(means), padded(np.append(heights, 0.0)), "effect", "−log10 q")
    chart.points(np.column_stack([means, heights]), colour=COLOURS[0], opacity=0.7)
    return html.figure(chart.svg(), "Effect of each, and −log10 of its q.")


def _strongest(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Of the lines with the same keys the one with the largest effect; the largest of these first."""
    best = table.loc[table.groupby(keys, sort=False)["size"].idxmax()]
    return best.sort_values("size", ascending=False, kind="stable").head(_LINES)


def _positions(found: Marginalization, track: int) -> str:
    table = _of(found, "effect", track)
    best = _strongest(table, ["motif", "strand"])
    rows = [
        [line["motif"], line["strand"], html.number(int(line["start"])), *_numbers(line)]
        for line in best.to_dict("records")
    ]
    head = ("motif", "strand", "strongest at", "effect", "interval", "q")
    names = list(dict.fromkeys(best["motif"]))[:_CHARTS]
    shown = table[table["motif"].isin(names)]
    charts = [
        _lines(shown[shown["motif"] == name], "start", "strand", x="first base of the motif", y="effect",
               within=shown, caption=f"{name}: effect by position, mean and 95 % interval.")
        for name in names
    ]  # fmt: skip
    return html.table(head, rows, numeric=(2, 3, 5)) + html.figures(charts)


def _spacings(found: Marginalization, track: int) -> str:
    table = _of(found, "interaction", track)
    table = table.assign(
        pair=table["left"] + " " + table["right"], both=found.statistics["effect"]["mean"][:, track],
        alone=found.statistics["left"]["mean"][:, track] + found.statistics["right"]["mean"][:, track],
    )  # fmt: skip
    best = _strongest(table, ["pair", "orientation"])
    rows = [
        [line["pair"], line["orientation"], html.number(int(line["spacing"])), html.number(float(line["both"])),
         html.number(float(line["alone"])), *_numbers(line)]
        for line in best.to_dict("records")
    ]  # fmt: skip
    head = ("left, right", "strands", "strongest at", "pair", "sum alone", "interaction", "interval", "q")
    names = list(dict.fromkeys(best["pair"]))[:_CHARTS]
    shown = table[table["pair"].isin(names)]
    charts = [
        _lines(shown[shown["pair"] == name], "spacing", "orientation", x="bases between the sites", y="interaction",
               within=shown, caption=f"{name}: interaction by spacing, mean and 95 % interval by strands.")
        for name in names
    ]  # fmt: skip
    words = "<p>Interaction: the effect of the pair minus those of its two sites alone at the same places.</p>"
    return words + html.table(head, rows, numeric=(2, 3, 4, 5, 7)) + html.figures(charts) + _matrix(table, best)


def _matrix(table: pd.DataFrame, best: pd.DataFrame) -> str:
    """Cells of interaction: the pairs and orientations of a table, by spacing."""
    spacings = list(dict.fromkeys(table["spacing"]))[:_CELLS]
    keys = list(zip(best["pair"], best["orientation"], strict=True))
    known = dict(
        zip(zip(table["pair"], table["orientation"], table["spacing"], strict=True), table["mean"], strict=True)
    )
    values = np.array([[known[pair, strands, gap] for gap in spacings] for pair, strands in keys], np.float64)
    largest = float(np.nan_to_num(np.abs(values)).max())
    names = [f"{strands} {pair}" for pair, strands in keys]
    columns = [str(gap) for gap in spacings]
    return html.wide(heat.matrix(values, rows=names, columns=columns, largest=largest, words="interaction by spacing"))


def _lines(
    table: pd.DataFrame, along: str, by: str, *, x: str, y: str, within: pd.DataFrame, caption: str
) -> str:  # fmt: skip
    """A chart with a line for each value of ``by``, and its interval as bars; the axis is that of ``within``."""
    places = within[along].to_numpy(np.float64)
    ends = within[["low", "high", "mean"]].to_numpy(np.float64).ravel()
    low, high = padded(np.append(ends, 0.0))
    chart = Chart(caption, (float(places.min()), float(max(places.max(), places.min() + 1))), (low, high), x, y)
    chart.line(np.array([[chart.x[0], 0.0], [chart.x[1], 0.0]]), colour="#8c959f", dashed=True)
    for colour, (name, own) in zip(COLOURS, table.groupby(by, sort=False), strict=False):
        own = own.sort_values(along, kind="stable")
        at = own[along].to_numpy(np.float64)
        chart.line(np.column_stack([at, own["mean"]]), colour=colour, name=str(name))
        chart.line(_bars(at, own["low"].to_numpy(np.float64), own["high"].to_numpy(np.float64)), colour=colour)
    return html.figure(chart.svg(), caption)


def _bars(at: Array, low: Array, high: Array) -> Array:
    """Vertical strokes as one line with gaps, (3 n, 2)."""
    gaps = np.full(len(at), np.nan)
    return np.stack([np.stack([at, low], 1), np.stack([at, high], 1), np.stack([gaps, gaps], 1)], 1).reshape(-1, 2)


def _numbers(line: Mapping[Hashable, Any]) -> Sequence[str]:
    """Mean, interval and q of a line of a table."""
    mean = html.number(float(line["mean"]))
    if not np.isfinite(line["p"]):
        return mean, f"{html.counted(int(line['count']), 'background')}, too few", "–"
    interval = f"{html.number(float(line['low']))} to {html.number(float(line['high']))}"
    return mean, interval, html.small(float(line["q"]))
