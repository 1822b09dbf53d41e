"""What each row loses without each kernel, on disk: ``kernattperpnt.h5`` of a run of drg-kernels.

``loss`` (rows, classes, kernels) float32: the correlation of a row's predictions with its measured values over the
tracks of a class, less that without the kernel; ``correlation`` (rows, models, classes) with all kernels; ``regions``
as in other results. ``kernels`` and ``classes`` are names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError
from drg_hpc.results import h5
from drg_hpc.results.layout import REGION_DATASETS, read_regions, write_regions

FORMAT = "drg-kernel-rows/1"
NAME = "kernattperpnt.h5"
Float32 = NDArray[np.float32]


class RowsWriter:
    """The losses of a shard's rows, block by block."""

    def __init__(self, path: Path, *, rows: int, classes: int, kernels: int, models: int) -> None:
        self._file = h5.create(path)
        self._loss = h5.dataset(self._file, "loss", shape=(rows, classes, kernels), dtype=np.float32)
        self._correlation = h5.dataset(self._file, "correlation", shape=(rows, models, classes), dtype=np.float32)

    def __enter__(self) -> RowsWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def regions(self, table: pd.DataFrame) -> None:
        """The table of regions of all rows."""
        write_regions(self._file, table)

    def block(self, at: int, loss: Float32, correlation: Float32) -> None:
        """Rows from ``at`` on, a whole block of them: (n, classes, kernels) and (n, models, classes)."""
        self._loss[at : at + len(loss)] = loss
        self._correlation[at : at + len(loss)] = correlation


def merge_rows(
    parts: Sequence[h5.PartFile], path: Path, attributes: Mapping[str, Any], **names: Sequence[str]
) -> None:  # fmt: skip
    """Join the shards' files; ``names`` are those of ``kernels`` and ``classes``."""
    with h5.create(path) as out:
        h5.set_attributes(out, {**attributes, "format": FORMAT})
        h5.merge_fixed(parts, ["correlation", "loss", *REGION_DATASETS], out)
        for name, values in sorted(names.items()):
            h5.write_text(out, name, values)


@dataclass(frozen=True)
class KernelRows:
    """The file in memory; arrays as the module's text has them."""

    loss: Float32
    correlation: Float32
    regions: pd.DataFrame
    kernels: list[str]
    classes: list[str]


def read_kernel_rows(path: Path) -> KernelRows:
    """Losses of a run of drg-kernels --per-row, or of its file.

    Raises
    ------
    InputError : nothing there
    CorruptError : not such a file
    """
    source = path / NAME if path.is_dir() else path
    with h5.open_file(source) as handle:
        if handle.attrs.get("format") != FORMAT:
            raise CorruptError(
                f"{source} is not a file of rows ({FORMAT})", fix="give what drg-kernels --per-row wrote"
            )
        names = {name: h5.read_text(handle[name]) for name in ("kernels", "classes")}
        return KernelRows(handle["loss"][()], handle["correlation"][()], read_regions(handle), **names)
