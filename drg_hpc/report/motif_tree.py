"""Motifs as a tree of similarity, with logos, and their effects on the tracks beside (drg.md 4.12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram, linkage

from drg_hpc.report import html
from drg_hpc.report.heat import cell, scale_bar, shade
from drg_hpc.report.logos import LEFT, LogoRow, information, letters
from drg_hpc.results.effects import EffectsFile
from drg_hpc.results.motifs import MotifRecord

_MIN_OVERLAP = 4
_ROW, _TREE, _NAMES, _STEP, _CELL = 46.0, 170.0, 170.0, 10.0, 22.0
_LEAST_WIDTH = 820.0
_MOST_TRACKS = 24
_LABEL = 26
LINKED = (
    "Average linkage of 1 − cosine of the letter heights (bits) at the best offset on either strand. Logos: base "
    "frequencies in bits."
)


@dataclass(frozen=True)
class Leaf:
    """A motif of the tree.

    Parameters
    ----------
    under : words below its name
    sign : of what it does, for an arrow
    heights : (4, width) letter heights in bits
    high : end of the logo's axis
    """

    name: str
    under: str
    sign: int
    heights: NDArray[np.float64]
    high: float = 2.0


@dataclass(frozen=True)
class Heat:
    """Mean effects (leaves, tracks) beside the tree, and the end of their colour scale."""

    values: NDArray[np.float64]
    tracks: Sequence[str]
    largest: float


def core_heights(record: MotifRecord) -> NDArray[np.float64]:
    """Letter heights in bits of the trimmed motif, (4, width)."""
    pfm = np.asarray(record.arrays["pfm"], np.float64)
    return information(pfm[:, int(record.facts["start"]) : int(record.facts["end"])])


def similarity(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Cosine of two motifs' letter heights over their union, the best of all offsets and both strands.

    Parameters
    ----------
    left, right : (4, width); at least 4 positions lie over each other, or all of a narrower one
    """
    size = float(np.sqrt((left**2).sum() * (right**2).sum()))
    if size == 0:
        return 0.0
    least = min(_MIN_OVERLAP, left.shape[1], right.shape[1])
    inner = slice(least - 1, left.shape[1] + right.shape[1] - least)
    best = 0.0
    for turned in (left, left[::-1, ::-1]):
        sums = np.sum([np.correlate(a, b, "full") for a, b in zip(turned, right, strict=True)], axis=0)
        best = max(best, float(sums[inner].max()))
    return min(best / size, 1.0)


def tree_of(records: Sequence[MotifRecord]) -> NDArray[np.float64]:
    """Average linkage of 1 - similarity, as scipy writes it (n - 1, 4); for two motifs or more."""
    return _linked([core_heights(record) for record in records])


