"""Sequence logos as inline SVG. The four letters are defined once per page and placed by ``<use>``.

Letter colours are the field's (A green, C blue, G orange, T red) in shades that differ in lightness as well; the
letters themselves carry the information for readers who do not see the colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from drg_hpc.report.charts import tick_text, ticks
from drg_hpc.report.html import escape

BASES = "ACGT"
BASE_COLOURS = {"A": "#1a8f3c", "C": "#1f5fbf", "G": "#e69100", "T": "#d1272b"}
LEFT = _LEFT = 46
"""Room left of the first position, for the axis."""


@cache
def outline(letter: str) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Outline of a letter, stretched to the unit square, y upwards: (points, 2), and matplotlib's codes of a path."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    path = TextPath((0, 0), letter, size=100, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    vertices, codes = np.asarray(path.vertices, np.float64), np.asarray(path.codes, np.uint8)
    drawn = vertices[codes != 79]
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    return (vertices - low) / (high - low), codes


@cache
def _glyph(letter: str) -> str:
    """Outline of a letter as the data of an SVG path, y downwards."""
    unit, codes = outline(letter)
    parts, at = [], 0
    while at < len(codes):
        size = {1: 1, 2: 1, 3: 2, 4: 3, 79: 1}[int(codes[at])]
        command = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}[int(codes[at])]
        points = "" if command == "Z" else " ".join(f"{x:.3f} {1 - y:.3f}" for x, y in unit[at : at + size])
        parts.append(command + points)
        at += size
    return "".join(parts)


def glyph_symbols() -> str:
    """Hidden SVG with the four letters; must stand once in the page, before the first logo."""
    symbols = "".join(
        f'<symbol id="base{letter}" viewBox="0 0 1 1" preserveAspectRatio="none">'
        f'<path d="{_glyph(letter)}" fill="{BASE_COLOURS[letter]}"/></symbol>'
        for letter in BASES
    )
    return f'<svg width="0" height="0" style="position:absolute" aria-hidden="true">{symbols}</svg>'


@dataclass(frozen=True)
class LogoRow:
    """One row of a logo figure.

    Parameters
    ----------
    heights : (4, n) signed letter heights
    start : position of its first column in the figure's frame
    title : words at the left end
    low, high : range of the axis
    height : of the row on the drawing
    deviations : (n,) standard deviations of the sum of each column, drawn as whiskers
    """

    heights: NDArray[np.floating]
    start: int
    title: str
    low: float
    high: float
    height: float = 62.0
    deviations: NDArray[np.floating] | None = None


@dataclass(frozen=True)
class Band:
    """Columns ``start`` to ``end`` marked in a colour, with words above."""

    start: int
    end: int
    text: str
    colour: str


def information(pfm: NDArray[np.floating]) -> NDArray[np.float64]:
    """Letter heights in bits: frequency times information content against a uniform background (Schneider 1990)."""
    p = np.asarray(pfm, np.float64)
    content = 2 + (p * np.log2(np.maximum(p, 1e-12))).sum(axis=0)
    return np.asarray(p * np.maximum(content, 0), np.float64)


def span_of(heights: NDArray[np.floating]) -> tuple[float, float]:
    """Lowest and highest reach of the stacks, zero included."""
    up = np.maximum(heights, 0).sum(axis=0).max(initial=0.0)
    down = np.minimum(heights, 0).sum(axis=0).min(initial=0.0)
    return float(down), float(up) if up > 0 or down < 0 else 1.0


def _letters(row: LogoRow, top: float, step: float) -> list[str]:
    scale = row.height / (row.high - row.low)
    zero = top + row.height * row.high / (row.high - row.low)
    found = []
    for column in range(row.heights.shape[1]):
        x = _LEFT + (row.start + column) * step
        for sign in (1, -1):
            reach = 0.0
            for base in sorted(range(4), key=lambda b: (abs(row.heights[b, column]), b)):
                size = float(row.heights[base, column]) * sign * scale
                if size <= 0.15:
                    continue
                if sign > 0:
                    place = f'x="{x + step * 0.03:.1f}" y="{zero - reach - size:.2f}"'
                else:
                    place = f'transform="translate({x + step * 0.03:.1f} {zero + reach + size:.2f}) scale(1 -1)"'
                found.append(f'<use href="#base{BASES[base]}" {place} width="{step * 0.94:.1f}" height="{size:.2f}"/>')
                reach += size
    return found


def letters(row: LogoRow, *, top: float, step: float) -> str:
    """The letters of a row alone, without axis and title; its first position is where that of a logo figure is."""
    return "".join(_letters(row, top, step))


def _whiskers(row: LogoRow, top: float, step: float) -> str:
    """A line from one standard deviation below each column's sum to one above."""
    if row.deviations is None:
        return ""
    scale = row.height / (row.high - row.low)
    parts = []
    for column, (total, sd) in enumerate(zip(row.heights.sum(axis=0), row.deviations, strict=True)):
        if sd > 0:
            x, y = _LEFT + (row.start + column + 0.5) * step, top + (row.high - float(total)) * scale
            parts.append(f"M{x:.1f} {y - sd * scale:.1f}V{y + sd * scale:.1f}")
    return f'<path d="{"".join(parts)}" stroke="#57606a" stroke-width="1.2" fill="none"/>' if parts else ""


