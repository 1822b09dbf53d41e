"""Plan of drg-ism: one stage over the rows of an input, or over genes.

What ``--help`` needs is here; the rest is imported when there is something to plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drg_hpc.bodies.ism_options import Options as Options

if TYPE_CHECKING:
    from drg_hpc.runs.spec import RunSpec

SUMMARY = "Mutate sequences in silico: what every other base at every position does to a model's predictions."


def plan_shards(options: Options) -> RunSpec:
    """Check model, input and options against each other, and cut the rows into shards.

    Raises
    ------
    UsageError : options that do not go together, or no such track or input
    InputError : no model, no rows, or sequences of another length
    """
    from drg_hpc.bodies.ism_settle import settle

    return settle(options)
