"""drg-motifs: cluster seqlets into motifs and name them."""

from __future__ import annotations

from typing import NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.interpretation.config import SUMMARY, MotifsOptions


def _action(options: MotifsOptions) -> Result:
    from drg_hpc.runs.plan import pin_threads

    pin_threads(options.threads)
    from drg_hpc.interpretation.motifs import find_motifs

    folder = find_motifs(options)
    return {"message": f"motifs: {folder / 'motifs.meme'}, {folder / 'matches.tsv'}", "out": str(folder)}


def main() -> NoReturn:
    """drg-motifs."""
    run_command(prog="drg-motifs", summary=SUMMARY, options=MotifsOptions, action=_action)
