"""Small Borzoi networks as files: state_dicts of borzoi-pytorch, Keras' HDF5, and descriptions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from tests.models.borzoi_weights import numbers

State = dict[str, torch.Tensor]
TOWER = (6, 6, 8, 10, 10, 12)
LENGTH = 1024


def params(
    *, crop: int = 3, depth: int = 8, units: Mapping[str, int] | None = None, upsample_conv: bool = True,
    final: bool = True, length: int = LENGTH,
) -> dict[str, Any]:  # fmt: skip
    """A small network as baskerville describes one: widths 6, 6, 8, 10, 10, 12."""
    unet = {"name": "unet_conv", "kernel_size": 3, "upsample_conv": upsample_conv}
    trunk: list[dict[str, Any]] = [
        {"name": "conv_dna", "filters": 5, "kernel_size": 7, "norm_type": None, "activation": "linear", "pool_size": 2},
        {"name": "res_tower", "filters_init": 6, "filters_end": 12, "divisible_by": 2, "kernel_size": 5,
         "num_convs": 1, "pool_size": 2, "repeat": 6},
        {"name": "transformer_tower", "key_size": 3, "heads": 2, "num_position_features": 8, "dropout": 0.2,
         "mha_l2_scale": 1e-8, "l2_scale": 1e-8, "kernel_initializer": "he_normal", "repeat": depth},
        unet,
        dict(unet),
        {"name": "Cropping1D", "cropping": crop},
    ]  # fmt: skip
    if final:
        trunk.append({"name": "conv_nac", "filters": 14, "dropout": 0.1})
    heads = {
        f"head_{name}": {"name": "final", "units": count, "activation": "softplus"}
        for name, count in (units or {"human": 4}).items()
    }
    model = {
        "seq_length": length, "augment_rc": True, "augment_shift": 3, "activation": "gelu", "norm_type": "batch",
        "bn_momentum": 0.9, "kernel_initializer": "lecun_normal", "l2_scale": 2e-8, "trunk": trunk, **heads,
    }  # fmt: skip
    return {"train": {"batch_size": 2}, "model": model}


def state_shapes(
    *, stem: tuple[int, int] = (5, 7), tower: tuple[int, ...] = TOWER, tower_size: int = 5, depth: int = 8,
    heads: int = 2, key: int = 3, value: int = 6, features: int = 8, unet: int = 2, upsample_conv: bool = True,
    final: int = 14, units: Mapping[str, int] | None = None,
) -> dict[str, tuple[int, ...]]:  # fmt: skip
    """Names and shapes of borzoi-pytorch's state_dict (specification, 6.2)."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, out: int, into: int, size: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, into, size), (out,)

    def block(name: str, into: int, out: int, size: int = 1) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.norm.{part}"] = (into,)
        shapes[f"{name}.norm.num_batches_tracked"] = ()
        if out:
            conv(f"{name}.conv_layer", out, into, size)

    conv("conv_dna.conv_layer", stem[0], 4, stem[1])
    plain = len(tower) - max(0, unet - 1)
    for i, (into, out) in enumerate(zip((stem[0], *tower), tower, strict=False)):
        block(f"res_tower.{2 * i}" if i < plain else f"unet{i - plain + 1}.1", into, out, tower_size)
    dim = tower[-1]
    for i in range(depth):
        name = f"transformer.{i}"
        shapes |= {f"{name}.{j}.fn.0.{part}": (dim,) for j in (0, 1) for part in ("weight", "bias")}
        there = f"{name}.0.fn.1"
        shapes |= {f"{there}.to_q.weight": (heads * key, dim), f"{there}.to_k.weight": (heads * key, dim)}
        shapes |= {f"{there}.to_v.weight": (heads * value, dim), f"{there}.to_rel_k.weight": (heads * key, features)}
        shapes |= {f"{there}.to_out.weight": (dim, heads * value), f"{there}.to_out.bias": (dim,)}
        shapes |= {f"{there}.{bias}": (1, heads, 1, key) for bias in ("rel_content_bias", "rel_pos_bias")}
        shapes |= {f"{name}.1.fn.1.weight": (2 * dim, dim), f"{name}.1.fn.1.bias": (2 * dim,)}
        shapes |= {f"{name}.1.fn.4.weight": (dim, 2 * dim), f"{name}.1.fn.4.bias": (dim,)}
    for number in range(unet):
        block(f"upsampling_unet{number}.0", dim, dim if upsample_conv else 0)
        block(f"horizontal_conv{number}", tower[len(tower) - unet + number], dim)
        shapes[f"separable{number}.conv_layer.0.weight"] = (dim, 1, 3)
        conv(f"separable{number}.conv_layer.1", dim, dim, 1)
    if final:
        block("final_joined_convs.0", dim, final)
    for name, count in (units or {"human": 4}).items():
        conv(f"{name}_head", count, final or dim, 1)
    return shapes


def state(**sizes: Any) -> State:
    return {name: torch.from_numpy(numbers(name, shape)) for name, shape in state_shapes(**sizes).items()}


