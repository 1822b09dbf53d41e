"""The figure of drg-plot: sections of logos one below the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from drg_hpc.report.charts import tick_text, ticks
from drg_hpc.report.figure_style import GREY, short
from drg_hpc.report.html import number
from drg_hpc.report.logos import span_of
from drg_hpc.report.plot_logo import draw_bases, draw_letters, largest
from drg_hpc.report.plot_sheet import (
    BAR,
    BAR_COLUMN,
    BETWEEN,
    EDGE,
    GAP,
    HEAD,
    LINE,
    NAME,
    SMALL,
    TITLE,
    Y_TICKS,
    Bars,
    Panel,
    Section,
    Sheet,
    text_width,
)  # fmt: skip


class Drawing:
    """A figure under construction, from top to bottom; to be used inside the style of the figure.

    Parameters
    ----------
    sheet : what to draw
    """

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self._wide, self._high = sheet.width, sheet.height
        self._sizes = sheet.sizes
        self.figure = Figure(figsize=(self._wide, self._high))
        spans = [span_of(panel.heights) for panel in sheet.panels]
        self._span = (min(low for low, _ in spans), max(high for _, high in spans))
        self._limit = max((largest(p.bases) for p in sheet.panels if p.bases is not None), default=1.0)
        self._beside = self._sizes.left + max(part.columns for part in sheet.sections) * self._sizes.letter + 0.15

    def draw(self) -> Figure:
        """Draw everything."""
        top = EDGE
        for section in self.sheet.sections:
            self._section(section, top)
            top += self.sheet.section_height(section) + BETWEEN
        lines = self.sheet.caption_lines
        for number_, line in enumerate(lines):
            self._words(EDGE, self._high - EDGE - LINE * (len(lines) - number_), line, SMALL, colour="#57606a")
        return self.figure

    def _axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes at inches from the upper left corner."""
        box = (left / self._wide, 1 - (top + height) / self._high, width / self._wide, height / self._high)
        return self.figure.add_axes(box)

    def _words(self, left: float, top: float, text: str, size: float, *, colour: str = "#1b1f24") -> None:
        self.figure.text(left / self._wide, 1 - top / self._high, text, fontsize=size, va="top", color=colour)

    def _section(self, section: Section, top: float) -> None:
        self._words(EDGE, top, section.title, 9)
        top += TITLE
        for column, bars in enumerate(self.sheet.bars):
            self._words(self._beside + column * BAR_COLUMN, top, bars.title, SMALL)
        top += HEAD if self.sheet.bars else 0.0
        wide = section.columns * self._sizes.letter
        lowest: Axes | None = None
        for panel in section.panels:
            lowest = self._logo(panel, self._axes(self._sizes.left, top, wide, self._sizes.row))
            for column, bars in enumerate(self.sheet.bars):
                axes = self._axes(self._beside + column * BAR_COLUMN, top, BAR, self._sizes.row)
                self._bar(panel, column, bars, axes, last=panel is section.panels[-1])
            if panel.bases is not None:
                under = top + self._sizes.row + GAP / 2
                lowest = self._axes(self._sizes.left, under, wide, self._sizes.heat)
                self._heat(panel.bases, section, lowest)
            top += self.sheet.panel_height()
        assert lowest is not None, "a section has panels"
        _number_positions(lowest, section, wide=wide)

    def _logo(self, panel: Panel, axes: Axes) -> Axes:
        low, high = span_of(panel.heights) if self.sheet.scale_each else self._span
        draw_letters(axes, panel.heights)
        room = 0.04 * (high - low)
        axes.set_ylim(low - room, high + room)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.set_xticks([])
        shown = _few_ticks(low, high, 2 if self._sizes.row < 0.7 else 3)
        axes.set_yticks(shown, [tick_text(value) for value in shown])
        axes.tick_params(axis="y", labelsize=6.5, length=2.5, pad=2)
        left = -Y_TICKS / (axes.get_position().width * self._wide)
        axes.text(left, 0.5, short(panel.title, NAME), transform=axes.transAxes, fontsize=8, ha="right", va="center")
        return axes

    def _heat(self, bases: NDArray[np.float64], section: Section, axes: Axes) -> None:
        limit = largest(bases) if self.sheet.scale_each else self._limit
        image = draw_bases(axes, bases, limit=limit, there=section.there)
        axes.set_xticks([])
        if self.sheet.scale_each:
            text = f"±{tick_text(float(f'{limit:.2g}'))}"
            axes.text(-0.17 / (section.columns * self._sizes.letter), 0.5, text, transform=axes.transAxes,
                      fontsize=6, ha="right", va="center")  # fmt: skip
        elif bases is self.sheet.panels[-1].bases:
            self._colour_bar(image)

    def _colour_bar(self, image: AxesImage) -> None:
        """Of all heat maps, in the lower right corner."""
        axes = self._axes(self._wide - EDGE - 1.75, self._high - EDGE - 0.2, 1.6, 0.08)
        bar = self.figure.colorbar(image, cax=axes, orientation="horizontal")
        outline: Any = bar.outline
        outline.set_visible(False)
        shown = _few_ticks(-self._limit, self._limit, 3)
        bar.set_ticks(shown, labels=[tick_text(value) for value in shown])
        axes.tick_params(labelsize=6, length=2, pad=1.5)

    def _bar(self, panel: Panel, column: int, bars: Bars, axes: Axes, *, last: bool) -> None:
        value, deviation = panel.bars[column]
        alike = [panel] if self.sheet.scale_each else self.sheet.panels
        low, high = _bar_reach([other.bars[column] for other in alike])
        axes.set(xlim=(low, high), ylim=(-1, 1))
        axes.set_yticks([])
        axes.set_xticks([])
        axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
        axes.axvline(0, color=GREY, linewidth=0.6)
        if math.isfinite(value):
            axes.barh(0, value, height=min(1.2, 0.3 / self._sizes.row), color=bars.colour, linewidth=0)
        if math.isfinite(deviation):
            axes.errorbar(value, 0, xerr=deviation, color="#1b1f24", linewidth=0.8, capsize=1.5)
        text = number(value).replace("-", "−")
        axes.text(1.04, 0.5, text, transform=axes.transAxes, fontsize=6.5, va="center")
        if last or self.sheet.scale_each:
            axes.spines["bottom"].set_visible(True)
            inside = _few_ticks(low, high, 2)
            axes.set_xticks(inside, [tick_text(tick) for tick in inside])
            axes.tick_params(axis="x", labelsize=6, length=2, pad=1.5)


