"""Trainings as the shards of a run: tasks that are requeued go on from their checkpoints; ranks train one each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bodies.sweeps import digests, make_store
from cluster_helpers import Watched
from mpi_helpers import MPIRUN_OPENMPI, needs_openmpi, under_mpi
from slurm_bed import PATIENCE_S, Bed
from support import Once, drg, environment

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

RECIPE = """
[model]
kernels = 6
pool_size = 5
hidden = [8]
[train]
epochs = 60
batch_size = 20
patience = 0
[checkpoints]
every = 20
"""


@pytest.fixture(scope="module")
def local(once: Once) -> Path:
    """A sweep over folds done by local processes."""

    def make(folder: Path) -> None:
        make_store(folder / "store.zarr", rows=600, folds=3)
        (folder / "recipe.toml").write_text(RECIPE)
        drg("drg-train", *arguments(folder, folder / "here"), "--workers", 2, "--quiet")

    return once("sweep", make)


def arguments(made: Path, out: Path) -> list[object]:
    return [made / "store.zarr", "-o", out, "--config", made / "recipe.toml", "--folds", "all", "--device", "cpu"]


def test_tasks_that_are_stopped_go_on(local: Path, any_bed: Bed, tmp_path: Path) -> None:
    run = tmp_path / "run"
    drg("drg-train", *arguments(local, run), "--launch", "slurm", "--mem", "1500M", "--time", 20, **any_bed.env)
    watched = Watched(any_bed, run)

    def checkpoints() -> list[Path]:
        return list(run.glob("state/*/*/trainings/*/checkpoints/step-*"))

    watched.until("a checkpoint is there", checkpoints)
    stopped: list[Any] = []

    def stop() -> bool:
        for job in watched.jobs(role="work-train", state="RUNNING"):
            any_bed.run("scancel", "--batch", "--signal=USR2", job)
            stopped.append(job)
        return bool(stopped)

    watched.until("a task is told to stop", stop)
    watched.until_merged()
    assert digests(run / "models") == digests(local / "here/models")
    logs = "\n".join(path.read_text() for path in (run / "logs").glob("train.*.log"))
    assert "going on from step" in logs + watched.logs()


@needs_openmpi
def test_ranks_train_one_each(local: Path, tmp_path: Path) -> None:
    command = under_mpi([*MPIRUN_OPENMPI, "-n", "3"], sys.executable, "drg-train", *arguments(local, tmp_path / "run"))
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "run/models") == digests(local / "here/models")
