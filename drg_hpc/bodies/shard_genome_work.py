"""Work of ``drg-shard genome``: read stretches of the sequence files and write whole zarr shards of their contigs."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.bodies.shard_genome_plan import STORE_INPUT
from drg_hpc.genome.sources import Source, open_source
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Attempt, Part, Shard
from drg_hpc.store.genome_layout import Piece, genome_arrays, genome_units, pieces_of
from drg_hpc.store.layout import STORE
from drg_hpc.store.manifest import check_files, read_manifest
from drg_hpc.store.writer import PartWriter, assemble

Unit = tuple[str, int]


class Body:
    """``shard.start`` to ``shard.stop`` are numbers of zarr shards, counted through the arrays in order."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.header: dict[str, Any] = plan.params["header"]
        self.before = int(plan.params["appended_to"])
        self.units = genome_units(self.header, skip=self.before)

    @cached_property
    def _pieces(self) -> dict[Unit, list[Piece]]:
        found: dict[Unit, list[Piece]] = defaultdict(list)
        for array, index, piece in pieces_of(self.header, skip=self.before):
            found[array, index].append(piece)
        return found

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write the zarr shards of ``shard``, each when its last base was read.

        A file is read in its own order, so few shards wait at any time: one, and one that short contigs share.
        """
        units = {(spec.path, index): spec.shard_slice(index) for spec, index in self.units[shard.start : shard.stop]}
        left = {unit: rows.stop - rows.start for unit, rows in units.items()}
        writer = PartWriter(attempt.out / STORE, genome_arrays(self.header))
        waiting: dict[Unit, NDArray[np.uint8]] = {}
        contigs, read_from = self.header["contigs"], self.plan.params["read_from"]
        stretches = sorted(
            (read_from[p.contig - self.before][0], p, unit) for unit in units for p in self._pieces[unit]
        )
        for file, group in groupby(stretches, key=lambda stretch: stretch[0]):
            with closing(self._open(file)) as source:
                for _, piece, unit in group:
                    check_stop()
                    if unit not in waiting:
                        waiting[unit] = np.empty(left[unit], np.uint8)
                    out = waiting[unit][piece.at : piece.at + piece.stop - piece.start]
                    places = read_from[piece.contig - self.before][1]
                    source.codes(contigs[piece.contig]["name"], places, piece.start, out)
                    left[unit] -= len(out)
                    if not left[unit]:
                        writer.write_codes(*unit, waiting.pop(unit))
        writer.close()
        assert not waiting

    def _open(self, file: int) -> Source:
        how = self.plan.params["files"][file]
        return open_source(Path(self.plan.inputs[f"fasta{file}"]["path"]), how["kind"], how["index"])

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Link the parts' shard files into ``out.zarr``, then metadata and manifest.

        A store that is appended to gives its shard files as well, each checked against its sha256 before.
        """
        prefix = f"{STORE}/"
        trees = [
            (part.path / STORE, {name.removeprefix(prefix): record for name, record in part.receipt["files"].items()})
            for part in parts
        ]
        if STORE_INPUT in self.plan.inputs:
            old = Path(self.plan.inputs[STORE_INPUT]["path"])
            files = read_manifest(old)
            held = {a.path for a, _ in genome_units(self.header)} - {a.path for a, _ in self.units}
            shards = {name: record for name, record in files.items() if name.partition("/c/")[0] in held}
            check_files(old, shards)
            trees.append((old, shards))
        assemble(out / STORE, self.header, trees)
        contigs = self.header["contigs"]
        return {"contigs": len(contigs), "bases": sum(contig["length"] for contig in contigs)}
