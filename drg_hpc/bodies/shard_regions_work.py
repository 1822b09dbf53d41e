"""Work of ``drg-shard regions``."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from drg_hpc.bodies.dataset_body import Codes, DatasetBody, Rows, Values
from drg_hpc.bodies.gc_stage import draw_contigs, join_contigs, negative_region, read_matches
from drg_hpc.bodies.region_codes import intervals_by_contig, read_codes
from drg_hpc.bodies.region_rows import RegionRows, read_rows
from drg_hpc.bodies.shard_regions_plan import GC_STAGE
from drg_hpc.genome.bigwig_reader import BigWigReader, Intervals
from drg_hpc.genome.gc import Matches, Matching
from drg_hpc.genome.regions import Region
from drg_hpc.genome.transforms import Transform
from drg_hpc.runs.devices import io_threads
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Attempt, Part, Shard
from drg_hpc.store.reader import GenomeStore, open_store

log = logging.getLogger(__name__)


class Body(DatasetBody):
    """Reads windows from the genome store in genome order, and all bigWig files for a row-shard at a time."""

    @cached_property
    def _genome(self) -> GenomeStore:
        store = open_store(Path(self.plan.inputs["genome"]["path"]))
        assert isinstance(store, GenomeStore)
        return store

    @cached_property
    def _found(self) -> RegionRows:
        names = (name for name in self.plan.inputs if name.startswith(("regions", "blacklist")))
        files = {name: Path(self.plan.inputs[name]["path"]) for name in names}
        contigs = {contig["name"]: contig["length"] for contig in self.header["contigs"]}
        join = any(source["kind"] == "matrix" for source in self.header["labels"])
        return read_rows(self.plan.params["regions"], files, contigs, join=join)

    def read_rows(self) -> dict[str, list[Region]]:
        """One row per region of the files."""
        return self._found.intervals

    def codes(self, name: str, rows: Rows, regions: Sequence[Region]) -> Codes:
        """Base codes (n, stored length); rows that are not kept are all unknown."""
        item = next(item for item in self.inputs if item.name == name)
        return read_codes(self._genome.codes, regions, item)

    @cached_property
    def _bigwigs(self) -> BigWigReader:
        """All bigWig files; they stay open from row-shard to row-shard."""
        names = sorted((name for name in self.plan.inputs if name.startswith("bigwig")), key=lambda name: int(name[6:]))
        files = [Path(self.plan.inputs[name]["path"]) for name in names]
        return BigWigReader(files, self._genome.contigs, threads=io_threads())

    def labels(self, modality: int, regions: Sequence[Region], rows: Rows, origin: str) -> Values:
        """Labels (n, tracks[, bins]); those of tracks are read from the bigWig files, for genomic negatives too."""
        source = self.header["labels"][modality]
        if source["kind"] != "bigwig" or origin.startswith("dinuc"):
            return super().labels(modality, regions, rows, origin)
        tracks = self.modalities[modality]
        minus = np.array([region.strand == "-" for region in regions])
        margin = (self.inputs[0].length - tracks.span) // 2 if tracks.span else 0
        intervals = Intervals.of(
            [region.chrom for region in regions],
            [region.start + margin for region in regions],
            [region.end - margin for region in regions],
            contigs=self._genome.contigs,
            minus=minus,
            kept=[region.kept for region in regions],
        )
        values: Values = self._bigwigs.read(
            intervals,
            bins=tracks.bins,
            reduce=source["reduce"],
            missing=source["missing"],
            transforms=[None if t["transform"] == "identity" else Transform(**t["transform"]) for t in tracks.tracks],
            on_part=check_stop,
        )
        values[minus] = values[minus][:, [track["strand_partner"] for track in tracks.tracks]]
        return values

    def kept_table(self) -> Iterable[Sequence[object]]:
        """A line per region of the files, and per genomic negative that no window was found for."""
        yield from replace(self._found, intervals=self.intervals).table
        if self.negatives is None or self.negatives.kind != "gc":
            return
        for copy, source in np.argwhere(self._matches.starts.T < 0).tolist():
            region = self.regions[source]
            if region.kept:
                lost = negative_region(self._matches, region, row=source, copy=copy, matching=self._matching)
                number = (copy + 1) * self.positives + source
                place = (region.chrom, region.start, region.end)
                yield (self.inputs[0].name, "", region.line, f"{region.name}_gc{copy}", *place, number, 0, lost.reason)

    @property
    def _matching(self) -> Matching:
        return Matching(tolerance=float(self.plan.params["gc"]["tolerance"]))

    @cached_property
    def _matches(self) -> Matches:
        return read_matches(self.plan.folder)

    def row_table(self, rows: Rows, sources: Rows) -> list[tuple[Region, tuple[str, int]]]:
        """(interval, (split, fold)) of every row; genomic negatives have their own interval."""
        table = super().row_table(rows, sources)
        if self.negatives is None or self.negatives.kind != "gc":
            return table
        for i in np.flatnonzero(rows >= self.positives):
            region, split = table[i]
            row, copy = int(sources[i]), int(rows[i]) // self.positives - 1
            table[i] = (negative_region(self._matches, region, row=row, copy=copy, matching=self._matching), split)
        return table

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Draw the genomic negatives of some contigs, or write row-shards."""
        if stage != GC_STAGE:
            super().work(stage, shard, attempt)
            return
        assert self.negatives is not None
        draw_contigs(
            attempt.out,
            shard,
            genome=self._genome,
            contigs=self.plan.params["gc"]["contigs"],
            regions=self.regions,
            given=intervals_by_contig(self._found.given),
            blacklist=intervals_by_contig(self._found.blacklist),
            per_row=self.negatives.per_row,
            seed=int(self.header["seed"]),
            matching=self._matching,
        )

    def _warn_of_unmatched(self) -> None:
        """Positives without their negatives differ in GC content from the rest: a model could learn that."""
        if self.negatives is None or self.negatives.kind != "gc":
            return
        kept = np.array([region.kept for region in self.regions])
        lacking = (self._matches.starts < 0).sum(axis=1) * kept
        if lacking.any():
            gc = self._matches.gc[lacking > 0]
            log.warning(
                "%d of %d gc negatives were not found, those of regions with GC %.2f to %.2f (kept.tsv lists them); "
                "--gc-tolerance above %g finds more",
                lacking.sum(), kept.sum() * self.negatives.per_row, np.nanmin(gc), np.nanmax(gc),
                self._matching.tolerance,
            )  # fmt: skip

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Join the negatives of all contigs, or assemble the store."""
        if stage != GC_STAGE:
            self._warn_of_unmatched()
            return super().merge(stage, parts, out)
        assert self.negatives is not None
        return join_contigs(parts, out, positives=self.positives, per_row=self.negatives.per_row)
