"""drg-stats and drg-motifs over the tasks of one srun on two nodes: the bytes of a local run, whoever dies; in the
image, too.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from bodies.seqlet_runs import two_motifs, write_attributions
from cluster_helpers import sha256, until
from image_helpers import Image
from slurm_bed import PATIENCE_S, Bed
from support import argv, drg, environment

from drg_hpc.files import walk_files
from drg_hpc.runs import image as images

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
TASKS = 6


@pytest.fixture(scope="module")
def attributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,600 regions of two tracks: 25 blocks, as many tasks that read them, one that hashes the file, 24 that merge."""
    path = tmp_path_factory.mktemp("attributions") / "out.h5"
    generator = np.random.default_rng(3)
    onehot = (generator.integers(0, 5, (1600, 1, 60)) == np.arange(4)[:, None]).astype(np.int8)
    projected = (generator.standard_normal((1600, 60)) * onehot.any(axis=1)).astype(np.float32)
    write_attributions(path, projected, onehot, tracks=2, keep=False)
    return path


@pytest.fixture(scope="module")
def seqlets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seqlets of two motifs, one of either sign."""
    return two_motifs(tmp_path_factory.mktemp("seqlets"))


@dataclass(frozen=True)
class Work:
    """A command: what it reads, and where it writes; ``failpoint`` is in its tasks."""

    command: str
    file: Path
    more: tuple[str, ...]
    out: str
    failpoint: str


@pytest.fixture(scope="module")
def stats(attributions: Path) -> Work:
    return Work("drg-stats", attributions, ("--task-rows", "64"), "statistics.h5", "stats.block")


@pytest.fixture(scope="module")
def motifs(seqlets: Path) -> Work:
    return Work("drg-motifs", seqlets, (), "motifs", "motifs.block")


def written(out: Path) -> dict[str, str]:
    """sha256 of the file, or of all files of the folder but the one that tells when it was made."""
    names = [name for name in walk_files(out) if name != "done.json"] if out.is_dir() else [""]
    return {name: sha256(out / name) for name in names}


def done_here(work: Work) -> dict[str, str]:
    """What one process alone writes."""
    out = work.file.with_name(f"local-{work.out}")
    drg(work.command, work.file, *work.more, "--workers", 1, "-o", out)
    return written(out)


@pytest.fixture(scope="module")
def local(stats: Work) -> dict[str, str]:
    return done_here(stats)


@pytest.fixture(scope="module")
def local_motifs(motifs: Work) -> dict[str, str]:
    found = done_here(motifs)
    assert {"motifs.json", "motifs.meme", "out.h5"} <= set(found)
    return found


class Step:
    """One srun of a command."""

    def __init__(self, bed: Bed, folder: Path, work: Work, *, start: list[str], env: dict[str, str]) -> None:
        self.bed, self.work, self.out = bed, work, folder / work.out
        self.name = f"dask-{uuid.uuid4().hex[:12]}"  # other test processes have their own on the same bed
        self.words = [*start, str(work.file), "--scheduler", "slurm", *work.more, "-o", str(self.out)]
        self.env = env | bed.env | {"TMPDIR": str(folder)}

    def start(
        self, *more: str, fault: str = "", tasks: int = TASKS, ranks: str = "none", shell: str = ""
    ) -> subprocess.Popen[str]:
        """Start it.

        Parameters
        ----------
        fault : failpoints at which the tasks of ``ranks`` (a shell pattern) kill themselves
        shell : lines that every task runs first, beside its own work
        """
        script = f'case $SLURM_PROCID in {ranks}) export DRG_FAILPOINTS={fault};; esac\n{shell}\nexec "$@"'
        flags = ["-N2", f"-n{tasks}", "--mem=2G", "--time=5", "--kill-on-bad-exit=0", f"--job-name={self.name}"]
        return subprocess.Popen(
            ["srun", *flags, "sh", "-c", script, "sh", *self.words, *more],
            env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *more: str, exit_code: int = 0, **how: object) -> str:
        """Run it to its end; what it said."""
        process = self.start(*more, **how)  # type: ignore[arg-type]
        said, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == exit_code, f"{said}\n{errors}"
        return said + errors

    def run_losing_workers(self) -> str:
        """Run it; rank 3 is killed in its first block, rank 4 most likely later, with results that nobody else holds.

        The other workers come when rank 3 is dead, so that it certainly had work.
        """
        go = self.out.with_name("go")
        late = f"case $SLURM_PROCID in 2|4|5) until [ -e {go} ]; do sleep 0.2; done;; esac"
        kill = f"[ $SLURM_PROCID != 3 ] || export DRG_FAILPOINTS={self.work.failpoint}"
        process = self.start(ranks="4", fault=f"{self.work.failpoint}:0.2", shell=f"{late}\n{kill}")
        until("rank 3 is there", lambda: "3" in self.pids())
        until("rank 3 is dead", lambda: "3" not in self.pids())
        go.touch()
        said, errors = process.communicate(timeout=PATIENCE_S)
        go.unlink()
        assert process.returncode == 137, f"{said}\n{errors}"
        assert re.search(r"tasks? 3\b.*: (Killed|Exited with exit code 137)", errors), errors
        return said + errors

    @property
    def meeting(self) -> list[Path]:
        """What is left of the folder where the tasks meet."""
        return list(self.out.parent.glob(f".{self.out.name}.dask-*"))

    def pids(self) -> dict[str, int]:
        """Processes that were told to write the output, by rank ("": srun itself)."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                variables = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(self.out).encode() in words:
                rank = [item[13:].decode() for item in variables if item.startswith(b"SLURM_PROCID=")]
                found["".join(rank)] = int(folder.name)
        return found

    def until_met(self) -> int:
        """Wait for the scheduler; its port."""

        def published() -> list[Path]:
            return list(self.out.parent.glob(f".{self.out.name}.dask-*/scheduler.json"))

        until("the scheduler is there", published)
        (found,) = published()
        return int(json.loads(found.read_text())["address"].rpartition(":")[2])

    def until_alone(self) -> None:
        """Wait until the workers are dead, and the client waits for others."""
        self.until_met()
        until("only scheduler and client are left", lambda: set(self.pids()) == {"", "0", "1"})

    def until_joined(self, ranks: set[str]) -> None:
        """Wait until these workers have joined: only then they open their second connection, for heartbeats."""
        port = self.until_met()

        def joined(pid: int) -> bool:
            try:
                found = psutil.Process(pid).net_connections("tcp4")
            except psutil.Error:
                return False
            return sum(c.status == psutil.CONN_ESTABLISHED and c.raddr.port == port for c in found) >= 2

        until("the workers have joined", lambda: {r for r, pid in self.pids().items() if joined(pid)} >= ranks)

    def job(self) -> str:
        """Slurm's number of it, while it runs."""
        (number,) = self.bed.run("squeue", "-h", "-n", self.name, "-t", "R", "-o", "%A").split()
        return number


