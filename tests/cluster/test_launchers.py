"""Every launcher gives the bytes of a local run: sbatch, submitit, mpirun of two families, srun, and a real body."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_helpers import Watched, expected, planned, selftest, sha256, submit, until
from mpi_helpers import MPIRUN_OPENMPI, ON_RANKS, needs_openmpi, under_mpi
from slurm_bed import PATIENCE_S, Bed
from support import EXAMPLES, drg, environment

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def on_ranks(start: list[str], python: Path | str, *arguments: object) -> list[str]:
    """Command line of drg-selftest on ranks."""
    return under_mpi(start, python, "drg-selftest", *arguments)


def run(command: list[str], **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment(**changes), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )  # fmt: skip


def kill(heartbeat: Path) -> bool:
    """Whether the rank of a heartbeat was killed; the file may be gone already, or still empty."""
    try:
        _, pid = heartbeat.read_text().split()
        os.kill(int(pid), signal.SIGKILL)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return False
    return True


def test_mpirun_of_mpich(mpich: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = run(on_ranks([str(mpich / "mpirun"), "-n", "4"], mpich / "python", *selftest(folder, shards=12)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"wrote: {folder / 'out.h5'}"
    assert sha256(folder / "out.h5") == expected(tmp_path, shards=12)


@needs_openmpi
def test_mpirun_of_openmpi(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = run(on_ranks([*MPIRUN_OPENMPI, "-n", "4"], sys.executable, *selftest(folder, shards=12)))
    assert done.returncode == 0, done.stderr
    assert sha256(folder / "out.h5") == expected(tmp_path, shards=12)


def test_srun_with_pmi2_over_two_nodes(mpich: Path, plain_bed: Bed, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    start = ["srun", "--mpi=pmi2", "-N2", "--ntasks-per-node=2"]
    command = on_ranks(start, mpich / "python", *selftest(folder, shards=12))
    done = run(command, **ON_RANKS, **plain_bed.env)
    assert done.returncode == 0, done.stderr
    assert sha256(folder / "out.h5") == expected(tmp_path, shards=12)


def test_a_killed_rank_ends_all_and_the_same_command_completes(mpich: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = on_ranks([str(mpich / "mpirun"), "-n", "4"], mpich / "python", *selftest(folder, shards=30, seconds=0.4))
    started = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watched = Watched.__new__(Watched)
    watched.folder = folder
    until("some shards are done", lambda: (folder / "plan.json").exists() and len(watched.done()) >= 4)
    until("a rank is killed", lambda: any(map(kill, folder.glob("parts/rows/.*/.heartbeat"))))
    assert started.wait(PATIENCE_S) != 0
    before = watched.done()
    assert 0 < len(before) < 30
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert sha256(folder / "out.h5") == expected(tmp_path, shards=30)


def test_bad_input_on_ranks_ends_all_with_its_code(mpich: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "other").touch()
    done = run(on_ranks([str(mpich / "mpirun"), "-n", "3"], mpich / "python", *selftest(tmp_path / "run", shards=3)))
    assert done.returncode == 2
    assert done.stderr.count("exists and is not a run") == 1


def test_one_rank_is_refused(tmp_path: Path) -> None:
    done = run(on_ranks([], sys.executable, *selftest(tmp_path / "run", shards=3)))
    assert done.returncode == 2
    assert "one rank" in done.stderr


def test_submitit_disturbed(any_bed: Bed, tmp_path: Path) -> None:
    bed = any_bed
    watched = Watched(bed, planned(tmp_path / "run", shards=24, seconds=1.5))
    submit(bed, watched.folder, "--launch", "submitit", "--pack", 4, "--partition", "low", "--time", 20)
    watched.until("some shards are done", lambda: len(watched.done()) >= 3)
    watched.disturb_two(["scontrol", "requeue"], ["scancel", "--signal=USR2"])
    watched.until("more are done", lambda: len(watched.done()) >= 6)
    watched.preempt("node1")
    shutil.rmtree(next((watched.folder / "parts" / "rows").glob("0*")))
    watched.until_merged()
    assert sha256(watched.folder / "out.h5") == expected(tmp_path, shards=24)


def test_the_launcher_may_die(plain_bed: Bed, tmp_path: Path) -> None:
    """Between two sbatch calls: the first array runs on, and drg-submit adds what is missing."""
    watched = Watched(plain_bed, planned(tmp_path / "run", shards=6, seconds=1))
    code = (
        "import os, sys; sys.argv[0] = 'drg-submit'\n"
        "from drg_hpc.runs.launch import scheduler; real = scheduler.sbatch\n"
        "def dying(text):\n    if '-reduce-' in text: os._exit(9)\n    return real(text)\n"
        "scheduler.sbatch = dying; from drg_hpc.cli.submit import main; main()"
    )
    died = run([sys.executable, "-c", code, str(watched.folder)], **plain_bed.env)
    assert died.returncode == 9
    told = json.loads(submit(plain_bed, watched.folder, "--json").stdout)
    assert told["shards"] == 6  # of stage rows; the array of the first stage is queued or done
    watched.until_merged()
    assert sha256(watched.folder / "out.h5") == expected(tmp_path, shards=6)


def test_real_bodies_give_the_same_bytes(plain_bed: Bed, tmp_path: Path) -> None:
    peaks = EXAMPLES / "ctcf" / "peaks.fa.gz"
    split = ["--valid", "chr8", "--test", "chr9", "--negatives", "dinuc:1"]
    drg("drg-shard", "sequences", peaks, *split, "--shards", 5, "-o", tmp_path / "here", "--quiet")
    for name in ("slurm", "submitit"):
        there = tmp_path / name
        flags = ["--launch", name, "--pack", 2, "--time", 20]
        drg("drg-shard", "sequences", peaks, *split, "--shards", 5, "-o", there, *flags, **plain_bed.env)
        Watched(plain_bed, there).until_merged()
        same = [json.loads((folder / "done.json").read_text())["outputs"] for folder in (tmp_path / "here", there)]
        assert same[0] == same[1]
