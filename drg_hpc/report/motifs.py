"""The motif table: logos of contribution, frequency and best match in one frame, with counts and strength."""

from __future__ import annotations

import numpy as np

from drg_hpc.report import html
from drg_hpc.report.logos import LogoRow, information, logo_figure, span_of
from drg_hpc.report.sources import Source
from drg_hpc.results.motifs import MotifRecord, read_motifs

_LEAST_SHARE = 0.01


def motif_section(source: Source, *, limit: int) -> str:
    """HTML of one motif folder."""
    records = read_motifs(source.file)
    if not records:
        return "<p>No group of similar seqlets was large enough to make a motif.</p>"
    params = source.header["params"]
    named = any("target" in record.facts for record in records)
    text = "Motifs by strength (seqlets × mean |contribution|). Logos in one frame: mean contribution per base (CWM), "
    text += "base frequencies in bits" + (", best match in the database." if named else ".")
    content = f"<p>{html.escape(text)}</p>"
    if named:
        content += (
            '<p class="note">Matches by Tomtom over both strands; q: Benjamini–Hochberg over all motifs of '
            f"{html.escape(', '.join(source.header.get('databases', [])))}.</p>"
        )
    shown = shown_motifs(records, limit)
    columns = max(frame[1] - frame[0] for frame in map(_frame, shown))
    head = ("motif", "logos", "best match", "seqlets", "mean |contribution|", "strength")
    marks = ["", "", "", ' class="n"', ' class="n"', ' class="n"']
    cells = "".join(f"<th{mark}>{html.escape(name)}</th>" for name, mark in zip(head, marks, strict=True))
    rows = "".join(_row(record, columns, float(params.get("max_q", 0.05))) for record in shown)
    content += f'<table class="motifs"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>'
    if len(records) > len(shown):
        text = f"{len(shown)} of {len(records)} motifs shown: at most {limit}, with at least {_LEAST_SHARE:.0%} of the "
        content += f'<p class="note">{text}first one\'s strength. All are in matches.tsv and motifs.meme.</p>'
    return content


def shown_motifs(records: list[MotifRecord], limit: int) -> list[MotifRecord]:
    """The strongest ones (``records`` are sorted): a long tail of weak groups would bury them."""
    least = _LEAST_SHARE * float(records[0].facts["strength"]) if records else 0.0
    return [record for record in records[:limit] if float(record.facts["strength"]) >= least]


def _frame(record: MotifRecord) -> tuple[int, int]:
    """First and last column, half-open, that hold the trimmed motif (from 0) and its match."""
    width = int(record.facts["end"]) - int(record.facts["start"])
    if "target_pfm" not in record.arrays:
        return 0, width
    first = -int(record.facts["offset"])
    return min(0, first), max(width, first + record.arrays["target_pfm"].shape[1])


def motif_logo(record: MotifRecord, columns: int) -> str:
    """CWM, PFM and match as rows over one frame."""
    core = slice(int(record.facts["start"]), int(record.facts["end"]))
    cwm, pfm = np.asarray(record.arrays["cwm"])[:, core], np.asarray(record.arrays["pfm"])[:, core]
    first, last = _frame(record)
    low, high = span_of(cwm)
    rows = [
        LogoRow(cwm, -first, "contribution", low, high),
        LogoRow(information(pfm), -first, "frequency (bits)", 0.0, 2.0, height=44),
    ]
    label = f"logos of {record.name}, consensus {record.facts['consensus']}"
    if "target_pfm" in record.arrays:
        target = str(record.facts["target"])
        start = -int(record.facts["offset"]) - first
        title = f"{target} ({record.facts['strand']} strand)"
        rows.append(LogoRow(information(record.arrays["target_pfm"]), start, title, 0.0, 2.0, height=44))
        label += f", and of {target}"
    return logo_figure(rows, columns=last - first, label=label, min_columns=columns, step=14)


def _row(record: MotifRecord, columns: int, max_q: float) -> str:
    facts = record.facts
    match = "–"
    if "target" in facts:
        q = float(facts["q"])
        sure = q <= max_q
        name = html.escape(facts["target"])
        match = f"<b>{name}</b>" if sure else f"none (nearest: {name})"
        match += f'<div class="sub">q = {html.small(q)}<br>p = {html.small(float(facts["p"]))}<br>'
        match += f"{facts['overlap']} bp, {html.escape(facts['strand'])} strand"
        if sure and facts.get("runners_up"):
            match += f"<br>then {html.escape(', '.join(str(facts['runners_up']).split('; ')[:2]))}"
        match += "</div>"
    sign = "raises" if int(facts["sign"]) > 0 else "lowers"
    name = f'<b>{html.escape(record.name)}</b> <span class="sub">{sign} the prediction</span>'
    numbers = (
        ("seqlets", html.number(int(facts["n_seqlets"]))),
        ("mean |contribution|", html.number(float(facts["mean_contribution"]))),
        ("strength", html.number(float(facts["strength"]), 4)),
    )
    cells = "".join(f'<td class="n" data-label="{label}">{html.escape(value)}</td>' for label, value in numbers)
    return (
        f'<tr><td class="name">{name}<code>{html.escape(facts["consensus"])}</code></td>'
        f'<td class="logo">{motif_logo(record, columns)}</td><td data-label="best match">{match}</td>{cells}</tr>'
    )
