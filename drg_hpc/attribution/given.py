"""Sequences held in memory, as a user gives them to a function here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from drg_hpc.errors import UsageError

Given = ArrayLike | torch.Tensor


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """The module in eval mode, and afterwards as it was, submodule by submodule."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def as_array(values: Given) -> NDArray[Any]:
    """A tensor or anything like an array."""
    return np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values)


def sequences_given(sequences: Given | Sequence[Given]) -> tuple[list[NDArray[Any]], bool]:
    """Arrays (n, 4, length) of each input, and whether there were several in a list.

    Raises
    ------
    UsageError : another shape
    """
    several = isinstance(sequences, list | tuple) and np.ndim(sequences[0]) == 3
    each: Any = sequences if several else [sequences]
    return [_sequences(one) for one in each], several


def _sequences(values: Given) -> NDArray[Any]:
    x = as_array(values)
    if x.ndim != 3 or x.shape[1] != 4:
        raise UsageError(f"sequences have shape {x.shape}", fix="give (n, 4, length), bases in the order A, C, G, T")
    return x


def input_names(module: torch.nn.Module, count: int) -> list[str]:
    """Names of a module's inputs, by which they get random numbers of their own."""
    known = list(getattr(getattr(module, "shape", None), "inputs", ()))
    return known or [f"input{i}" for i in range(count)]


def check_inputs(module: torch.nn.Module, xs: Sequence[NDArray[Any]]) -> None:
    """Refuse sequences (n, 4, length) that a module does not take.

    Raises
    ------
    UsageError : another number of rows or inputs, or another length
    """
    if len({len(x) for x in xs}) > 1:
        raise UsageError(f"inputs have {', '.join(str(len(x)) for x in xs)} rows: a row has one sequence of each")
    shape = getattr(module, "shape", None)
    known = list(getattr(shape, "inputs", {}).values())
    if not known and isinstance(length := getattr(module, "length", None), int):
        known = [length]
    if known and len(known) != len(xs):
        raise UsageError(f"the model takes {len(known)} sequences a row, not {len(xs)}")
    for wanted, x in zip(known, xs, strict=False):
        if wanted != x.shape[2]:
            raise UsageError(f"sequences have {x.shape[2]} bases, the model takes {wanted}")
