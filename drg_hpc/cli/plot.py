"""drg-plot: logos of attributions, across regions and tracks."""

from __future__ import annotations

from typing import NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.report.plot_config import EPILOG, SUMMARY, PlotOptions


def _action(options: PlotOptions) -> Result:
    from drg_hpc.report.plot import draw_attributions

    drawn = draw_attributions(options)
    return {"message": f"figure: {options.out}", "out": str(options.out), **drawn}


def main() -> NoReturn:
    """drg-plot."""
    run_command(prog="drg-plot", summary=SUMMARY, options=PlotOptions, action=_action, epilog=EPILOG)
