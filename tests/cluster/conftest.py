"""Slurm for the tests: one bed of each kind for all test processes of a session."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from slurm_bed import Bed, lacking


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: needs a real scheduler, which the test starts itself")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _free_port() -> int:
    """First of 300 ports nobody listens on; other test sessions may have their own bed."""
    for base in range(16800, 32000, 400):
        try:
            for port in (base, base + 1, base + 10, base + 11, base + 100):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise RuntimeError("no free ports for a Slurm bed")


def _shared_bed(kind: str, **options: Any) -> Iterator[Bed]:
    why = lacking(accounting=options.get("accounting", False))
    if why:
        print(f"no Slurm test bed: {why}", file=sys.stderr)
        pytest.skip(why)
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    folder = Path(tempfile.gettempdir()) / f"drg-bed-{kind}-{session}"
    folder.mkdir(exist_ok=True)
    users = folder / "users.json"
    starting = Path(tempfile.gettempdir()) / ".drg-bed-starting"  # one bed at a time, so that free ports stay free
    starting.mkdir(exist_ok=True)
    with _locked(starting):
        record = json.loads(users.read_text()) if users.exists() else {"port": _free_port(), "users": 0}
        bed = Bed(folder, port=record["port"], **options)
        bed.up()
        users.write_text(json.dumps(record | {"users": record["users"] + 1}))
    yield bed
    with _locked(starting):
        record = json.loads(users.read_text())
        users.write_text(json.dumps(record | {"users": record["users"] - 1}))
        if record["users"] == 1:
            bed.down()
            subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture(scope="session")
def plain_bed() -> Iterator[Bed]:
    """Two nodes without accounting; a preempted job is told by the signal it asked for."""
    yield from _shared_bed("plain", user_signal=True, max_array=20)


@pytest.fixture(scope="session")
def accounted_bed() -> Iterator[Bed]:
    """Two nodes with accounting; a preempted job is told by SIGTERM alone."""
    yield from _shared_bed("accounted", accounting=True)


@pytest.fixture(params=["plain", "accounted"])
def any_bed(request: pytest.FixtureRequest) -> Bed:
    """Each kind in turn."""
    bed: Bed = request.getfixturevalue(f"{request.param}_bed")
    return bed
