"""A Dask cluster out of the tasks of one srun: rank 0 schedules, rank 1 is the client, the others work.

dask-jobqueue's SLURMRunner does the same without encryption: its client closes the scheduler by a connection that has
no certificate, it waits for ever, and importing it takes SIGINT over. So distributed's own classes are used here.

Rank 0 publishes address and certificate in a private folder beside the output. It ends when the client has gone, after
every worker had the chance to join, and the workers end with it. A worker that dies is lost, not started again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc.errors import EXIT_DONE, EXIT_INPUT, EXIT_STOPPED, EXIT_USAGE, IncompleteError, InputError, UsageError
from drg_hpc.runs.launch.dask import LOOPBACK, Cluster, as_drg_error, temporary_security
from drg_hpc.runs.signals import check_stop

log = logging.getLogger(__name__)

_PUBLISHED = "scheduler.json"
_POLL_S = 0.2
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True)
class Rank:
    """This task of the srun, and the folder where its tasks meet."""

    number: int
    size: int
    folder: Path


def find_rank(cluster: Cluster) -> Rank:
    """From Slurm's environment.

    Raises
    ------
    UsageError : this is no task of srun, or there are too few
    InputError : no place to meet
    SystemExit : the same, in all tasks but the first one, which says it
    """
    found = os.environ
    if "SLURM_PROCID" not in found or "SLURM_STEP_ID" not in found:
        raise UsageError(
            "--scheduler slurm makes a cluster of the tasks of one srun, and this is not one",
            fix="srun -N2 -n6 --kill-on-bad-exit=0 drg-stats … --scheduler slurm",
        )
    number, size = int(found["SLURM_PROCID"]), int(found.get("SLURM_STEP_NUM_TASKS") or found["SLURM_NTASKS"])
    needed = (cluster.workers or 1) + 2
    if size < needed:
        if number:
            raise SystemExit(EXIT_USAGE)
        raise UsageError(
            f"--scheduler slurm needs {needed} tasks (scheduler, client, {needed - 2} to work), srun has {size}",
            fix=f"srun -n {needed}",
        )
    out = cluster.beside.absolute()
    if not os.access(out.parent, os.W_OK | os.X_OK):
        if number:
            raise SystemExit(EXIT_INPUT)
        raise InputError(f"{out.parent} is no folder to write to", fix="make it, or choose another -o")
    life = f"{found['SLURM_JOB_ID']}.{found['SLURM_STEP_ID']}.{found.get('SLURM_RESTART_COUNT') or 0}"
    return Rank(number, size, out.with_name(f".{out.name}.dask-{life}"))


@contextmanager
def take_part(cluster: Cluster) -> Iterator[tuple[str, Any]]:
    """Do this task's part; the client gets the scheduler's address and its certificate, the others SystemExit.

    Raises
    ------
    UsageError, InputError : too few tasks, no such interface, no place to meet
    IncompleteError : the scheduler does not show up
    """
    rank = find_rank(cluster)
    host = listening_address(cluster.interface)
    if rank.number == 0:
        raise SystemExit(asyncio.run(_schedule(rank, host, wait_s=cluster.wait_s)))
    address, security = _meet(rank.folder, wait_s=cluster.wait_s)
    if rank.number > 1:
        raise SystemExit(asyncio.run(_work(rank, host, address, security, wait_s=cluster.wait_s)))
    yield address, security


def listening_address(interface: str | None) -> str:
    """The one IPv4 address to listen on: the interface's, or what the node's own name means.

    Raises
    ------
    InputError : no such interface, or the name means nothing
    """
    if interface is not None:
        from distributed.utils import get_ip_interface

        try:
            return str(get_ip_interface(interface))
        except (KeyError, ValueError) as error:
            raise InputError(f"--interface {interface}: {error}", fix="ip -brief address lists them") from None
    name = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    try:
        address = str(socket.getaddrinfo(name, None, socket.AF_INET)[0][4][0])
    except OSError:
        raise InputError(f"node name {name!r} means no address here", fix="name an --interface, such as ib0") from None
    if address.startswith("127.") and address != LOOPBACK:  # Debian's own entry, which other nodes do not share
        raise InputError(f"node name {name!r} means {address}, which only this node reaches", fix="name an --interface")
    return address


def _publish(folder: Path, address: str, security: Any) -> None:
    """Hand address and key to our own tasks only; another user's folder of that name is refused by ``mkdir``."""
    record = {"address": address, "certificate": security.tls_ca_file, "key": security.tls_client_key}
    private = folder / f".{_PUBLISHED}"
    with open(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        json.dump(record, handle)
        handle.flush()
        os.fsync(handle.fileno())
    os.rename(private, folder / _PUBLISHED)


def _meet(folder: Path, *, wait_s: float) -> tuple[str, Any]:
    """Wait for what rank 0 publishes."""
    until = time.monotonic() + wait_s
    while True:
        check_stop()
        try:
            facts = os.lstat(folder)
            if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
                raise InputError(f"{folder} is not a private folder of ours", fix="remove it, or choose another -o")
            os.listdir(folder)  # makes NFS look again
            record = json.loads((folder / _PUBLISHED).read_bytes())
            break
        except FileNotFoundError:
            if time.monotonic() > until:
                raise IncompleteError(
                    f"no Dask scheduler after {wait_s:.0f} s, none is announced in {folder}",
                    fix="did rank 0 start? Do all nodes see the folder of -o?",
                ) from None
            time.sleep(_POLL_S)
    from distributed.security import Security

    one, key = record["certificate"], record["key"]
    pairs = {f"tls_{role}_cert": one for role in ("client", "scheduler", "worker")}
    pairs |= {f"tls_{role}_key": key for role in ("client", "scheduler", "worker")}
    return str(record["address"]), Security(require_encryption=True, tls_ca_file=one, **pairs)


def _stop_event() -> asyncio.Event:
    """Set by a stop signal: an exception out of a handler would land in whichever coroutine happens to run."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in _STOPS:
        loop.add_signal_handler(number, event.set)
    return event


async def _until(ready: Callable[[], Any], stop: asyncio.Event, *, seconds: float) -> bool:
    """Whether ``ready`` came true in time and before a stop."""
    end = time.monotonic() + seconds
    while not ready():
        if stop.is_set() or time.monotonic() > end:
            return False
        await asyncio.sleep(_POLL_S)
    return True


def _visitors(scheduler: Any) -> tuple[set[Any], set[Any]]:
    """Clients and workers that ever came, however short they stayed; the sets grow."""
    from distributed import SchedulerPlugin

    clients: set[Any] = set()
    workers: set[Any] = set()

    class Porter(SchedulerPlugin):
        def add_client(self, scheduler: Any, client: str) -> None:
            clients.add(client)

        def add_worker(self, scheduler: Any, worker: str) -> None:
            workers.add(worker)

    scheduler.add_plugin(Porter(), name="drg-porter")
    return clients, workers


async def _schedule(rank: Rank, host: str, *, wait_s: float) -> int:
    """Rank 0; returns its exit code."""
    from distributed import Scheduler

    stop, security = _stop_event(), temporary_security()
    try:
        rank.folder.mkdir(mode=0o700)
    except FileExistsError:
        raise InputError(f"{rank.folder} is in the way", fix="remove it, or choose another -o") from None
    try:
        async with Scheduler(
            host=host, port=0, protocol="tls", security=security, dashboard=False, dashboard_address=f"{LOOPBACK}:0"
        ) as scheduler:
            _publish(rank.folder, scheduler.address, security)
            log.info("Dask scheduler at %s", scheduler.address)
            started = time.monotonic()
            clients, workers = _visitors(scheduler)
            if not await _until(lambda: clients, stop, seconds=wait_s):
                log.warning("no client after %.0f s", wait_s)

            def over() -> bool:
                everyone = len(workers) >= rank.size - 2 or time.monotonic() - started > wait_s
                return not scheduler.client_comms and everyone  # nobody is left to knock at a closed door

            await _until(over, stop, seconds=float("inf"))
    except OSError as error:
        raise as_drg_error(error, f"the Dask scheduler cannot listen on {host}") from None
    finally:
        shutil.rmtree(rank.folder, ignore_errors=True)
    return EXIT_STOPPED if stop.is_set() else EXIT_DONE


async def _work(rank: Rank, host: str, address: str, security: Any, *, wait_s: float) -> int:
    """A worker; ends with the scheduler, by a stop signal, or when no scheduler answers."""
    from distributed import Worker

    stop = _stop_event()
    with tempfile.TemporaryDirectory(prefix="drg-dask-") as scratch:
        try:
            async with Worker(
                address, name=f"rank-{rank.number}", host=host, protocol="tls", security=security, nthreads=1,
                memory_limit=0, local_directory=scratch, death_timeout=wait_s, dashboard=False,
                dashboard_address=f"{LOOPBACK}:0",
            ) as worker:  # fmt: skip
                ended = asyncio.ensure_future(worker.finished())
                stopped = asyncio.ensure_future(stop.wait())
                await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
                stopped.cancel()
        except (OSError, TimeoutError) as error:
            raise as_drg_error(error, f"worker {rank.number} on {host} cannot join {address}") from None
    return EXIT_STOPPED if stop.is_set() else EXIT_DONE
