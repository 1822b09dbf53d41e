"""Work of the smallest body: rows of random bytes keyed on (seed, row), written as HDF5."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from drg_hpc.files import read_json, write_json
from drg_hpc.results import h5
from drg_hpc.rng import row_key
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import BLOCK_ROWS, Attempt, Part, Shard


class Body:
    """Stage ``total`` sums a key of each block; stage ``rows`` writes the rows, shifted by that sum."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._params = plan.params

    def _block(self, start: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Bytes of one whole block, whichever shard asks: ``(64, row_bytes)``."""
        key = row_key(self._params["seed"], start, "selftest")
        generator = np.random.Generator(np.random.Philox(key=key))
        return generator.integers(0, 256, (BLOCK_ROWS, self._params["row_bytes"]), dtype=np.uint8)

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write ``total.json`` or ``data.h5``, taking at least ``seconds``."""
        if stage == "total":
            starts = range(shard.start, shard.stop, BLOCK_ROWS)
            total = sum(row_key(self._params["seed"], start, "selftest") % 251 for start in starts)
            write_json(attempt.out / "total.json", {"total": total})
            return
        until = time.monotonic() + self._params["seconds"]
        shift = np.uint8(read_json(self._plan.folder / "stages" / "total.json")["total"] % 256)
        shape = (shard.rows, self._params["row_bytes"])
        with h5.create(attempt.out / "data.h5") as handle:
            data = h5.dataset(handle, "rows", shape=shape, dtype=np.uint8, compress=False)
            for start in range(shard.start, shard.stop, BLOCK_ROWS):
                rows = min(BLOCK_ROWS, shard.stop - start)
                data[start - shard.start : start - shard.start + rows] = (self._block(start) + shift)[:rows]
        while time.monotonic() < until:
            check_stop()
            time.sleep(0.01)

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """``total.json`` of the first stage; ``out.h5`` of the second."""
        if stage == "total":
            write_json(out / "total.json", read_json(parts[0].path / "total.json"))
            return {}
        files = [h5.PartFile(p.path / "data.h5", p.shard.start, p.shard.stop) for p in parts]
        with h5.create(out / "out.h5") as handle:
            h5.merge_fixed(files, ["rows"], handle)
        return {"rows": self._params["rows"]}
