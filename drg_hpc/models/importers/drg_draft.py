"""What the importer works on: the user's choices, and a model before its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from drg_hpc.config import Options
from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.config import AnyConfig, Link
from drg_hpc.models.config_drg import TrunkTable
from drg_hpc.models.importers.drg_config import KERNEL_ACTIVATIONS, activation_of
from drg_hpc.models.importers.drg_names import Names
from drg_hpc.models.importers.drg_params import Params, is_count, is_word

C = TypeVar("C", bound=Options)


@dataclass(frozen=True)
class Choices:
    """What the files do not say, or say for the user to overrule.

    Attributes
    ----------
    compat : pad weighted poolings with the least value of each sequence's own tensor
    reverse_complement : of each input
    inputs : names of the inputs
    heads : names of the modalities
    bins : of a profile model whose settings lack ``l_out``
    """

    compat: bool = False
    reverse_complement: Sequence[bool] | None = None
    inputs: Sequence[str] | None = None
    heads: Sequence[str] | None = None
    bins: int = 0


@dataclass
class Draft:
    """A model before its weights.

    Attributes
    ----------
    kind : name of DRG's class
    reverse_complement : of each input
    pad : of its weighted poolings, ``none`` without any
    notes : lines for the user
    """

    kind: str
    config: AnyConfig
    shape: ModelShape
    names: Names
    reverse_complement: list[bool]
    pad: str
    notes: list[str] = field(default_factory=list)


def checked(kind: type[C], values: dict[str, Any], params: Params) -> C:
    """A config of values from the file.

    Raises
    ------
    InputError : a value that the config does not take
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise InputError(f"{params.source}: {key} = {fault.get('input')!r}: {fault['msg']}") from None


def strands_of(params: Params, choices: Choices, count: int) -> tuple[list[bool], list[str], list[str]]:
    """Whether each input is scanned on both strands, our name for how they are joined, and notes.

    Raises
    ------
    InputError : the file says yes for some of several inputs, but not for which
    UsageError : a choice for another number of inputs
    """
    stored = params.raw("reverse_complement", False)
    flags = [bool(item) for item in params.each("reverse_complement", False, count=count, kind=_is_flag)]
    chosen, notes = choices.reverse_complement, []
    if chosen is not None:
        if len(chosen) != count:
            raise UsageError(f"{len(chosen)} values of reverse_complement for a model of {count} inputs")
        if any(chosen) != any(flags) or (isinstance(stored, list | tuple) and list(chosen) != flags):
            notes.append(f"reverse_complement = {list(chosen)} as asked for, against {stored!r} in {params.source}")
        flags = list(chosen)
    elif count > 1 and any(flags) and not isinstance(stored, list | tuple):
        raise params.fault(
            "reverse_complement", "is the case for one input or more, the file does not say which",
            fix=f"say it for each of the {count}, as in --reverse-complement {','.join(['true'] * (count - 1))},false",
        )  # fmt: skip
    join = params.text("complement_pool", "max")
    if join not in ("max", "mean", "weighted"):
        raise params.fault("complement_pool", "is not imported", fix="known: max, mean, weighted")
    return flags, [join if flag else "off" for flag in flags], notes


def _is_flag(value: Any) -> bool:
    """True, False, 1 or 0."""
    return isinstance(value, int) and value in (0, 1)


def names_for(chosen: Sequence[str] | None, count: int, *, single: str, several: str, what: str) -> list[str]:
    """Names of inputs or modalities.

    Raises
    ------
    UsageError : another number was given, or one twice
    """
    if chosen is None:
        return [single] if count == 1 else [f"{several}{i}" for i in range(count)]
    if len(chosen) != count or len(set(chosen)) != count:
        raise UsageError(f"{', '.join(chosen)} are not names of {count} {what}")
    return list(chosen)


def pad_of(tables: Sequence[TrunkTable]) -> str:
    """What the weighted poolings of networks pad with, ``none`` where there is none."""
    weighted = any(
        table.pooling == "weighted" or any(part and part.pooling == "weighted" and part.pool_size > 1 for part in parts)
        for table in tables
        for parts in [(table.dilated, table.tower, table.attention)]
    )
    return tables[0].pool_pad if weighted else "none"


def reading_notes(tables: Sequence[TrunkTable]) -> list[str]:
    """What was settled where the original is not followed, or could not be compared with."""
    notes = []
    if (pad := pad_of(tables)) == "activation-minimum":
        notes.append(
            "weighted pooling pads with the least value of the activation before it, or the limit that it comes near, "
            "and not with that of each batch as the original does; --compat does what the original gives for one "
            "sequence at a time"
        )
    elif pad == "batch-minimum":
        notes.append(
            "weighted pooling pads with the least value of each sequence's own tensor: what the original gives for one "
            "sequence at a time"
        )
    towers = [tower for table in tables for tower in (table.dilated, table.tower) if tower]
    if any(tower.residual == "drg" and tower.residual_every > 1 for tower in towers):
        notes.append("residuals after every so many layers are read from DRG's description; compare predictions")
    return list(dict.fromkeys(notes))


def counts_of(params: Params, key: str) -> list[int]:
    """A whole number above 0, or a list of them."""
    value = params.raw(key, 1)
    return params.each(key, 1, count=len(value) if isinstance(value, list | tuple) else 1, kind=is_count)


def outputs_of(params: Params, count: int, *, profile: bool = False) -> list[tuple[Link, str]]:
    """Link and output function of each modality.

    Raises
    ------
    InputError : an output function that is not imported
    """
    found: list[tuple[Link, str]] = []
    for name in params.each("outclass", "Linear", count=count, kind=is_word):
        if name in ("Linear", "Class"):
            found.append(("logit" if name == "Class" else "identity", "none"))
        elif name == "Multi_class" or (profile and name == "Softmax"):
            found.append(("identity", "softmax" if name == "Multi_class" else "position-softmax"))
        elif name in KERNEL_ACTIVATIONS:
            output = activation_of(params, "outclass", name, kernels=True)
            found.append(("identity", "none" if output == "identity" else output))
        else:
            raise params.fault("outclass", f"{name} is not imported",
                               fix=f"known: Linear, Class, Multi_class, {', '.join(KERNEL_ACTIVATIONS)}")  # fmt: skip
    return found


def heads_of(names: Sequence[str], tracks: Sequence[int], outputs: Sequence[tuple[Link, str]]) -> tuple[HeadShape, ...]:
    """Shapes of the modalities."""
    return tuple(HeadShape(name, n, link) for name, n, (link, _) in zip(names, tracks, outputs, strict=True))
