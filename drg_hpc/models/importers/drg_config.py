"""From DRG's settings to our configs: what each stage is called there, and which settings are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drg_hpc.models.blocks_layout import same_length
from drg_hpc.models.blocks_pooling import pooled_length
from drg_hpc.models.importers.drg_params import Params, is_count, is_number

ACTIVATIONS = {
    "GELU": "gelu", "ReLU": "relu", "ReLUnonZero": "relu-offset", "Sigmoid": "sigmoid", "Tanh": "tanh", "Sin": "sin",
    "Id0": "identity", "Linear": "identity", "CLAMP": "clamp", "cGELU": "clamped-gelu", "cReLU": "clamped-relu",
}  # fmt: skip
KERNEL_ACTIVATIONS = ACTIVATIONS | {"EXP": "exp", "EXPmax": "exp128", "SQUARED": "squared", "THIRD": "cubed"}
_UNTRIED = "there is no description of its tensors to import it by"
_BROKEN = "DRG itself cannot run it"
_REFUSED: dict[str, tuple[Any, str]] = {
    "nlconv": (False, _UNTRIED),
    "kernel_thresholding": (0, _BROKEN),
    "fixed_kernels": (None, _UNTRIED),
    "n_interpolated_conv": (0, _UNTRIED),
    "n_hyenaconv": (0, _UNTRIED),
    "gapped_convs": (None, _UNTRIED),
    "final_convolutions": (0, _UNTRIED),
    "dilresidual_entire": (False, _UNTRIED),
    "dilresidual_concat": (False, "in which order it concatenates is not known"),
    "trresidual_entire": (False, _UNTRIED),
    "attentionconv_pooling": (1, _UNTRIED),
    "interaction_layer": (False, _BROKEN),
    "neuralnetout": (0, _UNTRIED),
    "nfc_residuals": (0, _UNTRIED),
    "combine_residual": (0, _UNTRIED),
    "smooth_onehot": (0, "it changes the sequences"),
    "reverse_sign": (False, "it changes the sign of the output"),
}


def refuse_unknown_parts(params: Params) -> None:
    """Settings whose networks cannot be built here without doubt.

    Raises
    ------
    InputError : one is on, with the reason
    """
    for key, (off, reason) in _REFUSED.items():
        value = params.raw(key, off)
        if value != off and value not in (0, False, None):
            raise params.fault(key, f"is not imported: {reason}")
    if params.integer("n_features", 4) != 4:
        raise params.fault("n_features", "is not imported: networks here take the four bases")


def activation_of(params: Params, key: str, name: str, *, kernels: bool = False) -> str:
    """Our name of one of DRG's activations.

    Raises
    ------
    InputError : there is none
    """
    known = KERNEL_ACTIVATIONS if kernels else ACTIVATIONS
    if name not in known:
        raise params.fault(key, f"activation {name!r} is not imported", fix=f"known: {', '.join(known)}")
    return known[name]


def trunk_values(
    params: Params, *, length: int, strands: str, compat: bool, profile: bool = False
) -> tuple[dict[str, Any], int]:
    """Values of a :class:`TrunkTable` without its fully connected layers, and the positions that come out.

    Parameters
    ----------
    length : bases of the input
    strands : ours
    compat : pad weighted poolings as the original does

    Raises
    ------
    InputError : a setting that cannot be taken
    """
    pad = params.integer("shift_sequence")
    positions = length + 2 * pad
    values: dict[str, Any] = {
        "pad": pad,
        "kernels": params.integer("num_kernels"),
        "kernel_size": params.integer("l_kernels", 7),
        "kernel_bias": params.yes("kernel_bias", True),
        "kernel_activation": activation_of(
            params, "kernel_function", params.text("kernel_function", "GELU"), kernels=True
        ),
        "activation": activation_of(params, "net_function", params.text("net_function", "GELU")),
        "strands": strands,
        "pool_pad": "batch-minimum" if compat else "activation-minimum",
    }  # fmt: skip
    if not values["kernels"]:
        raise params.fault("num_kernels", "is not imported: a network without kernels of its own")
    values |= _kernel_pooling(params, positions, profile=profile)
    positions = pooled_length(positions, values["pool_size"], values["pool_step"])
    channels = values["kernels"] * (2 if values["pooling"] == "max+mean" else 1)
    table, channels, positions = _dilated(params, channels, positions)
    values["dilated"] = table
    if embedding := params.integer("embedding_convs"):
        values["embedding_channels"] = channels = embedding
    channels, positions = _long_range(params, values, channels, positions)
    values["tower"], _, positions = _second_tower(params, channels, positions)
    norms = {
        "conv_batch_norm": bool(values["dilated"] or values["tower"]),
        "attention_batch_norm": "attention" in values,
    }
    for key, used in norms.items():
        values[key] = used and (params.yes(key) or params.yes("batch_norm"))
    values["fc_batch_norm"] = params.yes("fc_batch_norm") or params.yes("batch_norm")
    return {key: value for key, value in values.items() if value is not None}, positions


def _kernel_pooling(params: Params, positions: int, *, profile: bool) -> dict[str, Any]:
    default = not profile  # the profile network has none unless asked for, and no weighted one at all
    chosen = [
        kind
        for kind, on in (("max", default), ("mean", False), ("weighted", False))
        if params.yes(f"{kind}_pooling", on) and not (profile and kind == "weighted")
    ]
    if not chosen:
        return {"pooling": "max", "pool_size": 1, "pool_step": 0}
    kind = "+".join(chosen)
    if kind not in ("max", "mean", "weighted", "max+mean"):
        raise params.fault("weighted_pooling", "is not imported together with another pooling")
    size = params.integer("pooling_size", positions) or positions
    step = params.integer("pooling_steps", size) or size
    if step == size:
        return {"pooling": kind, "pool_size": size, "pool_step": 0}
    if kind == "weighted" or step > size or pooled_length(positions, size, step) != -(-positions // step):
        raise params.fault("pooling_steps", f"DRG itself cannot run it with pooling_size = {size}")
    return {"pooling": kind, "pool_size": size, "pool_step": step}


def _tower_pooling(
    params: Params, prefix: str, kinds: Sequence[str] = ("max", "mean", "weighted")
) -> tuple[str, int]:  # fmt: skip
    sizes = {kind: params.integer(f"{prefix}{kind}_pooling") for kind in kinds}
    chosen = [(kind, size) for kind, size in sizes.items() if size > 1]
    if len(chosen) > 1:
        raise params.fault(f"{prefix}{chosen[1][0]}_pooling", "is not imported together with another pooling")
    return chosen[0] if chosen else ("max", 1)


def _tower(
    params: Params, prefix: str, values: dict[str, Any], channels: int, positions: int
) -> tuple[dict[str, Any] | None, int, int]:  # fmt: skip
    """Add pooling and residual to the lists of a tower, and cut those off where DRG stops building it; None where it
    builds no layer."""
    kind, size = _tower_pooling(params, prefix)
    every = params.integer(f"{prefix}pooling_steps", 1) or 1
    residual = params.integer(f"{prefix}pooling_residual", 1)
    built = 0
    for width, dilation, stride in zip(values["sizes"], values["dilations"], values["strides"], strict=True):
        pooled = (built + 1) % every == 0
        if positions < width or (pooled and positions < size):
            break
        positions = same_length(positions, width, dilation=dilation, stride=stride)
        if pooled:
            positions = pooled_length(positions, size)
        channels = values["channels"][built]
        built += 1
    table: dict[str, Any] = {key: value[:built] for key, value in values.items() if isinstance(value, list)}
    table |= {"layers": built, "bias": values["bias"], "pooling": kind, "pool_size": size, "pool_every": every}
    table |= {"residual": "drg" if residual else "none", "residual_every": residual or 1}
    return (table if built else None), channels, positions


def _lists(params: Params, layers: int, keys: Mapping[str, str]) -> dict[str, list[Any]]:
    """Width, dilation and stride of each layer of a tower, from DRG's ``keys``."""
    usual = {"sizes": params.integer("l_kernels", 7), "dilations": 1, "strides": 1}
    return {ours: params.each(theirs, usual[ours], count=layers, kind=is_count) for ours, theirs in keys.items()}


