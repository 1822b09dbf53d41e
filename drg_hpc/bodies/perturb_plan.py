"""Plan of drg-perturb: one stage over sequences whose motifs are replaced, exchanged and moved.

What ``--help`` needs is here; the rest is imported when there is something to plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drg_hpc.bodies.perturb_options import Options as Options

if TYPE_CHECKING:
    from drg_hpc.runs.spec import RunSpec

SUMMARY = "Test what a model has learnt of motifs: presence, order, distance and interaction, by perturbing sequences."


def plan_shards(options: Options) -> RunSpec:
    """Check models, rows, motifs and options against each other, and cut the rows into shards.

    Raises
    ------
    UsageError : options that do not go together, no such track, or motifs or distances that do not fit
    InputError : no model, no rows, no sites, or a motif that is not there (with the nearest names)
    """
    from drg_hpc.bodies.perturb_settle import settle

    return settle(options)
