"""drg-stats: statistics of attributions, by Dask."""

from __future__ import annotations

from typing import NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.cli.dask_cluster import cluster_of
from drg_hpc.interpretation.statistics_config import EPILOG, SUMMARY, SchedulerFlags, require_out
from drg_hpc.runs.launch.dask import connect
from drg_hpc.runs.plan import pin_threads
from drg_hpc.runs.signals import START_AGAIN, stop_on_signals


def _action(options: SchedulerFlags) -> Result:
    require_out(options.out)
    pin_threads(1)
    with stop_on_signals(advice=START_AGAIN), connect(cluster_of(options, workers=options.workers)) as pool:
        from drg_hpc.interpretation.statistics_files import make_statistics

        out = make_statistics(options, pool)
    return {"message": f"statistics: {out}", "out": str(out), "files": list(map(str, options.files))}


def main() -> NoReturn:
    """drg-stats."""
    run_command(prog="drg-stats", summary=SUMMARY, options=SchedulerFlags, action=_action, epilog=EPILOG)
