"""Work of ``drg-shard genome``: stream the FASTA and write whole zarr shards of its contigs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drg_hpc.bodies.dataset_body import merge_store
from drg_hpc.errors import InputError
from drg_hpc.genome.fasta import stream_contigs
from drg_hpc.genome.onehot import codes_to_onehot, encode
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Attempt, Part, Shard
from drg_hpc.store.genome_layout import genome_arrays, genome_units
from drg_hpc.store.layout import STORE, ArraySpec
from drg_hpc.store.writer import PartWriter


class Body:
    """``shard.start`` to ``shard.stop`` are numbers of zarr shards, counted through the contigs in order."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.header: dict[str, Any] = plan.params["header"]

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write the zarr shards of ``shard``; one shard of bases is held in memory at a time."""
        arrays = genome_arrays(self.header)
        wanted: dict[int, set[int]] = defaultdict(set)
        for number, (contig, index) in enumerate(genome_units(self.header)):
            if shard.start <= number < shard.stop:
                wanted[contig].add(index)
        writer = PartWriter(attempt.out / STORE, [arrays[contig] for contig in wanted])
        for contig, index, bases in self._blocks(wanted, arrays):
            check_stop()
            writer.write(arrays[contig].path, index, codes_to_onehot(encode(bases)))
        writer.close()

    def _blocks(self, wanted: dict[int, set[int]], arrays: list[ArraySpec]) -> Iterator[tuple[int, int, bytes]]:
        """(contig number, shard number, letters) of the wanted shards, each exactly one shard long."""
        contigs = self.header["contigs"]
        by_file: dict[int, dict[str, int]] = defaultdict(dict)
        for contig in wanted:
            source = self.plan.params["read_from"][contigs[contig]["name"]]
            by_file[source["file"]][contigs[contig]["name"]] = source["offset"]
        numbers = {contigs[contig]["name"]: contig for contig in wanted}
        for file, offsets in by_file.items():
            path = Path(self.plan.inputs[f"fasta{file}"]["path"])
            left = {(numbers[name], index) for name in offsets for index in wanted[numbers[name]]}
            for name, index, bases in _cut(path, offsets, {n: arrays[numbers[n]] for n in offsets}):
                if (numbers[name], index) in left:
                    left.remove((numbers[name], index))
                    yield numbers[name], index, bases
                if not left:
                    break
            if left:
                raise InputError(f"{path} is shorter than when the run was planned", fix="plan a new run")

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Link the parts' shard files into ``out.zarr``, then metadata and manifest."""
        merge_store(self.header, parts, out)
        contigs = self.header["contigs"]
        return {"contigs": len(contigs), "bases": sum(contig["length"] for contig in contigs)}


def _cut(path: Path, offsets: dict[str, int], specs: dict[str, ArraySpec]) -> Iterator[tuple[str, int, bytes]]:
    """(name, shard number, letters) of every shard of the named contigs, from the pieces of the file."""
    name, index, pending, waiting = "", 0, list[bytes](), 0
    for current, piece in stream_contigs(path, offsets):
        if current != name:
            name, index, pending, waiting = current, 0, [], 0
        pending.append(piece)
        waiting += len(piece)
        while True:
            rows = specs[name].shard_slice(index)
            if rows.stop <= rows.start or waiting < rows.stop - rows.start:
                break
            size, joined = rows.stop - rows.start, b"".join(pending)
            yield name, index, joined[:size]
            pending, waiting, index = [joined[size:]], waiting - size, index + 1
