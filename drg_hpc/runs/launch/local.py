"""The local launcher: N worker processes on this machine, fed shard by shard."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from drg_hpc.errors import DrgError, ShardsFailedError, Stopped, from_exit_code
from drg_hpc.log import Progress
from drg_hpc.runs import parts
from drg_hpc.runs.bodies import uses_gpu
from drg_hpc.runs.choose import Chooser
from drg_hpc.runs.devices import IO_THREADS, choose_gpus, cpu_count
from drg_hpc.runs.image import Inside, merge_inside, python_command
from drg_hpc.runs.merge import ensure_reduced, merge_run
from drg_hpc.runs.plan import Plan, environment_for, pin_threads
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Shard, Stage
from drg_hpc.runs.work import TRIES, Failed, failure

log = logging.getLogger(__name__)

_DEATHS = 2


def worker_environment(plan: Plan, gpu: str | None, io_threads: int) -> dict[str, str]:
    """Variables of one worker process: its threads, and the one GPU it may see."""
    return environment_for(plan.threads) | {"CUDA_VISIBLE_DEVICES": gpu or "", IO_THREADS: str(io_threads)}


class _Worker:
    """One worker process, started when first asked, replaced when it dies, kept from stage to stage."""

    def __init__(self, plan: Plan, gpu: str | None, *, io_threads: int, inside: Inside | None) -> None:
        self._plan, self._gpu, self._io_threads, self._inside = plan, gpu, io_threads, inside
        self._process: subprocess.Popen[str] | None = None
        self._told = False
        self._lock = threading.Lock()  # between starting the process and stopping it

    def _start(self) -> subprocess.Popen[str]:
        quiet = not logging.getLogger("drg_hpc").isEnabledFor(logging.INFO)
        environment = os.environ | worker_environment(self._plan, self._gpu, self._io_threads)
        device = "cpu" if self._gpu is None else "cuda:0"
        arguments = ["-m", "drg_hpc.runs.worker", str(self._plan.folder), device, "-1" if quiet else "0"]
        command, environment = python_command(
            self._inside, arguments, environment=environment, gpu=self._gpu is not None
        )
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
            start_new_session=True,  # Ctrl-C reaches the launcher alone, which then stops its workers
        )  # fmt: skip

    def ask(self, stage: Stage, shard: Shard) -> dict[str, Any]:
        """Have one shard done and wait for the answer; ``outcome`` is ``died`` when the process ended."""
        with self._lock:
            if self._told:
                return {"outcome": "died", "message": "stopped before it started"}
            self._process = process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(f"{stage.name} {shard.id}\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it may still have said why before it ended
        line = process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = process.wait()
        self._process = None
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return {"outcome": "died", "message": f"worker process ended with {code}{hint}"}

    def stop(self) -> None:
        """Ask the process, once, to end its attempt cleanly."""
        with self._lock:
            if self._process is not None and not self._told:
                self._process.send_signal(signal.SIGTERM)
            self._told = True

    def close(self) -> None:
        """Let the process end, and wait for it."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it ended by itself
        self._process.wait()
        self._process = None


@dataclass
class _Job:
    """A stage under way: what the threads that each feed one worker share."""

    stage: Stage
    workers: list[_Worker]
    chooser: Chooser
    progress: Progress
    failed: dict[int, Failed] = field(default_factory=dict)
    error: DrgError | None = None
    deaths: int = 0  # of worker processes, in a row
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self, error: DrgError) -> None:
        """End the stage: nothing more is handed out, attempts under way end cleanly."""
        with self.lock:
            self.error = self.error or error
        for worker in self.workers:
            worker.stop()

    def feed(self, worker: _Worker) -> None:
        """Keep one worker busy until nothing is left."""
        try:
            while self.error is None and (shard := self.chooser.take()) is not None:
                self._judge(shard, worker.ask(self.stage, shard))
        except Exception as error:  # this thread's end must be the stage's
            self.stop(DrgError(f"cannot feed a worker: {type(error).__name__}: {error}"))

    def _judge(self, shard: Shard, answer: dict[str, Any]) -> None:
        outcome = answer["outcome"]
        with self.lock:
            self.deaths = self.deaths + 1 if outcome == "died" else 0
        if outcome == "error":
            self.stop(from_exit_code(answer["code"], answer["message"]))
        elif outcome not in ("failed", "died"):
            with self.lock:
                self.progress.add(shard.rows)
        elif self.error is None:
            log.warning("shard %d of %s: %s", shard.id, self.stage.name, answer["message"])
            if self.deaths > _DEATHS * len(self.workers):
                self.stop(ShardsFailedError(f"{self.deaths} workers in a row died; the last: {answer['message']}"))
            elif answer.get("final") or not self.chooser.put_back(shard):
                with self.lock:
                    self.failed[shard.id] = Failed.of(answer)


