"""Files of predictions and gradients that a model's original made."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.models.base import SequenceModel

Array = NDArray[Any]
GRADIENTS = ("gradients", "grad")
_SEQUENCES = ("sequences", "seqfeatures", "onehot")
_NAMES = ("names", "genenames", "regions")
_PREDICTIONS = ("predictions", "values")
_DAMAGED = (
    OSError, ValueError, EOFError, KeyError, MemoryError, NotImplementedError, RuntimeError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Onehot:
    """Sequences that were read from a file of another kind.

    Parameters
    ----------
    values : (n, length, 4) or (n, 4, length)
    names : of each
    """

    path: Path
    values: Array
    names: list[str]


@dataclass(frozen=True)
class Reference:
    """Files that the original made.

    Parameters
    ----------
    predictions : ``.npz`` with ``predictions`` or ``values`` (n, tracks[, bins]), and ``sequences`` where ``sequences``
        is empty; ``names`` (n,) if it has them
    sequences : of each input, or a ``.npz`` with ``sequences``, ``seqfeatures`` or ``onehot``, (n, 4, length) or
        (n, length, 4), in the order A, C, G, T; ``names``, ``genenames`` or ``regions`` if it has them
    gradients : ``.npz`` with ``gradients`` or ``grad`` (m, t, 4, length), for several inputs (inputs, m, t, 4, length);
        ``tracks`` (t,), else all; ``names`` (m,), else the first m rows. Of a track's value, or its sum over bins
    key : array of ``predictions``, where it is another one
    """

    predictions: Path
    sequences: Sequence[Path | Onehot] = ()
    gradients: Path | None = None
    key: str | None = None


def read_arrays(path: Path) -> dict[str, Array]:
    """Arrays of an npz file.

    Raises
    ------
    InputError : no such file, damaged, or with an array of Python objects, which would need pickle
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise InputError(f"{path} is one array, not an npz file of several")
        with loaded as archive:
            found = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(f"no such file: {path}") from None
    except _DAMAGED as error:
        if "allow_pickle" in str(error) or "pickled" in str(error):
            raise InputError(f"{path} holds Python objects, which need pickle and could run code: it is not read",
                             fix="save its arrays as numbers and text") from None  # fmt: skip
        raise InputError(f"{path} is not a readable npz file: {error}") from None
    return {name: array for name, array in found.items() if isinstance(array, np.ndarray)}  # other members are bytes


def one_of(arrays: Mapping[str, Array], keys: Sequence[str], path: Path) -> Array:
    for key in keys:
        if key in arrays:
            return arrays[key]
    raise InputError(f"{path} has none of {', '.join(keys)}", fix=f"it has {', '.join(arrays) or 'nothing'}")


def row_names(arrays: Mapping[str, Array]) -> list[str] | None:
    return next((list(map(str, arrays[key])) for key in _NAMES if key in arrays), None)


def _onehot(values: Array, length: int, path: Path) -> torch.Tensor:
    """``(n, 4, length)`` float32."""
    if values.ndim == 3 and values.shape[1:] == (4, length):
        turned = values
    elif values.ndim == 3 and values.shape[1:] == (length, 4):
        turned = values.transpose(0, 2, 1)
    else:
        raise InputError(f"{path} has sequences {values.shape}, the model takes (n, 4, {length}) or (n, {length}, 4)")
    return torch.tensor(np.ascontiguousarray(turned), dtype=torch.float32)


def require_finite(values: Array, path: Path) -> None:
    if not np.isfinite(values).all():
        raise InputError(f"{path}: some values of the reference are not finite")


class Rows:
    """Rows of the reference, with the sequences that belong to them."""

    def __init__(self, reference: Reference, model: SequenceModel) -> None:
        self._path, self._arrays = reference.predictions, read_arrays(reference.predictions)
        arrays = self._arrays
        keys = _PREDICTIONS if reference.key is None else (reference.key,)
        self.values = one_of(arrays, keys, reference.predictions)
        self.names = row_names(arrays)
        files = list(reference.sequences) or [reference.predictions]
        lengths = list(model.shape.inputs.values())
        if len(files) != len(lengths):
            raise InputError(f"{len(files)} files of sequences for a model of {len(lengths)} inputs")
        self._inputs = [self._input(path, length) for path, length in zip(files, lengths, strict=True)]
        if self.values.ndim < 2 or not len(self.values) or self.values.dtype.kind not in "fiub":
            raise InputError(f"{reference.predictions}: predictions are {self.values.shape} of {self.values.dtype}")
        require_finite(self.values, reference.predictions)

    def _input(self, source: Path | Onehot, length: int) -> torch.Tensor:
        names: list[str] | None
        if isinstance(source, Onehot):
            path, values, names = source.path, source.values, source.names
        else:
            path, arrays = source, self._arrays if source == self._path else read_arrays(source)
            values, names = one_of(arrays, _SEQUENCES, path), row_names(arrays)
        onehot = _onehot(values, length, path)
        if self.names is not None and names is not None and names != self.names:
            index = {name: i for i, name in enumerate(names)}
            if missing := [name for name in self.names if name not in index]:
                raise InputError(f"{path} has no sequence {missing[0]!r}, which the reference has")
            onehot = onehot[[index[name] for name in self.names]]
        if len(onehot) != len(self.values):
            raise InputError(f"{path} has {len(onehot)} sequences, the reference {len(self.values)} predictions")
        return onehot

    def rows(self, chosen: Sequence[int] | slice) -> list[torch.Tensor]:
        """Sequences of chosen rows, of each input."""
        return [onehot[chosen] for onehot in self._inputs]
