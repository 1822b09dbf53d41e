"""DRG's classes of one input: ``cnn``, and ``bpcnn`` for profiles."""

from __future__ import annotations

from functools import partial
from typing import Any

from drg_hpc.models.base import ModelShape
from drg_hpc.models.blocks_layout import same_length
from drg_hpc.models.config_drg import DrgCnnConfig
from drg_hpc.models.importers.common import Tensors
from drg_hpc.models.importers.drg_config import activation_of, fc_values, refuse_unknown_parts, trunk_values
from drg_hpc.models.importers.drg_draft import (
    Choices,
    Draft,
    checked,
    counts_of,
    heads_of,
    names_for,
    outputs_of,
    pad_of,
    reading_notes,
    strands_of,
)
from drg_hpc.models.importers.drg_names import Names, fc_names, head_names, numbered, trunk_names
from drg_hpc.models.importers.drg_params import Params, is_count


def draft_single(params: Params, tensors: Tensors, choices: Choices) -> Draft:
    """The model of one input that the settings describe.

    Raises
    ------
    InputError : a part that is not imported
    UsageError : names of a wrong number
    """
    refuse_unknown_parts(params)
    (length,) = params.each("l_seqs", 0, count=1, kind=is_count)
    flags, strands, notes = strands_of(params, choices, 1)
    profile = "final_kernel" in params or any(name.startswith("linear_classifier.") for name in tensors)
    values, positions = trunk_values(
        params, length=length, strands=strands[0], compat=choices.compat, profile=profile
    )  # fmt: skip
    (name,) = names_for(choices.inputs, 1, single="seq", several="seq", what="inputs")
    draft = partial(_profile, positions=positions) if profile else _tracks
    config, shape, names = draft(params, values, {name: length}, choices, tensors)
    notes += reading_notes([config])
    return Draft(
        "bpcnn" if profile else "cnn", config, shape, names, reverse_complement=flags, pad=pad_of([config]), notes=notes
    )


def _tracks(
    params: Params, values: dict[str, Any], inputs: dict[str, int], choices: Choices, tensors: Tensors
) -> tuple[DrgCnnConfig, ModelShape, Names]:  # fmt: skip
    tracks = counts_of(params, "n_classes")
    count = len(tracks)
    known = names_for(choices.heads, count, single="main", several="head", what="modalities")
    outputs = outputs_of(params, count)
    tables: list[dict[str, Any]] = [{"output": output} for _, output in outputs]
    layers = params.raw("nfc_layers", 0)
    separate = isinstance(layers, list | tuple) and count > 1
    stacks = params.each("nfc_layers", 0, count=count if separate else 1, kind=lambda n: isinstance(n, int) and n >= 0)
    if separate:
        for table, number in zip(tables, stacks, strict=True):
            table |= fc_values(params, number)
        values["hidden"] = []
    else:
        values |= fc_values(params, stacks[0])
    values["fc_activation"] = fc_activation(params)
    values["heads"] = dict(zip(known, tables, strict=True))
    config = checked(DrgCnnConfig, values, params)
    names = Names()
    trunk_names(names, config, theirs="", ours="layers.", tensors=tensors)
    for i in range(count):
        ours = f"layers.heads.{i}." if count > 1 else "layers."
        if separate:
            fc_names(names, stacks[i], theirs=f"nfcs.{i}.nfcs.", ours=ours)
        stem = numbered(tensors, "classifier", i, several=count > 1)
        head_names(names, theirs=f"{stem}classifier.", ours=ours)
    if not separate:
        stem = numbered(tensors, "nfcs", 0, several=False)
        fc_names(names, stacks[0], theirs=f"{stem}nfcs.", ours="layers.")
    return config, ModelShape(inputs, heads_of(known, tracks, outputs)), names


def fc_activation(params: Params) -> str:
    """Our name of the activation of fully connected layers, which is that of the others where none is given."""
    key = "fc_function" if params.raw("fc_function", None) is not None else "net_function"
    return activation_of(params, key, params.text(key, "GELU"))


def _profile(
    params: Params, values: dict[str, Any], inputs: dict[str, int], choices: Choices, tensors: Tensors, *,
    positions: int,
) -> tuple[DrgCnnConfig, ModelShape, Names]:  # fmt: skip
    """The profile network: its bins are the central positions of what the head's convolution gives."""
    tracks = counts_of(params, "n_classes")
    (name,) = names_for(choices.heads, len(tracks), single="main", several="head", what="modalities")
    outputs = outputs_of(params, 1, profile=True)
    if params.yes("fc_batch_norm") or params.yes("batch_norm"):
        raise params.fault("batch_norm", "is not imported for profile networks: DRG itself cannot run it")
    (length,) = inputs.values()
    values.pop("fc_batch_norm")
    counts = params.yes("predict_from_dist")
    table = {"size": params.integer("final_kernel", 1), "stride": params.integer("final_strides", 1), "counts": counts}
    positions = same_length(positions, table["size"], stride=table["stride"])
    bins = params.integer("l_out", choices.bins) or positions
    bases = length + 2 * values["pad"]
    if bins > positions or (bases * bins) % positions:
        raise params.fault("l_out", f"is not imported: {bins} bins of the {positions} positions for {bases} bases")
    if counts and bins != positions:
        raise params.fault("predict_from_dist", "is not imported with fewer bins than positions: whether the softmax "
                           "goes over all of them is not known")  # fmt: skip
    values |= {"profile": table, "heads": {name: {"output": outputs[0][1]}}}
    config = checked(DrgCnnConfig, values, params)
    names = Names()
    trunk_names(names, config, theirs="", ours="layers.", tensors=tensors)
    shape_of = "layers.profile.shape." if counts else "layers.profile."
    names.modules["linear_classifier.fconvlayer"] = f"{shape_of}conv"
    if counts:
        names.modules["linear_classifier.cpred.0"] = "layers.profile.total.total"
    span = bases * bins // positions
    shape = ModelShape(inputs, heads_of([name], tracks, outputs), bins, span=0 if span == length else span)
    return config, shape, names