def _dilated(params: Params, channels: int, positions: int) -> tuple[dict[str, Any] | None, int, int]:
    layers = params.integer("dilated_convolutions")
    if not layers:
        return None, channels, positions
    growth = params.each("conv_increase", 1.0, count=layers, kind=is_number)
    widths, now = [], channels
    for factor in growth:
        now = int(now * factor)
        widths.append(now)
    keys = {"sizes": "l_dilkernels", "dilations": "dilations", "strides": "strides"}
    return _tower(
        params, "dil", {"channels": widths, **_lists(params, layers, keys), "bias": False}, channels, positions
    )


def _second_tower(params: Params, channels: int, positions: int) -> tuple[dict[str, Any] | None, int, int]:
    layers = params.integer("transformer_convolutions")
    if not layers:
        return None, channels, positions
    widths = [params.integer("trconv_dim", channels) or channels] * layers
    keys = {"sizes": "l_trkernels", "dilations": "trdilations", "strides": "trstrides"}
    return _tower(params, "tr", {"channels": widths, **_lists(params, layers, keys), "bias": True}, channels, positions)


def _long_range(params: Params, values: dict[str, Any], channels: int, positions: int) -> tuple[int, int]:
    """Add the transformer or else the attention, and give channels and positions after it."""
    blocks, layers = params.integer("n_attention"), params.integer("n_transformer")
    if not blocks and not layers:
        return channels, positions
    heads = params.integer("n_distattention")
    if not heads:
        raise params.fault("n_distattention", "must be above 0 for attention")
    factor, sums = params.number("dim_distattention", 2.5), params.yes("sum_attention")
    if layers:
        values["transformer"] = {"layers": layers, "heads": heads, "width_factor": factor, "sum_heads": sums}
        return channels * (1 if sums else heads), positions
    kind, size = _tower_pooling(params, "attention", kinds=("max", "weighted"))
    width = params.integer("dim_embattention")
    values["attention"] = {
        "blocks": blocks, "heads": heads, "key_factor": factor, "value_size": width, "sum_heads": sums,
        "pooling": kind, "pool_size": size,
    }  # fmt: skip
    for _ in range(blocks):
        channels = width or int(factor * channels)
        positions = pooled_length(positions, size)
    return channels, positions


def fc_values(params: Params, layers: int) -> dict[str, Any]:
    """Values of a :class:`FcTable` for ``layers`` of DRG's fully connected layers."""
    if not layers:
        return {"hidden": []}
    return {
        "hidden": [],
        "fc_layers": layers,
        "fc_size": params.integer("fclayer_size"),
        "fc_widening": params.number("layer_widening", 1.1),
    }
