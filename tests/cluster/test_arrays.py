"""Arrays on a real Slurm of two nodes, left alone and disturbed: the run completes, the bytes are those of a laptop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from cluster_helpers import Watched, expected, planned, sha256, submit
from slurm_bed import Bed
from support import environment

from drg_hpc.runs import parts
from drg_hpc.runs.launch.submission import run_key

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def workers_of(run: Path) -> list[int]:
    """Process ids of the run's worker processes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"drg_hpc.runs.worker" in words and str(run).encode() in words:
            found.append(int(folder.name))
    return found


def kill_one(processes: list[int]) -> bool:
    """Whether one of them was there to be killed."""
    for pid in reversed(processes):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        return True
    return False


def test_chain_of_stages_gives_the_bytes_of_a_local_run(any_bed: Bed, tmp_path: Path) -> None:
    run = Watched(any_bed, planned(tmp_path / "run", shards=30))
    told = json.loads(submit(any_bed, run.folder, "--pack", 1, "--max-running", 6, "--json").stdout)
    assert told["shards"] == 31
    arrays = [name for name in told["jobs"] if "-work-rows-" in name]
    assert len(arrays) == (2 if any_bed.max_array < 30 else 1)  # the cap on the index
    again = json.loads(submit(any_bed, run.folder, "--json").stdout)
    assert (again["shards"], again["queued"] > 0) == (0, True)  # nothing is queued twice
    run.until_merged()
    assert sha256(run.folder / "out.h5") == expected(tmp_path, shards=30)
    assert "already complete" in submit(any_bed, run.folder).stdout


@pytest.mark.parametrize("name", ['it\'s; $(touch pwned) & "q" 100%j', "a b"])
def test_odd_names_never_reach_a_shell(plain_bed: Bed, tmp_path: Path, name: str) -> None:
    run = Watched(plain_bed, planned(tmp_path / name, shards=2))
    account = "x'; $(touch pwned)"
    submit(plain_bed, run.folder, "--account", account, "--setup", "export ANY='thing'")
    (charged,) = set(plain_bed.run("squeue", "-h", "-o", "%a", "--name=" + ",".join(job_names(run))).splitlines())
    assert charged == account
    run.until_merged()
    assert not list(tmp_path.rglob("pwned"))
    assert not list(Path.cwd().glob("pwned"))


def test_one_worker_for_each_gpu(plain_bed: Bed, tmp_path: Path) -> None:
    run = planned(tmp_path / "run", shards=4)
    code = (
        "import sys, dataclasses; from pathlib import Path; from drg_hpc.runs.launch import local;"
        "from drg_hpc.runs.plan import read_plan;"
        "plan = dataclasses.replace(read_plan(Path(sys.argv[1])), command='attr');"
        "pool = local.places(plan, workers=None, device='auto');"
        "print([local.worker_environment(plan, gpu, 1)['CUDA_VISIBLE_DEVICES'] for gpu in pool])"
    )
    for gpus, expected_places in ((1, "['0']"), (2, "['0', '1']")):
        told = plain_bed.run("srun", f"--gres=gpu:{gpus}", sys.executable, "-c", code, run, env=environment())
        assert told.strip() == expected_places


