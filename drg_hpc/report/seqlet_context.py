"""The strongest seqlets of each motif within the sequence around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drg_hpc.report import html
from drg_hpc.report.lineage import Lineage
from drg_hpc.report.logos import Band, LogoRow, logo_figure, span_of
from drg_hpc.report.places import Place
from drg_hpc.report.sources import Source
from drg_hpc.results.motifs import MotifRecord
from drg_hpc.results.reader import Attributions, read_attributions
from drg_hpc.results.seqlets import read_table

_MOTIFS = 8
_EXAMPLES = 3
_WIDTH = 80
_COLOURS = {1: "#fff0b8", -1: "#e3ecf7"}


def context_section(source: Source, lineage: Lineage, records: Sequence[MotifRecord]) -> str:
    """HTML of examples; nothing where the seqlets or the attributions of a motif folder are not on the page.

    Parameters
    ----------
    source : the motif folder
    records : its motifs on the page, strongest first
    """
    seqlets = lineage.parent(source, "seqlets")
    attributions = lineage.parent(seqlets, "attributions") if seqlets else None
    if seqlets is None or attributions is None or not records:
        return ""
    table, attributes = read_table(seqlets.file)
    columns = {name: table[name].to_numpy() for name in ("row", "start", "end", "track", "sign", "attribution")}
    tracks = [str(name) for name in attributes.get("tracks", [])]
    parts = []
    with read_attributions(attributions.file, attributes.get("params", {}).get("input")) as found:
        if not found.by_base or any("top" in group for group in found.tracks.values()):
            return ""
        for record in records[:_MOTIFS]:
            members = np.asarray(record.arrays["members/seqlet"], np.int64)
            figures = ""
            for seqlet in _strongest(members, columns["attribution"], columns["row"]):
                one = {name: int(columns[name][seqlet]) for name in ("row", "start", "end", "track", "sign")}
                track = tracks[one["track"]]
                if track in found.tracks:
                    figures += _example(found, record.name, track, one, several=len(tracks) > 1)
            if figures:
                title = f"Seqlets of {record.name} in context"
                parts.append(f"<details><summary>{html.escape(title)}</summary>{figures}</details>")
    if not parts:
        return ""
    text = f"The {_EXAMPLES} strongest seqlets of each motif, in different regions, with the bases around them."
    return f"<h3>Seqlets in context</h3><p>{text}</p>{''.join(parts)}"


def _strongest(members: np.ndarray, attribution: np.ndarray, row: np.ndarray) -> list[int]:
    """Seqlets with the largest |attribution|, one of a row; ties by number."""
    chosen: dict[int, int] = {}
    for seqlet in members[np.lexsort((members, -np.abs(attribution[members])))].tolist():
        chosen.setdefault(int(row[seqlet]), seqlet)
        if len(chosen) == _EXAMPLES:
            break
    return list(chosen.values())


def _example(found: Attributions, name: str, track: str, one: dict[str, int], *, several: bool) -> str:
    """Where one seqlet lies, and its logo."""
    row, start, end = one["row"], one["start"], one["end"]
    first = int(np.clip((start + end) // 2 - _WIDTH // 2, 0, max(found.length - _WIDTH, 0)))
    last = min(first + _WIDTH, found.length)
    values = np.asarray(found.projected(track, row, row + 1)[0], np.float64)[first:last]
    heights = np.asarray(found.sequences[row], np.float64)[:, first:last] * values
    stranded = bool(found.attributes.get("stranded", False))
    where = Place.of(found.regions.iloc[row], stranded=stranded, length=found.length).words(first, last)
    band = Band(max(start, first) - first, min(end, last) - first, name, _COLOURS[one["sign"]])
    low, high = span_of(heights)
    svg = logo_figure(
        [LogoRow(heights, 0, "", low, high, height=70)], columns=last - first, label=f"seqlet of {name} in {where}",
        bands=[band], min_columns=_WIDTH, first_position=first, step=10,
    )  # fmt: skip
    words = where + (f", {track}" if several else "")
    return f'<div class="example context"><p class="sub">{html.escape(words)}</p>{html.wide(svg)}</div>'
