"""The data section: rows, splits, chromosomes, base composition, targets of a dataset store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.report import html
from drg_hpc.report.charts import COLOURS, Chart
from drg_hpc.report.sources import Source
from drg_hpc.store.dataset_layout import SPLITS
from drg_hpc.store.reader import DatasetStore, open_dataset

_SAMPLE = 20_000
_RUN = 64


@dataclass(frozen=True)
class DataFacts:
    """What other sections and the summary need of a store.

    Parameters
    ----------
    chromosomes : split -> names, in the order of the store
    """

    source: Source
    chromosomes: dict[str, list[str]]


def rows_words(header: dict[str, Any]) -> str:
    """What the rows of a dataset store are: ``39,184 peaks and 39,184 dinucleotide shuffles of them``."""
    rows = int(header["rows"])
    positives, (kind, _, each) = int(header.get("positives", rows)), str(header.get("negatives", "")).partition(":")
    made = rows - positives
    if not made:
        return html.counted(rows, "sequence")
    words = {
        "dinuc": "dinucleotide shuffles of them",
        "dinuc-compat": "dinucleotide shuffles of them (tangermeme's stream)",
        "gc": "genomic regions of the same GC content",
    }
    what = words.get(kind, f"negatives ({kind})")
    several = f", {each} of each" if each not in ("", "1") else ""
    return f"{html.number(positives)} {given_rows(header)} and {html.number(made)} {what}{several}"


def given_rows(header: dict[str, Any]) -> str:
    """What the rows that are not negatives are called: those whose one label is ``bound`` are peaks."""
    return "peaks" if [source["kind"] for source in header.get("labels", [])] == ["bound"] else "sequences"


def data_section(source: Source) -> tuple[str, DataFacts]:
    """HTML of one dataset store, and its facts."""
    store = open_dataset(source.file)
    regions = store.regions
    kept = regions[regions["kept"].astype(bool)]
    chromosomes = {split: _ordered(kept.loc[kept["split"] == split, "chrom"]) for split in SPLITS}
    found = DataFacts(source, chromosomes)
    rows = _sample(store.rows)
    gc = _gc(store, rows)
    content = "".join([
        _lead(store, regions),
        html.table(
            ("split", "rows", "chromosomes"),
            [
                (split, html.number(int((kept["split"] == split).sum())), ", ".join(chromosomes[split]) or "–")
                for split in SPLITS
                if (kept["split"] == split).any()
            ],
            numeric=(1,),
        ),
        html.figures(_charts(store, kept, rows, gc)),
        _sampled(rows, store.rows),
    ])  # fmt: skip
    return content, found


def _lead(store: DatasetStore, regions: pd.DataFrame) -> str:
    dropped = int((~regions["kept"].astype(bool)).sum())
    tracks = store.tracks
    lengths = " and ".join(html.number(item.length) for item in store.inputs.values())
    named = ", ".join(tracks[:8]) + (" …" if len(tracks) > 8 else "")
    text = f"{rows_words(store.header)}, {lengths} bp each, with {len(tracks)} "
    text += ("track" if len(tracks) == 1 else "tracks") + f" ({named})"
    if bins := sorted({modality.bins for modality in store.modalities.values()} - {0}):
        text += f" in {' or '.join(map(str, bins))} bins"
    if dropped:
        reasons = regions.loc[~regions["kept"].astype(bool), "reason"].value_counts()
        each = ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
        text += f"; {html.number(dropped)} not used: {each}"
    text = html.escape(text)
    if str(store.header.get("negatives", "")).startswith("dinuc"):
        text += ". A dinucleotide shuffle has the same pairs of neighbouring bases as its source, in another order; "
        text += "its targets are 0, and it is in the split of its source"
    return f"<p>{text}.</p>"


def _ordered(names: pd.Series[Any]) -> list[str]:
    def key(name: str) -> tuple[int, int, str]:
        tail = name.removeprefix("chr")
        return (0, int(tail), "") if tail.isdigit() else (1, 0, tail)

    return sorted({str(name) for name in names} - {""}, key=key)


def _sample(rows: int) -> NDArray[np.int64]:
    """All rows, or runs of neighbours at even steps (a store is read by chunks, so lone rows would cost the same)."""
    if rows <= _SAMPLE:
        return np.arange(rows)
    starts = np.linspace(0, rows - _RUN, _SAMPLE // _RUN).astype(np.int64)
    return np.unique((starts[:, None] + np.arange(_RUN)).ravel())


def _gc(store: DatasetStore, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of C and G among the known bases of each row (of its first input); NaN where all are unknown."""
    first, shares = next(iter(store.inputs)), []
    for i in range(0, len(rows), 2048):
        counts = store.input_sequences(first, rows[i : i + 2048]).sum(axis=2, dtype=np.float64)
        known = counts.sum(axis=1)
        shares.append(np.where(known > 0, counts[:, 1:3].sum(axis=1) / np.maximum(known, 1), np.nan))
    return np.concatenate(shares) if shares else np.zeros(0)


