"""``--launch mpi``: rank 0 plans, hands out shards and merges; the other ranks work. The only importer of mpi4py.

MPI ends every rank when one is killed, so there is nothing to mend in flight: finished parts stay, and the same command
again does the rest. Messages are small and point to point; ranks that wait sleep instead of spinning.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc.errors import EXIT_BUG, DrgError, InputError, UsageError, from_exit_code
from drg_hpc.log import Progress
from drg_hpc.runs import parts
from drg_hpc.runs.attempt import describe_error, do_shard
from drg_hpc.runs.bodies import load_body, uses_gpu
from drg_hpc.runs.choose import Chooser
from drg_hpc.runs.devices import IO_THREADS, choose_gpus, cpu_count
from drg_hpc.runs.merge import ensure_reduced, merge_run
from drg_hpc.runs.plan import Plan, check_inputs, pin_threads, read_plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Stage
from drg_hpc.runs.work import TRIES, Failed, failure

log = logging.getLogger(__name__)

_POLL_S = 0.002


@dataclass(frozen=True)
class World:
    """This process among the ranks."""

    comm: Any
    rank: int
    size: int
    any_source: int

    def receive(self, source: int) -> tuple[int, Any]:
        """Wait for a message without spinning; (sender, message)."""
        while not self.comm.iprobe(source=source):
            check_stop()
            time.sleep(_POLL_S)
        from mpi4py import MPI

        status = MPI.Status()
        message = self.comm.recv(source=source, status=status)
        return int(status.Get_source()), message

    def send(self, message: Any, rank: int) -> None:
        """Send a small message."""
        self.comm.send(message, dest=rank)


def join() -> World:
    """Start MPI.

    Raises
    ------
    InputError : mpi4py, or the MPI library under it, is not there
    UsageError : this is the only rank: the start command and the library do not know each other
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InputError(f"MPI cannot be started: {error}", fix="pip install mpi4py beside an MPI library") from None
    comm = MPI.COMM_WORLD
    if comm.Get_size() == 1:
        library = MPI.Get_library_version().split(",")[0].split("\n")[0]
        raise UsageError(
            f"--launch mpi found one rank ({library})",
            fix="start it by mpirun -n 4 (two at least) of that MPI, or srun --mpi=pmi2 or pmix: drg-doctor says which",
        )
    return World(comm, comm.Get_rank(), comm.Get_size(), MPI.ANY_SOURCE)


def release(world: World) -> None:
    """Tell all other ranks to end."""
    for rank in range(1, world.size):
        world.send(None, rank)


def serve(world: World, *, device: str) -> int:
    """What every rank but 0 does: shards as they are asked for, until told to end; returns the exit code."""
    _, folder = world.receive(0)
    if folder is None:
        return 0
    place = _place(world)
    body = None
    try:
        plan = read_plan(Path(folder))
        pin_threads(plan.threads)
        where = _use_gpu(plan, device, place)
        check_inputs(plan)
        body = load_body(plan)
    except Exception as error:  # whatever it is, rank 0 waits for a word of it
        told = describe_error(error)
        world.send({"code": EXIT_BUG, **told, "outcome": "error"}, 0)
    else:
        world.send({"outcome": "ready"}, 0)
    while (asked := world.receive(0)[1]) is not None:
        stage = plan.stage(asked[0])
        shard = stage.shards[asked[1]]
        try:
            assert body is not None
            answer = {"outcome": do_shard(plan, stage, shard, body=body, device=where)}
        except Exception as error:
            answer = describe_error(error)
        world.send({"shard": shard.id, **answer}, 0)
    return 0


def _place(world: World) -> int:
    """Which worker of its node this rank is (rank 0 works nowhere)."""
    from mpi4py import MPI

    node = world.comm.Split_type(MPI.COMM_TYPE_SHARED)
    ranks = [rank for rank in node.allgather(world.rank) if rank]
    node.Free()
    os.environ[IO_THREADS] = str(max(1, cpu_count() // max(1, len(ranks))))
    return ranks.index(world.rank) if world.rank else -1


def _use_gpu(plan: Plan, device: str, place: int) -> str:
    gpus = choose_gpus(device, uses_gpu=uses_gpu(plan))
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)] if gpus else ""
    return "cuda:0" if gpus else "cpu"


def run_mpi(plan: Plan, world: World) -> dict[str, Any]:
    """What rank 0 does; returns what done.json holds. The caller releases the other ranks.

    Raises
    ------
    DrgError : as the ranks or the merge raise
    """
    for rank in range(1, world.size):
        world.send(str(plan.folder), rank)
    _place(world)
    pin_threads(plan.threads)
    idle: list[int] = []
    for _ in range(1, world.size):
        rank, answer = world.receive(world.any_source)
        if answer["outcome"] == "error":
            raise from_exit_code(answer["code"], f"rank {rank}: {answer['message']}")
        idle.append(rank)
    for stage in plan.stages:
        _hand_out(plan, stage, world, idle)
        if stage is not plan.stages[-1]:
            ensure_reduced(plan, stage)
    return merge_run(plan)


def _hand_out(plan: Plan, stage: Stage, world: World, idle: list[int]) -> None:
    """Feed the ranks with a stage's shards until none is left and none is under way."""
    missing = parts.missing_shards(plan, stage)
    chooser = Chooser(plan, stage, missing, tries=TRIES)
    busy = 0
    failed: dict[int, Failed] = {}
    error: DrgError | None = None
    with Progress(sum(s.rows for s in missing), f"{plan.command} {stage.name}") as progress:
        while True:
            while idle and error is None and (shard := chooser.take()) is not None:
                world.send((stage.name, shard.id), idle.pop())
                busy += 1
            if not busy:
                break
            rank, answer = world.receive(world.any_source)
            idle.append(rank)
            busy -= 1
            shard = stage.shards[answer["shard"]]
            if answer["outcome"] == "error":
                error = error or from_exit_code(answer["code"], f"rank {rank}: {answer['message']}")
            elif answer["outcome"] == "failed":
                log.warning("shard %d of %s: %s", shard.id, stage.name, answer["message"])
                if answer.get("final") or not chooser.put_back(shard):
                    failed[shard.id] = Failed.of(answer)
            else:
                progress.add(shard.rows)
    if error is not None:
        raise error
    if failed:
        raise failure(plan, failed)
