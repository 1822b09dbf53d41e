"""Plan of drg-kernels: what the kernels respond to, then what predictions lose without each of them.

What ``--help`` needs is here; the rest is imported when there is something to plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drg_hpc.bodies.kernels_options import Options as Options

if TYPE_CHECKING:
    from drg_hpc.runs.spec import RunSpec

SUMMARY = "Motifs of the kernels of a model's first layer, and what predictions lose without each."


def plan_shards(options: Options) -> RunSpec:
    """Check models, rows and tables against each other, and cut the rows into shards.

    Raises
    ------
    UsageError : flags that do not go together, or no such track
    InputError : no model, models that differ, no rows, sequences that do not fit, or a faulty table
    """
    from drg_hpc.bodies.kernels_settle import settle

    return settle(options)
