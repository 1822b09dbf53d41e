"""Import models of DRG (Sasse lab; BSD-3-Clause): ``_model_params.dat`` with ``_parameter.pth``, of its three classes.

What the original does differently, and what is made of it:

- Its weighted pooling pads with the least value of the whole batch. Here the pad is the least value of the activation,
  or with ``compat`` the least value of each sequence's own tensor: what the original gives for a batch of one.
- It takes the reverse complement from the command line at every use. Here it is part of the model.
- ``outclass`` Class is a sigmoid there; here it is the link, and the network gives logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.config import AnyConfig
from drg_hpc.models.importers.common import Imported, Tensors, describe_sources, fill, read_tensors
from drg_hpc.models.importers.drg_combined import draft_combined
from drg_hpc.models.importers.drg_draft import Choices, Draft
from drg_hpc.models.importers.drg_names import place
from drg_hpc.models.importers.drg_params import Params, read_params
from drg_hpc.models.importers.drg_single import draft_single
from drg_hpc.models.registry import build


def import_drg(
    dat: Path,
    pth: Path,
    *,
    compat: bool = False,
    reverse_complement: Sequence[bool] | None = None,
    tracks: Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    heads: Sequence[str] | None = None,
    bins: int = 0,
    allow: Sequence[str] = (),
) -> Imported:
    """A model of DRG as one of ours.

    Parameters
    ----------
    dat, pth : settings and weights
    compat : pad weighted poolings with the least value of each sequence's own tensor, not of the activation
    reverse_complement : for each input, whether its reverse complement is scanned too; needed where the file only says
        that it is for some of several inputs
    tracks : names of the tracks, which the files do not have (default: ``track0``, …)
    inputs, heads : names of inputs and modalities (default: ``seq`` or ``seq0``, …; ``main`` or ``head0``, …)
    bins : of a profile model whose settings lack ``l_out``
    allow : patterns of names of tensors that may be missing or unused

    Raises
    ------
    InputError : not DRG's files, a part that is not imported, a tensor that does not fit, or a weighted pooling after
        an activation without a minimum
    UsageError : names of a wrong number
    """
    params, tensors = read_params(dat), read_tensors(pth)
    choices = Choices(compat, reverse_complement, inputs, heads, bins)
    draft = _draft(params, tensors, choices)
    module = _build(draft.config, draft.shape, params)
    placed, unused, ignored = place(module, tensors, draft.names, source=pth, allow=tuple(allow))
    missing = tuple(name for name in module.state_dict() if name not in placed)
    notes = [*draft.notes, *fill(module, placed, source=pth, allow=(*allow, *missing), unused=unused)]
    notes += _ignored_notes(ignored)
    module.tracks = _track_names(tracks, module)
    provenance: dict[str, Any] = {
        "format": "drg",
        "class": draft.kind,
        "files": describe_sources([dat, pth]),
        "reverse_complement": draft.reverse_complement,
        "weighted_pooling_pad": draft.pad,
        "ignored": [name for name, _ in ignored],
        "allowed": list(allow),
    }
    return Imported(module.eval(), draft.config, provenance, notes)


def _draft(params: Params, tensors: Tensors, choices: Choices) -> Draft:
    if "cnn_embedding" in params or "n_inputs" in params:
        return draft_combined(params, tensors, choices)
    return draft_single(params, tensors, choices)


def _build(config: AnyConfig, shape: ModelShape, params: Params) -> SequenceModel:
    try:
        return build(config, shape)
    except UsageError as error:
        fix = error.fix
        if "no minimum" in error.what:
            fix = "--compat keeps the original's pad, one sequence at a time"
        raise InputError(f"{params.source}: {error.what}", fix=fix) from None


def _track_names(tracks: Sequence[str] | None, module: SequenceModel) -> list[str]:
    if tracks is None:
        return module.tracks
    if len(tracks) != len(module.tracks):
        raise UsageError(f"{len(tracks)} track names for a model with {len(module.tracks)} tracks")
    return list(tracks)


def _ignored_notes(ignored: Sequence[tuple[str, str]]) -> list[str]:
    """One line for each reason."""
    reasons: dict[str, list[str]] = {}
    for name, reason in ignored:
        reasons.setdefault(reason, []).append(name)
    return [f"left out, {reason}: {', '.join(names)}" for reason, names in reasons.items()]
