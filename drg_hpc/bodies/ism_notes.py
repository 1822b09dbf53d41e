"""A plan of drg-ism in words: what is mutated, the operations, the hours. Light, but for what workers can count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc.attribution.ism_recipe import IsmRecipe
from drg_hpc.bodies.ism_cost import CPU_MACS, GPU_MACS, IsmCost
from drg_hpc.bodies.selection import ROW_TABLE_BYTES
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import counted, human_bytes
from drg_hpc.results.attributions_layout import Layout
from drg_hpc.runs.plan import Plan, preview_plan
from drg_hpc.runs.spec import RunSpec

_COUNTED_MACS = 2e10
"""Multiply-adds of a forward pass up to which a plan traces the model: about a second."""


@dataclass(frozen=True)
class _Counted:
    """What the libraries of the workers have counted.

    Parameters
    ----------
    cost : with the positions of every row
    exact : whether it has them
    macs : of a substitution with the incremental engine, by input; None where they are not known, with the reason
    """

    cost: IsmCost
    exact: bool
    macs: Mapping[str, float] | None = None
    why: str = ""


def cost_notes(spec: RunSpec, out: Path, cost: IsmCost, layout: Layout) -> tuple[str, ...]:
    """Lines for people.

    Parameters
    ----------
    cost : where every row has all positions

    Raises
    ------
    UsageError : --engine incremental, and the model cannot be followed
    InputError : --positions, and a row has no place on the genome or none has a base there
    """
    params, found = spec.params, _counted(preview_plan(spec, out), cost)
    models = f", mean over {cost.work.models} models" if cost.work.models > 1 else ""
    size = human_bytes(cost.rows * (layout.row_bytes() + ROW_TABLE_BYTES))
    return (
        f"in-silico mutagenesis, compare {params['compare']}, projection {params['projection']}: "
        f"{_sizes(params, found)}{models}; before compression {size}",
        *_operations(found, engine=params["engine"]),
    )


def _counted(plan: Plan, cost: IsmCost) -> _Counted:
    """Where torch is installed, operations and the positions inside intervals are counted here."""
    recipe = IsmRecipe.from_params(plan.params)
    in_bed = plan.params["positions"] is not None
    try:
        from drg_hpc.bodies import ism_count
    except ModuleNotFoundError as error:
        return _Counted(cost, not in_bed, why=f"counted in the worker environment ({error.name} is not installed here)")
    if in_bed:
        cost = IsmCost.of_rows(cost.work, recipe, ism_count.count_positions(plan))
        if not cost.positions:
            path = plan.inputs["positions"]["path"]
            raise InputError(f"--positions {path}: no base of the {cost.rows} sequences lies in its intervals",
                             fix="check the assembly, and the names of contigs")  # fmt: skip
    if recipe.engine == "full" or not recipe.substitutes:
        return _Counted(cost, True)
    if cost.work.macs > _COUNTED_MACS:
        why = f"not counted here, as it takes a pass of {cost.work.macs:.2g} multiply-adds; workers say it"
        return _Counted(cost, True, why=why)
    try:
        return _Counted(cost, True, macs=ism_count.count_macs(plan))
    except ism_count.Untraceable as error:
        if recipe.engine == "incremental":
            raise UsageError(f"--engine incremental: {error}", fix="--engine full") from None
        return _Counted(cost, True, why=f"not for this model ({error})")


def _sizes(params: Mapping[str, Any], found: _Counted) -> str:
    """``20 sequences, 2,000 positions, 6,000 edits, 1 value``."""
    cost, most = found.cost, "" if found.exact else "at most "
    screened = params["screen"]
    strongest = f" (of each sequence the {screened} strongest by TISM)" if screened is not None else ""
    return (
        f"{counted(cost.rows, 'sequence')}, {most}{counted(cost.positions, 'position')}{strongest}, "
        f"{most}{counted(cost.edits, 'edit')}, {counted(cost.work.values, 'value')}"
    )


def _operations(found: _Counted, *, engine: str) -> list[str]:
    """Operations in full and incremental, the bound, and hours."""
    cost = found.cost
    text = f"operations: full {cost.full:.3g} multiply-adds, {cost.work.macs:.3g} a mutant"
    expected = cost.full
    if found.macs is not None:
        macs = sum(found.macs.values()) / len(found.macs)
        expected = cost.incremental(macs)
        text += (
            f"; incremental {expected:.3g}, {macs:.3g} a substitution: {cost.full / expected:.3g} times fewer, which "
        )
        text += "bounds how much faster it is"
    elif found.why:
        text += f"; incremental: {found.why}"
    cpu, gpu = (_duration(expected / rate) for rate in (CPU_MACS, GPU_MACS))
    return [
        text,
        f"expected: {cpu} of one CPU core at {CPU_MACS / 1e9:g} G multiply-adds a second, or {gpu} of a GPU at "
        f"{GPU_MACS / 1e12:g} T; --dry-run --calibrate measures a shard",
    ]


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "less than a second"
    return f"{seconds / 3600:.2g} hours" if seconds >= 360 else f"{seconds:.2g} seconds"
