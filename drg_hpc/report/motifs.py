"""The motif section: a table of logos of contribution, frequency and best match in one frame, with counts, strength
and effects; the tree of motifs; what is known of their effects; examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from drg_hpc.report import html
from drg_hpc.report.heat import strip
from drg_hpc.report.lineage import Lineage
from drg_hpc.report.logos import LogoRow, information, logo_figure, span_of
from drg_hpc.report.motif_effects import effects_sections
from drg_hpc.report.motif_tree import largest_effect, shown_tracks, tree_figure
from drg_hpc.report.seqlet_context import context_section
from drg_hpc.report.sources import Source
from drg_hpc.results.effects import EffectsFile, find_effects, read_effects
from drg_hpc.results.motifs import MotifRecord, read_motifs

_LEAST_SHARE = 0.01


def motif_section(source: Source, lineage: Lineage, *, limit: int) -> str:
    """HTML of one motif folder."""
    records = read_motifs(source.file)
    if not records:
        return "<p>No group of similar seqlets was large enough to make a motif.</p>"
    path = find_effects(source.file)
    effects = read_effects(path) if path else None
    shown = shown_motifs(records, limit)
    max_q = float(source.header["params"].get("max_q", 0.05))
    content = _table(source, records, shown, effects, limit=limit) + tree_figure(shown, effects, max_q)
    if effects:
        content += effects_sections(effects, [record.name for record in shown])
    return content + context_section(source, lineage, shown)


def _table(
    source: Source, records: list[MotifRecord], shown: list[MotifRecord], effects: EffectsFile | None, *, limit: int
) -> str:
    params = source.header["params"]
    named = any("target" in record.facts for record in records)
    max_q = float(params.get("max_q", 0.05))
    text = "Motifs by strength (seqlets × mean |contribution|). Logos in one frame: mean contribution per base (CWM), "
    text += "base frequencies in bits" + (", best match in the database if there is one." if named else ".")
    content = f"<p>{html.escape(text)}</p>"
    if named:
        content += (
            '<p class="note">Matches by Tomtom over both strands; a motif with q above '
            f"{max_q:g} has no match. {html.escape(_q_words(source.header.get('databases', [])))}</p>"
        )
    if effects and len(shown_tracks(effects)) > 1:
        content += f'<p class="note">{html.escape(_strip_words(effects))}</p>'
    columns = max(last - first for first, last in (_frame(record, max_q) for record in shown))
    head = ("motif", "logos", "best match", "seqlets", "mean |contribution|", "strength")
    marks = ["", "", "", ' class="n"', ' class="n"', ' class="n"']
    cells = "".join(f"<th{mark}>{html.escape(name)}</th>" for name, mark in zip(head, marks, strict=True))
    rows = "".join(motif_row(record, columns, max_q, _strip(record, effects)) for record in shown)
    content += f'<table class="motifs"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>'
    if len(records) > len(shown):
        text = f"{len(shown)} of {len(records)} motifs shown: at most {limit}, with at least {_LEAST_SHARE:.0%} of the "
        content += f'<p class="note">{text}first one\'s strength. All are in matches.tsv and motifs.meme.</p>'
    return content


def _strip_words(effects: EffectsFile) -> str:
    names = ", ".join(effects.tracks[i] for i in shown_tracks(effects))
    return f"Cells below the logos: mean effect on {names}; red raises, blue lowers; numbers are in the titles."


def _strip(record: MotifRecord, effects: EffectsFile | None) -> str:
    """Mean effects of a motif on the tracks as a row of cells; nothing where there is but one track."""
    tracks = shown_tracks(effects) if effects else []
    if effects is None or len(tracks) < 2:
        return ""
    values = effects.groups["by_track"]["mean"][effects.motifs.index(record.name), tracks]
    names = [effects.tracks[i] for i in tracks]
    return strip(values, names, largest_effect(effects), label=f"effects of {record.name} on tracks")


def _q_words(databases: list[str]) -> str:
    if len(databases) < 2:
        return f"q: Benjamini–Hochberg over the p-values of all motifs of {', '.join(databases)}."
    return (
        f"q: Benjamini–Hochberg over the p-values of all motifs of {' and '.join(databases)} pooled, each p-value from "
        "the search of its own database."
    )


def is_match(facts: dict[str, Any], max_q: float) -> bool:
    """Whether a motif was compared with a database and has a match at ``max_q``."""
    return "target" in facts and float(facts["q"]) <= max_q


def shown_motifs(records: list[MotifRecord], limit: int) -> list[MotifRecord]:
    """The strongest ones (``records`` are sorted): a long tail of weak groups would bury them."""
    least = _LEAST_SHARE * float(records[0].facts["strength"]) if records else 0.0
    return [record for record in records[:limit] if float(record.facts["strength"]) >= least]


def _frame(record: MotifRecord, max_q: float) -> tuple[int, int]:
    """First and last column, half-open, that hold the trimmed motif (from 0) and its match, if it has one."""
    width = int(record.facts["end"]) - int(record.facts["start"])
    if not is_match(record.facts, max_q):
        return 0, width
    first = -int(record.facts["offset"])
    return min(0, first), max(width, first + record.arrays["target_pfm"].shape[1])


def motif_logo(record: MotifRecord, columns: int, max_q: float) -> str:
    """CWM, PFM and match (one with a larger q than ``max_q`` is none) as rows over one frame."""
    core = slice(int(record.facts["start"]), int(record.facts["end"]))
    cwm, pfm = np.asarray(record.arrays["cwm"])[:, core], np.asarray(record.arrays["pfm"])[:, core]
    first, last = _frame(record, max_q)
    low, high = span_of(cwm)
    rows = [
        LogoRow(cwm, -first, "contribution", low, high),
        LogoRow(information(pfm), -first, "frequency (bits)", 0.0, 2.0, height=44),
    ]
    label = f"logos of {record.name}, consensus {record.facts['consensus']}"
    if is_match(record.facts, max_q):
        target = str(record.facts["target"])
        start = -int(record.facts["offset"]) - first
        title = f"{target} ({record.facts['strand']} strand)"
        rows.append(LogoRow(information(record.arrays["target_pfm"]), start, title, 0.0, 2.0, height=44))
        label += f", and of {target}"
    return logo_figure(rows, columns=last - first, label=label, min_columns=columns, step=14)


def motif_row(record: MotifRecord, columns: int, max_q: float, below: str = "") -> str:
    """A row of the motif table; a best target with a larger q than ``max_q`` goes unnamed; ``below`` is put there."""
    facts = record.facts
    match = "–"
    if "target" in facts:
        match = f'no match<div class="sub">least q = {html.small(float(facts["q"]))}</div>'
    if is_match(facts, max_q):
        match = f'<b>{html.escape(facts["target"])}</b><div class="sub">q = {html.small(float(facts["q"]))}<br>'
        match += f"p = {html.small(float(facts['p']))}<br>{facts['overlap']} bp, {html.escape(facts['strand'])} strand"
        if facts.get("runners_up"):
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
        f'<td class="logo">{motif_logo(record, columns, max_q)}{below}</td>'
        f'<td data-label="best match">{match}</td>{cells}</tr>'
    )
