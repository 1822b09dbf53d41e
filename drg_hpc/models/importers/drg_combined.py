"""DRG's class of several inputs, ``combined_network``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from drg_hpc.errors import InputError
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import Link
from drg_hpc.models.config_drg import TrunkTable
from drg_hpc.models.config_multi import MultiInputConfig
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
from drg_hpc.models.importers.drg_params import Params, is_word
from drg_hpc.models.importers.drg_single import fc_activation

_FORMULAS = {
    "DIRECT": "direct", "DIFFERENCE": "difference", "EXPDIFFERENCE": "exp-difference", "FRACTION": "fraction",
    "LOGXPLUSDIRECT": "log-direct", "LOGXPLUSEXPDIFFERENCE": "log-exp-difference", "LOGXPLUSFRACTION": "log-fraction",
}  # fmt: skip


def draft_combined(params: Params, tensors: Tensors, choices: Choices) -> Draft:
    """The model of several inputs that the settings describe.

    Raises
    ------
    InputError : a part that is not imported, or not said for which input the reverse complement is scanned
    UsageError : names of a wrong number
    """
    refuse_unknown_parts(params)
    lengths = counts_of(params, "l_seqs")
    inputs = names_for(choices.inputs, len(lengths), single="seq", several="seq", what="inputs")
    flags, strands, notes = strands_of(params, choices, len(lengths))
    tracks = counts_of(params, "n_classes")
    heads = names_for(choices.heads, len(tracks), single="main", several="head", what="modalities")
    classes = params.each("outclass", "Linear", count=len(tracks), kind=is_word)
    formulas = [name for name in classes if any(word in name.upper() for word in ("FRACTION", "DIFFERENCE", "DIRECT"))]
    if formulas and len(formulas) != len(classes):
        raise params.fault("outclass", "is not imported: formulas for some modalities only")
    trunks = {
        name: _trunk(params, length=length, strands=join, compat=choices.compat)
        for name, length, join in zip(inputs, lengths, strands, strict=True)
    }
    first = trunks[inputs[0]]
    chosen = [[inputs[i] for i in numbers] for numbers in _chosen(params, len(tracks), len(inputs))]
    values: dict[str, Any] = {
        "trunk": first,
        "own": {name: table for name, table in trunks.items() if table != first},
        "shared": params.yes("shared_cnns"),
    }
    part = _formulas if formulas else _neural
    values |= part(params, dict(zip(heads, chosen, strict=True)), classes)
    config = checked(MultiInputConfig, values, params)
    plain: list[tuple[Link, str]] = [("identity", "none")] * len(tracks)
    outputs = plain if formulas else outputs_of(params, len(tracks))
    shape = ModelShape(dict(zip(inputs, lengths, strict=True)), heads_of(heads, tracks, outputs))
    names = _names(params, config, shape, tensors)
    notes += reading_notes(list(trunks.values()))
    pad = pad_of(list(trunks.values()))
    return Draft("combined_network", config, shape, names, reverse_complement=flags, pad=pad, notes=notes)


def _trunk(params: Params, *, length: int, strands: str, compat: bool) -> TrunkTable:
    layers = params.raw("nfc_layers", 0)
    if isinstance(layers, list | tuple):
        raise params.fault("nfc_layers", "is not imported: a list for a network of several inputs")
    values, _ = trunk_values(params, length=length, strands=strands, compat=compat)
    values |= fc_values(params, params.integer("nfc_layers"))
    values["fc_activation"] = fc_activation(params)
    return checked(TrunkTable, values, params)


def _chosen(params: Params, heads: int, inputs: int) -> list[list[int]]:
    """Numbers of the inputs of each modality."""
    value = params.raw("input_to_combinefunc", "ALL")
    if isinstance(value, list | tuple) and value and all(isinstance(item, int) for item in value) and heads == 1:
        value = [value]
    items = list(value) if isinstance(value, list | tuple) else [value] * heads
    found = [list(range(inputs)) if item == "ALL" else item for item in items]
    for item in found:
        if not isinstance(item, list | tuple) or not all(isinstance(i, int) and 0 <= i < inputs for i in item):
            raise params.fault("input_to_combinefunc", f"is not a list of numbers below {inputs} for each modality")
    if len(found) != heads:
        raise params.fault("input_to_combinefunc", f"has {len(found)} lists for {heads} modalities")
    return [list(item) for item in found]


def _combine_function(params: Params) -> str:
    value = params.raw("combine_function", "GELU")
    names = set(value) if isinstance(value, list | tuple) else {value}
    if len(names) != 1:
        raise params.fault("combine_function", "is not imported: different functions for different modalities")
    return activation_of(params, "combine_function", str(names.pop()))


def _formulas(params: Params, inputs: dict[str, list[str]], classes: Sequence[str]) -> dict[str, Any]:
    heads = {}
    for (name, chosen), formula in zip(inputs.items(), classes, strict=True):
        if formula.upper() not in _FORMULAS:
            raise params.fault("outclass", f"{formula} is not imported", fix=f"known: {', '.join(_FORMULAS)}")
        heads[name] = {
            "inputs": chosen,
            "combine": _FORMULAS[formula.upper()],
            "log_base": params.number("outlog", 2),
            "log_offset": params.number("outlogoffset", 2),
        }
    return {
        "heads": heads,
        "value_activation": _combine_function(params),
        "share_values": params.yes("shared_embedding", True),
        "fc_batch_norm": params.yes("fc_batch_norm") or params.yes("batch_norm"),
    }


def _neural(params: Params, inputs: dict[str, list[str]], classes: Sequence[str]) -> dict[str, Any]:
    count = len(inputs)
    layers = params.each("n_combine_layers", 3, count=count, kind=lambda n: isinstance(n, int) and n >= 0)
    own = _combine_function(params)
    if any(layers) and own != fc_activation(params):
        raise params.fault(
            "combine_function", "is not imported beside another fc_function: which of them the combining layers have "
            "is not known",
        )  # fmt: skip
    widening = params.number("combine_widening", 1.1)
    heads: dict[str, dict[str, Any]] = {}
    for (name, chosen), number, (_, output) in zip(inputs.items(), layers, outputs_of(params, count), strict=True):
        heads[name] = {"inputs": chosen, "fc_layers": number, "fc_widening": widening, "output": output}
    embedding = counts_of(params, "cnn_embedding") if "cnn_embedding" in params else [512]
    if len(set(embedding)) != 1:
        raise params.fault("cnn_embedding", "is not imported: different widths")
    return {
        "heads": heads, "embedding": embedding[0], "embedding_activation": own, "activation": own,
        "fc_batch_norm": params.yes("batch_norm"),
    }  # fmt: skip


def _names(params: Params, config: MultiInputConfig, shape: ModelShape, tensors: Tensors) -> Names:
    names = Names()
    inputs, count = list(shape.inputs), len(shape.heads)
    network = 0
    for i, name in enumerate(inputs):
        table, there = config.own.get(name, config.trunk), f"cnns.CNN{i}."
        twin = next((j for j in range(i) if _same(config, shape, inputs[j], name)), None) if config.shared else None
        if twin is not None:
            _require_equal(params, tensors, twin, i)
            names.ignored[f"{there}*"] = f"equal to those of CNN{twin}, whose network this input shares"
            continue
        ours = f"networks.{network}."
        trunk_names(names, table, theirs=there, ours=ours, tensors=tensors)
        stem = numbered(tensors, f"{there}nfcs", 0, several=False)
        fc_names(names, table.fc_layers, theirs=f"{stem}nfcs.", ours=ours)
        for m in range(count):
            stem = numbered(tensors, f"{there}classifier", m, several=False)
            _value_names(names, config, shape, theirs=f"{stem}classifier.", head=m, network=network, name=name)
        network += 1
    for m, head in enumerate(shape.heads):
        own = config.heads[head.name]
        if own.combine == "neural":
            ours = f"heads.{m}.layers."
            fc_names(
                names, own.fc_layers, theirs=f"{numbered(tensors, 'nclayers', m, several=count > 1)}nfcs.", ours=ours
            )
            head_names(names, theirs=f"{numbered(tensors, 'classifier', m, several=count > 1)}classifier.", ours=ours)
    return names


def _same(config: MultiInputConfig, shape: ModelShape, one: str, other: str) -> bool:
    tables = [config.own.get(name, config.trunk) for name in (one, other)]
    return tables[0] == tables[1] and shape.inputs[one] == shape.inputs[other]


def _value_names(
    names: Names, config: MultiInputConfig, shape: ModelShape, *, theirs: str, head: int, network: int, name: str
) -> None:  # fmt: skip
    """Names of the last layer of an input's network: of its vector, or of the numbers that all formulas or one take."""
    if config.embedding:
        head_names(
            names, theirs=theirs, ours=f"networks.{network}.", head="embedding_vector", norm="embedding_norm"
        )  # fmt: skip
    elif config.share_values:
        head_names(names, theirs=theirs, ours=f"shared_values.{network}.")
    else:
        chosen = config.heads[shape.heads[head].name].inputs
        if name in chosen:
            head_names(names, theirs=theirs, ours=f"heads.{head}.values.{chosen.index(name)}.")
        else:
            names.ignored[f"{theirs}*"] = "no formula takes these numbers"


def _require_equal(params: Params, tensors: Tensors, one: int, other: int) -> None:
    """Shared networks may stand in the file twice, but not with different weights.

    Raises
    ------
    InputError : they differ
    """
    for name, tensor in tensors.items():
        twin = name.replace(f"cnns.CNN{other}.", f"cnns.CNN{one}.", 1)
        if twin != name and not (twin in tensors and torch.equal(tensor, tensors[twin])):
            raise InputError(f"{params.source}: shared_cnns is set, but {name} differs from {twin}")
