"""Plan of drg-ablate: one stage over sequences of which pieces are shuffled.

What ``--help`` needs is here; the rest is imported when there is something to plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drg_hpc.bodies.ablate_options import Options as Options

if TYPE_CHECKING:
    from drg_hpc.runs.spec import RunSpec

SUMMARY = "Shuffle pieces of sequences (windows, regions, seqlets): what a model's predictions lose with each."


def plan_shards(options: Options) -> RunSpec:
    """Check models, rows, pieces and options against each other, and cut the rows into shards.

    Raises
    ------
    UsageError : options that do not go together, no such track, or windows that do not fit
    InputError : no model, no rows, or no pieces there
    """
    from drg_hpc.bodies.ablate_settle import settle

    return settle(options)
