"""The kill test: racing workers, hundreds of SIGKILLs, some between fsync and rename, and still the same bytes."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import argv, drg, environment

from drg_hpc.runs import parts
from drg_hpc.runs.plan import Plan, read_plan

SHARDS, WORKERS, KILLS = 60, 3, 200
FAILPOINTS = (
    "attempt.created:0.03,write.before_rename:0.03,files.written:0.04,rename.before:0.05,rename.after:0.05,"
    "parent.synced:0.03,reduce.before_rename:0.5"
)


def options(run: Path) -> list[object]:
    return ["-o", run, "--rows", SHARDS * 64, "--shards", SHARDS, "--row-bytes", 4096, "--seconds", 0.3]


class Watch:
    """Every part that becomes visible is checked once, byte by byte, while workers are being killed."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.stage = plan, plan.stages[1]
        self.checked: set[int] = set()

    def look(self) -> None:
        for number in parts.list_parts(self.plan, self.stage).done - self.checked:
            stage_input = parts.stage_input_digest(self.plan, self.stage)
            shard = self.stage.shards[number]
            assert parts.find_fault(self.plan, self.stage, shard, stage_input=stage_input, hashes=True) is None
            self.checked.add(number)

    def working(self, pid: int) -> bool:
        """Whether a process holds an attempt, so that a kill hits it inside work."""
        for beat in self.plan.folder.glob(f"parts/*/.*/{parts.HEARTBEAT}"):
            try:
                if beat.read_text().split()[-1:] == [str(pid)]:
                    return True
            except OSError:
                continue
        return False


def start(run: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv("drg-work", run),
        env=environment(DRG_FAILPOINTS=FAILPOINTS),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_racing_workers_survive_hundreds_of_kills(tmp_path: Path) -> None:
    undisturbed, run = tmp_path / "undisturbed", tmp_path / "run"
    drg("drg-selftest", *options(undisturbed), "--workers", 2)
    drg("drg-selftest", *options(run), "--plan-only")
    watch = Watch(read_plan(run))
    chance = random.Random(20)
    by_us = inside = at_failpoints = 0
    workers = [start(run) for _ in range(WORKERS)]
    doom: dict[int, float] = {}
    deadline = time.monotonic() + 400
    while by_us + at_failpoints < KILLS and time.monotonic() < deadline:
        time.sleep(0.01)
        for index, worker in enumerate(workers):
            code = worker.poll()
            now = time.monotonic()
            if code is not None:
                at_failpoints += code == -signal.SIGKILL
            elif worker.pid not in doom and watch.working(worker.pid):
                # Mostly soon after a shard was begun; sometimes late, when files are hashed, synced and renamed.
                doom[worker.pid] = now + chance.choice((0.05, 0.15, 0.25, 0.3, 0.31, 0.32, 0.5)) * chance.random() * 2
            elif doom.get(worker.pid, now + 1) <= now:
                inside += watch.working(worker.pid)
                worker.kill()
                worker.wait()
                by_us += 1
            else:
                continue
            if worker.poll() is not None:
                workers[index] = start(run)
        watch.look()
        if len(watch.checked) == SHARDS:  # the run outlived its killers: lose a part, as a purged scratch would
            lost = chance.randrange(SHARDS)
            folder = parts.stage_folder(watch.plan, watch.stage) / parts.part_name(lost)
            fault = parts.Fault("purged", folder.lstat().st_ino)
            parts.set_aside(watch.plan, watch.stage, watch.stage.shards[lost], fault)
            watch.checked.discard(lost)
    for worker in workers:
        worker.kill()
        worker.wait()
    kills = by_us + at_failpoints
    print(f"{kills} kills: {inside} inside work, {at_failpoints} at fail points, {by_us - inside} elsewhere")
    assert kills >= KILLS
    assert inside / kills >= 0.6
    assert at_failpoints >= 5
    drg("drg-work", run)
    watch.look()
    assert len(watch.checked) == SHARDS
    for point in ("merge.written", "merge.renamed", "write.before_rename"):
        drg("drg-merge", run, exit_code=-signal.SIGKILL, DRG_FAILPOINTS=point)
        assert not (run / "done.json").exists()
    drg("drg-merge", run)
    assert (
        hashlib.sha256((run / "out.h5").read_bytes()).digest()
        == hashlib.sha256((undisturbed / "out.h5").read_bytes()).digest()
    )
    drg("drg-clean", run, "--older-than", 0)
    left = [p.name for p in (run / "parts" / "rows").iterdir() if p.name.startswith(".")]
    assert left == []
