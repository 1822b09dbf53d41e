"""What drg-plot draws, read from a file of attributions: sections of panels."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import counted
from drg_hpc.report.figure_style import GREY, colour
from drg_hpc.report.method_words import params_words
from drg_hpc.report.places import Place, gene_words
from drg_hpc.report.plot_choice import Chosen, choose_regions, choose_tracks, choose_window
from drg_hpc.report.plot_config import PlotOptions, parse_window
from drg_hpc.report.plot_measured import Measured
from drg_hpc.report.plot_sheet import Bars, Panel, Section, Sheet
from drg_hpc.report.statistic_words import scale_of, statistic_words
from drg_hpc.results.attributions_read import Form
from drg_hpc.results.reader import Attributions, list_inputs, read_attributions

log = logging.getLogger(__name__)

Bar = tuple[float, float]


def read_sheet(options: PlotOptions) -> Sheet:
    """All that the figure shows.

    Raises
    ------
    UsageError : regions, tracks or a window that are not there; a heat map that the file does not hold
    InputError : a region that was not attributed, or no such file
    """
    with ExitStack() as stack:
        opened = list(_open(options, stack))
        first = opened[0]
        tracks = choose_tracks(options.tracks, list(first.tracks))
        chosen = choose_regions(options.regions, first.regions)
        measured = _measured(options, first, tracks)
        sections = []
        for region in chosen:
            bars = [_bars(first, region.row, track, options.predicted, measured) for track in tracks]
            for found in opened if region.part is None else opened[:1]:
                sections.append(_section(found, region, tracks, bars, options))
        _tell_short(sections, options)
        return Sheet(
            sections=tuple(sections),
            caption=_caption(first, tracks, options),
            bars=tuple(_columns(first, options.predicted, measured)),
            scale_each=options.scale_each,
            letter_width=options.letter_width,
            row_height=options.row_height,
        )


def _tell_short(sections: Sequence[Section], options: PlotOptions) -> None:
    """Say it where fewer bases are there than ``--window strongest:N`` asks for."""
    window = parse_window(options.window or "all")
    short = [section for section in sections if window.kind == "strongest" and section.columns < window.last]
    if short:
        first, others = short[0], len(short) - 1
        more = f" ({counted(others, 'more region')} likewise)" if others else ""
        bases = counted(first.columns, "base")
        log.info(
            "--window %s: region %r has only %s, the whole region is drawn%s",
            options.window,
            first.place.name,
            bases,
            more,
        )


def _open(options: PlotOptions, stack: ExitStack) -> Iterator[Attributions]:
    """The file, once for every input that is drawn."""
    names = list_inputs(options.attributions)
    wanted: Sequence[str | None] = names if names and options.input is None else [options.input]
    for name in wanted:
        found = stack.enter_context(read_attributions(options.attributions, name))
        if not found.tracks:
            raise InputError(f"{found.path} holds attention scores and no attributions of bases")
        if not found.by_base:
            raise InputError(f"{found.path} holds no attributions of bases: substitutions were not among its edits")
        yield found


def _measured(options: PlotOptions, found: Attributions, tracks: Sequence[str]) -> Measured | None:
    return None if options.measured is None else Measured(options.measured, found, tracks)


def _columns(found: Attributions, predicted: bool, measured: Measured | None) -> Iterator[Bars]:
    if predicted:
        params = found.attributes.get("params", {})
        of = " statistic" if statistic_words(params) else ", link scale" if scale_of(params) == "link" else ""
        yield Bars(f"predicted{of}", colour(0))
    if measured is not None:
        yield Bars(measured.title, GREY)


def _bars(found: Attributions, row: int, track: str, predicted: bool, measured: Measured | None) -> tuple[Bar, ...]:
    bars = []
    if predicted:
        group = found.tracks[track]
        sd = float(group["prediction_sd"][row]) if "prediction_sd" in group else math.nan
        bars.append((float(group["prediction"][row]), sd))
    if measured is not None:
        bars.append((measured.value(row, track), math.nan))
    return tuple(bars)


def _section(
    found: Attributions, chosen: Chosen, tracks: Sequence[str], bars: Sequence[tuple[Bar, ...]], options: PlotOptions
) -> Section:
    row, region = chosen.row, found.regions.iloc[chosen.row]
    place = Place.of(region, stranded=bool(found.attributes.get("stranded", False)), length=found.length)
    values = np.stack([_row(found.projected(track, row, row + 1), found, track, row) for track in tracks])
    what = f"input {found.input!r} of region {place.name!r}" if found.input else f"region {place.name!r}"
    first, last = choose_window(options.window, chosen, place, values=values, what=what)
    there = np.asarray(found.sequences[row], np.bool_)[:, first:last]
    panels = []
    for track, projected, own in zip(tracks, values, bars, strict=True):
        bases = _four(found, track, row)[:, first:last] if options.heatmap else None
        panels.append(Panel(track, there * projected[first:last], bases, own))
    title = _title(region, place, first, last) + (f", input {found.input}" if found.input else "")
    return Section(title, place, first, there, tuple(panels))


def _row(values: NDArray[Any], found: Attributions, track: str, row: int) -> NDArray[np.float64]:
    """The one row of ``values``."""
    if not np.isfinite(values).all():
        raise InputError(f"{found.path}: row {row} of track {track!r} holds values that are not finite")
    return np.asarray(values[0], np.float64)


def _title(region: Any, place: Place, first: int, last: int) -> str:
    """Name and place of what is shown; of a gene also which exon or site."""
    words = place.words(first, last)
    named = not place.on_genome or place.name.startswith(f"{place.chrom}:")  # by the place alone
    lead = gene_words(region) or ("" if named else place.name)
    return f"{lead}  {words}" if lead else words


def stored_form(found: Attributions, track: str) -> Form | None:
    """The four-base form to show, None where only projections were kept."""
    form = found.form(track)
    if form is not None:
        return form
    held = found.tracks[track].get("top", found.tracks[track])
    return Form("global", held["global"], positions=held.get("positions")) if "global" in held else None


def _four(found: Attributions, track: str, row: int) -> NDArray[np.float64]:
    form = stored_form(found, track)
    if form is None:
        raise UsageError(
            f"--heatmap: {found.path} holds the attributions of the bases that are there only",
            fix="leave it out, or run drg-attr again with --keep hypothetical",
        )
    return _row(form.read(row, row + 1, length=found.length), found, track, row)


def _caption(found: Attributions, tracks: Sequence[str], options: PlotOptions) -> str:
    """What letters and colours are."""
    params = found.attributes.get("params", {})
    text = f"Letters: contribution of the base that is there by {params_words(params)}"
    text += f", to {words}" if (words := statistic_words(params)) else ""
    if scale_of(params) == "link" or (words and "genes" not in params):
        text += f", on the {scale_of(params)} scale"
    if "top" in found.tracks[tracks[0]]:
        text += f"; only the {found.tracks[tracks[0]]['top/positions'].shape[1]} strongest positions were kept"
    if options.heatmap and (form := stored_form(found, tracks[0])) is not None:
        text += f". Colours: {'contribution' if form.name == 'contribution' else f'{form.name} form'} of every base"
    return f"{text}."
