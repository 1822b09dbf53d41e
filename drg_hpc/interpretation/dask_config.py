"""Options of commands that compute by Dask; light, so that ``--help`` needs nothing but pydantic."""

from __future__ import annotations

from pathlib import Path

from drg_hpc.config import Options, flag


class DaskFlags(Options):
    """Who computes."""

    group = "running it"

    scheduler: str = flag(
        "local",
        help="local: processes here; slurm: the tasks of this srun; or the address of a Dask scheduler, tls://HOST:PORT",
        metavar="local|ADDRESS|slurm",
    )
    workers: int | None = flag(
        None,
        help="local: worker processes (default: one per CPU); slurm: fewest to start with (default: 1)",
        metavar="N",
        ge=1,
    )
    interface: str | None = flag(
        None,
        help="slurm: network interface to listen on, such as ib0 (default: the one that the node's name resolves to)",
        metavar="NAME",
    )
    timeout: float = flag(120.0, help="give up after so long without a scheduler or a worker", metavar="SECONDS", gt=0)
    tls_ca: Path | None = flag(None, help="certificate of the authority, for tls:// (default: none)", metavar="PEM")
    tls_cert: Path | None = flag(None, help="our certificate, for tls:// (default: none)", metavar="PEM")
    tls_key: Path | None = flag(None, help="its key, for tls:// (default: none)", metavar="PEM")