@contextmanager
def outside(bed: Bed, folder: Path, work: Work) -> Iterator[Step]:
    """Not in the image; nothing of it runs on afterwards."""
    made = Step(bed, folder, work, start=argv(work.command), env=environment())
    yield made
    left = made.pids()
    if left:
        bed.run("scancel", "-n", made.name, check=False)
    assert not left, "a process of the step was left over"


@pytest.fixture
def step(plain_bed: Bed, stats: Work, tmp_path: Path) -> Iterator[Step]:
    with outside(plain_bed, tmp_path, stats) as made:
        yield made


def test_two_nodes_give_the_bytes_of_a_local_run(step: Step, local: dict[str, str]) -> None:
    said = step.run()
    assert written(step.out) == local
    assert "Dask scheduler at tls://127.0.0.1:" in said
    assert said.count("statistics: ") == 2  # the progress line and the result, by the client alone
    assert not step.meeting


def test_a_killed_worker_is_made_up_for(step: Step, local: dict[str, str]) -> None:
    said = step.run_losing_workers()
    assert said.count("statistics: ") == 2
    assert written(step.out) == local
    assert not step.meeting


def test_motifs_are_those_of_a_local_run(
    plain_bed: Bed, motifs: Work, local_motifs: dict[str, str], tmp_path: Path
) -> None:
    with outside(plain_bed, tmp_path, motifs) as step:
        step.run_losing_workers()
        assert written(step.out) == local_motifs
        assert not step.meeting


