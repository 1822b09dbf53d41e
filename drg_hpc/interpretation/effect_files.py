"""What ``drg-motifs --effects`` adds to its folder: effects.h5, and four tables of text."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from drg_hpc.files import table_text, write_atomic
from drg_hpc.interpretation.cooccurrence import Pairs, cooccurrence
from drg_hpc.interpretation.effects import (
    STATISTICS,
    RegionEffects,
    TrackEffects,
    effects_of,
    region_effects,
    track_effects,
)
from drg_hpc.interpretation.effects_config import EffectFlags
from drg_hpc.interpretation.motif_files import NamedMotif
from drg_hpc.interpretation.sites import sites_of
from drg_hpc.interpretation.spacing import MEASURES, PEAK, REACH, Spacing, spacing
from drg_hpc.results.effects import NAME, write_effects
from drg_hpc.results.seqlets import Seqlets

log = logging.getLogger(__name__)

TABLES = ("motif_tracks.tsv", "motif_regions.tsv", "motif_pairs.tsv", "motif_spacing.tsv")


def write_effect_files(
    folder: Path, named: Sequence[NamedMotif], seqlets: Seqlets, options: EffectFlags, *, attributes: dict[str, Any]
) -> None:
    """Compute effects, pairs and spacing, and write them into ``folder``.

    Parameters
    ----------
    attributes : root attributes of the motif file, which say what the folder was made from
    """
    motifs, names = [item.motif for item in named], [item.name for item in named]
    tracks = [str(name) for name in seqlets.attributes["tracks"]]
    found = effects_of(motifs, seqlets, options.effect_value)
    used = np.unique(seqlets.table["track"].to_numpy(np.int64))
    cells = region_effects(found, tracks=max(len(used), 1), min_regions=options.min_regions)
    by_track = track_effects(found, motifs=len(motifs), tracks=len(tracks))
    sites = sites_of(motifs, seqlets)
    pairs = cooccurrence(
        sites.motif, sites.row, motifs=len(motifs), permutations=options.permutations, seed=options.seed
    )
    gaps = spacing(sites, motifs=len(motifs), permutations=options.permutations, seed=options.seed)
    regions = _regions(seqlets, found.row)
    groups = {
        "cells": {"motif": cells.motif, "row": cells.row, **cells.statistics},
        "regions": regions,
        "by_track": vars(by_track),
        "sites": vars(sites),
        "pairs": vars(pairs),
        "spacing": vars(gaps),
    }
    facts = {"motifs": names, "tracks": tracks, "measures": list(MEASURES), "peak_width": PEAK, "reach": REACH}
    write_effects(folder / NAME, groups, {**attributes, **facts, "tracks_with_seqlets": used.tolist()})
    texts = (
        _track_lines(names, tracks, by_track),
        _region_lines(names, cells, dict(zip(regions["row"].tolist(), regions["name"], strict=True))),
        _pair_lines(names, pairs),
        _spacing_lines(names, gaps),
    )
    for table, lines in zip(TABLES, texts, strict=True):
        write_atomic(folder / table, table_text(lines))
    log.info("effects of %d motifs in %d regions; %d pairs", len(names), len(regions["row"]), len(pairs.first))


def _regions(seqlets: Seqlets, rows: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, Any]:
    """Rows that hold a motif, ascending, with what the seqlets say of them."""
    wanted = np.unique(rows)
    every, first = np.unique(seqlets.table["row"].to_numpy(np.int64), return_index=True)
    own = seqlets.table.iloc[first[np.searchsorted(every, wanted)]]
    return {"row": wanted, **{name: [str(text) for text in own[name]] for name in ("name", "chrom", "origin")}}


def _track_lines(names: list[str], tracks: list[str], found: TrackEffects) -> Iterable[Sequence[Any]]:
    columns = [field.name for field in fields(found)]
    yield ("motif", "track", *columns)
    for i, motif in enumerate(names):
        for j, track in enumerate(tracks):
            yield (motif, track, *(getattr(found, column)[i, j].item() for column in columns))


def _region_lines(names: list[str], cells: RegionEffects, regions: dict[int, str]) -> Iterable[Sequence[Any]]:
    yield ("motif", "row", "region", *STATISTICS)
    columns = [cells.statistics[name].tolist() for name in STATISTICS]
    for motif, row, *values in zip(cells.motif.tolist(), cells.row.tolist(), *columns, strict=True):
        yield (names[motif], row, regions[row], *values)


def _pair_lines(names: list[str], pairs: Pairs) -> Iterable[Sequence[Any]]:
    columns = ("both", "expected", "deviation", "together", "apart", "q")
    yield ("motif", "other", "regions_with_both", "expected", "deviation", "p_together", "p_apart", "q")
    for i in range(len(pairs.first)):
        both = (names[int(pairs.first[i])], names[int(pairs.second[i])])
        yield (*both, *(getattr(pairs, column)[i].item() for column in columns))


def _spacing_lines(names: list[str], found: Spacing) -> Iterable[Sequence[Any]]:
    measured = [f"{kind}{name}" for name in MEASURES for kind in ("", "expected_", "p_", "q_")]
    yield ("motif", "other", "regions", "apart", *measured, "peak_gap", "peak_side", "peak_strand")
    for i in range(len(found.first)):
        parts = (found.measure, found.expected, found.p, found.q)
        values = [part[i, j].item() for j in range(len(MEASURES)) for part in parts]
        side = "downstream" if found.peak_side[i] > 0 else "upstream"
        strand = "same" if found.peak_strand[i] > 0 else "other"
        both = (names[int(found.first[i])], names[int(found.second[i])])
        counts = (int(found.regions[i]), int(found.apart[i]))
        yield (*both, *counts, *values, int(found.peak_gap[i]), side, strand)
