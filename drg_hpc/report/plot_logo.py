"""Letters and heat maps of attributions on matplotlib's axes, and :func:`plot_attribution` for arrays in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from numpy.typing import ArrayLike, NDArray

from drg_hpc.errors import UsageError
from drg_hpc.report.charts import ticks
from drg_hpc.report.logos import BASE_COLOURS, BASES, outline, span_of

Values = NDArray[np.float64]
_GAP = 0.06
"""Share of a column between two letters."""
_SMALLEST_DOT = 1.0  # points
_HEAT_SHARE = 0.32
"""Of the axes that a heat map takes."""
_LINE = "#8c959f"


def _bottoms(heights: Values) -> Values:
    """Where each letter of a stack begins, (4, n) signed: in each column the smallest letters next to the line."""
    found = np.zeros_like(heights)
    for sign in (1.0, -1.0):
        sizes = np.maximum(heights * sign, 0)
        order = np.argsort(sizes, axis=0, kind="stable")
        ordered = np.take_along_axis(sizes, order, axis=0)
        below = np.empty_like(sizes)
        np.put_along_axis(below, order, np.cumsum(ordered, axis=0) - ordered, axis=0)
        found[sizes > 0] = sign * below[sizes > 0]
    return found


def draw_letters(axes: Axes, heights: Values) -> None:
    """Letters of signed heights, those below the line upside down; column ``i`` is centred at ``i``.

    One path holds all letters of a base, so that a figure of many tracks is drawn, and is stored, in little time.

    Parameters
    ----------
    heights : (4, n) finite
    """
    bottoms = _bottoms(heights)
    for number, base in enumerate(BASES):
        columns = np.flatnonzero(heights[number])
        if not len(columns):
            continue
        unit, codes = outline(base)
        x = columns[:, None] - 0.5 + _GAP / 2 + (1 - _GAP) * unit[:, 0]
        y = bottoms[number, columns][:, None] + heights[number, columns][:, None] * unit[:, 1]
        path = Path(np.stack([x, y], axis=2).reshape(-1, 2), np.tile(codes, len(columns)))
        letters = PathPatch(path, facecolor=BASE_COLOURS[base], edgecolor="none", linewidth=0)
        axes.add_artist(letters)  # add_patch looks for the reach of every curve, and the limits are known
    axes.axhline(0, color=_LINE, linewidth=0.6, zorder=0)
    axes.set_xlim(-0.5, heights.shape[1] - 0.5)


def draw_bases(axes: Axes, values: Values, *, limit: float, there: NDArray[np.bool_] | None) -> AxesImage:
    """The values of all four bases as colours, red above 0 and blue below.

    Parameters
    ----------
    values : (4, n) finite
    limit : |value| that has the strongest colour
    there : (4, n), the sequence, whose bases get a dot where there is room for it
    """
    count = values.shape[1]
    image = axes.imshow(
        values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest",
        extent=(-0.5, count - 0.5, 3.5, -0.5),
    )  # fmt: skip
    if there is not None:
        rows, columns = np.nonzero(there)
        figure = axes.get_figure(root=True)
        assert figure is not None, "axes belong to a figure"
        wide, high = axes.get_position().size * figure.get_size_inches() * 72
        size = 0.3 * min(wide / count, high / 4)
        if size > _SMALLEST_DOT:
            axes.plot(columns, rows, "o", color="#1b1f24", markersize=size, markeredgewidth=0)
    axes.set_yticks(range(4), list(BASES))
    axes.tick_params(axis="y", length=0, labelsize=6, pad=2)
    axes.set_xlim(-0.5, count - 0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image


def largest(values: Values) -> float:
    """Largest |value|, 1 where all are 0."""
    return float(np.abs(values).max(initial=0.0)) or 1.0


def _checked(values: Any, what: str) -> Values:
    found = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if found.ndim != 2 or found.shape[0] != 4 or not found.shape[1]:
        raise UsageError(f"{what} has shape {found.shape}, (4, length) is needed", fix="rows are A, C, G, T")
    found = found.astype(np.float64)
    if not np.isfinite(found).all():
        raise UsageError(f"{what} holds values that are not finite")
    return found


def plot_attribution(attribution: ArrayLike, heatmap: ArrayLike | None = None, ax: Axes | None = None) -> Axes:
    """A sequence logo of attributions, and below it the values of all four bases.

    Parameters
    ----------
    attribution : (4, length) heights of the letters, rows A, C, G, T; an attribution of all bases times the one-hot
        sequence gives the usual logo
    heatmap : (4, length) values to show as colours in the lower part of the axes; where each column of
        ``attribution`` has one letter at most, the base that is there gets a dot
    ax : axes to draw on (default: a new figure of matplotlib.pyplot)

    Returns
    -------
    axes of the logo; positions from 0 are its x, so that ``set_xlim(a - 0.5, b - 0.5)`` shows positions a to b

    Raises
    ------
    UsageError : another shape, shapes that differ, or values that are not finite
    """
    heights = _checked(attribution, "the attribution")
    values = None if heatmap is None else _checked(heatmap, "the heat map")
    if values is not None and values.shape != heights.shape:
        raise UsageError(f"the heat map has {values.shape[1]} columns, the attribution {heights.shape[1]}")
    if ax is None:
        from matplotlib import pyplot

        size = (float(np.clip(0.14 * heights.shape[1], 4, 16)), 2.0 if values is None else 2.8)
        ax = pyplot.subplots(figsize=size, layout="constrained")[1]
    draw_letters(ax, heights)
    low, high = span_of(heights)
    ax.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_ylabel("attribution")
    if values is not None:
        _below(ax, values, heights)
    return ax


def _below(ax: Axes, values: Values, heights: Values) -> None:
    """The heat map in the lower part of the axes, which the logo leaves free, with its colour bar."""
    low, high = ax.get_ylim()
    ax.set_ylim(high - (high - low) / (1 - _HEAT_SHARE - 0.03), high)
    ax.set_yticks([value for value in ticks(low, high) if low <= value <= high])
    ax.spines["left"].set_bounds(low, high)
    below = ax.inset_axes((0.0, 0.0, 1.0, _HEAT_SHARE), sharex=ax)
    one = (np.count_nonzero(heights, axis=0) <= 1).all()
    image = draw_bases(below, values, limit=largest(values), there=heights != 0 if one else None)
    below.tick_params(axis="x", bottom=False, labelbottom=False)
    figure = ax.get_figure(root=True)
    assert figure is not None, "axes belong to a figure"
    figure.colorbar(image, cax=ax.inset_axes((1.01, 0.0, 0.012, _HEAT_SHARE)))
