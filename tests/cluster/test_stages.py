"""The quick start's attributions and seqlets by every launcher: one sha256 each, that of a local run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_helpers import Watched, ctcf_peaks, sha256
from image_helpers import Image
from mpi_helpers import MPIRUN_OPENMPI, ON_RANKS, needs_openmpi, under_mpi
from slurm_bed import PATIENCE_S, Bed
from support import ROOT, Once, drg, environment

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

STAGES = ("attr", "seqlets")


@pytest.fixture(scope="session")
def quickstart(once: Once) -> Path:
    """Store, model, attributions and seqlets of a short quick start, made by local processes."""
    return once("quickstart", make_quickstart)


def make_quickstart(out: Path) -> None:
    split = ["--negatives", "dinuc:1", "--valid", "chr8", "--test", "chr9"]
    drg("drg-shard", "sequences", ctcf_peaks(out, 2500), *split, "-o", out / "store", "--quiet")
    recipe = ["--config", ROOT / "configs" / "ctcf.toml", "--epochs", 3, "-o", out / "model", "--quiet"]
    drg("drg-train", out / "store", *recipe)
    for stage in STAGES:
        drg(f"drg-{stage}", *arguments(stage, out, out / "local"), "--quiet")


def arguments(stage: str, made: Path, out: Path) -> list[object]:
    """One stage's command line, its output below ``out``."""
    if stage == "attr":
        given: list[object] = [made / "model", made / "store", "--split", "test", "--method", "tism"]
    else:
        given = [out / "attr"]
    return [*given, "--shards", 4, "-o", out / stage]


def same_as_local(made: Path, out: Path) -> None:
    """Both stages' files below ``out`` are those of the local run, byte for byte."""
    for stage in STAGES:
        assert sha256(out / stage / "out.h5") == sha256(made / "local" / stage / "out.h5"), stage


@pytest.mark.parametrize("launcher", ["submitit", "slurm"])
def test_arrays(quickstart: Path, any_bed: Bed, tmp_path: Path, launcher: str) -> None:
    flags = ["--launch", launcher, "--pack", 2, "--mem", "1500M", "--time", 20]
    for stage in STAGES:
        drg(f"drg-{stage}", *arguments(stage, quickstart, tmp_path), *flags, **any_bed.env)
        Watched(any_bed, tmp_path / stage).until_merged()
    same_as_local(quickstart, tmp_path)


def test_arrays_in_the_image(quickstart: Path, image: Image, plain_bed: Bed, tmp_path: Path) -> None:
    flags = ["--launch", "submitit", "--pack", 2, "--mem", "1500M", "--time", 20, "--image", image.file]
    for stage in STAGES:
        drg(f"drg-{stage}", *arguments(stage, quickstart, tmp_path), *flags, **(image.env | plain_bed.env))
        Watched(plain_bed, tmp_path / stage).until_merged()
    same_as_local(quickstart, tmp_path)


def on_ranks(made: Path, out: Path, start: list[str], python: Path, **changes: str) -> None:
    """Both stages under one way of starting ranks."""
    for stage in STAGES:
        command = under_mpi(start, python, f"drg-{stage}", *arguments(stage, made, out))
        done = subprocess.run(
            command, env=environment(**changes), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr
    same_as_local(made, out)


def test_mpirun_of_mpich(quickstart: Path, mpich: Path, tmp_path: Path) -> None:
    on_ranks(quickstart, tmp_path, [str(mpich / "mpirun"), "-n", "3"], mpich / "python")


@needs_openmpi
def test_mpirun_of_openmpi(quickstart: Path, tmp_path: Path) -> None:
    on_ranks(quickstart, tmp_path, [*MPIRUN_OPENMPI, "-n", "3"], Path(sys.executable))


def test_srun_over_two_nodes(quickstart: Path, mpich: Path, plain_bed: Bed, tmp_path: Path) -> None:
    start = ["srun", "--mpi=pmi2", "-N2", "--ntasks-per-node=2", "--mem=3G"]
    on_ranks(quickstart, tmp_path, start, mpich / "python", **ON_RANKS, **plain_bed.env)


def test_mpirun_inside_the_image(quickstart: Path, image: Image, tmp_path: Path) -> None:
    for stage in STAGES:
        words = ["mpirun", "-n", "3", f"drg-{stage}", *arguments(stage, quickstart, tmp_path), "--launch", "mpi"]
        binds = ("--bind", str(quickstart), "--bind", str(tmp_path))
        image.run(*words, flags=binds, APPTAINERENV_OMP_NUM_THREADS="1", TMPDIR=os.environ.get("TMPDIR", "/tmp"))
    same_as_local(quickstart, tmp_path)
