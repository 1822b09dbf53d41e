"""What drg-motifs --effects found: where motifs lie in their regions, with which others, in which order and spacing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drg_hpc.report import html
from drg_hpc.report.charts import COLOURS, Chart
from drg_hpc.report.heat import cell, scale_bar, shade
from drg_hpc.results.effects import EffectsFile

_BINS = 40
_MOST_CHARTS = 9
_MOST_LINES = 12
_MOST_SPACINGS = 4
_MAX_Q = 0.05
_SIDE = 26.0
_CELLS = 3.0
"""End of the colour scale of pairs, in doublings."""


def effects_sections(effects: EffectsFile, shown: Sequence[str]) -> str:
    """HTML of all parts that have something to show.

    Parameters
    ----------
    shown : names of the motifs on the page, strongest first
    """
    return _positions(effects, shown) + _pairs(effects, shown) + _spacing(effects, shown)


def _positions(effects: EffectsFile, shown: Sequence[str]) -> str:
    sites = effects.groups["sites"]
    if not len(sites["row"]):
        return ""
    reach = int(sites["end"].max())
    edges = np.linspace(0, reach, min(_BINS, reach) + 1)
    items = []
    for name in shown[:_MOST_CHARTS]:
        own = sites["motif"] == effects.motifs.index(name)
        middle = (sites["start"][own] + sites["end"][own]) / 2
        counts = np.histogram(middle, edges)[0]
        label = f"positions of {name}"
        chart = Chart(
            label, (0, reach), (0, float(counts.max(initial=1)) * 1.05), "position in the region (bp)", "sites",
            counts=True,
        )  # fmt: skip
        chart.bars(edges, counts.astype(np.float64), colour=COLOURS[0])
        forward = float((sites["strand"][own] > 0).mean()) if own.any() else 0.0
        words = f"{name}: {html.counted(int(own.sum()), 'site')}, {forward:.0%} on the forward strand"
        items.append(html.figure(chart.svg(), words))
    text = "Middles of the sites of each motif; seqlets of several tracks at one site count once."
    return f"<h3>Positions of motifs</h3><p>{text}</p>{html.figures(items)}"


def _pairs(effects: EffectsFile, shown: Sequence[str]) -> str:
    pairs = effects.groups["pairs"]
    names = effects.motifs
    if not len(pairs["first"]) or not pairs["expected"].any():
        return ""
    permutations = effects.attributes["params"]["permutations"]
    content = (
        f"<h3>Motifs in one region</h3><p>Regions that hold both motifs, against {html.number(permutations)} "
        "permutations in which every motif is in as many regions, and every region holds as many motifs, as here.</p>"
    )
    content += html.wide(_pair_figure(effects, shown))
    order = [int(i) for i in np.lexsort((-pairs["both"], pairs["q"])) if pairs["q"][i] <= _MAX_Q]
    rows = [
        (
            names[int(pairs["first"][i])], names[int(pairs["second"][i])], html.number(int(pairs["both"][i])),
            html.number(float(pairs["expected"][i])), _fold_words(pairs["both"][i], pairs["expected"][i]),
            html.small(float(pairs["q"][i])),
        )
        for i in order[:_MOST_LINES]
    ]  # fmt: skip
    if not rows:
        return content + f'<p class="note">No pair at q ≤ {_MAX_Q:g}.</p>'
    head = ("motif", "other", "regions with both", "expected", "ratio", "q")
    content += html.table(head, rows, numeric=(2, 3, 4, 5))
    if len(order) > len(rows):
        content += f'<p class="note">{len(rows)} of {len(order)} pairs at q ≤ {_MAX_Q:g}; all in motif_pairs.tsv.</p>'
    return content


def _fold_words(both: float, expected: float) -> str:
    return html.number(float(both / expected), 2) if expected > 0 else "–"


def _pair_figure(effects: EffectsFile, shown: Sequence[str]) -> str:
    """log2 of observed over expected, half a region added to both, for all pairs of the motifs shown."""
    pairs = effects.groups["pairs"]
    place = {name: i for i, name in enumerate(shown)}
    left, top = 90.0, 84.0
    size = len(shown) * _SIDE
    found = []
    for name, i in place.items():
        middle = (i + 0.65) * _SIDE
        found.append(f'<text x="{left - 6}" y="{top + middle:.1f}" font-size="12" text-anchor="end">')
        found.append(f"{html.escape(name)}</text>")
        found.append(f'<text transform="translate({left + middle:.1f} {top - 6}) rotate(-90)" font-size="12">')
        found.append(f"{html.escape(name)}</text>")
    for first, second, both, expected, q in zip(
        *(pairs[column].tolist() for column in ("first", "second", "both", "expected", "q")), strict=True
    ):
        names = (effects.motifs[first], effects.motifs[second])
        if not set(names) <= place.keys():
            continue
        value = float(np.log2((both + 0.5) / (expected + 0.5)))
        title = f"{names[0]} and {names[1]}: {both} regions, {html.number(expected)} expected, q = {html.small(q)}"
        for row, column in (names, names[::-1]):
            x, y = left + place[column] * _SIDE, top + place[row] * _SIDE
            found.append(cell(x, y, (_SIDE, _SIDE), shade(value, _CELLS), title))
            if q <= _MAX_Q:
                found.append(f'<circle cx="{x + _SIDE / 2:.1f}" cy="{y + _SIDE / 2:.1f}" r="2.6" fill="#1b1f24"/>')
    words = f"log2(observed / expected); a dot: q ≤ {_MAX_Q:g}"
    found.append(scale_bar(left + 50, top + size + 12, _CELLS, words))
    width, height = max(left + size + 40, 620), top + size + 44
    label = "pairs of motifs in one region, observed against expected"
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{label}">{"".join(found)}</svg>'


def _spacing(effects: EffectsFile, shown: Sequence[str]) -> str:
    found, names = effects.groups["spacing"], effects.motifs
    measures = [str(name) for name in effects.attributes["measures"]]
    chosen = [
        i for i in range(len(found["first"]))
        if {names[int(found["first"][i])], names[int(found["second"][i])]} <= set(shown)
    ]  # fmt: skip
    if not chosen:
        return ""
    least = found["q"].min(axis=1)
    peak = found["p"][:, measures.index("peak")]
    order = sorted(chosen, key=lambda i: (float(least[i]), float(peak[i]), -int(found["apart"][i])))
    rows = []
    for i in order[:_MOST_LINES]:
        values = [
            f"{html.number(float(found['measure'][i, j]), 2)} ({html.small(float(found['q'][i, j]))})"
            for j in range(len(measures))
        ]
        pair = (names[int(found["first"][i])], names[int(found["second"][i])])
        rows.append((*pair, html.number(int(found["apart"][i])), *values, _peak_words(effects, i)))
    head = (
        "motif", "other", "regions", "preferred spacing", "mean gap (bp)", "other at the right", "downstream",
        "same strand", "most frequent",
    )  # fmt: skip
    text = (
        "Of each region with both motifs the strongest site of each, where they do not overlap. In brackets q values "
        "(Benjamini–Hochberg over all pairs) of a permutation test that deals the sites of the other motif out anew "
        "among these regions. Preferred spacing: "
        f"share of the regions in the most frequent arrangement, within {effects.attributes['peak_width']} gaps."
    )
    charts = [_spacing_chart(effects, i) for i in sorted(order, key=lambda i: float(peak[i]))[:_MOST_SPACINGS]]
    content = f"<h3>Order and spacing of motifs</h3><p>{html.escape(text)}</p>"
    content += html.table(head, rows, numeric=(2, 3, 4, 5, 6, 7)) + html.figures(charts)
    if len(order) > len(rows):
        content += f'<p class="note">{len(rows)} of {len(order)} pairs, by q value; all in motif_spacing.tsv.</p>'
    return content


def _peak_words(effects: EffectsFile, i: int) -> str:
    found = effects.groups["spacing"]
    side = "downstream" if found["peak_side"][i] > 0 else "upstream"
    strand = "same strand" if found["peak_strand"][i] > 0 else "other strand"
    return f"{int(found['peak_gap'][i])} bp {side}, {strand}"


def _spacing_chart(effects: EffectsFile, i: int) -> str:
    """Regions by the gap between the sites, upstream of the first motif to the left."""
    found, reach = effects.groups["spacing"], int(effects.attributes["reach"])
    counts = np.asarray(found["histogram"][i], np.float64)
    both = np.concatenate([counts[0, :, ::-1], counts[1]], axis=1)  # (strand, gaps from -reach to reach)
    first, second = effects.motifs[int(found["first"][i])], effects.motifs[int(found["second"][i])]
    high = float(both.sum(axis=0).max(initial=1)) * 1.05
    label = f"gaps between {first} and {second}"
    chart = Chart(
        label, (-reach - 1, reach + 1), (0, max(high, 1)), f"{second} from {first} (bp, downstream > 0)", "regions",
        counts=True,
    )  # fmt: skip
    edges = np.arange(2 * reach + 3) - reach - 1.0
    for shade_of, name, heights in (
        (COLOURS[5], "other strand", both.sum(axis=0)),
        (COLOURS[0], "same strand", both[1]),
    ):
        chart.bars(edges, heights, colour=shade_of)
        chart.legend(name, shade_of)
    words = (
        f"{first} and {second}: {html.counted(int(found['apart'][i]), 'region')}; most often {_peak_words(effects, i)}"
    )
    return html.figure(chart.svg(), words)
