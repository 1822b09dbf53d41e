"""Reading stores. Opening one checks that every file is there with its size; checksums raise on flipped bits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.genome.onehot import UNKNOWN, codes_to_onehot, onehot_to_codes
from drg_hpc.store.header import find_store, read_header, split_count
from drg_hpc.store.layout import GENOME_CHUNK, MODALITY, ArraySpec, store_arrays
from drg_hpc.store.manifest import check_hashes, check_sizes, read_manifest
from drg_hpc.store.zarr_io import open_array

if TYPE_CHECKING:
    import pandas as pd
    import zarr

Rows = slice | Sequence[int] | NDArray[np.integer[Any]]
_CACHED_BLOCKS = 64


class _Store:
    """Root folder, header, manifest and opened arrays of a store."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path, self.header = path, header
        self.manifest = read_manifest(path)
        check_sizes(path, self.manifest)
        self._specs = {spec.path: spec for spec in store_arrays(header)}
        self._arrays: dict[str, zarr.Array[Any]] = {}

    def _read(self, name: str, start: int, stop: int) -> Any:
        """Rows ``start`` to ``stop`` of an array; a failing checksum becomes one line that names the file."""
        spec = self._specs[name]
        try:
            if name not in self._arrays:
                self._arrays[name] = open_array(self.path, name)
            return self._arrays[name][start:stop]
        except (ValueError, RuntimeError, OSError, KeyError) as error:
            files = [spec.shard_file(i) for i in range(start // spec.shard, -(-stop // spec.shard))]
            check_hashes(self.path, self.manifest, [*files, f"{name}/zarr.json"])
            raise CorruptError(f"cannot read {self.path / name}: {error}", fix="drg-inspect --verify") from error


class GenomeStore(_Store):
    """One-hot contigs. ``contigs`` maps name to length, in the order of the FASTA."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        super().__init__(path, header)
        self.contigs: dict[str, int] = {c["name"]: c["length"] for c in header["contigs"]}
        self._array_of = {c["name"]: c["array"] for c in header["contigs"]}
        self._blocks: OrderedDict[tuple[str, int], NDArray[np.uint8]] = OrderedDict()

    def onehot(self, contig: str, start: int, end: int) -> NDArray[np.bool_]:
        """One-hot ``(end - start, 4)``; positions off the contig, N and other letters are zero rows."""
        return codes_to_onehot(self.codes(contig, start, end))

    def codes(self, contig: str, start: int, end: int) -> NDArray[np.uint8]:
        """Base codes ``(end - start,)``: A, C, G, T = 0 to 3, else 4, also off the contig's ends.

        Raises
        ------
        InputError : unknown contig, or an empty or wholly outside interval
        """
        if contig not in self.contigs:
            raise InputError(f"no contig {contig!r} in {self.path}", fix=f"contigs: {', '.join([*self.contigs][:3])} …")
        length = self.contigs[contig]
        if not start < end or end <= 0 or start >= length:
            raise InputError(f"interval {contig}:{start}-{end} is outside the contig (length {length}) or empty")
        out = np.full(end - start, UNKNOWN, np.uint8)
        position, stop = max(start, 0), min(end, length)
        while position < stop:
            block, offset = divmod(position, GENOME_CHUNK)
            piece = self._block(contig, block)[offset : offset + stop - position]
            out[position - start : position - start + len(piece)] = piece
            position += len(piece)
        return out

    def _block(self, contig: str, block: int) -> NDArray[np.uint8]:
        """One decoded chunk; the last ones are kept, so that sorted windows decode each chunk once."""
        key = (contig, block)
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        start = block * GENOME_CHUNK
        stop = min(start + GENOME_CHUNK, self.contigs[contig])
        codes = onehot_to_codes(self._read(self._array_of[contig], start, stop))
        self._blocks[key] = codes
        if len(self._blocks) > _CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        return codes


class DatasetStore(_Store):
    """Rows with sequences, targets, regions and splits.

    Attributes
    ----------
    header : see :func:`drg_hpc.store.header.read_header`
    rows, length : number of rows, bases of the sequence input
    tracks : track names
    bins : bins of a target, 0 when it is one value a track
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        super().__init__(path, header)
        self.rows = int(header["rows"])
        self.length = int(header["inputs"]["seq"])
        self.tracks: list[str] = list(header["tracks"])
        self.bins = int(header["bins"])
        self._regions: pd.DataFrame | None = None

    @property
    def regions(self) -> pd.DataFrame:
        """Data frame of chrom, start, end, name, strand, split, fold, kept, reason; one line a row."""
        if self._regions is None:
            import pandas as pd

            columns = [name for name in self._specs if name.startswith("regions/")]
            frame = {name.split("/")[1]: self._read(name, 0, self.rows) for name in columns}
            text = {name: values.astype(object) for name, values in frame.items() if values.dtype.kind == "T"}
            self._regions = pd.DataFrame(frame | text)
        return self._regions

    def onehot(self, start: int, stop: int) -> NDArray[np.bool_]:
        """One-hot ``(stop - start, length, 4)`` of consecutive rows."""
        block: NDArray[np.bool_] = self._read("inputs/seq", start, stop)
        return block

    def codes(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Base codes ``(stop - start, length)`` of consecutive rows: 0 to 3, else 4."""
        return onehot_to_codes(self.onehot(start, stop))

    def sequences(self, rows: Rows) -> NDArray[np.float32]:
        """One-hot ``(n, 4, length)`` float32 of any rows (global numbers, in the order given)."""
        block = self._rows("inputs/seq", rows)
        return np.ascontiguousarray(block.transpose(0, 2, 1), dtype=np.float32)

    def targets(self, rows: Rows) -> NDArray[np.float32]:
        """Targets ``(n, tracks[, bins])`` of any rows, NaN where a value is missing."""
        values: NDArray[np.float32] = self._rows(f"targets/{MODALITY}", rows)
        values[~self._rows(f"targets_mask/{MODALITY}", rows)] = np.nan
        return values

    def target_block(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Targets and their mask (true: a value is there, else the target is 0) of consecutive rows."""
        return self._read(f"targets/{MODALITY}", start, stop), self._read(f"targets_mask/{MODALITY}", start, stop)

    def split_rows(self, split: str) -> NDArray[np.int64]:
        """Global row numbers of the kept rows of a split, ascending; ``all`` is every kept row."""
        split_count(self.header, split)
        kept = self.regions["kept"].to_numpy(dtype=bool)
        if split != "all":
            kept = kept & (self.regions["split"] == split).to_numpy()
        return np.flatnonzero(kept).astype(np.int64)

    def _rows(self, name: str, rows: Rows) -> Any:
        """Any rows of an array, each zarr chunk read once."""
        spec = self._specs[name]
        wanted = np.arange(self.rows)[rows] if isinstance(rows, slice) else np.asarray(rows, np.int64).reshape(-1)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= self.rows):
            raise InputError(f"row {wanted.min() if wanted.min() < 0 else wanted.max()} of a store of {self.rows} rows")
        if len(wanted) and np.array_equal(wanted, np.arange(wanted[0], wanted[0] + len(wanted))):
            return self._read(name, int(wanted[0]), int(wanted[-1]) + 1)
        return self._gather(spec, wanted)

    def _gather(self, spec: ArraySpec, wanted: NDArray[np.int64]) -> Any:
        out = np.empty((len(wanted), *spec.shape[1:]), spec.dtype)
        chunk_of = wanted // spec.chunk
        for chunk in np.unique(chunk_of):
            here = np.flatnonzero(chunk_of == chunk)
            start = int(chunk) * spec.chunk
            block = self._read(spec.path, start, min(start + spec.chunk, self.rows))
            out[here] = block[wanted[here] - start]
        return out


def open_store(path: Path | str) -> GenomeStore | DatasetStore:
    """Open a store (RUN or store) for reading.

    Raises
    ------
    InputError : nothing there, or not a store
    IncompleteError : the run has not been merged
    CorruptError : a file is missing or has another size (named)
    """
    store = find_store(Path(path))
    header = read_header(store)
    return GenomeStore(store, header) if header["kind"] == "genome" else DatasetStore(store, header)


def open_dataset(path: Path | str) -> DatasetStore:
    """Open a store that must be a dataset.

    Raises
    ------
    InputError : it is a genome store
    """
    store = open_store(path)
    if not isinstance(store, DatasetStore):
        raise InputError(f"{path} is a genome store, a dataset store is needed here")
    return store


def verify_store(path: Path | str) -> int:
    """Re-read every byte against the manifest; returns the number of files checked.

    Raises
    ------
    CorruptError : names the file that is missing or changed
    """
    store = find_store(Path(path))
    files = read_manifest(store)
    check_sizes(store, files)
    check_hashes(store, files)
    return len(files)
