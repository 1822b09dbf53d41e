"""Dask for reductions: processes here, a scheduler by its address, or the tasks of one srun (:mod:`.dask_slurm`).

Whatever listens does so on one address and speaks TLS with a certificate made for the occasion; there is no dashboard
and no HTTP route. A killed worker's tasks are done again by the others.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from drg_hpc.errors import DrgError, IncompleteError, InputError, UsageError
from drg_hpc.runs.devices import cpu_count
from drg_hpc.runs.here import Here
from drg_hpc.runs.launch.dask_pools import ALLOWED_FAILURES, Workers
from drg_hpc.runs.signals import signals_held

log = logging.getLogger(__name__)

LOCAL, SLURM = "local", "slurm"
LOOPBACK = "127.0.0.1"
_TRIM_BYTES, _MMAP_BYTES = 64 << 20, 32 << 20
"""What malloc of a local worker keeps for later, and what it asks the system for each time; the latter's highest."""


@dataclass(frozen=True)
class Cluster:
    """Which one is wanted.

    Parameters
    ----------
    scheduler : ``local``, ``slurm``, or an address
    beside : the output; the tasks of one srun meet in a private folder next to it
    workers : how many; None is one per CPU (local), or as many as there are tasks (slurm)
    interface : network interface to listen on (slurm)
    wait_s : how long to go without a scheduler or any worker
    tls : files of the authority's certificate, our certificate and its key, for an address tls://
    """

    scheduler: str
    beside: Path
    workers: int | None = None
    interface: str | None = None
    wait_s: float = 120.0
    tls: tuple[Path | None, Path | None, Path | None] = (None, None, None)


@contextmanager
def connect(cluster: Cluster) -> Iterator[Here | Workers]:
    """Who computes, for the block; whatever was started for it has ended afterwards.

    With ``slurm`` only one task of the srun gets here; the others do their part and leave by SystemExit.

    Raises
    ------
    UsageError : the parts of ``cluster`` do not fit together, or the tasks of srun are too few
    InputError : no such address, interface or certificate
    IncompleteError : no scheduler answers
    """
    if cluster.interface is not None and cluster.scheduler != SLURM:
        raise UsageError("--interface is for --scheduler slurm", fix="leave it out")
    if any(cluster.tls) and not cluster.scheduler.startswith("tls://"):
        raise UsageError("--tls-ca, --tls-cert and --tls-key are for an address tls://HOST:PORT", fix="leave them out")
    _quiet()
    if cluster.scheduler == LOCAL:
        with _local(cluster.workers or cpu_count()) as pool:
            yield pool
    elif cluster.scheduler == SLURM:
        from drg_hpc.runs.launch import dask_slurm

        with (
            dask_slurm.take_part(cluster) as (address, security),
            client(address, security, wait_s=cluster.wait_s) as pool,
        ):
            yield pool
    else:
        if cluster.workers is not None:
            raise UsageError("--workers does not go with an address: its workers are there already", fix="leave it out")
        with client(_address(cluster.scheduler), _certificates(cluster), wait_s=cluster.wait_s) as pool:
            pool.compare_versions()
            yield pool


def _quiet() -> None:
    """Settings of dask's own for this process and its children: what it says we say, and no HTTP route."""
    import dask

    routes: dict[str, Any] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
    dask.config.set(routes | {"distributed.scheduler.allowed-failures": ALLOWED_FAILURES})
    dask.config.set({"logging": {"distributed": "critical"}})
    dask.config.set({"distributed.worker.profile.enabled": False})  # looks at every task 100 times a second
    # distributed has freed memory given back at once; pages that are new for each block take half of the time
    workers = {"MALLOC_TRIM_THRESHOLD_": _TRIM_BYTES, "MALLOC_MMAP_THRESHOLD_": _MMAP_BYTES}
    dask.config.set({f"distributed.nanny.pre-spawn-environ.{name}": size for name, size in workers.items()})
    # asyncio's: distributed leaves coroutines behind whose result nobody waits for any more
    for name in ("distributed", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _local(workers: int) -> Iterator[Here | Workers]:
    if workers == 1:
        yield Here()
        return
    from distributed import LocalCluster

    with tempfile.TemporaryDirectory(prefix="drg-dask-") as scratch:
        processes = LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, host=LOOPBACK, protocol="tls://",
            security=temporary_security(), memory_limit=0, local_directory=scratch, silence_logs=logging.CRITICAL,
            dashboard_address=f"{LOOPBACK}:0", worker_dashboard_address=f"{LOOPBACK}:0",
            scheduler_kwargs={"dashboard": False},
        )  # fmt: skip
        try:
            with client(processes.scheduler_address, processes.security, wait_s=60.0) as pool:
                yield pool
        finally:
            with signals_held():
                processes.close()


@contextmanager
def client(address: str, security: Any, *, wait_s: float) -> Iterator[Workers]:
    """Connected to a scheduler.

    Raises
    ------
    IncompleteError : none answers there in time, or not with the certificate given
    """
    from distributed import Client

    try:
        made = Client(address, security=security, timeout=wait_s, name="drg", set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise IncompleteError(
            f"no Dask scheduler answers at {address}: {error or type(error).__name__}",
            fix="check address and certificates",
        ) from None
    try:
        yield Workers(made, wait_s=wait_s)
    finally:
        with signals_held():
            made.close()


def temporary_security() -> Any:
    """A certificate and key for the length of one command; only who has both can talk to the others."""
    from distributed.security import Security

    return Security.temporary()


def _address(text: str) -> str:
    """An address with scheme and port.

    Raises
    ------
    UsageError : it is none
    """
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("tcp", "tls") and parts.hostname and parts.port
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            f"--scheduler {text!r} is no scheduler", fix="local, slurm, tls://HOST:PORT or tcp://HOST:PORT"
        )
    if parts.scheme == "tcp" and parts.hostname not in (LOOPBACK, "localhost"):
        log.warning("%s is neither private nor checked: whoever can reach it can run code as you; use tls://", text)
    return text


def _certificates(cluster: Cluster) -> Any:
    if not cluster.scheduler.startswith("tls://"):
        return None
    for name, path in zip(("ca", "cert", "key"), cluster.tls, strict=True):
        if path is None:
            raise UsageError(f"--tls-{name} is missing", fix="tls:// needs --tls-ca, --tls-cert and --tls-key")
        if not path.is_file():
            raise InputError(f"no such file: {path}", fix=f"check --tls-{name}")
    from distributed.security import Security

    ca, certificate, key = map(str, cluster.tls)
    return Security(require_encryption=True, tls_ca_file=ca, tls_client_cert=certificate, tls_client_key=key)


def as_drg_error(error: BaseException, what: str) -> DrgError:
    """A library's error of a scheduler or worker that could not start, as one line."""
    return IncompleteError(f"{what}: {error or type(error).__name__}", fix="check --interface and the nodes' network")
