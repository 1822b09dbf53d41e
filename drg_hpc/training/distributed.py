"""The processes of one training: torchrun's environment, gloo on CPUs and nccl on GPUs, small collectives."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import distributed as dist

from drg_hpc.errors import DrgError, InputError, UsageError

log = logging.getLogger(__name__)
_TIMEOUT = timedelta(minutes=30)  # rank 0 may build the node's cache while the others wait


def _environment(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit():
        raise UsageError(f"{name} = {text!r} is not a number", fix="start the ranks with torchrun")
    return int(text)


def choose_device(device: str, local_rank: int) -> torch.device:
    """The device of one rank; ``cuda`` without a GPU is an error, never a fall-back.

    Raises
    ------
    UsageError : not a device
    InputError : the GPU is not there
    """
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", device)
    if match is None:
        raise UsageError(f"--device {device!r} is not a device", fix="auto, cpu, cuda or cuda:0")
    visible = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and not visible):
        return torch.device("cpu")
    index = int(match[1]) if match[1] else local_rank
    if index >= visible:
        raise InputError(
            f"--device {device}: local rank {local_rank} wants GPU {index}, {visible} are visible",
            fix="start one rank per GPU, or use --device cpu",
        )
    return torch.device("cuda", index)


T = TypeVar("T")


class Relayed(DrgError):
    """An error of one rank, raised on all; rank 0 reports it."""

    def __init__(self, what: str, *, exit_code: int) -> None:
        super().__init__(what)
        self.exit_code = exit_code


# Process groups of this process, for good. Gloo's destructor joins threads that may still need the interpreter's lock
# to drop the tensors of the last collective, and DDP's calls it with the lock held: ranks would hang at the end.
_kept: list[dist.ProcessGroup | None] = []


class _AllSum(torch.autograd.Function):
    """Sum over ranks, for a loss that every rank computes alike: DDP's mean over ranks takes the factor back out."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, world: int) -> torch.Tensor:
        ctx.world = world
        total = values.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient * ctx.world, None


