"""Plan of drg-variants: one stage over the alternative alleles of a VCF.

What ``--help`` needs is here; the rest is imported when there is something to plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drg_hpc.bodies.variants_options import Options as Options

if TYPE_CHECKING:
    from drg_hpc.runs.spec import RunSpec

SUMMARY = "Score the variants of a VCF: what the alternative allele does to a model's predictions."


def plan_shards(options: Options) -> RunSpec:
    """Check models, VCF, genome and options against each other, and cut the alleles into shards.

    Raises
    ------
    UsageError : options that do not go together, or no such track
    InputError : no model, a faulty VCF (with its line), or nothing in it that can be scored
    """
    from drg_hpc.bodies.variants_settle import settle

    return settle(options)