def gc_edges(length: int) -> NDArray[np.float64]:
    """Edges of at most 51 bins of GC content that all hold equally many of the values possible, 0/length, 1/length, …

    Bins of another width hold now one value more, now one less, and their counts look like a comb. The edges are
    multiples of 1/length, less half of it, so that no value lies on an edge.
    """
    step = -(-length // 50)
    return (np.arange(0, length + step + 1, step) - 0.5) / length


def _charts(store: DatasetStore, kept: pd.DataFrame, rows: NDArray[np.int64], gc: NDArray[np.float64]) -> list[str]:
    target = store.targets(rows, modality=next(iter(store.modalities)))
    totals = np.nansum(target.reshape(len(rows), target.shape[1], -1), axis=2)[:, 0] if len(rows) else np.zeros(0)
    seen = np.isfinite(target.reshape(len(rows), target.shape[1], -1)[:, 0]).any(axis=1)
    binary = seen.any() and np.isin(totals[seen], (0.0, 1.0)).all()
    groups = [("1", totals == 1), ("0", totals == 0)] if binary else [("", np.ones(len(rows), np.bool_))]
    edges = gc_edges(next(iter(store.inputs.values())).length)
    shares = [np.histogram(gc[mask & np.isfinite(gc)], edges)[0] / max(int(mask.sum()), 1) for _, mask in groups]
    top = max((float(share.max()) for share in shares), default=1.0) or 1.0
    chart = Chart("GC content of the sequences", (0, 1), (0, top * 1.08), "GC content", "share of sequences")
    for i, ((name, _), share) in enumerate(zip(groups, shares, strict=True)):
        line = np.column_stack([(edges[:-1] + edges[1:]) / 2, share])
        # Shuffled negatives have the GC content of their positives: the dashes keep both lines visible.
        chart.line(line, colour=COLOURS[i], name=f"{store.tracks[0]} = {name}" if name else "", dashed=i > 0)
    found = [html.figure(chart.svg(), "GC content of the sequences" + (" by class." if binary else "."))]
    found.append(_chromosome_chart(kept))
    if not binary and seen.any():
        found.append(_target_chart(totals[seen], store.tracks[0]))
    return found


def _chromosome_chart(kept: pd.DataFrame) -> str:
    names = _ordered(kept["chrom"])[:30]
    if not names:  # sequences of no genome
        return ""
    by_split = [(split, kept.loc[kept["split"] == split, "chrom"].value_counts()) for split in SPLITS]
    counts = [(split, [int(found.get(name, 0)) for name in names]) for split, found in by_split]
    most = max((sum(column) for column in zip(*(c for _, c in counts), strict=True)), default=1) or 1
    short = [name.removeprefix("chr")[:6] for name in names]
    chart = Chart(
        "Rows by chromosome", (0, max(len(names), 1)), (0, most * 1.08), "chromosome", "rows",
        names=[name if len(names) <= 12 or i % 2 == 0 else "" for i, name in enumerate(short)],
    )  # fmt: skip
    edges = np.arange(len(names) + 1, dtype=np.float64)
    for (split, values), colour in zip(counts, (*COLOURS[:3], "#8c959f"), strict=True):
        if any(values):
            chart.bars(edges, np.array(values, np.float64), colour=colour)
            chart.legend(split, colour)
    return html.figure(chart.svg(), "Rows by chromosome and split" + (" (first 30)." if len(names) == 30 else "."))


def _target_chart(values: NDArray[np.floating], track: str) -> str:
    counts, edges = np.histogram(values, 40)
    chart = Chart(
        f"Targets of {track}", (float(edges[0]), float(edges[-1])), (0, float(counts.max()) * 1.08), track, "rows"
    )
    chart.bars(edges, counts.astype(np.float64), colour=COLOURS[0])
    return html.figure(chart.svg(), f"Targets of {track}.")


def _sampled(rows: NDArray[np.int64], total: int) -> str:
    if len(rows) == total:
        return ""
    return f'<p class="note">Composition and targets from {len(rows):,} of {total:,} rows, at even steps.</p>'
