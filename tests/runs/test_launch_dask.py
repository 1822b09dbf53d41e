"""Dask here and by address: what listens, who may talk to it, how it ends, what is refused."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from bodies.seqlet_runs import damaged_copy, write_attributions
from support import argv, drg, environment, error_line

from drg_hpc import digests
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.runs.launch import dask, dask_slurm
from drg_hpc.runs.launch.dask import Cluster, connect


def attribution_file(path: Path, rows: int) -> Path:
    generator = np.random.default_rng(2)
    onehot = (generator.integers(0, 4, (rows, 1, 20)) == np.arange(4)[:, None]).astype(np.int8)
    write_attributions(path, generator.standard_normal((rows, 20)).astype(np.float32), onehot, tracks=1, keep=False)
    return path


@pytest.fixture(scope="module")
def attributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return attribution_file(tmp_path_factory.mktemp("dask") / "attr.h5", 640)


def until(seconds: float, ready: Callable[[], object]) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.1)


def listening(process: psutil.Process) -> list[Any]:
    """Addresses that a process and its children listen on."""
    family = [process, *process.children(recursive=True)]
    return [c.laddr for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]


@pytest.mark.slow
def test_local_listens_on_loopback_with_tls_and_answers_no_stranger(tmp_path: Path) -> None:
    before = set(listening(psutil.Process()))
    with connect(Cluster("local", tmp_path / "x", workers=2)) as pool:
        assert pool.collect([pool.submit(pow, 3, 4)]) == [81]
        found = set(listening(psutil.Process())) - before
        assert {address.ip for address in found} == {"127.0.0.1"}
        assert len(found) >= 5  # scheduler and each worker with a nanny, and their empty HTTP servers
        for address in found:
            assert answer(address.port) in ("404", "no HTTP"), address
    assert set(listening(psutil.Process())) <= before


def answer(port: int) -> str:
    """What a stranger without a certificate gets: HTTP 404, or nothing."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/info/main/workers.html", timeout=3) as reply:
            return str(reply.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except OSError:
        pass
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=3) as raw, context.wrap_socket(raw) as talk:
            talk.settimeout(3)
            return "TLS" if talk.recv(1) else "no HTTP"
    except OSError:
        return "no HTTP"


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_no_process_is_left_when_it_is_stopped(tmp_path: Path, how: signal.Signals, code: int) -> None:
    long = attribution_file(tmp_path / "long.h5", 30_000)
    command = argv("drg-stats", long, "--workers", 2, "--task-rows", 64, "-o", tmp_path / "out.h5")
    with subprocess.Popen(command, env=environment(TMPDIR=str(tmp_path)), stderr=subprocess.PIPE) as process:
        family: list[psutil.Process] = []

        def started() -> bool:
            family[:] = psutil.Process(process.pid).children(recursive=True)
            return len(family) >= 3  # two workers and multiprocessing's resource tracker

        until(60, started)
        process.send_signal(how)
        process.wait(60)
    assert process.returncode == code
    until(30, lambda: not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE])
    assert not (tmp_path / "out.h5").exists()
    if how is signal.SIGTERM:
        assert not list(tmp_path.glob("drg-dask-*"))


def kill_a_reader(process: subprocess.Popen[bytes], path: Path) -> bool:
    """Kill one of a command's workers while it has ``path`` open, which it has within a task only."""
    for worker in psutil.Process(process.pid).children(recursive=True):
        try:
            if any(file.path == str(path) for file in worker.open_files()):
                worker.kill()
                return True
        except psutil.Error:
            pass
    return False


@pytest.mark.slow
def test_a_killed_local_worker_is_made_up_for(tmp_path: Path) -> None:
    long = attribution_file(tmp_path / "long.h5", 20_000)
    drg("drg-stats", long, "--workers", 1, "-o", tmp_path / "whole.h5")
    command = argv("drg-stats", long, "--workers", 2, "--task-rows", 64, "-o", tmp_path / "killed.h5")
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE) as process:
        until(60, lambda: kill_a_reader(process, long))
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said.decode()
    assert sha256_file(tmp_path / "killed.h5") == sha256_file(tmp_path / "whole.h5")


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_blamed(attributions: Path, tmp_path: Path) -> None:
    flags = ["--workers", 2, "-o", tmp_path / "x.h5"]
    done = drg("drg-stats", attributions, *flags, exit_code=6, DRG_FAILPOINTS="stats.block")
    assert "a task ended 4 workers" in error_line(done)


@pytest.mark.slow
def test_an_error_of_a_task_keeps_its_words_and_code(attributions: Path, tmp_path: Path) -> None:
    damaged = damaged_copy(attributions, tmp_path / "damaged.h5", track=0)
    done = drg("drg-stats", damaged, "--workers", 2, "-o", tmp_path / "x.h5", exit_code=5)
    assert f"{damaged} cannot be read: chunk at" in error_line(done) and "drg-inspect --verify" in error_line(done)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, list[object]]]:
    """A user's own Dask cluster over TLS: address and the flags that open it."""
    from distributed.security import Security

    made = Security.temporary()
    (tmp_path / "ca.pem").write_text(made.tls_ca_file)
    (tmp_path / "key.pem").write_text(made.tls_client_key)
    tls = ["--tls-ca-file", "ca.pem", "--tls-cert", "ca.pem", "--tls-key", "key.pem"]
    common = [*tls, "--host", "127.0.0.1", "--scheduler-file", "where.json", "--no-dashboard"]
    dask_command = [sys.executable, "-m", "distributed.cli.dask_"]
    server = [*dask_command[:2], "distributed.cli.dask_scheduler", *common, "--port", "0", "--protocol", "tls"]
    worker = [*dask_command[:2], "distributed.cli.dask_worker", *common, "--nthreads", "1", "--no-nanny"]
    settings: dict[str, Any] = {"cwd": tmp_path, "env": environment(), "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen(server, **settings)]
    try:
        until(60, (tmp_path / "where.json").exists)
        processes += [subprocess.Popen(worker, **settings) for _ in range(2)]
        flags: list[object] = [
            "--tls-ca", tmp_path / "ca.pem", "--tls-cert", tmp_path / "ca.pem", "--tls-key", tmp_path / "key.pem"
        ]  # fmt: skip
        yield json.loads((tmp_path / "where.json").read_text())["address"], flags
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)


