"""Descriptions of published Borzoi models: baskerville's params.json and borzoi-pytorch's config.json. Light.

Only the facts of the formats are used: names of keys, their meaning and their defaults.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drg_hpc.config import build
from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.borzoi_table import Table
from drg_hpc.models.config_borzoi import POOL, BorzoiConfig

PUBLISHED_LENGTH = 524288
_PUBLISHED_TOWER = (608, 736, 896, 1056, 1280)
_PUBLISHED_TOKENS = 4096
FLASH = (
    "Flashzoi is another network, with rotary positions, which needs flash-attn and a GPU",
    "take the weights of the Borzoi of the same replicate",
)
"""Why it is refused, and what to do."""


@dataclass(frozen=True)
class BorzoiParams:
    """A published description.

    Parameters
    ----------
    config : of the network
    length : of its input, in bases
    heads : tracks of each head by name; empty where the description does not have them
    """

    config: BorzoiConfig
    length: int
    heads: dict[str, int]


def borzoi_params(params: Mapping[str, Any], *, source: str) -> BorzoiParams:
    """The network that a published description describes.

    Parameters
    ----------
    params : baskerville's params.json or its ``model`` table, or borzoi-pytorch's config.json
    source : its name, for messages

    Raises
    ------
    InputError : another format, or a layer or setting that this network does not have
    """
    model = params.get("model", params)
    if isinstance(model, Mapping) and isinstance(model.get("trunk"), list):
        return _baskerville(model, source)
    if "dim" in params and "depth" in params:
        return _borzoi_pytorch(params, source)
    raise InputError(
        f"{source} describes no Borzoi model: it has neither model.trunk (params.json) nor dim and depth (config.json)"
    )


def _blocks(model: Mapping[str, Any], source: str) -> dict[str, list[Table]]:
    """Blocks of the trunk by kind, in the one order that there is.

    Raises
    ------
    InputError : another block, or another order
    """
    order = ("conv_dna", "res_tower", "transformer_tower", "unet_conv", "Cropping1D", "conv_nac")
    found: dict[str, list[Table]] = {kind: [] for kind in order}
    last = 0
    for number, values in enumerate(model["trunk"]):
        where = f"{source}: model.trunk[{number}]"
        name = values.get("name") if isinstance(values, Mapping) else None
        kind = "unet_conv" if name == "fpn_unet" else name
        if kind not in order:
            raise InputError(f"{where}: block {name!r} is not one of a Borzoi network as Keras weights have it",
                             fix=f"known: {', '.join(order)}")  # fmt: skip
        if order.index(kind) < last or (found[kind] and kind != "unet_conv"):
            raise InputError(f"{where}: block {name!r} stands in another place than in a Borzoi network")
        last = order.index(kind)
        # fpn_unet is the older name of a unet_conv with upsample_conv.
        found[kind].append(Table({"upsample_conv": True, **values} if name == "fpn_unet" else values, where))
    if missing := [kind for kind in order[:3] if not found[kind]]:
        raise InputError(f"{source}: model.trunk has no block {', '.join(missing)}")
    return found


def _tower(table: Table) -> dict[str, Any]:
    """Widths grow by one factor, each rounded (halves to even) to a multiple of ``divisible_by``."""
    first, repeat = table.number("filters_init"), table.number("repeat", 1)
    multiple, last = table.number("divisible_by", 1), table.take("filters_end", None)
    factor = table.take("filters_mult", None)
    if factor is None:
        if last is None:
            raise InputError(f"{table.where}: neither filters_end nor filters_mult")
        factor = math.exp(math.log(last / first) / (repeat - 1)) if repeat > 1 else 1.0
    table.need("num_convs", 1, default=2)
    table.need("pool_size", POOL, default=POOL)
    table.need("dropout", 0, default=0)
    widths, width = [], float(first)
    for _ in range(repeat):
        widths.append(int(round(width / multiple) * multiple))
        width *= factor
    return {"tower_channels": tuple(widths), "tower_size": table.number("kernel_size", 1)}


def _transformer(table: Table, channels: int) -> dict[str, Any]:
    table.need("qkv_width", 1, default=1)
    table.need("content_position_bias", True, default=True)
    heads = table.number("heads", 1)
    found = {
        "depth": table.number("repeat", 2),
        "heads": heads,
        "key_size": table.number("key_size"),
        "position_features": table.number("num_position_features", channels // heads // 2 * 2),
        "expansion": float(table.take("dense_expansion", 2.0)),
        "dropout": table.take("dropout", 0.25),
        "attention_dropout": table.take("attention_dropout", 0.05),
        "position_dropout": table.take("position_dropout", 0.01),
    }
    trained = table.take("seqlen_train", None)
    return found if trained is None else found | {"mask_tokens": trained}


def _unet(tables: list[Table]) -> dict[str, Any]:
    found = []
    for table in tables:
        table.need("stride", POOL, default=POOL)
        table.need("dropout", 0, default=0)
        found.append((table.number("kernel_size", 1), bool(table.take("upsample_conv", False))))
    if len(set(found)) > 1:
        raise InputError(f"{tables[-1].where}: the unet_conv blocks differ from each other")
    size, conv = found[0] if found else (1, False)
    return {"unet": len(found), "separable_size": size, "upsample_conv": conv}


def _final(tables: list[Table]) -> dict[str, Any]:
    if not tables:
        return {"final_channels": 0}
    table = tables[0]
    table.need("kernel_size", 1, default=1)
    table.need("pool_size", 1, default=1)
    return {"final_channels": table.number("filters"), "final_dropout": table.take("dropout", 0)}


def _config(values: dict[str, Any], source: str) -> BorzoiConfig:
    try:
        return build(BorzoiConfig, values, source=source)
    except UsageError as error:
        raise InputError(error.what, fix=error.fix) from None


def _baskerville(model: Mapping[str, Any], source: str) -> BorzoiParams:
    top = Table(model, f"{source}: model")
    top.need("activation", "gelu")
    top.need("norm_type", "batch", "batch-sync")
    top.need("padding", "same", default="same")
    blocks = _blocks(model, source)
    stem, tower = blocks["conv_dna"][0], blocks["res_tower"][0]
    stem.need("norm_type", None)
    stem.need("activation", "linear")
    stem.need("pool_size", POOL)
    values = {"stem_channels": stem.number("filters"), "stem_size": stem.number("kernel_size", 15), **_tower(tower)}
    values |= _transformer(blocks["transformer_tower"][0], values["tower_channels"][-1])
    values |= _unet(blocks["unet_conv"]) | _final(blocks["conv_nac"])
    values["crop"] = blocks["Cropping1D"][0].take("cropping") if blocks["Cropping1D"] else 0
    for table in (table for tables in blocks.values() for table in tables):
        table.end()
    length = top.number("seq_length")
    # Keras' momentum is the weight of the past. The widths of position features belong to the trained length.
    values["norm_momentum"] = 1.0 - float(model.get("bn_momentum", 0.99))
    values.setdefault("mask_tokens", max(1, length // POOL ** (1 + len(values["tower_channels"]))))
    return BorzoiParams(_config(values, source), length, _heads(model, source))


def _heads(model: Mapping[str, Any], source: str) -> dict[str, int]:
    heads = {}
    for key in sorted(key for key in model if key.startswith("head")):
        value = model[key]
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if not isinstance(value, Mapping):
            raise InputError(f"{source}: model.{key} is not one block")
        table = Table(value, f"{source}: model.{key}")
        if value.get("name") != "final":
            raise InputError(f"{table.where}: block {value.get('name')!r} is not supported, only 'final'")
        table.need("activation", "softplus")
        heads[key.removeprefix("head").strip("_") or "main"] = table.number("units")
        table.end()
    if not heads:
        raise InputError(f"{source}: model has no head")
    return heads


def _borzoi_pytorch(params: Mapping[str, Any], source: str) -> BorzoiParams:
    """Sizes that its config does not have are constants of that package."""
    if params.get("flashed"):
        raise InputError(f"{source}: flashed = true: {FLASH[0]}", fix=FLASH[1])
    table = Table(params, source)
    dim, prime = table.number("dim"), table.take("model_type", "borzoi") == "prime"
    unet = 3 if prime else 2
    positions = PUBLISHED_LENGTH // POOL ** (1 + len(_PUBLISHED_TOWER) + 1 - unet)
    bins = table.take("bins_to_return", 12288 if prime else 6144)
    if not table.take("return_center_bins_only", True):
        bins = positions - 32
    values = {
        "tower_channels": (*_PUBLISHED_TOWER, dim),
        "depth": table.number("depth"),
        "heads": table.number("heads", 8),
        "key_size": table.number("attn_dim_key", 64),
        "value_size": table.number("attn_dim_value", 192),
        "mask_tokens": _PUBLISHED_TOKENS,
        "unet": unet,
        "final_channels": 0 if prime else 1920,
        "crop": 0 if bins == -1 else (positions - bins) // 2,
        "dropout": table.take("dropout_rate", 0.2),
        "attention_dropout": table.take("attn_dropout", 0.05),
        "position_dropout": table.take("pos_dropout", 0.01),
    }
    return BorzoiParams(_config(values, source), PUBLISHED_LENGTH, {})
