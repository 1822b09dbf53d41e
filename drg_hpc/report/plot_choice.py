"""Which rows, tracks and positions of a file of attributions a figure shows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.config import nearest
from drg_hpc.errors import InputError, UsageError
from drg_hpc.report.places import Place, singular
from drg_hpc.report.plot_config import Window, parse_window
from drg_hpc.report.windows import strongest_window
from drg_hpc.results.layout import SHUFFLES

_INTERVAL = re.compile(r"(.+):(\d+)-(\d+)")
_VERSION = re.compile(r"\.\d+(?=$|_)")
_LISTED = 6
_SEARCHED = 20_000
"""Names among which the one that may have been meant is looked for: more take too long."""
DEFAULT_WINDOW = Window("strongest", 0, 100)


@dataclass(frozen=True)
class Chosen:
    """A row of the file.

    Parameters
    ----------
    part : genome interval that was asked for, where it is less than the region
    """

    row: int
    part: tuple[int, int] | None = None


@dataclass(frozen=True)
class Names:
    """Row numbers by name, and by what the genes of rows are called.

    Parameters
    ----------
    genes : by gene_name, and by gene_id with and without its version; empty where rows are no genes
    """

    rows: dict[str, list[int]]
    genes: dict[str, list[int]]

    @classmethod
    def of(cls, regions: pd.DataFrame) -> Names:
        """Those of a table of regions."""
        rows: dict[str, list[int]] = {}
        genes: dict[str, list[int]] = {}
        for number, name in enumerate(regions["name"].astype(str)):
            rows.setdefault(name, []).append(number)
        columns = [list(regions[name].astype(str)) if name in regions else [] for name in ("gene_name", "gene_id")]
        for number, (name, gene) in enumerate(zip_longest(*columns, fillvalue="")):
            for called in {name, gene, _VERSION.sub("", gene)} - {""}:
                genes.setdefault(called, []).append(number)
        return cls(rows, genes)

    @property
    def all(self) -> set[str]:
        """Of rows and genes."""
        return {*self.rows, *self.genes}


def choose_regions(texts: Sequence[str], regions: pd.DataFrame) -> list[Chosen]:
    """Rows by name, name or id of their gene, number or ``chrom:start-end``, in the order given.

    A text that is the name of a row is taken whole, any other is cut at its commas.

    Raises
    ------
    UsageError : names or intervals that stand for several rows
    InputError : no such row, or one that was not kept (its reason is named)
    """
    known = Names.of(regions)
    wanted = [item.strip() for text in texts for item in ([text] if text in known.all else text.split(","))]
    found = [_choose(item, known, regions) for item in wanted if item]
    if not found:
        raise UsageError(f"--regions {','.join(texts)}: nothing is named", fix="give names, numbers or chrom:start-end")
    for chosen in found:
        region = regions.iloc[chosen.row]
        if not region["kept"]:
            reason = f": {region['reason']}" if region["reason"] else ""
            raise InputError(
                f"region {region['name']!r} (row {chosen.row}) was not attributed{reason}", fix="choose other regions"
            )
    return found


def _choose(text: str, known: Names, regions: pd.DataFrame) -> Chosen:
    if text in known.rows:
        return Chosen(_only(np.array(known.rows[text]), f"--regions {text}: the name of"))
    if text in known.genes:
        return Chosen(_of_gene(text, known.genes[text], regions))
    if text.isdecimal():
        if int(text) >= len(regions):
            raise InputError(f"--regions {text}: the file has rows 0 to {len(regions) - 1}")
        return Chosen(int(text))
    if found := _INTERVAL.fullmatch(text):
        return _by_interval(text, found[1], int(found[2]), int(found[3]), regions)
    raise InputError(f"--regions {text}: no region of that name", fix=_near(text, known.all))


def _near(text: str, known: set[str]) -> str:
    """A name that may have been meant; a list of all of them would say nothing."""
    close = difflib.get_close_matches(text, sorted(known), n=1) if len(known) <= _SEARCHED else []
    return f"did you mean {close[0]!r}?" if close else "row numbers and chrom:start-end will do too"


def _by_interval(text: str, chrom: str, start: int, end: int, regions: pd.DataFrame) -> Chosen:
    if start >= end:
        raise UsageError(f"--regions {text}: the end must lie behind the start", fix="0-based, half-open")
    given = ~regions["origin"].isin(SHUFFLES) & (regions["chrom"] == chrom)
    starts, ends = regions["start"], regions["end"]
    same = np.flatnonzero(given & (starts == start) & (ends == end))
    if len(same):
        return Chosen(_only(same, f"--regions {text}: the interval of"))
    around = np.flatnonzero(given & regions["kept"] & (starts <= start) & (ends >= end))
    if not len(around):
        raise InputError(f"--regions {text}: no region of the file holds it", fix="give a name or a row number")
    return Chosen(_only(around, f"--regions {text}: lies in"), (start, end))


def _of_gene(text: str, rows: Sequence[int], regions: pd.DataFrame) -> int:
    """The row of a gene; of several those that were attributed count."""
    kept = [row for row in rows if regions["kept"].iloc[row]]
    if len(kept) < 2:
        return (kept or list(rows))[0]
    choices = regions["choice"] if "choice" in regions else regions["name"]
    listed = "; ".join(f"{row} ({singular(str(choices.iloc[row]))})" for row in kept[:_LISTED])
    more = " …" if len(kept) > _LISTED else ""
    raise UsageError(f"--regions {text}: the gene of {len(kept)} rows", fix=f"give the number of one: {listed}{more}")


def _only(rows: NDArray[np.intp], lead: str) -> int:
    if len(rows) > 1:
        listed = ", ".join(map(str, rows[:_LISTED])) + (" …" if len(rows) > _LISTED else "")
        raise UsageError(f"{lead} {len(rows)} rows", fix=f"give the number of one: {listed}")
    return int(rows[0])


def choose_tracks(text: str, known: Sequence[str]) -> list[str]:
    """``all``, or names separated by commas, in the order given.

    Raises
    ------
    UsageError : no such track, or one named twice
    """
    if text == "all" and "all" not in known:
        return list(known)
    wanted = [text] if text in known else [item.strip() for item in text.split(",")]
    for number, name in enumerate(wanted):
        if name not in known:
            raise UsageError(f"--tracks: no track {name!r}", fix=nearest(name, known))
        if name in wanted[:number]:
            raise UsageError(f"--tracks: {name!r} is named twice")
    return wanted


def choose_window(
    text: str | None, chosen: Chosen, place: Place, *, values: NDArray[np.floating], what: str
) -> tuple[int, int]:
    """First and last (exclusive) position to show.

    Parameters
    ----------
    text : of ``--window``
    values : (tracks, length) of the row
    what : the sequence, for messages

    Raises
    ------
    UsageError : a window outside the sequence; ``--window`` besides a part of a region, or of one without coordinates
    """
    length = values.shape[1]
    if chosen.part is not None:
        part = f"--regions {place.chrom}:{chosen.part[0]}-{chosen.part[1]} is a part of region {place.name!r}"
        if text is not None:
            raise UsageError(
                f"{part} and says itself what is shown", fix=f"leave out --window {text}, or name the region"
            )
        if not place.on_genome:
            raise UsageError(f"{part}, whose bases have no coordinates", fix="name the region and give --window a-b")
        return place.positions(*chosen.part)
    window = DEFAULT_WINDOW if text is None else parse_window(text)
    if window.kind == "all":
        return 0, length
    if window.kind == "strongest":
        return strongest_window(values, min(window.last, length))
    if window.last > length:
        raise UsageError(f"--window {text}: {what} has {length} bases", fix="positions count from 0 in each sequence")
    return window.first, window.last
