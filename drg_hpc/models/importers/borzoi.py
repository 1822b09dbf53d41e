"""Import Borzoi networks: state_dicts of borzoi-pytorch (Borzoi and Prime), weights of baskerville's Keras models.

Which tensor is which follows from the names and the order in which those packages make their layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import read_json
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel
from drg_hpc.models.borzoi_params import FLASH, PUBLISHED_LENGTH, BorzoiParams, borzoi_params
from drg_hpc.models.config_borzoi import BorzoiConfig
from drg_hpc.models.importers.common import Imported, Tensors, describe_sources, fill, read_tensors
from drg_hpc.models.importers.keras import is_hdf5, keras_tensors, read_layers
from drg_hpc.models.importers.tracks import name_tracks
from drg_hpc.models.registry import build

_BOTH = ("weight", "bias")
_NORM = (*_BOTH, "running_mean", "running_var", "num_batches_tracked")
_HEAD = re.compile(r"(\w+)_head\.weight")


def _block_names(ours: str, theirs: str, *, conv: bool = True) -> dict[str, str]:
    names = {f"{ours}.norm.{part}": f"{theirs}.norm.{part}" for part in _NORM}
    return names | ({f"{ours}.conv.{part}": f"{theirs}.conv_layer.{part}" for part in _BOTH} if conv else {})


def _transformer_names(block: int) -> dict[str, str]:
    ours, theirs = f"transformer.{block}", f"transformer.{block}"
    attention, there = f"{ours}.attention.inner.attention", f"{theirs}.0.fn.1"
    names = {f"{ours}.attention.inner.norm.{part}": f"{theirs}.0.fn.0.{part}" for part in _BOTH}
    names |= {f"{attention}.{name}.weight": f"{there}.{name}.weight" for name in ("to_q", "to_k", "to_v")}
    names |= {f"{attention}.to_out.{part}": f"{there}.to_out.{part}" for part in _BOTH}
    names[f"{attention}.to_distance_k.weight"] = f"{there}.to_rel_k.weight"
    names[f"{attention}.logits.content_bias"] = f"{there}.rel_content_bias"
    names[f"{attention}.logits.position_bias"] = f"{there}.rel_pos_bias"
    for ours_layer, number in (("norm", 0), ("hidden", 1), ("out", 4)):
        names |= {f"{ours}.dense.inner.{ours_layer}.{part}": f"{theirs}.1.fn.{number}.{part}" for part in _BOTH}
    return names


def torch_names(config: BorzoiConfig, heads: Sequence[str]) -> dict[str, str]:
    """Name in borzoi-pytorch's state_dict of each of our tensors.

    The last ``unet - 1`` convolutions of the tower are its ``unet1``, ``unet2``, …; its upsampling steps are numbered
    down to 0 in the order in which they run.
    """
    names = {f"stem.{part}": f"conv_dna.conv_layer.{part}" for part in _BOTH}
    plain = len(config.tower_channels) - max(0, config.unet - 1)
    for i in range(len(config.tower_channels)):
        names |= _block_names(f"tower.{i}", f"res_tower.{2 * i}" if i < plain else f"unet{i - plain + 1}.1")
    for block in range(config.depth):
        names |= _transformer_names(block)
    for step in range(config.unet):
        number, ours = config.unet - 1 - step, f"unet.{step}"
        names |= _block_names(f"{ours}.up", f"upsampling_unet{number}.0", conv=config.upsample_conv)
        names |= _block_names(f"{ours}.skip", f"horizontal_conv{number}")
        names[f"{ours}.separable.depthwise.weight"] = f"separable{number}.conv_layer.0.weight"
        names |= {f"{ours}.separable.pointwise.{part}": f"separable{number}.conv_layer.1.{part}" for part in _BOTH}
    if config.final_channels:
        names |= _block_names("final.block", "final_joined_convs.0")
    for number, head in enumerate(heads):
        names |= {f"heads.{number}.{part}": f"{head}_head.{part}" for part in _BOTH}
    return names


def _from_torch(
    path: Path, config: BorzoiConfig, described: Iterable[str]
) -> tuple[dict[str, int], Tensors, list[str]]:
    """Tracks of each head, tensors by our names, and the names that no rule placed."""
    tensors = read_tensors(path)
    if any(".mha.Wqkv." in name for name in tensors):
        raise InputError(f"{path}: {FLASH[0]}", fix=FLASH[1])
    found = {match[1] for name, value in tensors.items() if (match := _HEAD.fullmatch(name)) and value.ndim}
    order = [name for name in described if name in found]  # a file need not keep the order of its tensors
    heads = {name: len(tensors[f"{name}_head.weight"]) for name in [*order, *sorted(found - set(order))]}
    if not heads:
        raise InputError(f"{path} has no head such as human_head.weight: it is no state_dict of borzoi-pytorch")
    names = torch_names(config, list(heads))
    ours = {our: tensors[their] for our, their in names.items() if their in tensors}
    for name in ours:
        if name.endswith("_bias") and ours[name].ndim == 4:  # (1, heads, 1, key) there
            ours[name] = ours[name].squeeze(0)
    known = set(names.values())
    return heads, ours, [name for name in tensors if name not in known]


def _settle(params: Path | None, *, length: int | None, crop: int | None) -> BorzoiParams:
    """The description of a file, or of the published full size; other lengths keep the widths it was trained with."""
    if params is None:
        settled = borzoi_params({"dim": 1536, "depth": 8}, source="the published size")
    else:
        settled = borzoi_params(_mapping(params), source=str(params))
    if crop is not None:
        settled = replace(settled, config=settled.config.model_copy(update={"crop": crop}))
    return settled if length is None else replace(settled, length=length)


def _mapping(path: Path) -> Mapping[str, Any]:
    values = read_json(path)
    if not isinstance(values, Mapping):
        raise InputError(f"{path} holds a {type(values).__name__}, not a table")
    return values


def _bins(settled: BorzoiParams) -> int:
    config, length = settled.config, settled.length
    bins = length // config.bin_size - 2 * (config.crop or 0)
    if length % config.token_size or bins < 1:
        raise UsageError(
            f"{length} bases with {config.crop} bins of {config.bin_size} bases left out at each side: "
            f"no model, since a length must be a multiple of {config.token_size} and leave bins over",
            fix="choose --length and --crop that fit",
        )
    return bins


def _one_head(heads: Mapping[str, int], tracks: int, chosen: str | None, path: Path) -> str:
    """Which of the described heads a Keras file, which has one, holds."""
    if chosen is not None:
        if chosen not in heads:
            raise UsageError(f"--head {chosen}: the description has no such head", fix=f"heads: {', '.join(heads)}")
        return chosen
    fitting = [name for name, count in heads.items() if count == tracks] if heads else ["main"]
    if len(fitting) != 1:
        shown = ", ".join(f"{name} ({count})" for name, count in heads.items())
        raise InputError(f"{path} has a head of {tracks} tracks, which does not say which of {shown} it is",
                         fix="name it with --head")  # fmt: skip
    return fitting[0]


def _build(config: BorzoiConfig, shape: ModelShape, tensors: Tensors) -> SequenceModel:
    """Without memory of its own where the file fills everything: the full size is 0.7 GB."""
    with torch.device("meta"):
        module = build(config, shape)
    return module if module.state_dict().keys() <= tensors.keys() else build(config, shape)


def import_borzoi(
    files: Sequence[Path],
    *,
    params: Path | None = None,
    length: int | None = None,
    crop: int | None = None,
    head: str | None = None,
    tracks: Sequence[str] | None = None,
    allow: Sequence[str] = (),
) -> Imported:
    """A Borzoi network with the weights of one file.

    Parameters
    ----------
    files : one ``.safetensors``, ``.pt`` or ``.pth`` of borzoi-pytorch, or one ``.h5`` of Keras
    params : params.json or config.json that belongs to it; without one it is taken to be of the published full size
    length : bases of the input, where it is not that of the description
    crop : bins left out at each side, likewise
    head : which of the described heads a Keras file holds, where their sizes do not say
    tracks : names, of all heads in order
    allow : patterns of names of tensors that may be missing or unused

    Raises
    ------
    UsageError : several files, length and crop that do not fit, unknown head
    InputError : files of another kind, Flashzoi, or tensors that do not fit, all named
    """
    if len(files) != 1:
        raise UsageError(f"format borzoi takes one file of weights, not {len(files)}")
    path, settled = files[0], _settle(params, length=length, crop=crop)
    config, unused = settled.config, list[str]()
    if is_hdf5(path):
        count, tensors = keras_tensors(read_layers(path), config, source=path)
        heads = {_one_head(settled.heads, count, head, path): count}
    elif head is not None:
        raise UsageError("--head is for Keras files: a state_dict of borzoi-pytorch names its heads")
    else:
        heads, tensors, unused = _from_torch(path, config, settled.heads)
    shape = ModelShape(
        {"seq": settled.length},
        tuple(HeadShape(name, count, "softplus") for name, count in heads.items()),
        _bins(settled),
    )
    module = _build(config, shape, tensors)
    notes = fill(module, tensors, source=path, allow=allow, unused=unused)
    module.tracks = name_tracks(tracks, heads)
    provenance = {
        "format": "borzoi",
        "files": describe_sources([path, *([params] if params else [])]),
        "notes": notes,
    }
    if settled.length != PUBLISHED_LENGTH:
        notes = [*notes, f"input of {settled.length} bases, {shape.bins} bins of {config.bin_size} bases"]
    return Imported(module.eval(), config, provenance, notes)
