"""Example attributions: logos of the regions with the strongest stretch, seqlets marked and named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.report import html
from drg_hpc.report.logos import Band, LogoRow, logo_figure, span_of
from drg_hpc.report.motifs import shown_motifs
from drg_hpc.report.sources import Source, Sources
from drg_hpc.results.motifs import read_motifs
from drg_hpc.results.reader import Attributions, read_attributions
from drg_hpc.results.seqlets import read_table

_WINDOW = 30
_SHOWN = 80
_BLOCK = 4096
_BAND_COLOURS = {1: "#fff0b8", -1: "#e3ecf7"}
_METHODS = {
    "gradient": "the gradient", "inputxgradient": "input times gradient", "tism": "Taylor in-silico mutagenesis",
    "integrated-gradients": "integrated gradients", "smoothgrad": "SmoothGrad", "deepshap": "DeepSHAP",
}  # fmt: skip


@dataclass(frozen=True)
class SeqletFacts:
    """Seqlets of one run: table, the name of each one's motif (empty: none), and the motifs that the page shows."""

    source: Source
    table: pd.DataFrame
    names: list[str]
    shown: frozenset[str]


def seqlet_facts(source: Source, sources: Sources, *, max_motifs: int) -> SeqletFacts:
    """Read a seqlet run, and name its seqlets by the motif folder that was made from it, if that was given."""
    table, _ = read_table(source.file)
    names = [""] * len(table)
    shown: set[str] = set()
    for motifs in sources.of("motifs"):
        if motifs.header["inputs"]["seqlets"] == source.output_sha256:
            records = read_motifs(motifs.file)
            shown |= {record.name for record in shown_motifs(records, max_motifs)}
            for record in records:
                for seqlet in record.arrays["members/seqlet"].tolist():
                    names[seqlet] = record.name
    return SeqletFacts(source, table, names, frozenset(shown))


def method_words(source: Source) -> str:
    """The attribution method in words."""
    params = source.header.get("params", {})
    method, output = (str(params.get(name, "")) for name in ("method", "output"))
    words = _METHODS.get(method, method or "a method not recorded")
    return f"{words} ({output} form)" if output else words


def attribution_section(source: Source, seqlets: list[SeqletFacts], *, examples: int) -> str:
    """HTML of one attribution run."""
    with read_attributions(source.file) as found:
        name, group = next(iter(found.tracks.items()))
        content = f"<p>{html.number(found.rows)} sequences attributed by {html.escape(method_words(source))}"
        content += f"; shown: {html.escape(name)}" if len(found.tracks) > 1 else ""
        marked = [item for item in seqlets if _made_from(item, source)]
        content += ". Letters are the bases that are there, their height is the contribution to the prediction"
        content += " (seqlets marked: yellow positive, blue negative).</p>" if marked else ".</p>"
        for rank, row in enumerate(strongest_rows(group["projected"], examples), start=1):
            content += _example(found, group, int(row), rank, marked)
    return content


def _made_from(item: SeqletFacts, source: Source) -> bool:
    made_from = item.source.header.get("attributions_sha256")
    return made_from is not None and made_from == source.output_sha256


def _window_sums(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sums over all windows of 30 positions (fewer in shorter rows), (rows, windows)."""
    width = min(_WINDOW, values.shape[1])
    cumulated = np.cumsum(np.pad(values.astype(np.float64), ((0, 0), (1, 0))), axis=1)
    return np.asarray(cumulated[:, width:] - cumulated[:, :-width], np.float64)


def strongest_rows(projected: Any, count: int) -> NDArray[np.int64]:
    """Rows with the largest |sum| over any 30 positions, strongest first; ties by row.

    Parameters
    ----------
    projected : (rows, length), an HDF5 dataset or an array; read in blocks
    """
    best = np.zeros(0)
    for first in range(0, projected.shape[0], _BLOCK):
        sums = np.abs(_window_sums(np.asarray(projected[first : first + _BLOCK], np.float32)))
        best = np.append(best, sums.max(axis=1, initial=0.0))
    return np.argsort(-best, kind="stable")[:count]


def _example(found: Attributions, group: Any, row: int, rank: int, seqlets: list[SeqletFacts]) -> str:
    values = np.asarray(group["projected"][row], np.float64)
    onehot = np.asarray(found.sequences[row], np.float64)
    middle = int(np.abs(_window_sums(values[None])).argmax()) + _WINDOW // 2
    first = int(np.clip(middle - _SHOWN // 2, 0, max(len(values) - _SHOWN, 0)))
    last = min(first + _SHOWN, len(values))
    heights = (onehot * values)[:, first:last]
    low, high = span_of(heights)
    bands = [
        Band(max(start, first) - first, min(end, last) - first, name, _BAND_COLOURS[sign])
        for item in seqlets
        for start, end, sign, name in _in_row(item, row)
        if start < last and end > first
    ]
    region = found.regions.iloc[row]
    chrom = region["chrom"] or region["name"]  # a sequence without coordinates goes by its name
    where = f"{chrom}:{int(region['start']) + first:,}–{int(region['start']) + last:,}"
    if region["strand"] == "-":
        where = f"{chrom}:{int(region['end']) - last:,}–{int(region['end']) - first:,} (reverse strand)"
    svg = logo_figure(
        [LogoRow(heights, 0, "", low, high, height=84)],
        columns=last - first, label=f"attribution logo of {where}", bands=bands, min_columns=_SHOWN,
        first_position=first, step=10,
    )  # fmt: skip
    prediction = html.number(float(group["prediction"][row])) if "prediction" in group else "–"
    title = f"{rank}. {where}, prediction {prediction} ({found.attributes.get('scale', 'link')} scale)"
    return f'<div class="example"><h3>{html.escape(title)}</h3><div class="scroll wide">{svg}</div></div>'


def _in_row(item: SeqletFacts, row: int) -> list[tuple[int, int, int, str]]:
    """(start, end, sign, motif) of the seqlets of one row; motifs too weak for the motif table go without a name."""
    rows = item.table["row"].to_numpy()
    near = slice(*np.searchsorted(rows, [row, row + 1]).tolist())  # the table is sorted by row
    starts, ends, signs = (item.table[name].to_numpy()[near].tolist() for name in ("start", "end", "sign"))
    names = [name if name in item.shown else "" for name in item.names[near]]
    return list(zip(starts, ends, signs, names, strict=True))


def seqlet_section(facts: SeqletFacts) -> str:
    """HTML of one seqlet run: counts and settings."""
    table, params = facts.table, facts.source.header.get("params", {})
    regions = int(facts.source.done.get("summary", {}).get("regions", 0))
    with_any = int(table["row"].nunique())
    in_motif = sum(1 for name in facts.names if name)
    length = (table["end"] - table["start"]).median() if len(table) else None
    pairs: list[tuple[str, object]] = [
        ("method", f"{params.get('method')}, p < {params.get('threshold')}, {params.get('min_length')} to "
                   f"{params.get('max_length')} bp"),
        ("seqlets", f"{html.number(int((table['sign'] > 0).sum()))} positive, "
                    f"{html.number(int((table['sign'] < 0).sum()))} negative"),
        ("regions with a seqlet", f"{html.number(with_any)}" + (f" of {html.number(regions)}" if regions else "")),
        ("median length", f"{html.number(length)} bp" if length is not None else ""),
        ("in a motif", f"{html.number(in_motif)} ({in_motif / len(table):.0%})" if in_motif else ""),
    ]  # fmt: skip
    return html.facts(pairs)
