"""What a figure of drg-plot shows, and how large it is. Sizes are in inches, so that letters have one width."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from drg_hpc.errors import UsageError
from drg_hpc.report.figure_style import short
from drg_hpc.report.places import Place

EDGE, TITLE, HEAD, AXIS, CAPTION, BETWEEN, GAP, Y_TICKS = 0.12, 0.26, 0.16, 0.34, 0.24, 0.2, 0.08, 0.42
BAR, BAR_COLUMN = 0.8, 1.45
SMALL, LINE = 7, 0.14
NAME = 32
"""Letters of a track's name that are shown."""
_LETTER, _FULL, _SMALLEST = 0.25, 10.0, 0.035
_HEIGHTS = ((1, 1.2), (4, 0.8), (12, 0.55))
_LOWEST = 0.36
_COLOUR_BAR, _NARROWEST, _LAST_LABEL = 2.2, 5.5, 0.25
_LARGEST_INCHES, _LARGEST_SIDE, _LARGEST_PIXELS = 200.0, 65_000, 4e8
"""What a page of a PDF, and a PNG, can have."""


@dataclass(frozen=True)
class Bars:
    """A column of bars beside the logos.

    Parameters
    ----------
    title : above it
    colour : of its bars
    """

    title: str
    colour: str


@dataclass(frozen=True)
class Panel:
    """One logo.

    Parameters
    ----------
    title : of the track
    heights : (4, n) letters
    bases : (4, n) values of the heat map, None for none
    bars : (value, standard deviation) for each column of bars; NaN where there is none
    """

    title: str
    heights: NDArray[np.float64]
    bases: NDArray[np.float64] | None
    bars: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Section:
    """The panels of one sequence, on one axis.

    Parameters
    ----------
    first : position of the first column
    there : (4, n) the bases of the sequence
    """

    title: str
    place: Place
    first: int
    there: NDArray[np.bool_]
    panels: tuple[Panel, ...]

    @property
    def columns(self) -> int:
        """Positions shown."""
        return int(self.there.shape[1])


@dataclass(frozen=True)
class Sheet:
    """All that a figure shows.

    Parameters
    ----------
    caption : below it
    bars : columns of bars
    scale_each : an axis of its own for each panel
    letter_width, row_height : inches, None for what fits
    """

    sections: tuple[Section, ...]
    caption: str
    bars: tuple[Bars, ...] = ()
    scale_each: bool = False
    letter_width: float | None = None
    row_height: float | None = None

    @cached_property
    def panels(self) -> list[Panel]:
        """Of all sections."""
        return [panel for section in self.sections for panel in section.panels]

    @cached_property
    def heatmap(self) -> bool:
        """Panels have one."""
        return self.panels[0].bases is not None

    @cached_property
    def sizes(self) -> Sizes:
        """Of what is drawn."""
        columns = max(section.columns for section in self.sections)
        fitting = max(_SMALLEST, min(_LETTER, _FULL / columns))
        count = max(len(section.panels) for section in self.sections)
        height = self.row_height or next((high for most, high in _HEIGHTS if count <= most), _LOWEST)
        names = max(text_width(short(panel.title, NAME), 8) for panel in self.panels)
        return Sizes(
            letter=self.letter_width or fitting,
            row=height,
            heat=max(0.3, 0.42 * height) if self.heatmap else 0.0,
            left=EDGE + names + 0.1 + Y_TICKS,
        )

    def panel_height(self) -> float:
        """Of one panel with all that belongs to it."""
        return self.sizes.row + GAP + (self.sizes.heat + GAP / 2 if self.heatmap else 0.0)

    def section_height(self, section: Section) -> float:
        """Of one section with its title and axis."""
        head = TITLE + (HEAD if self.bars else 0.0)
        return head + len(section.panels) * self.panel_height() + AXIS

    @cached_property
    def width(self) -> float:
        """Of the figure."""
        wide = max(section.columns for section in self.sections) * self.sizes.letter
        titles = max(text_width(section.title, 9) for section in self.sections)
        right = self.sizes.left + wide + max(len(self.bars) * BAR_COLUMN, _LAST_LABEL)
        return max(right, titles + EDGE, _NARROWEST) + EDGE

    @cached_property
    def caption_lines(self) -> list[str]:
        """The caption, cut to the width of the figure."""
        room = self.width - 2 * EDGE - (_COLOUR_BAR if self.heatmap and not self.scale_each else 0.0)
        lines = [""]
        for word in self.caption.split():
            longer = f"{lines[-1]} {word}".strip()
            if text_width(longer, SMALL) > room and lines[-1]:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines

    @cached_property
    def height(self) -> float:
        """Of the figure."""
        heights = sum(self.section_height(section) for section in self.sections) + BETWEEN * (len(self.sections) - 1)
        return 2 * EDGE + heights + max(CAPTION, 0.12 + LINE * len(self.caption_lines))


@dataclass(frozen=True)
class Sizes:
    """Inches: width of a letter, heights of a logo and of a heat map, and where the logos begin."""

    letter: float
    row: float
    heat: float
    left: float


@lru_cache(maxsize=4096)
def text_width(text: str, size: float) -> float:
    """Width in inches."""
    if not text.strip():
        return 0.0
    path = TextPath((0, 0), text, size=size, prop=FontProperties(family="DejaVu Sans"))
    return float(path.get_extents().width) / 72


def check_size(sheet: Sheet, *, dpi: int | None) -> None:
    """Refuse a figure that no file of its kind can hold.

    Parameters
    ----------
    dpi : of a PNG, None for a page

    Raises
    ------
    UsageError : too large
    """
    wide, high = sheet.width, sheet.height
    most = _LARGEST_INCHES
    if dpi is not None:
        most = min(most, _LARGEST_SIDE / dpi, _LARGEST_PIXELS / dpi**2 / min(wide, high))
    if max(wide, high) > most:
        dots = f" at {dpi} dpi" if dpi else ""
        raise UsageError(
            f"the figure would be {wide:.0f} by {high:.0f} inches{dots}, more than {most:.0f}",
            fix="fewer regions or tracks, a narrower --window, or smaller --letter-width or --row-height",
        )
