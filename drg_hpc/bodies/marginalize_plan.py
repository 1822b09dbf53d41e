"""Plan of drg-marginalize: backgrounds with their values first, then motifs put into them.

What ``--help`` needs is here; the rest is imported when there is something to plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drg_hpc.bodies.marginalize_options import Options as Options

if TYPE_CHECKING:
    from drg_hpc.runs.spec import RunSpec

SUMMARY = "Put motifs into shuffled backgrounds: what each does to a model's predictions, by position, by spacing."


def plan_shards(options: Options) -> RunSpec:
    """Check models, rows, motifs and options against each other, and cut backgrounds and designs into shards.

    Raises
    ------
    UsageError : options that do not go together, no such track, or motifs, positions or spacings that do not fit
    InputError : no model, no rows, or a motif that is not there (with the nearest names)
    """
    from drg_hpc.bodies.marginalize_settle import settle

    return settle(options)
