"""Commands of the tests on a bed."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from slurm_bed import CPUS, PATIENCE_S, Bed
from support import EXAMPLES, drg

from drg_hpc.runs import parts
from drg_hpc.runs.launch.submission import run_key
from drg_hpc.runs.plan import Plan, read_plan


def until(what: str, ready: Callable[[], object], *, told: Callable[[], str] = str) -> None:
    """Wait for something that must come; ``told`` is shown when it does not."""
    end = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"not after {PATIENCE_S} s: {what}\n{told()}")
        time.sleep(0.2)


def log_ends(logs: Iterable[Path]) -> str:
    """The last lines of log files."""
    return "\n".join(f"== {path.name}\n{path.read_text()[-1500:]}" for path in logs)


def ctcf_peaks(folder: Path, count: int) -> Path:
    """A FASTA file of the first CTCF peaks."""
    records = gzip.decompress((EXAMPLES / "ctcf" / "peaks.fa.gz").read_bytes()).decode().split(">")[1 : count + 1]
    (folder / "peaks.fa").write_text("".join(f">{record}" for record in records))
    return folder / "peaks.fa"


def selftest(folder: Path, *, shards: int, seconds: float = 0.0, row_bytes: int = 64) -> list[object]:
    """Arguments of drg-selftest."""
    return [
        "-o", folder, "--rows", shards * 64, "--shards", shards, "--seconds", seconds, "--row-bytes", row_bytes,
    ]  # fmt: skip


def planned(folder: Path, **options: float) -> Path:
    """A planned run of drg-selftest."""
    drg("drg-selftest", *selftest(folder, **options), "--plan-only")  # type: ignore[arg-type]
    return folder


def submit(bed: Bed, run: Path, *flags: object, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
    """drg-submit on a bed."""
    return drg("drg-submit", run, *flags, exit_code=exit_code, **bed.env)


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def expected(tmp_path: Path, **options: float) -> str:
    """sha256 of what an undisturbed local run gives."""
    folder = tmp_path / "undisturbed"
    drg("drg-selftest", *selftest(folder, **options | {"seconds": 0.0}), "--quiet")  # type: ignore[arg-type]
    return sha256(folder / "out.h5")


class Watched:
    """A run under way on a bed."""

    def __init__(self, bed: Bed, folder: Path) -> None:
        self.bed, self.folder = bed, folder

    @property
    def plan(self) -> Plan:
        return read_plan(self.folder)

    def done(self, stage: str = "rows") -> set[int]:
        plan = self.plan
        return parts.list_parts(plan, plan.stage(stage)).done

    def jobs(self, *, role: str = "work-rows", state: str = "", node: str = "") -> list[str]:
        """Ids of this run's tasks in the queue, as Slurm's commands take them."""
        key, found = f"-{run_key(self.plan)}-", []
        for line in self.bed.run("squeue", "-h", "-r", "-o", "%F|%K|%T|%N|%j").splitlines():
            job, task, now, where, name = line.split("|")
            if key in name and role in name and state in now and node in where:
                found.append(f"{job}_{task}" if task != "N/A" else job)
        return found

    def until(self, what: str, ready: Callable[[], object]) -> None:
        """Wait for something; the logs are shown when it does not come."""

        def told() -> str:
            logs = sorted((self.folder / "logs").rglob("*.log"), key=lambda p: p.stat().st_mtime)[-6:]
            return f"{self.bed.run('squeue')}\n{log_ends(logs)}"

        until(what, ready, told=told)

    def until_merged(self) -> None:
        """Wait for the merged output, by the run's own jobs."""
        self.until("the run is merged", (self.folder / "done.json").exists)

    def disturb_two(self, first: Sequence[str], second: Sequence[str]) -> None:
        """One of Slurm's commands on each of two running tasks; chosen again where one has just ended."""
        disturbed: set[str] = set()
        for command in (first, second):

            def done(command: Sequence[str] = command) -> bool:
                for task in self.jobs(state="RUNNING"):
                    if task not in disturbed:
                        try:
                            self.bed.run(*command, task)
                        except RuntimeError:
                            return False
                        disturbed.add(task)
                        return True
                return False

            self.until(" ".join(command), done)

    def preempt(self, node: str) -> None:
        """Take a node for two seconds, from a task of partition low."""
        self.until(f"a task is on {node}", lambda: self.jobs(state="RUNNING", node=node))
        all_of_it = ["-w", node, "-N1", "-n", CPUS, "--mem=100"]
        self.bed.run("sbatch", "-p", "high", *all_of_it, "-o", "/dev/null", "--wrap", "sleep 2")

    def logs(self) -> str:
        """Everything the run's jobs logged."""
        return "\n".join(p.read_text() for p in sorted((self.folder / "logs" / "jobs").glob("*.log")))
