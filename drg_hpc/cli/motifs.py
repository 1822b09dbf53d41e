"""drg-motifs: cluster seqlets into motifs and name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.cli.dask_cluster import cluster_of
from drg_hpc.config import changed, flag
from drg_hpc.errors import UsageError
from drg_hpc.interpretation.config import EPILOG, SUMMARY
from drg_hpc.interpretation.dask_config import DaskFlags
from drg_hpc.interpretation.effects_config import EffectFlags
from drg_hpc.runs.launch.dask import LOCAL, Cluster, connect
from drg_hpc.runs.plan import pin_threads
from drg_hpc.runs.signals import START_AGAIN, stop_on_signals

_SHOWN = 5
_FEW = 20_000
_HEAD = ("motif", "seqlets", "strength", "consensus", "target", "q")


def top_lines(motifs: list[dict[str, Any]], *, max_q: float) -> list[str]:
    """The strongest motifs as lines of an aligned table; none without motifs.

    Parameters
    ----------
    motifs : rows of motifs.json, strongest first
    max_q : a target with a larger q is shown as ``no match``
    """
    if not motifs:
        return []
    table = [_HEAD, *(_cells(row, max_q) for row in motifs[:_SHOWN])]
    widths = [max(len(line[i]) for line in table) for i in range(len(_HEAD))]
    numeric = (1, 2)
    lines = [
        "  ".join(cell.rjust(width) if i in numeric else cell.ljust(width) for i, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in table)
    ]
    more = [f"and {len(motifs) - _SHOWN} more"] if len(motifs) > _SHOWN else []
    return [line.rstrip() for line in lines] + more


def _cells(row: dict[str, Any], max_q: float) -> tuple[str, ...]:
    target, q = "-", "-"
    if "target" in row:
        target, q = (str(row["target"]) if float(row["q"]) <= max_q else "no match"), f"{float(row['q']):.2g}"
    return (str(row["motif"]), str(row["n_seqlets"]), f"{float(row['strength']):.4g}", str(row["consensus"]), target, q)


class MotifFlags(EffectFlags, DaskFlags):
    """All options."""

    group = DaskFlags.group

    workers: int | None = flag(
        None,
        help=f"local: worker processes (default: one per CPU, 1 for fewer than {_FEW:,} seqlets); slurm: fewest to "
        "start with (default: 1)",
        metavar="N",
        ge=1,
    )


def _action(options: MotifFlags) -> Result:
    pin_threads(1, compiled=options.threads)
    from drg_hpc.files import read_json

    with stop_on_signals(advice=START_AGAIN), connect(_cluster(options)) as pool:
        from drg_hpc.interpretation.motifs import find_motifs

        folder: Path = find_motifs(options, pool)
    lines = top_lines(read_json(folder / "motifs.json")["motifs"], max_q=options.max_q)
    message = f"motifs: {folder / 'motifs.meme'}, {folder / 'matches.tsv'}"
    return {"message": message, "out": str(folder), "lines": lines}


def _cluster(options: MotifFlags) -> Cluster:
    """Who compares the seqlets; a few are done before workers have started.

    Raises
    ------
    UsageError : workers for modisco-lite, which has none
    """
    if options.method == "modisco" and changed(options, ("scheduler", "workers")):
        raise UsageError("--scheduler and --workers do not go with --method modisco", fix="leave them out")
    workers = options.workers
    if workers is None and options.scheduler == LOCAL:
        from drg_hpc.results.seqlets import count_seqlets

        workers = 1 if options.method == "modisco" or count_seqlets(options.seqlets) < _FEW else None
    return cluster_of(options, workers=workers)


def main() -> NoReturn:
    """drg-motifs."""
    run_command(prog="drg-motifs", summary=SUMMARY, options=MotifFlags, action=_action, epilog=EPILOG)