def test_disturbed_array_completes(own_bed: Bed, tmp_path: Path) -> None:
    """Three tasks, two of them on node1; every 30 s Slurm tells those which run that their minute is almost over."""
    bed = own_bed
    run = Watched(bed, planned(tmp_path / "run", shards=40, seconds=1.5))
    submit(bed, run.folder, "--partition", "low", "--pack", 14, "--time", 1, "--mem", "1500M")
    seen: dict[int, int] = {}

    def look() -> set[int]:
        """Ids that are done; a finished part must never be made again."""
        folder = run.folder / "parts" / "rows"
        for number in run.done():
            inode = (folder / parts.part_name(number)).stat().st_ino
            assert seen.setdefault(number, inode) == inode
        return set(seen)

    run.until("some shards are done", lambda: len(look()) >= 3)
    run.disturb_two(["scontrol", "requeue"], ["scancel", "--batch", "--signal=USR2"])
    run.until("a worker is killed", lambda: kill_one(workers_of(run.folder)))
    run.until("more are done", lambda: len(look()) >= 8)
    run.preempt("node1")
    run.until("more are done", lambda: len(look()) >= 14)
    bed.stop_daemon("slurmd2", how=signal.SIGKILL)
    run.until("more are done", lambda: len(look()) >= 17)
    bed.up_node(2)
    lost = min(look())
    shutil.rmtree(run.folder / "parts" / "rows" / parts.part_name(lost))
    del seen[lost]
    run.until("the run is merged", lambda: look() and (run.folder / "done.json").exists())
    assert sha256(run.folder / "out.h5") == expected(tmp_path, shards=40)
    look()
    assert "stopped by SIGUSR1" in run.logs()  # the time limit; without accounting it may have been the preemption


def test_cancelled_run_goes_on_by_one_submit(accounted_bed: Bed, tmp_path: Path) -> None:
    run = Watched(accounted_bed, planned(tmp_path / "run", shards=12, seconds=1))
    submit(accounted_bed, run.folder, "--pack", 3)
    run.until("a shard is done", lambda: len(run.done()) >= 2)
    names = accounted_bed.run("squeue", "-h", "-o", "%A", "--name=" + ",".join(job_names(run))).split()
    accounted_bed.run("scancel", *names)
    run.until("the queue is empty", lambda: not run.jobs(role="-"))
    assert not (run.folder / "done.json").exists()
    left = 12 - len(run.done())
    told = json.loads(submit(accounted_bed, run.folder, "--json").stdout)
    assert told["shards"] == left
    run.until_merged()


def job_names(run: Watched) -> list[str]:
    """Names of a run's jobs in the queue."""
    return [n for n in run.bed.run("squeue", "-h", "-o", "%j").split() if f"-{run_key(run.plan)}-" in n]


def test_time_limit_is_doubled_when_it_was_not_enough_for_one_shard(any_bed: Bed, tmp_path: Path) -> None:
    # Slurm sends the signal up to 30 s early: within 30 s of a minute (never enough), after 30 to 60 s of two. Where
    # those are not enough either, a third round has four.
    run = Watched(any_bed, planned(tmp_path / "run", shards=1, seconds=35))
    submit(any_bed, run.folder, "--time", 1)
    run.until_merged()
    settings = json.loads((run.folder / "jobs" / "0002" / "submission.json").read_text())["settings"]
    assert settings["time"] == "2"


def test_memory_is_doubled_where_a_task_ran_out_of_it(any_bed: Bed, tmp_path: Path) -> None:
    run = Watched(any_bed, planned(tmp_path / "run", shards=1, seconds=15))
    hog = f"(sleep 3; exec {sys.executable} -c 'x = bytearray(600 << 20); import time; time.sleep(15)') &"
    submit(any_bed, run.folder, "--mem", "500M", "--setup", hog)
    run.until_merged()
    settings = json.loads((run.folder / "jobs" / "0002" / "submission.json").read_text())["settings"]
    assert settings["mem"] == "1000M"


def test_poison_is_named_after_the_last_round(plain_bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Watched(plain_bed, planned(tmp_path / "run", shards=3))
    monkeypatch.setenv("DRG_FAILPOINTS", "files.written:1")  # every worker dies before it finishes a shard
    submit(plain_bed, run.folder, "--retries", 1, "--pack", 1)
    run.until("it gives up", lambda: "gave up after 2" in run.logs())
    assert "shard 0 of total: memory" in run.logs()
    monkeypatch.delenv("DRG_FAILPOINTS")
    submit(plain_bed, run.folder)
    run.until_merged()
