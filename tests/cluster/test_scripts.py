"""The scripts in slurm/: training over two nodes that is preempted twice, a plain array, and the whole chain."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_helpers import Watched, ctcf_peaks, expected, log_ends, planned, sha256, until
from image_helpers import Image
from slurm_bed import MEMORY_MB, PATIENCE_S, Bed
from support import EXAMPLES, ROOT, Once, drg, environment

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
SLURM = ROOT / "slurm"


def script(bed: Bed, folder: Path, name: str, *arguments: object, path: str | None = None, **changes: str) -> str:
    """Run one of the scripts as on a login node; its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{path or os.environ['PATH']}"
    done = subprocess.run(
        [SLURM / name, *map(str, arguments)], cwd=folder, env=environment(**bed.env, PATH=path, **changes),
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def store(once: Once) -> Path:
    """A store of 3,000 CTCF peaks and their shuffles."""

    def make(folder: Path) -> None:
        split = ["--valid", "chr8", "--test", "chr9", "--negatives", "dinuc:1"]
        drg("drg-shard", "sequences", ctcf_peaks(folder, 3000), *split, "-o", folder / "store", "--quiet")

    return once("ctcf", make) / "store"


def trained_here(store: Path, out: Path, *, ranks: int, epochs: int) -> str:
    """sha256 of the weights of an undisturbed training on one machine."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command = [*torchrun, "-m", "drg_hpc.cli.train", *map(str, recipe(store, epochs)), "-o", str(out)]
    subprocess.run(command, env=environment(), check=True, capture_output=True, timeout=PATIENCE_S)
    return sha256(out / "weights.safetensors")


def recipe(store: Path, epochs: int) -> list[object]:
    return [store, "--config", ROOT / "configs" / "ctcf.toml", "--epochs", epochs]


@pytest.fixture(scope="session")
def undisturbed(store: Path, once: Once) -> str:
    """sha256 of the weights after 16 epochs on four ranks."""
    folder = once("undisturbed", lambda folder: trained_here(store, folder / "model", ranks=4, epochs=16))
    return sha256(folder / "model" / "weights.safetensors")


def test_training_preempted_twice_ends_with_the_weights_of_an_undisturbed_run(
    store: Path, undisturbed: str, any_bed: Bed, tmp_path: Path
) -> None:
    nodes = ["--nodes=2", "--cpus-per-task=2", "--mem=3000M", "--time=20", "--partition=low"]
    # one task a node, with memory that is not there beside the training, and is there without it
    urgent = ["-p", "high", "-N2", "--ntasks-per-node=1", f"--mem={MEMORY_MB - 3000 + 1}", "-o", "/dev/null"]
    told = script(any_bed, tmp_path, "train.sh", *nodes, "--", *recipe(store, 16), "-o", "model", DRG_RANKS="2")
    job = told.split()[1].rstrip(";")
    log, model = tmp_path / f"drg-train.{job}.log", tmp_path / "model"

    def trains_in(life: int) -> bool:
        """Whether that life has come to the end of an epoch, which writes a checkpoint."""
        return log.exists() and "INFO epoch " in log.read_text().partition(f"life {life} ")[2]

    for life in (1, 2):
        until(f"life {life} trains", lambda: trains_in(life), told=lambda: log_ends([log]))  # noqa: B023
        any_bed.run("sbatch", *urgent, "--wrap", "true")
    until("the training ends", (model / "done.json").exists, told=lambda: log_ends([log]))
    assert "life 3 " in log.read_text()
    assert sha256(model / "weights.safetensors") == undisturbed


def test_training_in_the_image_over_two_nodes(store: Path, image: Image, plain_bed: Bed, tmp_path: Path) -> None:
    undisturbed = trained_here(store, tmp_path / "undisturbed", ranks=2, epochs=2)
    nodes = ["--nodes=2", "--mem=3000M", "--time=20", "--image", image.file]
    image_env = {name: value for name, value in image.env.items() if name.startswith("APPTAINER")}
    told = script(
        plain_bed, tmp_path, "train.sh", *nodes, "--", *recipe(store, 2), "-o", "model", path=image.env["PATH"],
        **image_env,
    )  # fmt: skip
    log = tmp_path / f"drg-train.{told.split()[1].rstrip(';')}.log"
    until("the training ends", (tmp_path / "model" / "done.json").exists, told=lambda: log_ends([log]))
    assert sha256(tmp_path / "model" / "weights.safetensors") == undisturbed


def test_array_and_merge_scripts(plain_bed: Bed, tmp_path: Path) -> None:
    run = Watched(plain_bed, planned(tmp_path / "run", shards=5))
    drg("drg-work", run.folder, "--stage", "total")
    env = {"DRG_ROOT": str(ROOT)} | {"PYTHONPATH": str(ROOT)}
    where = ["--mem=200M", f"--chdir={tmp_path}"]
    job = plain_bed.run("sbatch", "--parsable", *where, "--array=0-3", SLURM / "array.sh", run.folder, "rows", env=env)
    merge = ["sbatch", *where, "-W", SLURM / "merge.sh", run.folder]
    plain_bed.run(*merge[:2], f"--dependency=afterany:{job.strip()}", *merge[2:], check=False, env=env)
    (log,) = tmp_path.glob("drg-merge.*.log")
    assert "1 of 5 missing in stage rows: 4" in log.read_text()
    plain_bed.run("sbatch", "-W", *where, "--array=4", SLURM / "array.sh", run.folder, "rows", env=env)
    plain_bed.run(*merge, env=env)
    assert sha256(run.folder / "out.h5") == expected(tmp_path, shards=5)


def test_pipeline_from_genome_and_peaks_to_the_report(chain_bed: Bed, tmp_path: Path) -> None:
    data = EXAMPLES / "hg38_windows"
    told = script(
        chain_bed, tmp_path, "pipeline.sh", "--length", 200, "--valid", "w09", "--test", "w39", "--epochs", 2,
        "--shards", 4, "--train", "--nodes=2 --cpus-per-task=2 --mem=3000M", "--time=20", "--mem=1500M", "--",
        data / "genome.fa.gz", data / "accessible.bed", "out", DRG_RANKS="2",
    )  # fmt: skip
    assert "squeue -j" in told
    jobs = re.findall(r"job (\d+): ", told)
    assert len(jobs) == 6
    logs = tmp_path / "out" / "logs"
    report = tmp_path / "out" / "report.html"
    until("the report is there", report.exists, told=lambda: log_ends(sorted(logs.glob("*.log"))))
    record = json.loads((tmp_path / "out" / "attributions" / "done.json").read_text())
    data_sha = hashlib.sha256((tmp_path / "out" / "attributions" / "out.h5").read_bytes()).hexdigest()
    assert record["outputs"]["out.h5"]["sha256"] == data_sha
