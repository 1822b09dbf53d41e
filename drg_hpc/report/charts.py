"""Small charts as inline SVG: lines, points, bars, on axes with round ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drg_hpc.report.html import escape

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's palette, which readers with colour-vision deficiency can tell apart."""
_WIDTH, _HEIGHT = 420, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 14, 28, 46


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers within a range, about ``count`` of them."""
    span = high - low
    if not (span > 0 and math.isfinite(span)):
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def tick_text(value: float) -> str:
    """A tick's label: short, with a real minus sign."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "−")


def _text(x: float, y: float, text: str, size: int, *, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'


@dataclass
class Chart:
    """A chart under construction; :meth:`svg` gives the text.

    Parameters
    ----------
    label : what the chart shows, for readers who do not see it
    x, y : ranges of the axes
    x_title, y_title : axis titles with units
    names : in place of numbers along x
    counts : values along y are whole numbers, and so are its ticks
    """

    label: str
    x: tuple[float, float]
    y: tuple[float, float]
    x_title: str
    y_title: str
    names: Sequence[str] = ()
    counts: bool = False
    _marks: list[str] = field(default_factory=list)
    _legend: list[tuple[str, str]] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Position on the drawing."""
        across = (x - self.x[0]) / max(self.x[1] - self.x[0], 1e-300)
        up = (y - self.y[0]) / max(self.y[1] - self.y[0], 1e-300)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    def line(self, points: NDArray[np.floating], *, colour: str, name: str = "", dashed: bool = False) -> None:
        """A line through (n, 2) points; breaks at NaN."""
        path, pen = [], "M"
        for x, y in points.tolist():
            if not (math.isfinite(x) and math.isfinite(y)):
                pen = "M"
                continue
            left, top = self.at(x, y)
            path.append(f"{pen}{left:.1f} {top:.1f}")
            pen = "L"
        dash = ' stroke-dasharray="6 5"' if dashed else ""
        self._marks.append(f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        if name:
            self._legend.append((name, colour))

    def points(self, points: NDArray[np.floating], *, colour: str, radius: float = 1.6, opacity: float = 0.35) -> None:
        """Dots at the finite ones of (n, 2) points, one path for all."""
        finite = points[np.isfinite(points).all(axis=1)].tolist()
        dots = "".join("M{:.1f} {:.1f}h0".format(*self.at(x, y)) for x, y in finite)
        self._marks.append(
            f'<path d="{dots}" stroke="{colour}" stroke-width="{2 * radius}" stroke-linecap="round" '
            f'stroke-opacity="{opacity}" fill="none"/>'
        )

    def bars(
        self, edges: NDArray[np.floating], heights: NDArray[np.floating], *, colour: str, opacity: float = 1
    ) -> None:
        """Bars between consecutive edges."""
        for left, right, height in zip(edges[:-1].tolist(), edges[1:].tolist(), heights.tolist(), strict=True):
            x0, y0 = self.at(left, max(self.y[0], 0))
            x1, y1 = self.at(right, height)
            gap = min(1.0, (x1 - x0) * 0.1)
            self._marks.append(
                f'<rect x="{x0 + gap / 2:.1f}" y="{y1:.1f}" width="{max(x1 - x0 - gap, 0.5):.1f}" '
                f'height="{max(y0 - y1, 0):.1f}" fill="{colour}" fill-opacity="{opacity}"/>'
            )

    def legend(self, name: str, colour: str) -> None:
        """An entry of the legend, which stands above the plot."""
        self._legend.append((name, colour))

    def svg(self) -> str:
        """The chart as an ``<svg>`` element."""
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(self.label)}">'
            f"{self._axes()}{''.join(self._marks)}{self._legend_marks()}</svg>"
        )

    def _axes(self) -> str:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        found = []
        for value in (v for v in ticks(*self.y) if not self.counts or v == round(v)):
            _, y = self.at(self.x[0], value)
            found.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#e7ebef"/>')
            found.append(_text(_LEFT - 7, y + 4, tick_text(value), 12, anchor="end"))
        named = [(i + 0.5, name) for i, name in enumerate(self.names)]
        for value, text in named or [(value, tick_text(value)) for value in ticks(*self.x)]:
            x, _ = self.at(value, self.y[0])
            found.append(_text(x, bottom + 17, text, 10 if len(named) > 12 else 12))
        found.append(f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#8c959f"/>')
        middle = (_LEFT + right) / 2
        found.append(_text(middle, _HEIGHT - 8, self.x_title, 13))
        across = (_TOP + bottom) / 2
        found.append(
            f'<text transform="translate(13 {across}) rotate(-90)" font-size="13" text-anchor="middle">'
            f"{escape(self.y_title)}</text>"
        )
        return "".join(found)

    def _legend_marks(self) -> str:
        found, x = [], float(_LEFT)
        for name, colour in self._legend:
            found.append(f'<rect x="{x:.0f}" y="8" width="12" height="4" fill="{colour}"/>')
            found.append(_text(x + 17, 14, name, 12, anchor="start"))
            x += 17 + 7 * len(name) + 16
        return "".join(found)


def padded(values: NDArray[np.floating], share: float = 0.05) -> tuple[float, float]:
    """A range that holds all finite values, with room at both ends."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = (high - low) * share or max(abs(high), 1.0) * share
    return low - room, high + room
