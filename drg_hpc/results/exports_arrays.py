"""Attributions as arrays for modisco-lite, finemo and the DRG tools: npz files of the kept rows, in blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.genome import npz
from drg_hpc.genome.export import Contigs, Written, write_bed
from drg_hpc.genome.npz_blocks import NpzWriter
from drg_hpc.results import attributions_top
from drg_hpc.results.attributions_places import place_sequences
from drg_hpc.results.reader import Attributions
from drg_hpc.runs.spec import BLOCK_ROWS

_BLOCK_BYTES = 64 << 20

Read = Callable[[int, int], NDArray[Any]]
"""Values of consecutive rows."""


def track_file(found: Attributions, track: str) -> str:
    """Stem of a track's file: its number, and its name with other signs than letters, digits, ``+-._`` replaced."""
    number = str(found.tracks[track].name).rpartition("/")[2]
    return f"{number}.{re.sub(r'[^A-Za-z0-9+._-]', '_', track)}"


def _blocks(found: Attributions, row_bytes: int, read: Read) -> Iterator[NDArray[Any]]:
    """What ``read`` gives of (start, stop), the kept rows of it."""
    step = max(1, _BLOCK_BYTES // max(row_bytes, 1))
    step = step // BLOCK_ROWS * BLOCK_ROWS or step
    for start in range(0, found.rows, step):
        stop = min(start + step, found.rows)
        kept = found.kept[start:stop]
        if kept.any():
            yield read(start, stop)[kept]


def _sequences(found: Attributions, *, last: bool = False) -> Iterator[NDArray[Any]]:
    """One-hot (n, 4, L), or (n, L, 4) with ``last``."""
    for block in _blocks(found, 8 * found.length, _onehot(found)):
        yield block.transpose(0, 2, 1) if last else block


def _kept(found: Attributions) -> int:
    count = int(found.kept.sum())
    if not count:
        raise InputError(f"{found.path} has no kept rows", fix="there is nothing to export")
    return count


def _left_out(found: Attributions) -> dict[str, int]:
    count = found.rows - int(found.kept.sum())
    return {"rows are not kept": count} if count else {}


def _whole(found: Attributions, kind: str) -> None:
    for track, group in found.tracks.items():
        if "top" in group:
            raise InputError(
                f"{found.path} keeps the strongest positions of {track!r} only, {kind} needs all of them",
                fix="run drg-attr without --top",
            )


def _dtype(found: Attributions, track: str) -> Any:
    group = found.tracks[track]
    return group.get("top", group)["projected"].dtype


def write_modisco(found: Attributions, folder: Path, tracks: Sequence[str]) -> Written:
    """``sequences.npz`` and a file of contributions for each track, ``arr_0`` (n, 4, L) in both, and ``regions.bed``
    with the regions in the order of these rows.

    Raises
    ------
    InputError : no kept row, sparse attributions, or a track without a form of all four bases
    """
    rows = _kept(found)
    _whole(found, "modisco")
    shape = (rows, 4, found.length)
    for track in tracks:
        if found.form(track) is None:
            raise InputError(
                f"{found.path} has no form of all four bases of {track!r} that is a contribution, modisco needs one",
                fix="run drg-attr with --keep hypothetical and --output hypothetical, corrected or raw",
            )
    folder.mkdir(exist_ok=True)
    with NpzWriter(folder / "sequences.npz") as out:
        out.array("arr_0", shape, np.int8, _sequences(found))
    for track in tracks:
        with NpzWriter(folder / f"{track_file(found, track)}.npz") as out:
            out.array("arr_0", shape, _dtype(found, track), _contributions(found, track))
    _write_order(found, folder / "regions.bed")
    return Written({"rows": rows, "tracks": len(tracks)}, _left_out(found))


def _contributions(found: Attributions, track: str) -> Iterator[NDArray[Any]]:
    return _blocks(found, 16 * found.length, partial(found.contributions, track))


def _write_order(found: Attributions, path: Path) -> None:
    """The kept rows as BED in the file's order, each with some chromosome."""
    places = place_sequences(found.regions, length=found.length, stranded=False)
    table = found.regions.assign(chrom=places.chrom, start=places.start, end=places.end)
    write_bed(path, table, rows=np.flatnonzero(found.kept).astype(np.int64), contigs=None)


def write_finemo(found: Attributions, folder: Path, tracks: Sequence[str], contigs: Contigs | None) -> Written:
    """A ``regions.npz`` of finemo for each track, in genome direction: rows of the reverse strand are turned.

    ``contributions`` are (n, 4, w) where a form of all four bases was kept, else (n, w); w is even, as finemo wants it:
    an odd length goes without its last base. ``peak_id`` counts these rows, ``peak_name`` is the region's name; a
    sequence that has no place on the genome has its own name as ``chr``.

    Raises
    ------
    InputError : no kept row, or sparse attributions
    """
    rows, width = _kept(found), found.length // 2 * 2
    _whole(found, "finemo")
    stranded = bool(found.attributes.get("stranded", False))
    places = place_sequences(found.regions, length=found.length, stranded=stranded)
    kept = np.flatnonzero(found.kept)
    chrom = [places.chrom[row] for row in kept]
    numbers = {name: i for i, name in enumerate(dict.fromkeys([*(contigs or {}), *chrom]))}
    folder.mkdir(exist_ok=True)
    for track in tracks:
        full = found.form(track) is not None
        read = partial(found.contributions if full else found.projected, track)
        shape = (rows, 4, width) if full else (rows, width)
        with NpzWriter(folder / f"{track_file(found, track)}.npz") as out:
            out.array("sequences", (rows, 4, width), np.int8, _turned(found, places.flipped, _onehot(found), width))
            out.array("contributions", shape, _dtype(found, track), _turned(found, places.flipped, read, width))
            out.text("chr", chrom)
            out.array("chr_id", (rows,), np.uint32, [np.array([numbers[name] for name in chrom], np.uint32)])
            out.array("start", (rows,), np.int32, [places.start[kept]])
            out.array("peak_id", (rows,), np.uint32, [np.arange(rows)])
            out.text("peak_name", [places.name[row] for row in kept])
    return Written({"rows": rows, "tracks": len(tracks)}, _left_out(found))


def _onehot(found: Attributions) -> Read:
    return lambda start, stop: np.asarray(found.sequences[start:stop], np.int8)


def _turned(found: Attributions, flipped: NDArray[np.bool_], read: Read, width: int) -> Iterator[NDArray[Any]]:
    """Kept rows in genome direction, the first ``width`` positions."""

    def turn(start: int, stop: int) -> NDArray[Any]:
        block, minus = read(start, stop), flipped[start:stop]
        axes = tuple(range(1, block.ndim))  # in the order A, C, G, T the complement turns the bases round
        block[minus] = np.flip(block[minus], axes)
        return block[..., :width]

    return _blocks(found, 16 * found.length, turn)


def write_drg(inputs: Sequence[Attributions], folder: Path, tracks: Sequence[str]) -> Written:
    """``attributions.npz`` as the DRG tools exchange it, and ``sequences.npz`` (``sequences.NAME.npz`` of several).

    ``names`` (N,), ``values`` float32 (N, T, 4, L), ``experiments`` (T,): a form whose product with the sequence is the
    attribution of the bases that are there. Several inputs come first, (inputs, N, T, 4, L). Of sparse attributions
    ``values`` is float64 (N, T, 5, K), the fifth row the positions.

    Raises
    ------
    InputError : no kept row, or inputs of unequal length
    """
    first = inputs[0]
    rows = _kept(first)
    widths = {_width(found, tracks) for found in inputs}
    if len(widths) > 1:
        raise InputError(
            f"{first.path} has inputs of unequal lengths, the DRG tools take one", fix="export each input by itself"
        )
    depth, width, dtype = widths.pop()
    shape = (rows, len(tracks), depth, width)
    names = [str(name) for name in first.regions["name"].to_numpy()[first.kept]]
    folder.mkdir(exist_ok=True)
    with NpzWriter(folder / "attributions.npz") as out:
        values = (block for found in inputs for block in _drg_values(found, tracks, shape))
        out.array("values", (len(inputs), *shape) if len(inputs) > 1 else shape, dtype, values)
        out.text("names", names)
        out.text("experiments", tracks)
    for found in inputs:
        name = "sequences.npz" if len(inputs) == 1 else f"sequences.{found.input}.npz"
        npz.write_onehot(folder / name, names, found.length, _sequences(found, last=True))
    return Written({"rows": rows, "tracks": len(tracks)}, _left_out(first))


def _width(found: Attributions, tracks: Sequence[str]) -> tuple[int, int, str]:
    """(rows of a map, positions, type) of an input's values."""
    group = found.tracks[tracks[0]]
    if "top" not in group:
        return 4, found.length, "float32"
    return 5, int(group["top/positions"].shape[1]), "float64"


def _drg_values(found: Attributions, tracks: Sequence[str], shape: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    def read(start: int, stop: int) -> NDArray[Any]:
        block = np.empty((stop - start, *shape[1:]), np.float64 if shape[2] == 5 else np.float32)
        for i, track in enumerate(tracks):
            values = found.contributions(track, start, stop)
            if shape[2] == 5:
                positions = _positions(found.tracks[track], start, stop)
                block[:, i, :4], block[:, i, 4] = attributions_top.take(values, positions), positions
            else:
                block[:, i] = values
        return block

    return _blocks(found, 16 * found.length * (len(tracks) + 1), read)


def _positions(group: h5py.Group, start: int, stop: int) -> NDArray[np.int32]:
    return np.asarray(group["top/positions"][start:stop], np.int32)
