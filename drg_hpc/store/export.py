"""What other programs need of a store: sequences, targets, regions, in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import new_file
from drg_hpc.genome import npz
from drg_hpc.genome.export import Contigs, Written, place_rows, write_bed, write_fasta, write_table
from drg_hpc.genome.export_bigwig import write_bigwig
from drg_hpc.genome.onehot import decode, onehot_to_codes
from drg_hpc.store.dataset_reader import DatasetStore
from drg_hpc.store.genome_layout import GENOME_CHUNK
from drg_hpc.store.genome_reader import GenomeStore

_AT_ONCE_BYTES = 64 << 20


class DatasetExport:
    """Exports of the kept rows of a split of a dataset store.

    Parameters
    ----------
    split : train, valid, test, or all
    """

    def __init__(self, store: DatasetStore, split: str) -> None:
        self._store = store
        self._rows = store.split_rows(split)
        unkept = store.rows - int(store.header["kept"])
        self._left_out = {"rows are not kept": unkept} if unkept else {}
        if not len(self._rows):
            raise InputError(f"{store.path} has no kept rows in split {split!r}")

    @property
    def contigs(self) -> Contigs | None:
        """Contigs of the genome that the regions were read from, where the store knows them."""
        return {c["name"]: int(c["length"]) for c in self._store.header.get("contigs", [])} or None

    def _names(self) -> list[str]:
        return [str(name) for name in self._store.regions["name"].to_numpy()[self._rows]]

    def _blocks(self, row_bytes: int) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
        """(first, behind the last, those that are wanted) of ranges of rows that are whole chunks."""
        chunk = int(self._store.header["row_chunk"])
        step = max(1, _AT_ONCE_BYTES // max(row_bytes, 1) // chunk) * chunk
        for start in range(0, self._store.rows, step):
            stop = min(start + step, self._store.rows)
            first, last = np.searchsorted(self._rows, [start, stop])
            if first < last:
                yield start, stop, self._rows[first:last]

    def _onehot(self, name: str) -> Iterator[NDArray[np.bool_]]:
        for start, stop, rows in self._blocks(8 * self._store.inputs[name].stored):
            yield self._store.onehot(start, stop, name=name)[rows - start]

    def _targets(self, modality: str, tracks: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        for _, _, rows in self._blocks(16 * int(np.prod(self._store.modalities[modality].shape(1)))):
            yield self._store.targets(rows, modality=modality)[:, list(tracks)]

    def sequences_npz(self, path: Path, name: str) -> Written:
        """DRG's one-hot file of an input."""
        length = self._store.inputs[name].length
        with new_file(path) as private:
            npz.write_onehot(private, self._names(), length, self._onehot(name))
        return Written({"rows": len(self._rows), "bases": length}, self._left_out)

    def fasta(self, path: Path, name: str) -> Written:
        """Sequences of an input, by row name."""
        sequences = (decode(codes) for onehot in self._onehot(name) for codes in onehot_to_codes(onehot))
        write_fasta(path, ((row, [letters]) for row, letters in zip(self._names(), sequences, strict=True)))
        return Written({"rows": len(self._rows), "bases": self._store.inputs[name].length}, self._left_out)

    def counts_npz(self, path: Path, modality: str, tracks: Sequence[int]) -> Written:
        """DRG's targets file of a modality."""
        chosen = self._store.modalities[modality]
        names = [chosen.names[i] for i in tracks]
        with new_file(path) as private:
            npz.write_counts(private, self._names(), names, bins=chosen.bins, blocks=self._targets(modality, tracks))
        return Written({"rows": len(self._rows), "tracks": len(names)}, self._left_out)

    def table(self, path: Path, modality: str, tracks: Sequence[int]) -> Written:
        """Targets of a modality as a matrix of text."""
        chosen = self._store.modalities[modality]
        if chosen.bins:
            raise UsageError(f"targets/{modality} has {chosen.bins} bins a track, a table has one", fix="--format npz")
        write_table(path, self._names(), [chosen.names[i] for i in tracks], self._targets(modality, tracks))
        return Written({"rows": len(self._rows), "tracks": len(tracks)}, self._left_out)

    def bed(self, path: Path, name: str, contigs: Contigs | None) -> Written:
        """Intervals of an input, by row name."""
        table = self._store.regions
        if name != next(iter(self._store.inputs)):
            own = self._store.intervals(name)
            table = table.assign(**{column: own[column] for column in ("chrom", "start", "end", "strand")})
        contigs = contigs or self.contigs
        placed = place_rows(table, self._rows, contigs)
        write_bed(path, table, rows=placed.rows, contigs=contigs)
        return Written({"regions": len(placed.rows)}, {**self._left_out, **placed.left_out})

    def bigwig(self, path: Path, modality: str, track: int, contigs: Contigs | None) -> Written:
        """Binned targets of a track, put back on the genome: minus-strand rows have bins and stranded tracks turned."""
        chosen = self._store.modalities[modality]
        regions = self._store.regions
        contigs = contigs or self.contigs
        if not chosen.bins:
            raise UsageError(f"targets/{modality} has one value a region, not bins or bases", fix="--format tsv")
        if self._store.header.get("spliced"):
            raise UsageError("rows are spliced transcripts: their bins are not intervals of the genome")
        if contigs is None:
            raise UsageError(f"{self._store.path} does not know its contigs", fix="give --genome STORE or chrom.sizes")
        length = next(iter(self._store.inputs.values())).length
        width = chosen.span or length
        margin = (length - width) // 2
        regions = regions.assign(start=regions["start"] + margin, end=regions["end"] - margin)
        placed = place_rows(regions, self._rows, contigs, length=width)
        minus = (regions["strand"] == "-").to_numpy(dtype=bool)
        partner = int(chosen.tracks[track]["strand_partner"]) if self._turned(modality) else track

        def read(rows: NDArray[np.int64]) -> NDArray[Any]:
            out = np.empty((len(rows), chosen.bins), np.float32)
            step = max(1, _AT_ONCE_BYTES // (16 * int(np.prod(chosen.shape(1)))))
            for start in range(0, len(rows), step):
                here = rows[start : start + step]
                values = self._store.targets(here, modality=modality)
                turned = minus[here]
                out[start : start + step] = values[:, track]
                out[start : start + step][turned] = values[turned, partner, ::-1]
            return out

        starts = regions["start"].to_numpy(np.int64)
        bases = write_bigwig(path, contigs, placed, start=starts, width=width, positions=chosen.bins, read=read)
        return Written({"regions": len(placed.rows), "bases": bases}, {**self._left_out, **placed.left_out})

    def _turned(self, modality: str) -> bool:
        """Whether minus-strand rows hold each stranded track's partner: those read from bigWig files do."""
        number = list(self._store.modalities).index(modality)
        return str(self._store.header["labels"][number]["kind"]) == "bigwig"


def genome_fasta(store: GenomeStore, path: Path) -> Written:
    """All contigs in upper case; N where a base is none of the four."""

    def letters(contig: str, length: int) -> Iterator[bytes]:
        for start in range(0, length, GENOME_CHUNK):
            yield decode(store.codes(contig, start, min(start + GENOME_CHUNK, length)))

    write_fasta(path, ((contig, letters(contig, length)) for contig, length in store.contigs.items()))
    return Written({"contigs": len(store.contigs), "bases": sum(store.contigs.values())}, {})