@contextmanager
def _worker_pool(plan: Plan, gpus: list[str | None], inside: Inside | None) -> Iterator[list[_Worker]]:
    busy = max(1, min(len(gpus), max(len(stage.shards) for stage in plan.stages)))
    workers = [_Worker(plan, gpu, io_threads=max(1, cpu_count() // busy), inside=inside) for gpu in gpus]
    try:
        yield workers
    except BaseException:
        for worker in workers:
            worker.stop()
        raise
    finally:
        for worker in workers:
            worker.close()


def _run_shards(plan: Plan, stage: Stage, shards: list[Shard], workers: list[_Worker]) -> dict[int, Failed]:
    """Do shards of a stage; returns those that failed."""
    if not shards:
        return {}
    with Progress(sum(s.rows for s in shards), f"{plan.command} {stage.name}") as progress:
        job = _Job(stage, workers[: len(shards)], Chooser(plan, stage, shards, tries=TRIES), progress)
        threads = [threading.Thread(target=job.feed, args=(worker,), daemon=True) for worker in job.workers]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.5)  # in slices, so that a stop signal is seen at once
                    check_stop()
        except Stopped as error:
            job.stop(error)
            for thread in filter(threading.Thread.is_alive, threads):
                thread.join()
            raise
    if job.error is not None:
        raise job.error
    return job.failed


def places(plan: Plan, *, workers: int | None, device: str) -> list[str | None]:
    """Where each worker runs: the id of its GPU, or None for the CPU."""
    gpus: list[str | None] = list(choose_gpus(device, uses_gpu=uses_gpu(plan)))
    if not gpus:
        gpus = [None] * (workers or max(1, cpu_count() // plan.threads))
    elif workers:
        gpus = [gpus[i % len(gpus)] for i in range(workers)]
    if uses_gpu(plan):
        log.info("%s runs on %s", plan.command, "the CPU" if gpus[0] is None else f"GPU {', '.join(map(str, gpus))}")
    return gpus


def work_local(
    plan: Plan, stage: Stage, shards: list[Shard], *, workers: int | None, device: str, inside: Inside | None = None
) -> dict[int, Failed]:
    """Do some shards of one stage with local processes; returns those that failed.

    Parameters
    ----------
    inside : the image that the workers run in

    Raises
    ------
    DrgError : as the workers raise; a stop signal
    """
    with _worker_pool(plan, places(plan, workers=workers, device=device), inside) as pool:
        return _run_shards(plan, stage, shards, pool)


def run_local(plan: Plan, *, workers: int | None, device: str, inside: Inside | None = None) -> dict[str, Any]:
    """Work through all stages with local processes and merge. Returns what done.json holds.

    Parameters
    ----------
    workers : processes; default one per visible GPU, or one per CPU and ``plan.threads``
    device : as ``--device``
    inside : the image that workers and merges run in

    Raises
    ------
    DrgError : as the workers or the merge raise
    """
    gpus = places(plan, workers=workers, device=device)
    pin_threads(plan.threads)
    with _worker_pool(plan, gpus, inside) as pool:
        for stage in plan.stages:
            failed = _run_shards(plan, stage, parts.missing_shards(plan, stage), pool)
            if failed:
                raise failure(plan, failed)
            if stage is plan.stages[-1]:
                continue
            if inside is None:
                ensure_reduced(plan, stage)
            else:
                merge_inside(plan, inside, stage)
    return merge_run(plan) if inside is None else merge_inside(plan, inside)
