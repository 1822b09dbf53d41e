"""Plan of drg-attr: one stage over the rows of an input, or over genes.

What ``--help`` needs is here; the rest is imported when there is something to plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drg_hpc.bodies.attr_options import Options as Options

if TYPE_CHECKING:
    from drg_hpc.runs.spec import RunSpec

SUMMARY = "Attribute a model's predictions, or statistics of genes, to the bases of the sequences."


def plan_shards(options: Options) -> RunSpec:
    """Check model, input and options against each other, and cut the rows into shards.

    Raises
    ------
    UsageError : method, form and options do not go together, or no such track
    InputError : no model, no rows, or sequences of another length
    """
    from drg_hpc.bodies.attr_settle import settle

    return settle(options)
