"""drg-report: one self-contained page from any runs, models and folders."""

from __future__ import annotations

from typing import NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.report.config import EPILOG, SUMMARY, ReportOptions


def _action(options: ReportOptions) -> Result:
    from drg_hpc.report.page import write_report

    path = write_report(options)
    return {"message": f"report: {path}", "out": str(path)}


def main() -> NoReturn:
    """drg-report."""
    run_command(prog="drg-report", summary=SUMMARY, options=ReportOptions, action=_action, epilog=EPILOG)
