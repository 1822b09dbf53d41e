"""What a sweep's trainings will cost: their networks are built without weights and counted. Needs torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from drg_hpc.errors import UsageError
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.operations import macs_per_row
from drg_hpc.models.registry import build, fixed_link
from drg_hpc.store.dataset_layout import inputs_of
from drg_hpc.store.header import require_bins, require_span
from drg_hpc.training.config import Recipe
from drg_hpc.training.heads import in_modalities
from drg_hpc.training.tracks import select_tracks


@dataclass(frozen=True)
class Network:
    """Size of a network: its tensors in bytes, and the multiply-adds of one row, forward."""

    bytes: int
    macs_per_row: int


def _count(recipe: Recipe, header: Mapping[str, Any]) -> Network:
    tracks = select_tracks(header["track_info"], recipe.tracks)
    link = fixed_link(recipe.model) or "identity"  # the loss, which looks at targets, has no say in sizes
    heads = tuple(HeadShape(each.name, each.count, link) for each in in_modalities(header["track_info"], tracks))
    inputs = {item.name: item.length for item in inputs_of(header)}
    shape = ModelShape(inputs, heads, require_bins(dict(header)), require_span(dict(header)))
    with torch.device("meta"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*to a meta parameter")  # weights of a model inside it
        module = build(recipe.model, shape)
        size = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    return Network(size, macs_per_row(module, shape))


def count_networks(recipes: Mapping[str, Recipe], header: Mapping[str, Any]) -> tuple[dict[str, Network], str]:
    """Sizes by name; and, where they cannot be counted without weights, why, with no sizes at all.

    Raises
    ------
    UsageError : a network that cannot be built for the store, with the training's name
    """
    known: dict[tuple[str, str], Network] = {}
    found: dict[str, Network] = {}
    for name, recipe in recipes.items():
        key = (recipe.model.model_dump_json(), recipe.tracks)
        try:
            found[name] = known[key] = known.get(key) or _count(recipe, header)
        except UsageError as error:
            raise UsageError(f"{name}: {error.what}", fix=error.fix) from None
        except (RuntimeError, NotImplementedError) as error:  # of a user's own module, mostly
            return {}, f"{name}: {type(error).__name__}: {error}".splitlines()[0]
    return found, ""


def training_bytes(network: Network, recipe: Recipe, lengths: Iterable[int]) -> int:
    """Bytes of a training at work: weights, gradient, optimizer, the best weights and a checkpoint on its way to disk;
    activations of a piece of a batch forward and backward, each taken to cost at least 32 multiply-adds."""
    rows = -(-recipe.train.batch_size // recipe.train.accumulate)
    activations = rows * (network.macs_per_row // 32 + 64 * sum(lengths)) * 4
    return 8 * network.bytes + 2 * activations


def training_macs(network: Network, recipe: Recipe, *, train_rows: int, valid_rows: int) -> int:
    """Multiply-adds of all epochs: a step costs three forward passes, as the gradient takes twice the forward one."""
    return recipe.train.epochs * network.macs_per_row * (3 * (recipe.data.samples or train_rows) + valid_rows)
