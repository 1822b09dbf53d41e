"""What the methods of drg-seqlets share: stages before the calls, and calls in a block of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.interpretation.null import extremes
from drg_hpc.results.seqlet_source import AttributionSource, Track
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Part, Shard

Float32 = NDArray[np.float32]


class Method(ABC):
    """One method's stages; built once per worker."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stages = plan.folder / "stages"

    def work(self, stage: str, source: AttributionSource, tracks: list[Track], shard: Shard, out: Path) -> None:
        """One shard of a stage before the calls."""
        raise AssertionError(f"no stage {stage}")

    def merge(self, stage: str, parts: list[Part], out: Path) -> None:
        """One file of a stage before the calls."""
        raise AssertionError(f"no stage {stage}")

    def begin(self, source: AttributionSource, tracks: list[Track], shard: Shard) -> None:  # noqa: B027
        """Read what the calls of a shard need besides their rows."""

    @abstractmethod
    def call(self, source: AttributionSource, number: int, track: Track, first: int, values: Float32) -> pd.DataFrame:
        """Seqlets of a block of rows (n, L) that begins at row ``first``, those not kept being 0; rows from 0 on.

        ``number`` is the track's place among those that are used.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the output's attributes say of the null."""

    def constant(self) -> list[int]:
        """Places of the tracks whose attributions are all equal, where the method knows."""
        return []


def kept_blocks(source: AttributionSource, track: Track, shard: Shard) -> Iterator[tuple[int, Float32]]:
    """``(first row, kept rows (n, L))`` of a shard, block by block; errors as :func:`require_finite`."""
    for first, values in source.blocks(track, shard.start, shard.stop):
        check_stop()
        kept = np.flatnonzero(source.kept(first, first + len(values)))
        chosen = values[kept]
        require_finite(chosen, source, track, first + kept)
        yield first, chosen


def require_finite(
    values: NDArray[Any], source: AttributionSource, track: Track, rows: NDArray[np.int64] | range
) -> None:
    """Look at the values (n, …) of some rows, whose numbers are ``rows``.

    Raises
    ------
    InputError : naming the first row with a value that is NaN or infinite
    """
    try:
        extremes(values)
    except InputError as error:
        wrong = rows[int(np.flatnonzero(~np.isfinite(values).all(axis=tuple(range(1, values.ndim))))[0])]
        raise InputError(
            f"row {wrong} of track {track.name!r} in {source.path} has NaN or infinite attributions",
            fix=error.fix,
        ) from None
