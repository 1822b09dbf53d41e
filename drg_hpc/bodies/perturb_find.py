"""The sites of motifs in the sequences of a run of drg-perturb, block by block."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.bodies.bed_lines import Lines, is_named
from drg_hpc.bodies.perturb_sites import BED, SCAN, SIMULATION, SITES, lines_of
from drg_hpc.errors import InputError
from drg_hpc.experiments.perturb_sites import BlockSites
from drg_hpc.files import counted
from drg_hpc.genome.motif_formats import find_motifs, read_raw
from drg_hpc.interpretation.scan import scan_motifs
from drg_hpc.results import h5
from drg_hpc.results.damage import reading
from drg_hpc.results.effects import read_effects
from drg_hpc.results.layout import SHUFFLES
from drg_hpc.results.simulation import SiteRows
from drg_hpc.runs.plan import Plan

log = logging.getLogger(__name__)
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


def make_finder(plan: Plan, regions: Callable[[], pd.DataFrame]) -> Finder:
    """What the plan says sites come from.

    Parameters
    ----------
    regions : those of all rows of the run, made where they are needed
    """
    path, params = Path(plan.inputs[SITES]["path"]), plan.params
    kind, motifs = params["sites"], params["motifs"]
    if kind == SIMULATION:
        return Simulated(path, motifs)
    if kind == SCAN:
        return Scanned(path, motifs, params["scan"])
    if kind == BED:
        return Placed.of_bed(path, motifs, regions(), length=params["length"])
    return Called(path, motifs)


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
        with reading(self._path):  # which that of the open file covers no longer
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
    """Labelled intervals of the genome, on sequences of either strand; where the contig is the name of a sequence,
    intervals of that sequence.

    Parameters
    ----------
    lines : contig, start, end and label of each
    """

    def __init__(self, lines: Iterable[tuple[str, int, int, int]]) -> None:
        by_contig: dict[str, list[tuple[int, int, int]]] = {}
        for chrom, *line in lines:
            by_contig.setdefault(chrom, []).append((line[0], line[1], line[2]))
        self._lines = {chrom: np.array(sorted(found), np.int64) for chrom, found in by_contig.items()}

    @classmethod
    def of_bed(cls, path: Path, motifs: Sequence[str], regions: pd.DataFrame, *, length: int) -> Placed:
        """Lines of a BED file that are named by a motif, whose number is the label.

        Parameters
        ----------
        regions, length : of all sequences

        Raises
        ------
        InputError : as :func:`place_lines`
        """
        known, lines = {name: number for number, name in enumerate(motifs)}, lines_of(path, motifs)
        placed, _ = place_lines(lines, [known[line.name] for line in lines.found], regions, length=length)
        return placed

    def find(self, regions: pd.DataFrame, onehot: Onehot) -> Columns:
        """See :class:`Finder`; labels are numbers of motifs."""
        columns = dict(self.within(regions, length=onehot.shape[2]))
        return columns | {"motif": columns.pop("label")}

    def within(self, regions: pd.DataFrame, *, length: int) -> Columns:
        """Intervals that lie within sequences: row, start and end in it, label.

        Parameters
        ----------
        regions : of the sequences
        length : bases of a sequence
        """
        found = [np.zeros((0, 4), np.int64)]
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
        return dict(zip(("row", "start", "end", "label"), np.concatenate(found).T, strict=True))

    def _within(self, chrom: str, start: int, end: int) -> NDArray[np.int64]:
        """Lines (n, 3) that lie within an interval: start, end, label."""
        lines = self._lines.get(chrom)
        if lines is None:
            return np.zeros((0, 3), np.int64)
        near = lines[np.searchsorted(lines[:, 0], start) : np.searchsorted(lines[:, 0], end)]
        return near[near[:, 1] <= end]


def place_lines(
    lines: Lines, labels: Sequence[int], regions: pd.DataFrame, *, length: int
) -> tuple[Placed, Columns]:  # fmt: skip
    """Lines of a BED file, and where they lie within sequences (see :meth:`Placed.within`).

    Parameters
    ----------
    labels : of the lines
    regions, length : of all sequences

    Raises
    ------
    InputError : as :meth:`drg_hpc.bodies.bed_lines.Lines.contigs`, or none lies within a sequence
    """
    places = zip(*(regions[name].tolist() for name in ("name", "chrom", "start", "end")), strict=True)
    own = {name for name, chrom, start, end in places if is_named(name, chrom, start, end, length)}
    mapped = lines.contigs(own, regions["chrom"].unique().tolist(), length=length)
    numbered = [(mapped.get(line.chrom, line.chrom), line.start, line.end, n) for n, line in enumerate(lines.found)]
    found = Placed(numbered).within(regions, length=length)
    used = len(np.unique(found["label"]))
    lines.require_some(used, rows=len(regions))
    log.info("%s: %d of %s%s lie within a sequence", lines.file, used, counted(len(lines.found), "line"), lines.of)
    label = np.asarray(labels, np.int64)
    placed = Placed((*numbered[n][:3], label[n]) for n in range(len(numbered)))
    return placed, dict(found) | {"label": label[found["label"]]}


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