@pytest.mark.slow
def test_an_address_over_tls(
    scheduler: tuple[str, list[object]],
    attributions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    address, flags = scheduler
    assert address.startswith("tls://127.0.0.1:")
    drg("drg-stats", attributions, "--workers", 1, "-o", tmp_path / "here.h5")
    for name in ("there.h5", "again.h5"):  # the cluster is the user's and goes on
        drg("drg-stats", attributions, "--scheduler", address, *flags, "--task-rows", 64, "-o", tmp_path / name)
        assert sha256_file(tmp_path / name) == sha256_file(tmp_path / "here.h5")
    files = tuple(tmp_path / name for name in ("ca.pem", "ca.pem", "key.pem"))
    monkeypatch.setattr(digests, "_versions", lambda: {"numpy": "0"})
    with connect(Cluster(address, tmp_path / "x", tls=files)):
        assert f"numpy {np.__version__}, here 0" in caplog.text
    from distributed.security import Security

    other = Security.temporary()
    (tmp_path / "key.pem").write_text(other.tls_client_key)
    (tmp_path / "ca.pem").write_text(other.tls_ca_file)
    strange = ["--scheduler", address, *flags, "--timeout", 5, "-o", tmp_path / "x.h5"]
    assert "no Dask scheduler answers" in error_line(drg("drg-stats", attributions, *strange, exit_code=4))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--scheduler", "somewhere"], "is no scheduler; local, slurm, tls://HOST:PORT"),
        (["--scheduler", "tls://host"], "is no scheduler"),
        (["--scheduler", "http://host:1"], "is no scheduler"),
        (["--scheduler", "tls://host:8786"], "--tls-ca is missing"),
        (["--scheduler", "tcp://127.0.0.1:8786", "--workers", "2"], "--workers does not go with an address"),
        (["--interface", "lo"], "--interface is for --scheduler slurm"),
        (["--tls-key", "k.pem"], "are for an address tls://"),
        (["--scheduler", "slurm"], "this is not one; srun -N2 -n6 --kill-on-bad-exit=0"),
    ],
)
def test_what_does_not_fit_is_refused(flags: list[str], words: str, attributions: Path, tmp_path: Path) -> None:
    done = drg("drg-stats", attributions, *flags, "-o", tmp_path / "x.h5", exit_code=2)
    assert words in error_line(done)


def test_nobody_at_the_address(attributions: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        flags = ["--scheduler", address, "--timeout", 2, "-o", tmp_path / "x.h5"]
        done = drg("drg-stats", attributions, *flags, exit_code=4)
    assert f"no Dask scheduler answers at {address}" in error_line(done)


def test_an_open_address_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    assert dask._address("tcp://10.0.0.1:8786")
    assert "whoever can reach it can run code as you" in caplog.text
    caplog.clear()
    assert dask._address("tcp://127.0.0.1:8786") and not caplog.text


def test_where_tasks_of_one_srun_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PROCID": "1", "NTASKS": "3", "JOB_ID": "7", "STEP_ID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    rank = dask_slurm.find_rank(Cluster("slurm", tmp_path / "x.h5"))
    assert (rank.number, rank.size, rank.folder) == (1, 3, tmp_path / ".x.h5.dask-7.0.0")
    rank.folder.mkdir(mode=0o700)
    security = dask.temporary_security()
    dask_slurm._publish(rank.folder, "tls://127.0.0.1:1", security)
    assert stat.S_IMODE((rank.folder / "scheduler.json").stat().st_mode) == 0o600
    address, found = dask_slurm._meet(rank.folder, wait_s=1)
    assert address == "tls://127.0.0.1:1"
    assert found.tls_worker_key == security.tls_client_key and found.require_encryption
    rank.folder.chmod(0o750)
    with pytest.raises(InputError, match="not a private folder"):
        dask_slurm._meet(rank.folder, wait_s=1)
    (tmp_path / "link").symlink_to(rank.folder)
    with pytest.raises(InputError, match="not a private folder"):
        dask_slurm._meet(tmp_path / "link", wait_s=1)
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(SystemExit):  # rank 0 says it
        dask_slurm.find_rank(Cluster("slurm", tmp_path / "x.h5"))
    monkeypatch.setenv("SLURM_PROCID", "0")
    with pytest.raises(UsageError, match="needs 3 tasks"):
        dask_slurm.find_rank(Cluster("slurm", tmp_path / "x.h5"))


def test_the_address_to_listen_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dask_slurm.listening_address("lo") == "127.0.0.1"
    with pytest.raises(InputError, match="nosuch0"):
        dask_slurm.listening_address("nosuch0")
    monkeypatch.setenv("SLURMD_NODENAME", "localhost")
    assert dask_slurm.listening_address(None) == "127.0.0.1"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a: [(0, 0, 0, "", ("127.0.1.1", 0))])
    with pytest.raises(InputError, match="only this node reaches"):
        dask_slurm.listening_address(None)
