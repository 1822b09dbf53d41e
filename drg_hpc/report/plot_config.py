"""Options of drg-plot; light, so that ``--help`` needs nothing but pydantic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import field_validator, model_validator

from drg_hpc.config import Options, flag, positional

SUMMARY = "Draw attributions as sequence logos: regions and tracks one below the other, as PDF, SVG or PNG."
EPILOG = """examples:
  drg-plot ATTR --regions peak_12 -o peak_12.pdf
  drg-plot ATTR --regions chr9:131790000-131790060 --heatmap -o site.svg
  drg-plot ATTR --regions 0,7 --tracks Bulk_B,Mono --window strongest:60 --predicted --measured STORE -o two.png
"""
FORMATS = ("pdf", "svg", "png")
_SPAN = re.compile(r"(\d+)-(\d+)")
_STRONGEST = re.compile(r"strongest:(\d+)")


@dataclass(frozen=True)
class Window:
    """Which positions of a sequence are shown.

    Parameters
    ----------
    kind : all of them, those around the strongest stretch, or ``first`` to ``last``
    first, last : positions, 0-based and half-open; of ``strongest`` only ``last``, their number
    """

    kind: Literal["all", "strongest", "span"]
    first: int = 0
    last: int = 0


def parse_window(text: str) -> Window:
    """``all``, ``a-b`` or ``strongest:N``.

    Raises
    ------
    ValueError : anything else
    """
    if text == "all":
        return Window("all")
    if (found := _STRONGEST.fullmatch(text)) and int(found[1]) > 0:
        return Window("strongest", 0, int(found[1]))
    if (found := _SPAN.fullmatch(text)) and int(found[1]) < int(found[2]):
        return Window("span", int(found[1]), int(found[2]))
    raise ValueError("a-b (positions from 0, a below b), strongest:N or all is needed")


class PlotOptions(Options):
    """Options of drg-plot."""

    attributions: Path = positional(help="run of drg-attr, or its out.h5", metavar="ATTR.h5")
    regions: tuple[str, ...] = flag(
        help="names of regions, names or ids of genes where rows are genes, row numbers from 0, or chrom:start-end, "
        "separated by commas; of a region that holds chrom:start-end and more, that part is shown",
        metavar="A,B",
    )
    tracks: str = flag("all", help="all, or names separated by commas; drawn in this order", metavar="A,B")
    window: str | None = flag(
        None, help="positions a-b of the sequence (from 0, b excluded), strongest:N for N bases around the 30 with the "
        "largest |sum| over the tracks shown, or all (default: strongest:100)", metavar="a-b|strongest:N|all",
    )  # fmt: skip
    input: str | None = flag(
        None, help="of a model that takes several sequences, the one to draw (default: all of them)", metavar="NAME"
    )
    heatmap: bool = flag(
        False, help="below each logo the values of all four bases; the file must hold them (--keep hypothetical)"
    )
    predicted: bool = flag(False, help="beside each logo a bar of the prediction, with its s.d. of several models")
    measured: Path | None = flag(
        None, help="beside each logo a bar of the target in a dataset store (of bins, their total)", metavar="STORE"
    )
    scale_each: bool = flag(False, help="an axis of its own for each logo (default: one scale for all)")
    letter_width: float | None = flag(
        None, help="of a base, in inches (default: 0.25, less in windows of more than 40 bases)", metavar="INCH", gt=0
    )
    row_height: float | None = flag(
        None, help="of a logo, in inches (default: 1.2, less for several tracks)", metavar="INCH", gt=0
    )
    dpi: int = flag(200, help="dots per inch of a PNG", ge=30, le=1200)
    out: Path = flag(
        help="figure to write, which must not exist yet; its ending says the format", metavar="FIG.pdf|svg|png",
        short="-o",
    )  # fmt: skip

    @field_validator("window")
    @classmethod
    def _known_window(cls, value: str | None) -> str | None:
        if value is not None:
            parse_window(value)
        return value

    @model_validator(mode="after")
    def _known_format(self) -> PlotOptions:
        if self.format not in FORMATS:
            raise ValueError(f"-o {self.out}: the ending must be .pdf, .svg or .png")
        return self

    @property
    def format(self) -> str:
        """pdf, svg or png."""
        return self.out.suffix.lower().lstrip(".")
