"""The seqlet section: counts, apart for the classes of rows, and the names that motifs give to seqlets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.report import html
from drg_hpc.report.lineage import Lineage
from drg_hpc.report.motifs import shown_motifs
from drg_hpc.report.sources import Source
from drg_hpc.results.layout import SHUFFLES
from drg_hpc.results.motifs import read_motifs
from drg_hpc.results.reader import read_attributions
from drg_hpc.results.seqlets import read_table
from drg_hpc.store.reader import open_dataset

_CLASS_TRACKS = 6
_BLOCK = 4096


@dataclass(frozen=True)
class SeqletFacts:
    """Seqlets of one run: table, the name of each one's motif (empty: none), and the motifs that the page shows."""

    source: Source
    table: pd.DataFrame
    names: list[str]
    shown: frozenset[str]

    def of_track(self, name: str) -> SeqletFacts:
        """Only the seqlets of one track."""
        tracks = list(self.source.header.get("tracks", []))
        index = tracks.index(name) if name in tracks else -1
        mask = self.table["track"].to_numpy() == index
        names = [motif for motif, here in zip(self.names, mask.tolist(), strict=True) if here]
        return replace(self, table=self.table[mask], names=names)


def seqlet_facts(source: Source, lineage: Lineage, *, max_motifs: int) -> SeqletFacts:
    """Read a seqlet run, and name its seqlets by the motif folder that was made from it, if that was given."""
    table, _ = read_table(source.file)
    names = [""] * len(table)
    shown: set[str] = set()
    for motifs in lineage.sources.of("motifs"):
        if lineage.parent(motifs, "seqlets") is source:
            records = read_motifs(motifs.file)
            shown |= {record.name for record in shown_motifs(records, max_motifs)}
            for record in records:
                for seqlet in record.arrays["members/seqlet"].tolist():
                    names[seqlet] = record.name
    return SeqletFacts(source, table, names, frozenset(shown))


def seqlet_section(facts: SeqletFacts, lineage: Lineage) -> str:
    """HTML of one seqlet run: counts and settings."""
    table, params = facts.table, facts.source.header.get("params", {})
    regions = int(facts.source.done.get("summary", {}).get("regions", 0))
    with_any = int(table["row"].nunique())
    in_motif = sum(1 for name in facts.names if name)
    length = (table["end"] - table["start"]).median() if len(table) else None
    pairs: list[tuple[str, object]] = [
        ("method", f"{params.get('method')}, p < {params.get('threshold')}, {params.get('min_length')} to "
                   f"{params.get('max_length')} bp"),
        ("seqlets", sign_words(table)),
        *_by_class(facts, lineage),
        ("regions with a seqlet", f"{html.number(with_any)}" + (f" of {html.number(regions)}" if regions else "")),
        ("median length", f"{html.number(length)} bp" if length is not None else ""),
        ("in a motif", f"{html.number(in_motif)} ({in_motif / len(table):.0%})" if in_motif else ""),
    ]  # fmt: skip
    return html.facts(pairs)


def sign_words(table: pd.DataFrame) -> str:
    """``291 positive, 187 negative``."""
    positive = int((table["sign"] > 0).sum())
    return f"{html.number(positive)} positive, {html.number(len(table) - positive)} negative"


def shuffled(facts: SeqletFacts) -> int:
    """Number of seqlets that lie in shuffled negatives."""
    return int(facts.table["origin"].isin(SHUFFLES).sum())


def _by_class(facts: SeqletFacts, lineage: Lineage) -> Iterator[tuple[str, object]]:
    """Counts apart by the 0 and 1 labels of the store; without it, apart for shuffles."""
    labelled = _labels(facts, lineage)
    for track, labels in labelled.items():
        table = facts.of_track(track).table
        for value in (1, 0):
            own = table[labels[table["row"].to_numpy()] == value]
            count = int((labels == value).sum())
            if count:
                words = f"{sign_words(own)}, in {html.number(int(own['row'].nunique()))} of {html.number(count)} rows"
                yield f"where {track} = {value}", words
    if not labelled and (made := shuffled(facts)):
        yield "in shuffled negatives", html.number(made)


def _labels(facts: SeqletFacts, lineage: Lineage) -> dict[str, NDArray[np.float32]]:
    """Track -> (rows of the attributions,) of 0, 1 and NaN; only tracks that have both values and nothing else."""
    attributions = lineage.parent(facts.source, "attributions")
    source = lineage.parent(attributions, "store") if attributions else None
    if attributions is None or source is None:
        return {}
    store = open_dataset(source.file)
    with read_attributions(attributions.file, facts.source.header.get("params", {}).get("input")) as found:
        rows = found.regions["row"].to_numpy(np.int64)
    if store.bins or not len(rows):
        return {}
    listed = list(facts.source.header["tracks"])
    used = [listed[i] for i in sorted(set(facts.table["track"].tolist())) if listed[i] in store.tracks]
    columns = [store.tracks.index(name) for name in used]
    blocks = [store.targets(rows[i : i + _BLOCK])[:, columns] for i in range(0, len(rows), _BLOCK)]
    labels = dict(zip(used, np.concatenate(blocks).T, strict=True))
    binary = {name: own for name, own in labels.items() if set(np.unique(own[np.isfinite(own)]).tolist()) == {0.0, 1.0}}
    return dict(list(binary.items())[:_CLASS_TRACKS])
