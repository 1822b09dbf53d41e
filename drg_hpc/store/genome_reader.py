"""Reading genome stores: one-hot rows and base codes of any interval."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.genome.onehot import UNKNOWN, codes_to_onehot, onehot_to_codes
from drg_hpc.store.base import Store
from drg_hpc.store.genome_layout import GENOME_CHUNK
from drg_hpc.store.shard_files import checked_codes

_CACHED_BLOCKS = 64


class GenomeStore(Store):
    """One-hot contigs. ``contigs`` maps name to length, in the order of the FASTA."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        super().__init__(path, header)
        self.contigs: dict[str, int] = {c["name"]: c["length"] for c in header["contigs"]}
        self._place = {c["name"]: (str(c["array"]), int(c["offset"])) for c in header["contigs"]}
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
        array, offset = self._place[contig]
        first, last = max(start, 0), min(end, length)
        inside = out[first - start : last - start]
        if len(inside) > 4 * GENOME_CHUNK:
            inside[:] = self._stored(array, offset + first, offset + last)
        else:
            self._from_blocks(array, offset + first, inside)
        return out

    def _from_blocks(self, array: str, position: int, out: NDArray[np.uint8]) -> None:
        filled = 0
        while filled < len(out):
            block, offset = divmod(position + filled, GENOME_CHUNK)
            piece = self._block(array, block)[offset : offset + len(out) - filled]
            out[filled : filled + len(piece)] = piece
            filled += len(piece)

    def _block(self, array: str, block: int) -> NDArray[np.uint8]:
        """One decoded chunk; the last ones are kept, so that sorted windows decode each chunk once."""
        key = (array, block)
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        start = block * GENOME_CHUNK
        codes = self._stored(array, start, min(start + GENOME_CHUNK, self._specs[array].shape[0]))
        self._blocks[key] = codes
        if len(self._blocks) > _CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        return codes

    def _stored(self, array: str, start: int, stop: int) -> NDArray[np.uint8]:
        """Base codes of part of an array; ``blosc`` goes through zarr."""
        spec = self._specs[array]
        if spec.codec == "packbits":
            return checked_codes(self.path, spec, self.manifest, start, stop)
        return onehot_to_codes(self._read(array, start, stop))