def _linked(heights: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    pairs = [(i, j) for i in range(len(heights)) for j in range(i + 1, len(heights))]
    return np.asarray(linkage(np.array([1 - similarity(heights[i], heights[j]) for i, j in pairs]), "average"))


def shown_tracks(effects: EffectsFile) -> list[int]:
    """Numbers of at most 24 tracks, those with the largest effects, in the order of the file."""
    used = np.flatnonzero(effects.groups["by_track"]["seqlets"].sum(axis=0))
    return [int(used[i]) for i in most_affected(effects.groups["by_track"]["mean"][:, used])]


def most_affected(effect: NDArray[np.floating]) -> list[int]:
    """Numbers of at most 24 tracks of (n, tracks), those with the largest magnitudes, ascending."""
    return sorted(int(i) for i in np.argsort(-np.abs(effect).sum(axis=0), kind="stable")[:_MOST_TRACKS])


def largest_effect(effects: EffectsFile) -> float:
    """End of the colour scale: the largest |mean effect| of any motif on any track."""
    return float(np.abs(effects.groups["by_track"]["mean"]).max(initial=0.0))


def tree_figure(records: Sequence[MotifRecord], effects: EffectsFile | None, max_q: float) -> str:
    """The figure with its heading; nothing for less than three motifs.

    Parameters
    ----------
    records : motifs of one folder
    effects : of that folder, None where there are none
    max_q : a match with a larger q goes unnamed
    """
    if len(records) < 3:
        return ""
    tracks = shown_tracks(effects) if effects else []
    leaves = [
        Leaf(record.name, _under(record, max_q), int(record.facts["sign"]), core_heights(record)) for record in records
    ]
    heat = None
    if effects:
        of_motifs = [effects.motifs.index(record.name) for record in records]
        means = effects.groups["by_track"]["mean"][np.ix_(of_motifs, tracks)]
        heat = Heat(means, [effects.tracks[i] for i in tracks], largest_effect(effects))
    tree = html.wide(similarity_tree(leaves, heat))
    return f"<h3>Motifs by similarity</h3><p>{html.escape(LINKED)}{html.escape(_words(effects, tracks))}</p>{tree}"


def similarity_tree(leaves: Sequence[Leaf], heat: Heat | None) -> str:
    """The drawing, for two motifs or more."""
    found = dendrogram(_linked([leaf.heights for leaf in leaves]), no_plot=True)
    order = [int(leaf) for leaf in found["leaves"] or []]
    icoord, dcoord = np.array(found["icoord"], np.float64), np.array(found["dcoord"], np.float64)
    columns = max(leaf.heights.shape[1] for leaf in leaves)
    tracks = heat.tracks if heat else []
    top = 30.0 + (6.2 * max((len(name[:_LABEL]) for name in tracks), default=0) if heat else 0.0)
    left = _TREE + _NAMES + columns * _STEP + 24
    width = max(left + len(tracks) * _CELL + 40, _LEAST_WIDTH)
    body = [_branches(icoord, dcoord, top), *(_leaf(leaves[leaf], top + i * _ROW) for i, leaf in enumerate(order))]
    bottom = top + len(order) * _ROW
    body.append(_distance_axis(bottom, float(dcoord.max())))
    if heat:
        body.append(_heatmap([leaves[i].name for i in order], heat, order, left=left, top=top))
        width = max(width, left + 200)
        body.append(scale_bar(left + 6, bottom + 8, heat.largest, "mean effect"))
    label = f"tree of {len(leaves)} motifs with logos" + (" and effects on tracks" if tracks else "")
    return f'<svg viewBox="0 0 {width:.0f} {bottom + 40:.0f}" role="img" aria-label="{label}">{"".join(body)}</svg>'


def _words(effects: EffectsFile | None, tracks: list[int]) -> str:
    if effects is None:
        return ""
    text = (
        " Cells: sum of the motif's effects on the track over the regions that hold it, the strongest seqlet of each, "
        "divided by the number of regions that hold it on any track."
    )
    used = int((effects.groups["by_track"]["seqlets"].sum(axis=0) > 0).sum())
    return text + (f" {len(tracks)} of {used} tracks, those with the largest effects." if used > len(tracks) else "")


def _branches(icoord: NDArray[np.float64], dcoord: NDArray[np.float64], top: float) -> str:
    """The dendrogram; scipy counts leaves as 5, 15, 25, …"""
    deepest = max(float(dcoord.max()), 1e-9)
    paths = []
    for across, depth in zip(icoord.tolist(), dcoord.tolist(), strict=True):
        points = [
            f"{_TREE - 12 - d / deepest * (_TREE - 24):.1f} {top + (i - 5) / 10 * _ROW + _ROW / 2:.1f}"
            for i, d in zip(across, depth, strict=True)
        ]
        paths.append("M" + "L".join(points))
    return f'<path d="{"".join(paths)}" fill="none" stroke="#57606a" stroke-width="1.4"/>'


def _distance_axis(bottom: float, deepest: float) -> str:
    left, right = 12.0, _TREE - 12
    texts = "".join(
        f'<text x="{x:.0f}" y="{bottom + 18:.0f}" font-size="11" text-anchor="middle">{value}</text>'
        for x, value in ((left, html.number(float(deepest), 2)), (right, "0"), ((left + right) / 2, "distance"))
    )
    return f'<path d="M{left} {bottom + 4:.0f}H{right}" stroke="#8c959f"/>{texts}'


def _under(record: MotifRecord, max_q: float) -> str:
    facts = record.facts
    return str(facts["target"] if "target" in facts and float(facts["q"]) <= max_q else facts["consensus"])


def _leaf(leaf: Leaf, top: float) -> str:
    """Name, match and logo of one motif."""
    shift = _TREE + _NAMES - LEFT
    row = LogoRow(leaf.heights, 0, "", 0.0, leaf.high, height=_ROW - 12)
    return (
        f'<text x="{_TREE}" y="{top + 20:.0f}" font-size="13" font-weight="600">{html.escape(leaf.name)} '
        f"{'↑' if leaf.sign > 0 else '↓'}</text>"
        f'<text x="{_TREE}" y="{top + 35:.0f}" font-size="10.5">{html.escape(leaf.under[:_LABEL])}</text>'
        f'<g transform="translate({shift:.0f} {top + 4:.0f})">{letters(row, top=2, step=_STEP)}</g>'
        f'<path d="M{_TREE + _NAMES:.0f} {top + _ROW - 6:.0f}h{leaf.heights.shape[1] * _STEP:.0f}" stroke="#8c959f"/>'
    )


def _heatmap(names: list[str], heat: Heat, order: list[int], *, left: float, top: float) -> str:
    found = []
    for j, track in enumerate(heat.tracks):
        x = left + (j + 0.65) * _CELL
        found.append(f'<text transform="translate({x:.1f} {top - 6:.1f}) rotate(-90)" font-size="11">')
        found.append(f"{html.escape(track[:_LABEL])}<title>{html.escape(track)}</title></text>")
        for i, (name, leaf) in enumerate(zip(names, order, strict=True)):
            value = float(heat.values[leaf, j])
            place = (left + j * _CELL, top + i * _ROW + 4)
            title = f"{name}, {track}: {html.number(value)}"
            found.append(cell(*place, (_CELL, _ROW - 8), shade(value, heat.largest), title))
    return "".join(found)
