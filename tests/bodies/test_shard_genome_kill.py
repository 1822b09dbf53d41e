"""Killed at random while a genome store is written, restarted on one to four workers: the same bytes."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from multiprocessing.context import ForkProcess
from pathlib import Path

import numpy as np
import pytest
from sequence_files import write
from stores import plan, shard

from drg_hpc.runs.merge import merge_run
from drg_hpc.runs.parts import missing_shards
from drg_hpc.runs.plan import Plan, write_plan
from drg_hpc.runs.work import work_run
from drg_hpc.store import genome_layout
from drg_hpc.store.reader import verify_store

FAILPOINTS = "attempt.created:0.02,write.before_rename:0.02,files.written:0.03,rename.before:0.03,rename.after:0.03"
FORK = multiprocessing.get_context("fork")


def _work(run: Plan) -> None:
    os.environ["DRG_FAILPOINTS"] = FAILPOINTS
    random.seed(os.getpid())  # a fork has its parent's state, and would die at the same point each time
    work_run(run, device="cpu")


def start(run: Plan) -> ForkProcess:
    process = FORK.Process(target=_work, args=(run,))
    process.start()
    return process


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_killed_workers_leave_the_same_store(tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genome_layout, "GENOME_CHUNK", 1024)
    monkeypatch.setattr(genome_layout, "GENOME_SHARD", 4096)
    monkeypatch.setattr(genome_layout, "MANY_CONTIGS", 10)
    rng = np.random.default_rng(workers)
    more = 1 + workers // 2  # so that several workers, too, meet enough kills before they are done
    sizes = [300_000 * more, 4096, 50_001, *rng.integers(1, 3000, 60)]
    genome = {f"c{i}": "".join(rng.choice(list("ACGTacgtN"), size)) for i, size in enumerate(sizes)}
    path = write(tmp_path / "x.fa", genome, ["plain", "bgzip", "2bit", "plain"][workers - 1])
    undisturbed = shard("genome", tmp_path / "undisturbed", fasta=[path], shards=50 * more)
    run = write_plan(plan("genome", tmp_path / "run", fasta=[path], shards=50 * more), tmp_path / "run")
    chance = random.Random(workers)
    crew = [start(run) for _ in range(workers)]
    kills, deadline = 0, time.monotonic() + 120
    while missing_shards(run, run.stages[0]) and time.monotonic() < deadline:
        time.sleep(0.05 * chance.random())
        index = chance.randrange(workers)
        if crew[index].is_alive():
            os.kill(crew[index].pid or 0, signal.SIGKILL)
        crew[index].join()
        kills += crew[index].exitcode == -signal.SIGKILL
        crew[index] = start(run)
    for process in crew:
        process.kill()
        process.join()
    assert kills >= 8
    work_run(run, device="cpu")
    merge_run(run)
    verify_store(run.folder)
    ours, theirs = (folder / "out.zarr/manifest.json" for folder in (run.folder, undisturbed))
    assert ours.read_bytes() == theirs.read_bytes()
    print(f"{kills} kills of {workers} workers")
