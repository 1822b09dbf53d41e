"""What a body says about its work: shards, stages, inputs, size. Plain data, no heavy imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from drg_hpc.errors import UsageError

BLOCK_ROWS = 64
"""Compute runs in blocks of this many global rows, the last one padded; result files are chunked alike."""


@dataclass(frozen=True)
class Shard:
    """A unit of work: global rows ``start`` to ``stop`` (half-open)."""

    id: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start


@dataclass(frozen=True)
class Stage:
    """Shards that may run in any order; the next stage starts from this one's reduced file."""

    name: str
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class Estimate:
    """What a run will need: output bytes and files in all, memory of one worker in bytes."""

    bytes: int
    files: int
    memory: int


@dataclass(frozen=True)
class RunSpec:
    """A planned run, before it is written.

    Parameters
    ----------
    command : key of the body table
    params : what determines the result, as plain JSON values
    inputs : name -> :func:`drg_hpc.digests.describe_input`
    stages : in order
    threads : threads per worker (sums depend on it)
    estimate : for space checks and ``--dry-run``
    notes : lines worth telling the user when the run is planned (rows left out, names mapped)
    aside : what workers need to know besides and what does not determine the result, as plain JSON values
    """

    command: str
    params: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Any]]
    stages: tuple[Stage, ...]
    threads: int
    estimate: Estimate
    notes: tuple[str, ...] = ()
    aside: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A verified finished shard: its folder and its receipt."""

    shard: Shard
    path: Path
    receipt: Mapping[str, Any]


@dataclass
class Attempt:
    """What ``work`` gets besides its shard.

    Parameters
    ----------
    out : private folder; every file written here becomes part of the shard
    device : ``cpu`` or ``cuda:I``, already resolved
    notes : facts for the receipt (device model; ``retreats``: which blocks were computed otherwise than planned); not
        part of the result
    state : of a resumable command, a folder that the next attempt at the shard finds as this one leaves it
    """

    out: Path
    device: str
    notes: dict[str, Any] = field(default_factory=dict)
    state: Path | None = None


class Body(Protocol):
    """The heavy half of a fan-out command; one object per worker process.

    Built as ``Body(plan)``, cheap; models and stores are opened on first use.
    """

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Compute one shard into ``attempt.out``. The same shard always gives the same bytes.

        Raises
        ------
        DrgError : with exit code 6, the shard fails for good and the others go on; any other ends the run
        Exception : any other: the shard is tried once more
        """

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Combine a stage's parts into files in ``out``.

        For every stage but the last: exactly one small file ``<stage>.npz`` or ``<stage>.json``.
        For the last: the run's outputs; the returned plain values (rows, tracks, length …) go to
        done.json as ``summary``, where later plans read sizes without opening the files.
        """


def block_shards(
    rows: int,
    *,
    shards: int | None = None,
    shard_size: int | None = None,
    block: int = BLOCK_ROWS,
    default_size: int = 4096,
) -> tuple[Shard, ...]:
    """Cut ``rows`` global rows into shards of whole blocks.

    Parameters
    ----------
    rows : number of rows
    shards : at most this many shards
    shard_size : rows per shard, rounded up to whole blocks (default ``default_size``)
    block : rows of a block

    Raises
    ------
    UsageError : both ``shards`` and ``shard_size`` were given
    """
    if shards is not None and shard_size is not None:
        raise UsageError("--shards and --shard-size exclude each other", fix="give one of them")
    blocks = -(-rows // block)
    if shards is not None:
        per_shard = -(-blocks // shards)
    else:
        per_shard = -(-(shard_size or default_size) // block)
    step = max(per_shard, 1) * block
    starts = range(0, rows, step)
    return tuple(Shard(i, start, min(start + step, rows)) for i, start in enumerate(starts))
