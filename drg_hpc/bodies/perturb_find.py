"""The sites of motifs in the sequences of a run of drg-perturb, block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.bodies.perturb_sites import BED, SCAN, SIMULATION, SITES
from drg_hpc.errors import InputError
from drg_hpc.experiments.perturb_sites import BlockSites
from drg_hpc.genome.bed import read_bed
from drg_hpc.genome.motif_formats import find_motifs, read_raw
from drg_hpc.interpretation.scan import scan_motifs
from drg_hpc.results import h5
from drg_hpc.results.effects import read_effects
from drg_hpc.results.layout import SHUFFLES
from drg_hpc.results.simulation import SiteRows
from drg_hpc.runs.plan import Plan

Columns = Mapping[str, NDArray[np.int64]]
"""row (in the block), motif (number among those of the plan), start, end; the preferred site of several later."""
Onehot = NDArray[Any]


class Finder(Protocol):
    """Finds sites."""

    def find(self, regions: pd.DataFrame, onehot: Onehot) -> Columns:
        """Sites in a block.

        Parameters
        ----------
        regions : of its sequences
        onehot : (n, 4, L)
        """


def make_finder(plan: Plan) -> Finder:
    """What the plan says sites come from."""
    path, params = Path(plan.inputs[SITES]["path"]), plan.params
    kind, motifs = params["sites"], params["motifs"]
    if kind == SIMULATION:
        return Simulated(path, motifs)
    if kind == SCAN:
        return Scanned(path, motifs, params["scan"])
    return Placed(path, motifs) if kind == BED else Called(path, motifs)


def block_sites(
    finder: Finder, motifs: Sequence[str], regions: pd.DataFrame, onehot: Onehot
) -> BlockSites:  # fmt: skip
    """Sites of a block; none in sequences with kept=false, nor beyond the ends of a sequence."""
    found, length = finder.find(regions, onehot), onehot.shape[2]
    kept = regions["kept"].to_numpy(bool)[found["row"]] & (found["start"] >= 0) & (found["end"] <= length)
    columns = {name: values[kept] for name, values in found.items()}
    return BlockSites.of(motifs, rows=len(regions), length=length, **columns)


class Simulated:
    """What drg-simulate put there."""

    def __init__(self, path: Path, motifs: Sequence[str]) -> None:
        self._path, self._motifs, self._stack = path, motifs, ExitStack()

    @cached_property
    def _rows(self) -> SiteRows:
        return SiteRows(self._stack.enter_context(h5.open_file(self._path)))

    def find(self, regions: pd.DataFrame, onehot: Onehot) -> Columns:
        """See :class:`Finder`."""
        columns = dict(self._rows.of(regions["row"].to_numpy(np.int64)))
        known = {name: number for number, name in enumerate(self._motifs)}
        number = np.array([known.get(name, -1) for name in self._rows.motifs], np.int64)
        columns["motif"] = number[columns["motif"]]
        asked = columns["motif"] >= 0
        return {name: values[asked] for name, values in columns.items()}


class Scanned:
    """Hits of motifs, of overlapping ones of a motif the one of least p; that of least p in a sequence is preferred."""

    def __init__(self, path: Path, motifs: Sequence[str], params: Mapping[str, Any]) -> None:
        found = find_motifs(read_raw(path, params["motif_format"]), motifs, path=path)
        self._pfms = [np.array(raw.rows, np.float64).T / np.sum(raw.rows, axis=1) for raw in found]
        self._max_p, self._both = float(params["max_p"]), params["scan_strands"] == "both"

    def find(self, regions: pd.DataFrame, onehot: Onehot) -> Columns:
        """See :class:`Finder`."""
        hits = scan_motifs(self._pfms, onehot, threshold=self._max_p, both_strands=self._both)
        order = np.lexsort((hits.start, hits.p, hits.motif, hits.row))
        kept: list[int] = []
        first = 0  # of the hits of one motif in one sequence
        for hit in order.tolist():
            if kept and (hits.row[kept[-1]], hits.motif[kept[-1]]) != (hits.row[hit], hits.motif[hit]):
                first = len(kept)
            if all(hits.end[other] <= hits.start[hit] or hits.end[hit] <= hits.start[other] for other in kept[first:]):
                kept.append(hit)
        best_last = np.array(kept[::-1], np.int64)
        return {name: getattr(hits, name)[best_last] for name in ("row", "motif", "start", "end")}


class Placed:
    """Lines of a BED file: intervals of the genome, on sequences of either strand; where the contig is the name of a
    sequence, intervals of that sequence."""

    def __init__(self, path: Path, motifs: Sequence[str]) -> None:
        known = {name: number for number, name in enumerate(motifs)}
        lines: dict[str, list[tuple[int, int, int]]] = {}
        for region in read_bed(path):
            if region.name in known:
                lines.setdefault(region.chrom, []).append((region.start, region.end, known[region.name]))
        self._lines = {chrom: np.array(sorted(found), np.int64) for chrom, found in lines.items()}
        self._widest = {chrom: int((found[:, 1] - found[:, 0]).max()) for chrom, found in self._lines.items()}

    def find(self, regions: pd.DataFrame, onehot: Onehot) -> Columns:
        """See :class:`Finder`."""
        length, found = onehot.shape[2], [np.zeros((0, 4), np.int64)]
        columns = ("chrom", "start", "end", "name", "strand", "origin")
        for row, place in enumerate(zip(*(regions[name] for name in columns), strict=True)):
            chrom, start, end, name, strand, origin = place
            own = self._within(str(name), 0, length) if str(name) != str(chrom) else found[0][:, :3]
            if chrom and end - start == length and origin not in SHUFFLES:
                on_genome = self._within(str(chrom), int(start), int(end)) - [int(start), int(start), 0]
                if strand == "-":
                    on_genome = np.stack([length - on_genome[:, 1], length - on_genome[:, 0], on_genome[:, 2]], axis=1)
                own = np.concatenate([own, on_genome])
            own = own[np.lexsort((own[:, 1], own[:, 0]))]
            found.append(np.column_stack([np.full(len(own), row), own]))
        row_start_end_motif = np.concatenate(found)
        return dict(zip(("row", "start", "end", "motif"), row_start_end_motif.T, strict=True))

    def _within(self, chrom: str, start: int, end: int) -> NDArray[np.int64]:
        """Lines (n, 3) that lie within an interval: start, end, motif."""
        lines = self._lines.get(chrom)
        if lines is None:
            return np.zeros((0, 3), np.int64)
        near = lines[np.searchsorted(lines[:, 0], start) : np.searchsorted(lines[:, 0], end)]
        return near[near[:, 1] <= end]


class Called:
    """Sites of motifs that drg-motifs made from seqlets, by the names of the sequences."""

    def __init__(self, path: Path, motifs: Sequence[str]) -> None:
        effects = read_effects(path)
        names = dict(zip(effects.groups["regions"]["row"].tolist(), effects.groups["regions"]["name"], strict=True))
        if len(set(names.values())) < len(names):
            raise InputError(f"two sequences of {path} have one name, so its sites cannot be placed",
                             fix="name the sequences, or give the sites as a BED file")  # fmt: skip
        known = {effects.motifs.index(name): number for number, name in enumerate(motifs)}
        sites = effects.groups["sites"]
        self._sites: dict[str, list[tuple[int, int, int]]] = {}
        for row, motif, start, end in zip(
            *(sites[name].tolist() for name in ("row", "motif", "start", "end")), strict=True
        ):
            if motif in known:
                self._sites.setdefault(str(names[row]), []).append((known[motif], start, end))

    def find(self, regions: pd.DataFrame, onehot: Onehot) -> Columns:
        """See :class:`Finder`."""
        rows = [
            (row, *site) for row, name in enumerate(regions["name"]) for site in sorted(self._sites.get(str(name), []))
        ]
        found = np.array(rows, np.int64).reshape(-1, 4)
        return dict(zip(("row", "motif", "start", "end"), found.T, strict=True))
