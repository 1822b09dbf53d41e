"""Slurm, MPI and Apptainer for the tests: one bed of each kind for all test processes of a session."""

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
from typing import Any, NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from image_helpers import BED, KEPT, Image, build
from slurm_bed import Bed, lacking
from support import Once


def cannot(why: str) -> NoReturn:
    """Skip a test that this machine forbids, with the reason; fail it where DRG_TEST_CLUSTER=required, as in CI."""
    print(f"no test bed: {why}", file=sys.stderr)
    if os.environ.get("DRG_TEST_CLUSTER") == "required":
        pytest.fail(why)
    pytest.skip(why)


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
        cannot(why)
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


KINDS: dict[str, dict[str, Any]] = {
    "plain": {"user_signal": True, "max_array": 20},
    "accounted": {"accounting": True},
}


@pytest.fixture(scope="session")
def plain_bed() -> Iterator[Bed]:
    """Two nodes without accounting; a preempted job is told by the signal it asked for."""
    yield from _shared_bed("plain", **KINDS["plain"])


@pytest.fixture(scope="session")
def accounted_bed() -> Iterator[Bed]:
    """Two nodes with accounting; a preempted job is told by SIGTERM alone."""
    yield from _shared_bed("accounted", **KINDS["accounted"])


@pytest.fixture(params=list(KINDS))
def any_bed(request: pytest.FixtureRequest) -> Bed:
    """Each kind in turn."""
    bed: Bed = request.getfixturevalue(f"{request.param}_bed")
    return bed


@pytest.fixture(params=list(KINDS))
def own_bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """Each kind in turn, for a test that ends daemons: nobody else's jobs are on it."""
    yield from _shared_bed(f"own-{request.param}", **KINDS[request.param])


@pytest.fixture
def chain_bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """For slurm/pipeline.sh, of a test alone: a chain's waiting job holds what another chain's job for both nodes
    needs, and that job, at the head of the queue, holds back the array that the first one waits for."""
    name = request.path.stem.removeprefix("test_")[:7]  # short: sockets lie below the folder
    yield from _shared_bed(f"chain-{name}", **KINDS["plain"])


@pytest.fixture(scope="session")
def apptainer() -> dict[str, str]:
    """An environment with a real Apptainer."""
    made = subprocess.run([str(BED), "up"], capture_output=True, text=True, check=False)
    if made.returncode == 77:
        cannot(made.stderr.strip())
    assert made.returncode == 0, made.stderr
    script = f'eval "$({BED} env)" && env -0'
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    return dict(item.split("=", 1) for item in found.split("\0") if item)


@pytest.fixture(scope="session")
def image(apptainer: dict[str, str], once: Once) -> Iterator[Image]:
    """The CPU image of this checkout."""
    if given := os.environ.get("DRG_TEST_IMAGE"):
        yield Image(Path(given), apptainer)
        return
    KEPT.mkdir(mode=0o755, exist_ok=True)

    def make(_: Path) -> None:
        with open(KEPT / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            print(f"image: {build(KEPT / 'drg.sif', apptainer, '--force'):.0f} s")

    once("image", make)
    yield Image(KEPT / "drg.sif", apptainer)


@pytest.fixture(scope="session")
def mpich(once: Once) -> Path:
    """bin folder of an environment with the MPICH wheel; it sees this one's other packages."""

    def make(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = folder / "bin" / "python"
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", "mpich==5.0.2", "mpi4py==4.1.2"], check=False)
        if done.returncode:
            cannot("the MPICH wheel cannot be installed here")
        (site,) = folder.glob("lib/python*/site-packages")
        others = [path for path in sys.path if path.endswith("site-packages")]
        (site / "others.pth").write_text("\n".join(others))

    return once("mpich", make) / "bin"
