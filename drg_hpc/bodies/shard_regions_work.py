"""Work of ``drg-shard regions``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from drg_hpc.bodies.dataset_body import Codes, DatasetBody, Rows, Values
from drg_hpc.bodies.shard_regions_plan import rows_of
from drg_hpc.bodies.shard_sequences_plan import kept_table
from drg_hpc.genome.bigwig import BigWig, region_values
from drg_hpc.genome.onehot import UNKNOWN, reverse_complement
from drg_hpc.genome.regions import Region
from drg_hpc.runs.signals import check_stop
from drg_hpc.store.reader import GenomeStore, open_store


class Body(DatasetBody):
    """Reads windows from the genome store in genome order, and each bigWig once per zarr row-shard."""

    @cached_property
    def _genome(self) -> GenomeStore:
        store = open_store(Path(self.plan.inputs["genome"]["path"]))
        assert isinstance(store, GenomeStore)
        return store

    def read_rows(self) -> dict[str, list[Region]]:
        """One row per line of the BED file."""
        rows = rows_of(
            Path(self.plan.inputs["regions"]["path"]),
            {contig["name"]: contig["length"] for contig in self.header["contigs"]},
            length=self.plan.params["length"],
            stranded=self.plan.params["stranded"],
        )
        return {self.inputs[0].name: rows}

    def codes(self, name: str, rows: Rows) -> Codes:
        """Base codes (n, length); rows that are not kept are all unknown."""
        out = np.full((len(rows), self.inputs[0].length), UNKNOWN, np.uint8)
        chosen = [self.intervals[name][row] for row in rows]
        for i in sorted(range(len(rows)), key=lambda i: (chosen[i].chrom, chosen[i].start)):
            region = chosen[i]
            if region.kept:
                codes = self._genome.codes(region.chrom, region.start, region.end)
                out[i] = reverse_complement(codes) if region.strand == "-" else codes
        return out

    def labels(self, modality: int, regions: Sequence[Region], rows: Rows, origin: str) -> Values:
        """Labels (n, tracks[, bins]); those of tracks are read from the bigWig files."""
        source = self.header["labels"][modality]
        if source["kind"] != "bigwig" or origin != "given":
            return super().labels(modality, regions, rows, origin)
        tracks = self.modalities[modality]
        columns = []
        for number in range(len(tracks.tracks)):
            check_stop()
            with BigWig(Path(self.plan.inputs[f"bigwig{number}"]["path"]), self._genome.contigs) as track:
                columns.append(
                    region_values(
                        track, regions, bins=tracks.bins, reduce=source["reduce"], missing=source["missing"]
                    )
                )
        values = np.stack(columns, axis=1)
        minus = np.array([region.strand == "-" for region in regions])
        values[minus] = values[minus][:, [track["strand_partner"] for track in tracks.tracks]]
        return values

    def kept_table(self) -> Iterable[Sequence[object]]:
        """A line per row of the BED file."""
        return kept_table(self.regions)