def test_no_worker_left_is_said_and_everything_ends(step: Step) -> None:
    said = step.run("--timeout", "40", tasks=4, ranks="[23]", fault="stats.block", exit_code=137)
    assert "no worker has been there for 40 s" in said
    assert "task 1: Exited with exit code 4" in said
    assert not step.out.exists() and not step.meeting


def test_a_killed_client_ends_all_and_leaves_no_output(step: Step) -> None:
    said = step.run(ranks="1", fault="stats.before_publish", exit_code=137)
    assert "task 1: Killed" in said and "task 0" not in said and "task 2" not in said
    assert not step.out.exists() and not step.meeting


def test_a_killed_scheduler_ends_all(step: Step) -> None:
    process = step.start("--timeout", "1000", tasks=5, ranks="[234]", fault="stats.block")
    step.until_alone()
    os.kill(step.pids()["0"], signal.SIGKILL)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert "the Dask scheduler is gone" in errors
    assert "task 1: Exited with exit code 4" in errors
    assert not step.out.exists()


@pytest.mark.parametrize("stopped", ["client", "workers"])
def test_a_stop_signal_ends_all_with_143(step: Step, plain_bed: Bed, stopped: str) -> None:
    if stopped == "client":
        process = step.start("--timeout", "1000", tasks=5, ranks="[234]", fault="stats.block")
        step.until_alone()
        ends = {"0", "1"}
    else:
        process = step.start("--timeout", "1000", shell="[ $SLURM_PROCID != 1 ] || exec sleep 1000")
        step.until_joined({"2", "3", "4", "5"})
        ends = {"0", "2", "3", "4", "5"}
    plain_bed.run("scancel", "--signal=TERM", step.job())
    _, errors = process.communicate(timeout=PATIENCE_S)
    said = re.findall(r"tasks? ([\d,-]+): Exited with exit code 143", errors)
    assert ranks_of(said) == ends, errors
    assert not step.out.exists() and not step.meeting


def ranks_of(lists: list[str]) -> set[str]:
    """``["0", "2-4,5"]`` as ranks."""
    found: set[str] = set()
    for item in ",".join(lists).split(","):
        first, _, last = item.partition("-")
        found |= {str(rank) for rank in range(int(first), int(last or first) + 1)}
    return found


def test_too_few_tasks_are_refused_in_one_line(step: Step) -> None:
    said = step.run(tasks=2, exit_code=2)
    assert said.count("drg-stats: error") == 1
    assert "needs 3 tasks (scheduler, client, 1 to work), srun has 2; srun -n 3" in said
    said = step.run("--workers", "4", tasks=5, exit_code=2)
    assert "needs 6 tasks" in said


def test_a_refusal_of_the_client_ends_all_at_once(step: Step) -> None:
    step.out.write_text("mine")
    said = step.run("--timeout", "1000", exit_code=2)  # longer than run() waits
    assert said.count("drg-stats: error") == 1 and "is not a file of drg-stats" in said
    assert step.out.read_text() == "mine" and not step.meeting


def test_a_batch_script_alone_is_no_srun(step: Step, plain_bed: Bed) -> None:
    script = step.out.with_name("job.sh")
    script.write_text("#!/bin/sh\n" + shlex.join(step.words) + "\n")
    log = step.out.with_name("job.log")
    plain_bed.run("sbatch", "-W", "-n3", "--mem=1G", f"--output={log}", script, check=False, env=step.env)
    assert "this is not one; srun -N2" in log.read_text()


def test_another_interface_is_refused_by_name(step: Step) -> None:
    said = step.run("--interface", "nosuch0", tasks=3, exit_code=3)
    assert "--interface nosuch0" in said


@pytest.mark.parametrize("what", ["stats", "motifs"])
def test_inside_the_image(
    what: str, image: Image, plain_bed: Bed, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    work: Work = request.getfixturevalue(what)
    expected = request.getfixturevalue("local" if what == "stats" else "local_motifs")
    start = images.wrap(
        [work.command], image=image.file, binds=[tmp_path, work.file.parent], container="apptainer", folder=tmp_path
    )
    whole = Step(plain_bed, tmp_path, work, start=start, env=image.env)
    if what == "stats":
        whole.run()
        assert written(whole.out) == expected
        whole.out.unlink()
    whole.run_losing_workers()
    assert written(whole.out) == expected
    assert not whole.pids() and not whole.meeting
