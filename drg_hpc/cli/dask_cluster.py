"""From the flags of a command that computes by Dask to the cluster that is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from drg_hpc.runs.launch.dask import Cluster


class _Flags(Protocol):
    out: Path
    scheduler: str
    workers: int | None
    interface: str | None
    timeout: float
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None


def cluster_of(options: _Flags, *, workers: int | None) -> Cluster:
    """The cluster that the flags describe, with ``workers`` decided by the command."""
    return Cluster(
        scheduler=options.scheduler,
        beside=options.out,
        workers=workers,
        interface=options.interface,
        wait_s=options.timeout,
        tls=(options.tls_ca, options.tls_cert, options.tls_key),
    )
