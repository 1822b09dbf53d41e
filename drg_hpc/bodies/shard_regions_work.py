"""Work of ``drg-shard regions``."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drg_hpc.bodies.dataset_body import DatasetBody, Targets
from drg_hpc.bodies.shard_regions_plan import rows_of
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

    @cached_property
    def regions(self) -> list[Region]:
        """One row per line of the BED file."""
        return rows_of(
            Path(self.plan.inputs["regions"]["path"]),
            {contig["name"]: contig["length"] for contig in self.header["contigs"]},
            length=self.plan.params["length"],
            stranded=self.plan.params["stranded"],
        )

    def codes(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Base codes (n, length); rows that are not kept are all unknown."""
        out = np.full((len(rows), self.length), UNKNOWN, np.uint8)
        chosen = [self.regions[row] for row in rows]
        for i in sorted(range(len(rows)), key=lambda i: (chosen[i].chrom, chosen[i].start)):
            region = chosen[i]
            if region.kept:
                codes = self._genome.codes(region.chrom, region.start, region.end)
                out[i] = reverse_complement(codes) if region.strand == "-" else codes
        return out

    def targets(self, rows: NDArray[np.int64]) -> Targets:
        """Labels (n, tracks[, bins])."""
        labels = self.header["labels"]
        if labels["labels"] != "bigwig":
            return super().targets(rows)
        chosen = [self.regions[row] for row in rows]
        columns = []
        for number in range(len(self.header["tracks"])):
            check_stop()
            with BigWig(Path(self.plan.inputs[f"bigwig{number}"]["path"]), self._genome.contigs) as track:
                columns.append(
                    region_values(
                        track, chosen, bins=self.header["bins"], reduce=labels["reduce"], missing=labels["missing"]
                    )
                )
        values = np.stack(columns, axis=1)
        minus = np.array([region.strand == "-" for region in chosen])
        partners = [track["strand_partner"] for track in self.header["track_info"]]
        values[minus] = values[minus][:, partners]
        return values
