"""Options of drg-stats; light, so that ``--help`` needs nothing but pydantic."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from drg_hpc.config import Options, flag, positional
from drg_hpc.errors import InputError, UsageError
from drg_hpc.interpretation.dask_config import DaskFlags
from drg_hpc.interpretation.motif_folder import require_place

SUMMARY = "Summarise attributions and their sequences over all regions, by Dask on one or several nodes."
EPILOG = """\
Every sum follows a fixed tree over blocks of 64 rows in float64: the file is the same, byte for byte, for any number of
workers and every scheduler.

--scheduler slurm makes a Dask cluster of the tasks of one srun: rank 0 schedules, rank 1 reads the results and writes
the file, the others work (three tasks at least). It speaks TLS with a certificate made for the occasion, handed over in
a private folder beside -o, and ends by itself. A worker that dies is made up for by the others if srun lets it:

  srun -N2 -n6 --kill-on-bad-exit=0 drg-stats attributions --scheduler slurm -o statistics.h5

srun still ends with the dead task's code; look whether the file is there.
"""


class StatsOptions(Options):
    """Options of drg-stats."""

    files: tuple[Path, ...] = positional(
        help="runs of drg-attr, drg-ism or drg-seqlets, or their out.h5", metavar="FILE.h5"
    )
    out: Path = flag(help="file to write; one made from something else is not replaced", metavar="FILE.h5", short="-o")
    input: str | None = flag(None, help="which of several inputs of the model", metavar="NAME")
    kmer: int = flag(
        6, help="length of the k-mers that are ranked by the attribution on them; 0: none", ge=0, le=8, metavar="K"
    )
    top_kmers: int = flag(20, help="k-mers of a track, at most", ge=1, metavar="N")
    correlate: Literal["files", "tracks", "none"] = flag(
        "files", help="correlation: tracks of a file and of all files with the same rows; of a file only; or none"
    )
    task_rows: int | None = flag(
        None, help="rows of a task, rounded up to 64, 128, 256, … (default: by size)", metavar="N", ge=1
    )


class SchedulerFlags(StatsOptions, DaskFlags):
    """All options."""


def require_out(out: Path) -> None:
    """Refuse a place where no file can be made, before anything is started or computed.

    Raises
    ------
    UsageError : a folder is there
    InputError : no folder for it, or one that cannot be written to
    """
    if out.is_dir():
        raise UsageError(f"{out} is a folder", fix="give the name of a file with -o")
    if not out.exists() and not out.absolute().parent.is_dir():
        raise InputError(f"no such folder: {out.absolute().parent}", fix="make it, or choose another -o")
    if not out.exists():
        require_place(out.absolute())
