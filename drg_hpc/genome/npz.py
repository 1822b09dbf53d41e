"""DRG's ``.npz`` files, read and written in blocks.

Sequences: ``seqfeatures`` int8 (rows, length, 4), ``genenames``, ``featurenames``; a base that is none of the four is a
row of zeros. Targets: ``counts`` (rows, tracks[, bins]), ``names``, ``celltypes``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drg_hpc.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drg_hpc.genome.npz_blocks import NpzReader

BASES = "ACGT"
_FIX = "it must be a DRG one-hot file: seqfeatures (rows, length, 4), genenames, featurenames"


def scan_onehot(path: Path) -> list[tuple[str, int]]:
    """(name, length) of every sequence; every value is checked.

    Raises
    ------
    InputError : see :func:`load_codes`; a name occurs twice
    """
    reader = _open(path)
    with reader:
        names, length, order = _layout(reader)
        for _ in _codes(reader, names, order):
            pass
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{path}: {name!r} occurs twice")
        seen.add(name)
    return [(name, length) for name in names]


def load_codes(path: Path) -> tuple[list[str], NDArray[np.uint8]]:
    """Names and base codes ``(rows, length)``: A, C, G, T are 0 to 3, a row of zeros is 4.

    Raises
    ------
    InputError : missing, damaged, of another layout, not one-hot, or with pickled objects; numpy is not installed
    """
    reader = _open(path)
    import numpy as np

    with reader:
        names, length, order = _layout(reader)
        out = np.empty((len(names), length), np.uint8)
        for start, codes in _codes(reader, names, order):
            out[start : start + len(codes)] = codes
    return names, out


def write_onehot(path: Path, names: Sequence[str], length: int, blocks: Iterable[NDArray[Any]]) -> None:
    """Write sequences.

    Parameters
    ----------
    path : must not exist
    blocks : one-hot (n, length, 4) of consecutive rows, in the order A, C, G, T
    """
    from drg_hpc.genome.npz_blocks import NpzWriter

    with NpzWriter(path) as out:
        out.array("seqfeatures", (len(names), length, len(BASES)), "int8", blocks)
        out.text("genenames", names)
        out.text("featurenames", list(BASES))


def write_counts(
    path: Path, names: Sequence[str], tracks: Sequence[str], *, bins: int, blocks: Iterable[NDArray[Any]]
) -> None:
    """Write targets, float32.

    Parameters
    ----------
    path : must not exist
    bins : 0 for one value a track
    blocks : (n, tracks[, bins]) of consecutive rows, NaN where a value is missing
    """
    from drg_hpc.genome.npz_blocks import NpzWriter

    with NpzWriter(path) as out:
        out.array("counts", (len(names), len(tracks), *([bins] if bins else [])), "float32", blocks)
        out.text("names", names)
        out.text("celltypes", tracks)


def _open(path: Path) -> NpzReader:
    try:
        from drg_hpc.genome.npz_blocks import NpzReader
    except ImportError:
        raise InputError(f"reading .npz needs numpy, which is not installed here: {path}",
                         fix="plan in the run environment or image, or use FASTA") from None  # fmt: skip
    return NpzReader(path)


def _layout(reader: NpzReader) -> tuple[list[str], int, list[int]]:
    """Names, length, and the numbers of the channels A, C, G, T."""
    path = reader.path
    if "seqfeatures" not in reader or "genenames" not in reader:
        raise InputError(f"{path} has no seqfeatures and genenames, only {', '.join(reader.names)}", fix=_FIX)
    shape = reader.shape("seqfeatures")
    names = reader.text("genenames")
    letters = reader.text("featurenames") if "featurenames" in reader else list(BASES)
    if len(shape) != 3 or shape[0] != len(names) or shape[2] != len(letters) or sorted(letters) != sorted(BASES):
        shown = ",".join(letters[:8]) + (",…" if len(letters) > 8 else "")
        raise InputError(f"{path}: seqfeatures {shape} for {len(names)} names and letters {shown}", fix=_FIX)
    if not shape[0] or not shape[1]:
        raise InputError(f"{path}: seqfeatures {shape} holds no sequence")
    return names, shape[1], [letters.index(letter) for letter in BASES]


def _codes(reader: NpzReader, names: list[str], order: list[int]) -> Iterable[tuple[int, NDArray[np.uint8]]]:
    """(first row, base codes) of consecutive blocks."""
    import numpy as np

    from drg_hpc.genome.onehot import onehot_to_codes

    for start, block in reader.blocks("seqfeatures"):
        onehot = block != 0
        whole = block.dtype.kind in "biuf" and bool(((block == 0) | (block == 1)).all())
        if not whole or (onehot.sum(axis=2, dtype=np.uint8) > 1).any():
            wrong = ((block != 0) & (block != 1)).any(axis=(1, 2)) | (onehot.sum(axis=2) > 1).any(axis=1)
            raise InputError(
                f"{reader.path}: seqfeatures of {names[start + int(wrong.argmax())]!r} are not one-hot "
                "(0 or 1, at most one 1 a position)"
            )
        yield start, onehot_to_codes(onehot if order == [0, 1, 2, 3] else onehot[:, :, order])
