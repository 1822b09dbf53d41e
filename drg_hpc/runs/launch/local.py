"""The local launcher: N worker processes on this machine, fed shard by shard."""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from drg_hpc.errors import DrgError, Stopped, from_exit_code
from drg_hpc.log import Progress
from drg_hpc.runs import parts
from drg_hpc.runs.bodies import BODIES
from drg_hpc.runs.devices import choose_gpus, cpu_count
from drg_hpc.runs.merge import merge_run
from drg_hpc.runs.plan import Plan, environment_for, pin_threads
from drg_hpc.runs.signals import stop_on_signals
from drg_hpc.runs.spec import Stage
from drg_hpc.runs.work import TRIES, failure

log = logging.getLogger(__name__)


@dataclass
class _Job:
    """Shared state of the threads that each feed one worker process."""

    plan: Plan
    stage: Stage
    progress: Progress
    todo: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)
    tries: dict[int, int] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    error: DrgError | None = None
    processes: set[subprocess.Popen[str]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self, error: DrgError) -> None:
        with self.lock:
            self.error = self.error or error
            for process in self.processes:
                process.send_signal(signal.SIGTERM)

    def again(self, shard_id: int, message: str) -> None:
        """Queue a shard that raised an error once more, or give it up."""
        log.warning("shard %d of %s: %s", shard_id, self.stage.name, message)
        with self.lock:
            self.tries[shard_id] = self.tries.get(shard_id, 0) + 1
            if self.tries[shard_id] < TRIES:
                self.todo.put(shard_id)
            else:
                self.failed[shard_id] = message


def _start(job: _Job, gpu: str | None) -> subprocess.Popen[str]:
    verbosity = {logging.DEBUG: 1, logging.INFO: 0}.get(logging.getLogger("drg_hpc").level, -1)
    environment = os.environ | environment_for(job.plan.threads)
    environment["CUDA_VISIBLE_DEVICES"] = gpu or ""
    device = "cuda:0" if gpu is not None else "cpu"
    command = [sys.executable, "-m", "drg_hpc.runs.worker", str(job.plan.folder), job.stage.name, device]
    process = subprocess.Popen(
        [*command, str(min(verbosity, 0))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,  # Ctrl-C reaches the launcher alone, which then stops its workers
    )  # fmt: skip
    with job.lock:
        job.processes.add(process)
    return process


def _ask(process: subprocess.Popen[str], shard_id: int) -> dict[str, Any] | None:
    """Send one shard id and wait for the answer; None when the process died."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(f"{shard_id}\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it may still have said why before it ended
    line = process.stdout.readline()
    return json.loads(line) if line else None


def _feed(job: _Job, gpu: str | None) -> None:
    """Keep one worker process busy until nothing is left; replace it when it dies."""
    process: subprocess.Popen[str] | None = None
    try:
        while job.error is None:
            try:
                shard_id = job.todo.get_nowait()
            except queue.Empty:
                return
            process = process or _start(job, gpu)
            answer = _ask(process, shard_id)
            if answer is None:
                code = process.wait()
                job.processes.discard(process)
                process = None
                if job.error is None:
                    hint = " (out of memory?)" if code == -signal.SIGKILL else ""
                    job.again(shard_id, f"worker process ended with {code}{hint}")
            elif answer["outcome"] == "error":
                job.stop(from_exit_code(answer["code"], answer["message"]))
            elif answer["outcome"] == "failed":
                job.again(shard_id, answer["message"])
            else:
                with job.lock:
                    job.progress.add(job.stage.shards[shard_id].rows)
    finally:
        if process is not None:
            assert process.stdin is not None
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass
            process.wait()
            job.processes.discard(process)


@contextmanager
def _feeding(job: _Job, gpus: list[str | None]) -> Iterator[list[threading.Thread]]:
    threads = [threading.Thread(target=_feed, args=(job, gpu), daemon=True) for gpu in gpus]
    for thread in threads:
        thread.start()
    try:
        yield threads
    except Stopped as error:
        job.stop(error)
        raise
    finally:
        for thread in threads:
            thread.join()


def _run_stage(plan: Plan, stage: Stage, gpus: list[str | None]) -> None:
    missing = parts.missing_shards(plan, stage)
    if not missing:
        return
    with Progress(sum(s.rows for s in missing), f"{plan.command} {stage.name}") as progress:
        job = _Job(plan, stage, progress)
        for shard in missing:
            job.todo.put(shard.id)
        with _feeding(job, gpus[: len(missing)]) as threads:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.5)  # in slices, so that a stop signal is seen at once
        # A shard put back after its worker's peers had left is done by a last worker.
        if job.error is None and not job.todo.empty():
            with _feeding(job, gpus[:1]) as threads:
                threads[0].join()
    if job.error is not None:
        raise job.error
    if job.failed:
        raise failure(plan, job.failed)


def run_local(plan: Plan, *, workers: int | None, device: str) -> dict[str, Any]:
    """Work through all stages with local processes and merge. Returns what done.json holds.

    Parameters
    ----------
    workers : processes; default one per visible GPU, or one per CPU and ``plan.threads``
    device : as ``--device``

    Raises
    ------
    DrgError : as the workers or the merge raise
    """
    gpus: list[str | None] = list(choose_gpus(device, uses_gpu=BODIES[plan.command][1]))
    if not gpus:
        gpus = [None] * (workers or max(1, cpu_count() // plan.threads))
    elif workers:
        gpus = [gpus[i % len(gpus)] for i in range(workers)]
    if BODIES[plan.command][1]:
        log.info("%s runs on %s", plan.command, "the CPU" if gpus[0] is None else f"GPU {', '.join(map(str, gpus))}")
    pin_threads(plan.threads)
    with stop_on_signals():
        for stage in plan.stages:
            _run_stage(plan, stage, gpus)
            if stage is not plan.stages[-1]:
                _reduce(plan, stage)
        return merge_run(plan)


def _reduce(plan: Plan, stage: Stage) -> None:
    from drg_hpc.runs.bodies import load_body
    from drg_hpc.runs.merge import ensure_reduced, is_reduced

    if not is_reduced(plan, stage):
        ensure_reduced(plan, stage, load_body(plan))