def _few_ticks(low: float, high: float, count: int) -> list[float]:
    """About ``count`` round numbers, two at least.

    Parameters
    ----------
    low, high : a range with room for them
    """
    tried = (ticks(low, high, number_) for number_ in range(count, 9))
    return next((found for found in tried if len(found) > 1), [0.0])


def _bar_reach(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The range that holds all bars with their deviations, 0 included."""
    ends = [v + sign * (sd if math.isfinite(sd) else 0.0) for v, sd in values if math.isfinite(v) for sign in (-1, 1)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    room = 0.05 * (high - low) or 0.5
    return low - (room if low < 0 else 0.0), high + room


def _number_positions(axes: Axes, section: Section, *, wide: float) -> None:
    """Ticks at round coordinates of the genome, which fall from left to right on the reverse strand; at round
    positions where there are none."""
    place, first, last = section.place, section.first, section.first + section.columns
    low, high = place.span(first, last) if place.on_genome else (first, last)
    most = max(1, min(section.columns, int(wide / (0.35 + text_width(f"{high:,}", SMALL)))))
    shown = [int(value) for value in ticks(low, high - 1, most) if value == int(value)] or [low]
    at = [(high - 1 - value if place.flipped and place.on_genome else value - low) for value in shown]
    axes.set_xticks(at, [f"{value:,}" for value in shown])
    axes.tick_params(axis="x", labelsize=SMALL, length=3, pad=2)
    where = f"{place.chrom}{', reverse strand' if place.flipped else ''}"
    axes.set_xlabel(where if place.on_genome else "position in the sequence", fontsize=SMALL, labelpad=1)
    axes.spines["bottom"].set_visible(True)
