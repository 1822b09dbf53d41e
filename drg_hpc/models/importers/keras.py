"""Weights of baskerville's Keras models: HDF5 files as ``Model.save`` and ``save_weights`` of Keras 2 write them.

Below the root, or ``model_weights``, is a group a layer; the attributes ``layer_names`` and ``weight_names`` give their
order. Keras numbers the layers of each kind in the order in which they are made, from a number that depends on what was
made before: so the order says which is which, not the number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.models.config_borzoi import BorzoiConfig
from drg_hpc.models.importers.common import Tensors

Layers = dict[str, dict[str, NDArray[Any]]]
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NAME = re.compile(
    r"(?:sync_)?(batch_normalization|layer_normalization|multihead_attention|separable_conv1d|conv1d|dense)(?:_(\d+))?"
)
_BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_ATTENTION = {
    "r_w_bias": "logits.content_bias",
    "r_r_bias": "logits.position_bias",
    "q_layer/kernel": "to_q.weight",
    "k_layer/kernel": "to_k.weight",
    "v_layer/kernel": "to_v.weight",
    "embedding_layer/kernel": "to_out.weight",
    "embedding_layer/bias": "to_out.bias",
    "r_k_layer/kernel": "to_distance_k.weight",
}
_PARTS = {
    "conv1d": {"kernel": "weight", "bias": "bias"},
    "dense": {"kernel": "weight", "bias": "bias"},
    "separable_conv1d": {
        "depthwise_kernel": "depthwise.weight", "pointwise_kernel": "pointwise.weight", "bias": "pointwise.bias",
    },
    "batch_normalization": _BATCH_NORM,
    "layer_normalization": {"gamma": "weight", "beta": "bias"},
    "multihead_attention": _ATTENTION,
}  # fmt: skip


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does.

    Raises
    ------
    InputError : no such file
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    with open(path, "rb") as handle:
        return handle.read(len(_SIGNATURE)) == _SIGNATURE


def _names(attributes: Mapping[str, Any], key: str) -> list[str]:
    """A list of names, which Keras cuts into ``key0``, ``key1``, … where it is too long for one attribute."""
    if key in attributes:
        pieces = [attributes[key]]
    else:
        pieces = []
        while f"{key}{len(pieces)}" in attributes:
            pieces.append(attributes[f"{key}{len(pieces)}"])
    return [item.decode() if isinstance(item, bytes) else str(item) for piece in pieces for item in piece]


def _short(name: str) -> str:
    """``dense_3/kernel:0`` -> ``kernel``; ``multihead_attention/q_layer/kernel:0`` -> ``q_layer/kernel``."""
    parts = name.partition(":")[0].split("/")
    return "/".join(parts[-2:] if len(parts) > 1 and parts[-2].endswith("_layer") else parts[-1:])


def _array(group: Any, name: str, file: Any) -> NDArray[Any]:
    item = group[name]
    if not isinstance(item, h5py.Dataset) or item.file.filename != file.filename or item.external or item.is_virtual:
        raise TypeError(f"{group.name}: {name} is no array that lies in this file")
    return np.asarray(item)


def _weights(group: Any, file: Any) -> dict[str, NDArray[Any]]:
    found = {_short(name): _array(group, name, file) for name in _names(group.attrs, "weight_names")}
    if strange := [name for name, value in found.items() if value.dtype.kind != "f"]:
        raise TypeError(f"{group.name}: {strange[0]} holds no floating-point numbers")
    return found


def read_layers(path: Path) -> Layers:
    """Weights by layer and short name, layers in the order of the file, those without weights left out.

    Raises
    ------
    InputError : not HDF5, damaged, not in Keras 2's layout, or with arrays that lie in other files
    """
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            layers = _names(root.attrs, "layer_names")
            if not layers:
                raise InputError(f"{path} has no layer_names: it is not in the layout of Keras 2",
                                 fix="save it with Keras 2: model.save_weights('NEW.h5')")  # fmt: skip
            found = {layer: _weights(root[layer], file) for layer in layers}
    except (OSError, KeyError, RuntimeError, ValueError, MemoryError, AttributeError, TypeError) as error:
        raise InputError(f"{path} is not a readable HDF5 file of Keras weights: {error}") from None
    return {layer: weights for layer, weights in found.items() if weights}


def _expected(config: BorzoiConfig) -> dict[str, list[str]]:
    """Our modules of each kind, in the order in which baskerville makes their layers; the head is the last dense."""
    tower = [f"tower.{i}" for i in range(len(config.tower_channels))]
    blocks = [f"transformer.{i}" for i in range(config.depth)]
    steps = [f"unet.{i}" for i in range(config.unet)]
    final = ["final.block"] if config.final_channels else []
    dense = [f"{block}.dense.inner.{part}" for block in blocks for part in ("hidden", "out")]
    for step in steps:
        dense += [f"{step}.up.conv"] * config.upsample_conv + [f"{step}.skip.conv"]
    return {
        "conv1d": ["stem", *(f"{name}.conv" for name in (*tower, *final))],
        "batch_normalization": [
            f"{name}.norm" for name in (*tower, *(f"{s}.{part}" for s in steps for part in ("up", "skip")), *final)
        ],
        "layer_normalization": [f"{block}.{part}.inner.norm" for block in blocks for part in ("attention", "dense")],
        "multihead_attention": [f"{block}.attention.inner.attention" for block in blocks],
        "separable_conv1d": [f"{step}.separable" for step in steps],
        "dense": [*dense, "heads.0"],
    }


def _by_kind(layers: Layers, source: Path) -> dict[str, list[str]]:
    numbered: dict[str, list[tuple[int, str]]] = {}
    for layer in layers:
        match = _NAME.fullmatch(layer)
        if match is None:
            raise InputError(f"{source}: layer {layer!r} is not one of a Borzoi network")
        numbered.setdefault(match[1], []).append((int(match[2] or 0), layer))
    return {kind: [name for _, name in sorted(found)] for kind, found in numbered.items()}


def _turned(kind: str, ours: str, value: NDArray[Any]) -> NDArray[Any]:
    """Keras' (in, out), (width, in, out) and, of depthwise kernels, (width, in, 1) as torch has them."""
    if ours.endswith("depthwise.weight"):
        return value.transpose(1, 2, 0)
    if value.ndim == 3:
        return value.transpose(2, 1, 0)
    if value.ndim == 2:
        pointwise = kind == "dense" and (ours.startswith("heads.") or ".conv." in ours)
        return value.T[..., None] if pointwise else value.T
    return value[0] if value.ndim == 4 else value


