"""Options of drg-motifs that concern the effects of motifs; light, so that ``--help`` needs nothing but pydantic."""

from __future__ import annotations

from typing import Any, Literal

from drg_hpc.config import changed, flag
from drg_hpc.errors import UsageError
from drg_hpc.interpretation.config import MotifsOptions

EffectValue = Literal["sum", "mean", "max"]
EFFECT_FLAGS = ("effect_value", "min_regions", "permutations")


class EffectFlags(MotifsOptions):
    """What is computed about the motifs that were found."""

    group = "effects"

    effects: bool = flag(
        False, help="write effects.h5 and tables: motifs by region and track, pairs of motifs, order and spacing"
    )
    effect_value: EffectValue = flag(
        "sum", help="effect of a seqlet: sum or mean of its bases' contributions, or the largest one"
    )
    min_regions: int = flag(10, help="regions that a motif is in, at least, to be listed by region", ge=1, metavar="N")
    permutations: int = flag(
        1000, help="permutations of a test; a p-value is at least 1 / (N + 1)", ge=19, le=1_000_000, metavar="N"
    )


def effect_params(options: MotifsOptions) -> dict[str, Any]:
    """What determines effects.h5, nothing where none is wanted.

    Raises
    ------
    UsageError : a flag of the effects without ``--effects``
    """
    if not isinstance(options, EffectFlags):
        return {}
    if options.effects:
        return {"effects": True, **{name: getattr(options, name) for name in EFFECT_FLAGS}}
    given = changed(options, EFFECT_FLAGS)
    if given:
        words = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(f"{words} without --effects", fix="add --effects")
    return {}
