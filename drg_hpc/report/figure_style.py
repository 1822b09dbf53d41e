"""Figures as files: one look for all, PNG to look at and PDF for print, equal bytes for equal data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c7300")
"""Okabe and Ito's palette, the yellow darkened: readers with colour-vision deficiency can tell them apart."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#8c959f"
_DPI = 160
_STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.spines.top": False, "axes.spines.right": False,
    "axes.linewidth": 0.7, "axes.axisbelow": True, "axes.unicode_minus": True, "legend.frameon": False,
    "lines.linewidth": 1.5, "pdf.fonttype": 42, "path.simplify": True, "text.parse_math": False,
    "svg.fonttype": "none", "svg.hashsalt": "drg",
}  # fmt: skip
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}, "svg": {"Date": None, "Creator": None},
}  # fmt: skip
Panels = NDArray[Any]


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, for what is drawn and saved inside."""
    with matplotlib.rc_context(_STYLE):
        yield


def save(drawn: Figure, path: Path, *, dpi: int) -> None:
    """Write a PNG, PDF or SVG, by the ending; equal figures give equal bytes. To be called inside :func:`style`.

    Parameters
    ----------
    dpi : of a PNG, and of the images in the others
    """
    drawn.savefig(path, dpi=dpi, metadata=_METADATA[path.suffix.lower().lstrip(".")])


@contextmanager
def figure(
    path: Path, *, size: tuple[float, float], rows: int = 1, columns: int = 1
) -> Iterator[tuple[Figure, Panels]]:
    """A figure with ``(rows, columns)`` axes, saved as ``path``.png and ``path``.pdf when the block ends well.

    Parameters
    ----------
    path : without an ending
    size : width and height in inches
    """
    with style():
        drawn = Figure(figsize=size, layout="constrained")
        panels: Panels = drawn.subplots(rows, columns, squeeze=False)
        yield drawn, panels
        drawn.draw_without_rendering()
        drawn.set_layout_engine("none")  # laid out once for both files
        save(drawn, path.with_name(f"{path.name}.png"), dpi=_DPI)
        save(drawn, path.with_name(f"{path.name}.pdf"), dpi=300)


def short(name: str, limit: int = 26) -> str:
    """A name of at most ``limit`` characters: long ones lose their middle."""
    kept = limit - 1
    cut = name if len(name) <= limit else f"{name[: kept - kept // 2]}…{name[len(name) - kept // 2 :]}"
    return f" {cut}" if cut.startswith("_") else cut  # legends leave out labels that begin with an underscore


def colour(number: int) -> str:
    """Colour of the ``number``-th of several things."""
    return COLOURS[number % len(COLOURS)]


def marker(number: int) -> str:
    """Marker of the ``number``-th of several things; together with the colour it tells 56 apart."""
    return MARKERS[number % (len(MARKERS) - 1)]


def grid(axes: Axes, axis: Literal["both", "x", "y"] = "both") -> None:
    """Light lines behind the data."""
    axes.grid(visible=True, axis=axis, color="#e7ebef", linewidth=0.7)


def spread(count: int, width: float) -> NDArray[np.float64]:
    """Offsets of ``count`` points from -width/2 to width/2 that look random and are the same every time: multiples of
    the golden ratio."""
    found = ((np.arange(count, dtype=np.float64) * 0.6180339887498949) % 1.0 - 0.5) * width
    return found.astype(np.float64)


def legend_above(axes: Axes, *, width: float) -> None:
    """The legend of ``axes`` above the whole figure, in as many columns as ``width`` inches hold."""
    handles, labels = axes.get_legend_handles_labels()
    each = 0.45 + 0.075 * max(map(len, labels), default=1)
    drawn = axes.get_figure(root=True)
    assert drawn is not None, "axes belong to a figure"
    drawn.legend(handles, labels, loc="outside upper left", ncols=int(np.clip(width // each, 1, len(labels))))