@dataclass(frozen=True)
class Group:
    """One rank's view of the training's processes."""

    rank: int
    world: int
    device: torch.device
    local_rank: int = 0

    @property
    def main(self) -> bool:
        """Whether this rank writes files."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This rank's contiguous share of ``count`` items; shares differ by at most one and may be empty."""
        return slice(self.rank * count // self.world, (self.rank + 1) * count // self.world)

    def sum(self, values: list[float]) -> list[float]:
        """Sum of each value over ranks, in float64."""
        return self._reduce(values, "sum")

    def max(self, value: int) -> int:
        """Largest of the ranks' values."""
        return int(self._reduce([float(value)], "max")[0])

    def _reduce(self, values: list[float], how: str) -> list[float]:
        if self.world == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, op=dist.ReduceOp.SUM if how == "sum" else dist.ReduceOp.MAX)
        found: list[float] = tensor.tolist()
        return found

    def all_sum(self, values: torch.Tensor) -> torch.Tensor:
        """Differentiable sum over ranks; see :class:`drg_hpc.training.terms.Ranks`."""
        if self.world == 1:
            return values
        total: torch.Tensor = _AllSum.apply(values, self.world)  # type: ignore[no-untyped-call]
        return total

    def gather_values(self, values: list[float]) -> list[list[float]]:
        """Every rank's values, by rank."""
        count = len(values)
        if not count:
            return [[] for _ in range(self.world)]
        mine = [0.0] * (count * self.world)
        mine[self.rank * count : (self.rank + 1) * count] = values
        found = self.sum(mine)  # x + 0 is exact
        return [found[first : first + count] for first in range(0, len(found), count)]

    def gather_rows(self, rows: torch.Tensor, count: int) -> np.ndarray[Any, Any] | None:
        """On rank 0, the ranks' shares of ``count`` rows, as :meth:`share` cut them, one after the other."""
        if self.world == 1:
            return rows.cpu().numpy()
        height = -(-count // self.world)
        padded = torch.zeros((height, *rows.shape[1:]), dtype=rows.dtype, device=self.device)
        padded[: len(rows)] = rows
        received = [torch.empty_like(padded) for _ in range(self.world)] if self.main else None
        dist.gather(padded, received)
        if received is None:
            return None
        sizes = [(r + 1) * count // self.world - r * count // self.world for r in range(self.world)]
        return np.concatenate([part[:size].cpu().numpy() for part, size in zip(received, sizes, strict=True)])

    def broadcast(self, value: Any, source: int = 0) -> Any:
        """The JSON value of rank ``source``, on every rank (as JSON: nothing is unpickled)."""
        if self.world == 1:
            return value
        raw = json.dumps(value).encode() if self.rank == source else b""
        size = self.max(len(raw))
        data = torch.zeros(size, dtype=torch.uint8, device=self.device)
        if self.rank == source:
            data.copy_(torch.frombuffer(bytearray(raw), dtype=torch.uint8))
        dist.broadcast(data, src=source)
        return json.loads(bytes(data.cpu().numpy().tobytes()))

    def on_main(self, action: Callable[[], Any]) -> Any:
        """Run ``action`` on rank 0; its JSON result, or its DrgError, reaches every rank.

        Without this, an error of rank 0 would leave the others waiting in their next collective.
        """
        result: dict[str, Any] = {}
        if self.main:
            try:
                result = {"value": action()}
            except DrgError as error:
                if self.world == 1:
                    raise
                result = {"exit_code": error.exit_code, "what": str(error)}
        result = self.broadcast(result)
        if "what" in result:
            raise Relayed(result["what"], exit_code=result["exit_code"])
        return result["value"]

    def first_on_node(self, action: Callable[[], T]) -> T:
        """Run ``action`` on every rank, on one rank of each node before the others; a DrgError of any reaches all.

        For what a node does once and its other ranks then find done.
        """
        if self.world == 1:
            return action()
        found: list[T] = []
        for turn in (self.local_rank == 0, self.local_rank != 0):
            failure: dict[str, Any] = {}
            if turn:
                try:
                    found.append(action())
                except DrgError as error:
                    failure = {"exit_code": error.exit_code, "what": str(error)}
            if worst := self.max(self.world - self.rank if failure else 0):
                failure = self.broadcast(failure, source=self.world - worst)
                raise Relayed(failure["what"], exit_code=failure["exit_code"])
        return found[0]

    def barrier(self) -> None:
        """Wait for all ranks."""
        self.max(0)


def single(device: str) -> Group:
    """One process by itself, whatever the environment says of ranks.

    Raises
    ------
    UsageError, InputError : the device does not fit
    """
    chosen = choose_device(device, 0)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    return Group(rank=0, world=1, device=chosen)


@contextmanager
def join(device: str) -> Iterator[Group]:
    """Join the process group that torchrun's environment describes; alone without it.

    Raises
    ------
    UsageError, InputError : the environment or the device does not fit
    """
    rank, world = _environment("RANK", 0), _environment("WORLD_SIZE", 1)
    if "RANK" not in os.environ and (tasks := _environment("SLURM_STEP_NUM_TASKS", 1)) > 1:
        raise UsageError(
            f"srun started {tasks} tasks that do not know each other",
            fix="start one torchrun per node: srun --ntasks-per-node=1 torchrun …",
        )
    local_rank = _environment("LOCAL_RANK", rank)
    if rank >= world:
        raise UsageError(f"RANK = {rank} with WORLD_SIZE = {world}", fix="start the ranks with torchrun")
    chosen = choose_device(device, local_rank)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    group = Group(rank=rank, world=world, device=chosen, local_rank=local_rank)
    if world == 1:
        yield group
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", rank=rank, world_size=world, timeout=_TIMEOUT)
    _kept.append(dist.group.WORLD)
    try:
        yield group
    finally:
        dist.destroy_process_group()