def _placed(layers: Layers, config: BorzoiConfig, source: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    expected, found = _expected(config), _by_kind(layers, source)
    for kind, modules in expected.items():
        names = found.get(kind, [])
        if len(names) != len(modules):
            raise InputError(f"{source} has {len(names)} layers {kind}, the description asks for {len(modules)}",
                             fix="give the params.json that belongs to it with --params")  # fmt: skip
        for layer, module in zip(names, modules, strict=True):
            parts, weights = _PARTS[kind], layers[layer]
            if parts.keys() != weights.keys():
                shown = ", ".join(sorted(weights))
                raise InputError(f"{source}: layer {layer!r} has {shown} instead of {', '.join(sorted(parts))}")
            for part, ours in parts.items():
                yield f"{module}.{ours}", _turned(kind, f"{module}.{ours}", weights[part])


def keras_tensors(layers: Layers, config: BorzoiConfig, *, source: Path) -> tuple[int, Tensors]:
    """Tracks of the head, and tensors by the names of :class:`drg_hpc.models.borzoi.Borzoi`.

    Raises
    ------
    InputError : more, fewer or other layers than the network has
    """
    tensors = {name: torch.tensor(np.ascontiguousarray(value)) for name, value in _placed(layers, config, source)}
    # Keras does not count batches; with a fixed momentum the count has no effect.
    counts = {name.replace("running_mean", "num_batches_tracked") for name in tensors if name.endswith("running_mean")}
    tensors |= {name: torch.zeros((), dtype=torch.int64) for name in sorted(counts)}
    return len(tensors["heads.0.bias"]), tensors
