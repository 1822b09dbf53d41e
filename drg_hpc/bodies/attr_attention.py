"""Plan of drg-attr --method attention: which layers, and how large their weights are. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drg_hpc.attribution.catalogue import ATTENTION
from drg_hpc.bodies.attr_options import Options
from drg_hpc.errors import InputError, UsageError

MAX_SIZE = 100.0
"""GB of attention weights before compression, unless --max-size says another limit."""


def plan_attention(options: Options, header: Mapping[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """Parameters of the layers asked for.

    Raises
    ------
    UsageError : several models, no such layer, or layers of different shapes
    InputError : a model without attention
    """
    if len(paths) > 1:
        raise UsageError(f"{options.model}: weights of several models have no mean", fix="give one model")
    known = header["operations"].get("attention")
    if known is None:
        raise InputError(f"{paths[0]}: its model.json does not say which attention layers it has",
                         fix="train or import it again with this version")  # fmt: skip
    if not known:
        raise InputError(f"{paths[0]} has no attention layers")
    chosen = _chosen(options.block, known)
    shapes = {(layer["heads"], layer["queries"], layer["keys"]) for layer in chosen}
    if len(shapes) > 1:
        shown = ", ".join(
            f"{i}: {known[i]['heads']} x {known[i]['queries']} x {known[i]['keys']}" for i in range(len(known))
        )
        raise UsageError(f"attention layers differ in shape ({shown})", fix="choose one with --block N")
    ((heads, queries, keys),) = shapes
    if queries != keys:
        raise UsageError(
            f"layer {chosen[0]['name']} has {queries} queries and {keys} keys: only square weights are kept"
        )
    record = {"layers": [layer["name"] for layer in chosen], "heads": heads, "positions": queries}
    return {"method": ATTENTION, "attention": record}


def require_size(size: int, limit: float) -> None:
    """Refuse more bytes than ``limit`` GB.

    Raises
    ------
    UsageError : with both numbers
    """
    if size > limit * 1e9:
        raise UsageError(
            f"attention weights take {size / 1e9:.3g} GB before compression, above --max-size {limit:g} GB",
            fix="choose one layer with --block, fewer rows with --limit or --where, or raise --max-size",
        )


def _chosen(block: str | None, known: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if block in (None, "all"):
        return list(known)
    assert block is not None
    if not block.isdecimal() or int(block) >= len(known):
        raise UsageError(f"--block {block}: the model has {len(known)} attention layers, numbered from 0", fix="or all")
    return [known[int(block)]]
