"""What the report says of an attribution run in numbers: convergence errors, rows that were not attributed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from drg_hpc.report import html
from drg_hpc.report.places import gene_words, singular
from drg_hpc.results.reader import Attributions

_TRACKS = 50
"""Whose convergence errors are read: of hundreds, reading all takes minutes."""
_LINES = 12
_ROWS = 20


def delta_table(found: Attributions) -> str:
    """HTML: convergence errors by track, the largest first; nothing where the file has none."""
    names = [name for name, group in found.tracks.items() if "delta" in group][:_TRACKS]
    rows = [row for name in names if (row := _deltas(found, name)) is not None]
    if not rows:
        return ""
    rows.sort(key=lambda row: -row[3])
    shown = [(name, *map(html.number, values)) for name, *values in rows[:_LINES]]
    head = ("track", "|error|, median", "95th percentile", "largest", "s.d. of the predictions")
    text = "<h3>Convergence</h3><p>Contributions should add up to the difference between the prediction of a sequence "
    text += "and those of its references. The error is by how much they do not"
    text += ", to be compared with how predictions vary between sequences.</p>"
    more = []
    if len(rows) > len(shown):
        more.append(f"the {len(shown)} of {len(rows)} tracks with the largest errors")
    if len(names) == _TRACKS < len(found.tracks):
        more.append(f"the first {_TRACKS} of {len(found.tracks)} tracks looked at")
    note = f'<p class="note">Shown: {html.escape("; ".join(more))}.</p>' if more else ""
    return f"{text}{html.table(head, shown, numeric=(1, 2, 3, 4))}{note}"


def _deltas(found: Attributions, name: str) -> tuple[str, float, float, float, float] | None:
    """Name, median, 95th percentile and largest |delta|, s.d. of predictions; None without a kept row."""
    group = found.tracks[name]
    errors = np.abs(np.asarray(group["delta"][()], np.float64)[found.kept])
    if not len(errors):
        return None
    predictions = np.asarray(group["prediction"][()], np.float64)[found.kept]
    median, high = np.quantile(errors, (0.5, 0.95))
    return name, float(median), float(high), float(errors.max()), float(predictions.std())


def unkept_table(found: Attributions) -> str:
    """HTML: the rows that were not attributed, with their reasons; nothing where there are none."""
    rows = np.flatnonzero(~found.kept)
    if not len(rows):
        return ""
    regions = found.regions.iloc[rows]
    reasons = Counter(singular(str(reason)) or "not said" for reason in regions["reason"])
    counts = ", ".join(f"{html.number(count)} × {reason}" for reason, count in reasons.most_common())
    verb = "was" if len(rows) == 1 else "were"
    text = (
        f"<h3>Not attributed</h3><p>{html.number(len(rows))} of {html.counted(found.rows, 'row')} {verb} not attributed"
    )
    text += f": {html.escape(counts)}.</p>" if len(rows) > _ROWS else ".</p>"
    lines = [_line(int(row), region) for row, (_, region) in zip(rows[:_ROWS], regions[:_ROWS].iterrows(), strict=True)]
    note = f'<p class="note">The first {_ROWS} of them.</p>' if len(rows) > _ROWS else ""
    return f"{text}{html.table(('row', 'name', 'region', 'reason'), lines, numeric=(0,))}{note}"


def _line(row: int, region: Any) -> tuple[str, str, str, str]:
    where = f"{region['chrom']}:{region['start']:,}–{region['end']:,}" if region["chrom"] else "–"
    return html.number(row), gene_words(region) or str(region["name"]), where, singular(str(region["reason"])) or "–"
