"""The rows of a run and the statistic of each, as :mod:`drg_hpc.bodies.value_rows` planned them."""

from __future__ import annotations

from drg_hpc.attribution.targets import Statistic
from drg_hpc.attribution.targets_gene import GeneStatistic
from drg_hpc.attribution.targets_make import make_statistic
from drg_hpc.bodies.gene_rows import GeneRows
from drg_hpc.bodies.row_options import ROWS
from drg_hpc.bodies.rows import RowSource, open_rows
from drg_hpc.models.base import SequenceModel
from drg_hpc.runs.plan import Plan


def rows_of(plan: Plan) -> RowSource:
    """The rows; errors as :func:`drg_hpc.bodies.rows.open_rows`."""
    return GeneRows(plan) if "genes" in plan.params else open_rows(plan, name=ROWS)


def statistic_of(plan: Plan, module: SequenceModel, rows: RowSource) -> Statistic:
    """The statistic of one of the run's models."""
    if isinstance(rows, GeneRows):
        return GeneStatistic.from_params(module, plan.params["genes"], rows.rows)
    return make_statistic(plan.params["target"], module)