def _axis(row: LogoRow, top: float, right: float) -> str:
    zero = top + row.height * row.high / (row.high - row.low)
    ends = [value for value in ticks(row.low, row.high, 2) if row.low - 1e-9 <= value <= row.high + 1e-9]
    found = [f'<path d="M{_LEFT - 4} {top:.1f}v{row.height:.1f}" stroke="#8c959f" fill="none"/>']
    for value in ends:
        y = zero - value * row.height / (row.high - row.low)
        found.append(f'<path d="M{_LEFT - 7} {y:.1f}h3" stroke="#8c959f"/>')
        found.append(f'<text x="{_LEFT - 9}" y="{y + 4:.1f}" font-size="11" text-anchor="end">')
        found.append(f"{tick_text(value)}</text>")
    found.append(f'<path d="M{_LEFT - 4} {zero:.1f}H{right:.1f}" stroke="#8c959f" stroke-width=".8"/>')
    if row.title:
        found.append(f'<text x="{_LEFT}" y="{top - 5:.1f}" font-size="12">{escape(row.title)}</text>')
    return "".join(found)


def logo_figure(
    rows: Sequence[LogoRow],
    *,
    columns: int,
    label: str,
    bands: Sequence[Band] = (),
    min_columns: int = 0,
    first_position: int | None = None,
    step: float = 20.0,
) -> str:
    """Rows of logos over one frame of ``columns`` positions.

    Parameters
    ----------
    label : what it shows, for readers who do not see it
    bands : stretches to mark behind the first row
    min_columns : leave room for at least so many positions, so that letters of several figures have one size
    first_position : number of the first column, for an axis below
    step : width of a letter on the drawing
    """
    width = _LEFT + max(columns, min_columns) * step + 4
    right = _LEFT + columns * step
    top, found = (34.0 if bands else 20.0), []
    for band in bands:
        x, wide = _LEFT + band.start * step, (band.end - band.start) * step
        found.append(
            f'<rect x="{x:.1f}" y="16" width="{wide:.1f}" height="{rows[0].height + top - 16:.1f}" rx="3" '
            f'fill="{band.colour}"/>'
        )
        found.append(f'<text x="{x + 3:.1f}" y="12" font-size="12">{escape(band.text)}</text>')
    for row in rows:
        found.append(_axis(row, top, right))
        found.extend(_letters(row, top, step))
        found.append(_whiskers(row, top, step))
        top += row.height + 26
    height = top - 20
    if first_position is not None:
        for value in (v for v in ticks(first_position, first_position + columns, 8) if v < first_position + columns):
            x = _LEFT + (value - first_position + 0.5) * step
            found.append(f'<text x="{x:.1f}" y="{height + 8:.1f}" font-size="12" text-anchor="middle">')
            found.append(f"{value:,.0f}</text>")
        height += 14
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}">{"".join(found)}</svg>'
