"""Weights and sequences made from names alone, so that two packages can be given the same ones. numpy only."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SIZES = {
    "borzoi": {"dim": 64, "depth": 2, "heads": 2, "attn_dim_key": 8, "attn_dim_value": 12, "bins_to_return": 100},
    "prime": {"dim": 64, "depth": 1, "heads": 4, "attn_dim_key": 8, "attn_dim_value": 16, "bins_to_return": 200},
}
LENGTH = 4096
STEP = 97
"""Of how many tracks one is kept in the stored reference."""


def numbers(name: str, shape: Sequence[int]) -> Array:
    """Values for a tensor of borzoi-pytorch: of unit gain in convolutions and products, around 1 in norms."""
    uniform = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).random(tuple(shape))
    if name.endswith("num_batches_tracked"):
        return np.zeros(tuple(shape), np.int64)
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return (0.5 + uniform).astype(np.float32)
    if len(shape) < 2 or name.endswith(("content_bias", "pos_bias")):
        return (uniform - 0.5).astype(np.float32)
    return ((uniform - 0.5) * np.sqrt(12 / np.prod(shape[1:]))).astype(np.float32)


def weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    return {name: numbers(name, shape) for name, shape in shapes.items()}


def sequences(rows: int = 2, length: int = LENGTH, seed: int = 5) -> Array:
    """One-hot (rows, 4, length); the second one has 100 unknown bases."""
    codes = np.random.Generator(np.random.PCG64(seed)).integers(0, 4, (rows, length))
    onehot = (codes[:, None] == np.arange(4)[:, None]).astype(np.float32)
    onehot[1:, :, 700:800] = 0
    return onehot
