"""Cells coloured by a signed value: blue below zero, red above, white at zero; told by their titles as well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drg_hpc.report import html

_BELOW, _ABOVE = (33, 102, 172), (178, 24, 43)


def shade(value: float, largest: float) -> str:
    """Colour of a value on a scale from -``largest`` to ``largest``; grey where there is none."""
    if not np.isfinite(value):
        return "#d8dee4"
    share = min(abs(value) / largest, 1.0) if largest > 0 else 0.0
    end = _ABOVE if value > 0 else _BELOW
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in end)


def cell(x: float, y: float, size: tuple[float, float], colour: str, title: str) -> str:
    """A cell with a title that a pointer shows and a screen reader tells."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{size[0]:.1f}" height="{size[1]:.1f}" fill="{colour}" '
        f'stroke="#d8dee4" stroke-width=".6"><title>{html.escape(title)}</title></rect>'
    )


def strip(values: NDArray[np.floating], names: Sequence[str], largest: float, *, label: str) -> str:
    """A row of cells as a figure of its own.

    Parameters
    ----------
    values : (T,)
    label : what the row shows
    """
    side = 16.0
    cells = "".join(
        cell(i * side, 0, (side, 12), shade(float(value), largest), f"{name}: {html.number(float(value))}")
        for i, (name, value) in enumerate(zip(names, values.tolist(), strict=True))
    )
    width = max(len(names) * side, 1)
    head = f'<svg viewBox="0 0 {width:.0f} 12" style="max-width:{width:.0f}px" role="img"'
    return f'{head} aria-label="{html.escape(label)}">{cells}</svg>'


def scale_bar(x: float, y: float, largest: float, words: str) -> str:
    """A scale of 120 x 10 with its ends, for a figure with cells."""
    steps = 24
    parts = [
        f'<rect x="{x + i * 120 / steps:.1f}" y="{y:.1f}" width="{120 / steps + 0.3:.1f}" height="10" '
        f'fill="{shade(largest * (2 * i / (steps - 1) - 1), largest)}"/>'
        for i in range(steps)
    ]
    low, high = (html.number(value).replace("-", "−") for value in (-largest, largest))
    parts.append(f'<text x="{x - 4:.1f}" y="{y + 9:.1f}" font-size="11" text-anchor="end">{low}</text>')
    parts.append(f'<text x="{x + 124:.1f}" y="{y + 9:.1f}" font-size="11">{high}</text>')
    parts.append(f'<text x="{x + 60:.1f}" y="{y + 24:.1f}" font-size="11" text-anchor="middle">')
    return "".join(parts) + f"{html.escape(words)}</text>"


def matrix(
    values: NDArray[np.float64], *, rows: Sequence[str], columns: Sequence[str], largest: float, words: str
) -> str:  # fmt: skip
    """A figure of cells (rows, columns) with their names and a scale.

    Parameters
    ----------
    largest : end of the colour scale
    words : what a cell shows
    """
    wide, high, label = 22.0, 17.0, 28
    left = 12 + 6.6 * max((len(name[:label]) for name in rows), default=0)
    top = 14 + 6.2 * max((len(name[:label]) for name in columns), default=0)
    found = []
    for j, name in enumerate(columns):
        found.append(f'<text transform="translate({left + (j + 0.65) * wide:.1f} {top - 6:.1f}) rotate(-90)" ')
        found.append(f'font-size="11">{html.escape(name[:label])}<title>{html.escape(name)}</title></text>')
    for i, name in enumerate(rows):
        y = top + i * high
        found.append(f'<text x="{left - 6:.1f}" y="{y + 12.5:.1f}" font-size="11" text-anchor="end">')
        found.append(f"{html.escape(name[:label])}</text>")
        for j, (column, value) in enumerate(zip(columns, values[i].tolist(), strict=True)):
            title = f"{name}, {column}: {html.number(float(value))}"
            found.append(cell(left + j * wide, y, (wide, high), shade(float(value), largest), title))
    bottom = top + len(rows) * high
    found.append(scale_bar(left + 40, bottom + 10, largest, words))
    width = max(left + len(columns) * wide + 20, left + 260, 620)
    head = f'<svg viewBox="0 0 {width:.0f} {bottom + 44:.0f}" style="max-width:{width:.0f}px" role="img"'
    return f'{head} aria-label="{html.escape(words)}">{"".join(found)}</svg>'
