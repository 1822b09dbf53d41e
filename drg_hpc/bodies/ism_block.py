"""Effects of the rows of a block, in memory or in a scratch file, until its datasets are written value by value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.attribution.cost import RESULT_BYTES
from drg_hpc.attribution.ism_effects import RowEffects
from drg_hpc.results.attributions import InputBlock, Layout, TrackBlock

Array = NDArray[Any]
_FORMS = ("ism", "contribution")
"""Names of arrays with four numbers a base."""


class Block:
    """Up to ``layout.block_rows`` rows. Rows that are not kept are never put in, and hold zeros.

    Parameters
    ----------
    rows : of the block
    values : of the statistic
    scratch : a new folder for what exceeds memory
    """

    def __init__(self, layout: Layout, *, rows: int, scratch: Path) -> None:
        self._layout, self._rows, self._values = layout, rows, len(layout.tracks)
        self._scratch = scratch
        plan = layout.mutagenesis
        assert plan is not None, "the layout is of mutagenesis"
        forms: dict[str, int] = dict.fromkeys(_FORMS if layout.single else _FORMS[:1], 4) if plan.substitutions else {}
        forms |= {"projected": 1} if plan.substitutions else {}
        if layout.deviations:
            forms |= {f"{name}_sd": width for name, width in forms.items() if name != "contribution"}
        self._edits = plan.edits
        shapes = {
            (number, name): (self._values, rows, *((4,) if width == 4 else ()), length)
            for number, (_, length) in enumerate(layout.inputs)
            for name, width in (forms | dict.fromkeys(plan.edits, 1)).items()
        }
        self._in_file = 4 * sum(math.prod(shape) for shape in shapes.values()) > RESULT_BYTES
        self._arrays = {key: self._empty(f"{key[0]}.{key[1]}", shape) for key, shape in shapes.items()}
        self.scored = [np.zeros((rows, length), np.bool_) for _, length in layout.inputs]
        self._prediction = np.zeros((2, self._values, rows), np.float32)
        self._deviates = layout.deviations

    def _empty(self, name: str, shape: tuple[int, ...]) -> Array:
        if not self._in_file:
            return np.zeros(shape, np.float32)
        self._scratch.mkdir(exist_ok=True)
        return np.memmap(self._scratch / name, np.float32, "w+", shape=shape)

    def put(self, row: int, found: RowEffects) -> None:
        """Take the effects of a row, by its number in the block."""
        self._prediction[0, :, row] = found.prediction
        if found.prediction_sd is not None:
            self._prediction[1, :, row] = found.prediction_sd
        for number, effects in enumerate(found.inputs):
            self.scored[number][row] = effects.scored
            for (of, name), array in self._arrays.items():
                if of == number and name == "contribution":
                    for value in range(self._values):
                        array[value, row] = effects.contribution(value)
                elif of == number:
                    array[:, row] = effects.edits[name] if name in self._edits else getattr(effects, name)

    def track(self, value: int) -> TrackBlock:
        """What is written of one value."""
        return TrackBlock(
            prediction=self._prediction[0, value],
            prediction_sd=self._prediction[1, value] if self._deviates else None,
            inputs=tuple(self._input(value, number) for number in range(len(self._layout.inputs))),
        )

    def _input(self, value: int, number: int) -> InputBlock:
        length = self._layout.inputs[number][1]

        def of(name: str, *, width: int = 1) -> Array:
            if (number, name) in self._arrays:
                return np.asarray(self._arrays[number, name][value])
            shape = (self._rows, 4, length) if width == 4 else (self._rows, length)
            return np.broadcast_to(np.float32(0), shape)

        def perhaps(name: str) -> Array | None:
            return of(name) if (number, name) in self._arrays else None

        return InputBlock(
            projected=of("projected"),
            form=of("ism", width=4),
            contribution=of("contribution", width=4),
            projected_sd=perhaps("projected_sd"),
            form_sd=perhaps("ism_sd"),
            edits={name: of(name) for name in self._edits},
            scored=self.scored[number],
        )


def first_undefined(effects: RowEffects, names: Sequence[str]) -> tuple[str, int] | None:
    """Name of the value and position of the first substitution whose compared value is no finite number."""
    for found in effects.inputs:
        where = np.argwhere(found.scored & ~np.isfinite(found.ism).all(axis=1))
        if len(where):
            return names[where[0][0]], int(where[0][1])
    return None


def remove_scratch(folder: Path) -> None:
    """Remove the files of blocks that did not fit into memory."""
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