# Layer of the published Keras models -> module of borzoi-pytorch (specification, 6.4).
CONVS = {
    "conv1d": "conv_dna", "conv1d_1": "res_tower.0", "conv1d_2": "res_tower.2", "conv1d_3": "res_tower.4",
    "conv1d_4": "res_tower.6", "conv1d_5": "res_tower.8", "conv1d_6": "unet1.1", "conv1d_7": "final_joined_convs.0",
}  # fmt: skip
DENSES = {
    "dense_16": "upsampling_unet1.0.conv_layer", "dense_17": "horizontal_conv1.conv_layer",
    "dense_18": "upsampling_unet0.0.conv_layer", "dense_19": "horizontal_conv0.conv_layer", "dense_20": "human_head",
}  # fmt: skip
NORMS = [
    "res_tower.0", "res_tower.2", "res_tower.4", "res_tower.6", "res_tower.8", "unet1.1", "upsampling_unet1.0",
    "horizontal_conv1", "upsampling_unet0.0", "horizontal_conv0", "final_joined_convs.0",
]  # fmt: skip
ATTENTION = {
    "r_w_bias": "rel_content_bias", "r_r_bias": "rel_pos_bias", "q_layer/kernel": "to_q.weight",
    "k_layer/kernel": "to_k.weight", "v_layer/kernel": "to_v.weight", "embedding_layer/kernel": "to_out.weight",
    "embedding_layer/bias": "to_out.bias", "r_k_layer/kernel": "to_rel_k.weight",
}  # fmt: skip


def _numbered(base: str, number: int) -> str:
    return base if number == 0 else f"{base}_{number}"


def keras_layers(state: Mapping[str, torch.Tensor]) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """Layers of the published Keras models, as :data:`CONVS` and so on say, from a state_dict of eight blocks."""
    values = {name: value.numpy() for name, value in state.items()}
    layers: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
    for layer, name in CONVS.items():
        kernel = values[f"{name}.conv_layer.weight"].transpose(2, 1, 0)
        layers[layer] = {"kernel": kernel, "bias": values[f"{name}.conv_layer.bias"]}
    for number, name in enumerate(NORMS):
        parts = ("weight", "bias", "running_mean", "running_var")
        keys = ("gamma", "beta", "moving_mean", "moving_variance")
        layers[_numbered("batch_normalization", number)] = {
            key: values[f"{name}.norm.{part}"] for key, part in zip(keys, parts, strict=True)
        }
    for i in range(8):
        there = f"transformer.{i}.0.fn.1"
        attention = {}
        for key, part in ATTENTION.items():
            value = values[f"{there}.{part}"]
            attention[key] = value.T if value.ndim == 2 else value
        layers[_numbered("multihead_attention", i)] = attention
        for j in (0, 1):
            name = f"transformer.{i}.{j}.fn.0"
            norm = {"gamma": values[f"{name}.weight"], "beta": values[f"{name}.bias"]}
            layers[_numbered("layer_normalization", 2 * i + j)] = norm
        for j, part in enumerate(("1.fn.1", "1.fn.4")):
            name = f"transformer.{i}.{part}"
            dense = {"kernel": values[f"{name}.weight"].T, "bias": values[f"{name}.bias"]}
            layers[_numbered("dense", 2 * i + j)] = dense
    for layer, name in DENSES.items():
        layers[layer] = {"kernel": values[f"{name}.weight"][..., 0].T, "bias": values[f"{name}.bias"]}
    for layer, name in (("separable_conv1d", "separable1"), ("separable_conv1d_1", "separable0")):
        layers[layer] = {
            "depthwise_kernel": values[f"{name}.conv_layer.0.weight"].transpose(2, 0, 1),
            "pointwise_kernel": values[f"{name}.conv_layer.1.weight"].transpose(2, 1, 0),
            "bias": values[f"{name}.conv_layer.1.bias"],
        }
    return layers


def write_keras(
    path: Path, layers: Mapping[str, Mapping[str, np.ndarray[Any, Any]]], *, whole: bool = False, first: int = 0
) -> Path:
    """As ``save_weights`` or, with ``whole``, ``save`` of Keras 2 write them.

    Parameters
    ----------
    first : numbers of the layers begin there, as where other models were built before
    """

    def renamed(layer: str) -> str:
        match = re.fullmatch(r"(.*?)(?:_(\d+))?", layer)
        assert match is not None
        return _numbered(match[1], int(match[2] or 0) + first)

    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        names = [renamed(layer) for layer in layers]
        root.attrs["layer_names"] = np.array(["sequence", *names], dtype="S")
        root.create_group("sequence").attrs["weight_names"] = np.array([], dtype="S")
        for name, weights in zip(names, layers.values(), strict=True):
            group = root.create_group(name)
            keys = [f"{name}/{key}:0" for key in weights]
            group.attrs["weight_names"] = np.array(keys, dtype="S")
            for key, value in zip(keys, weights.values(), strict=True):
                group[key] = value
    return path
