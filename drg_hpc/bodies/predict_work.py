"""Work of drg-predict: a shard's rows, block by block, into one HDF5 part."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drg_hpc.bodies.rows import RowSource, blocks, open_rows
from drg_hpc.models.compute import device_model, prepare_torch
from drg_hpc.models.io import load_model
from drg_hpc.prediction.predict import predict_block
from drg_hpc.results import h5, predictions
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import BLOCK_ROWS, Attempt, Part, Shard

_PART = "part.h5"
_OUTPUT = "out.h5"


class Body:
    """Predicts rows of a store; model and store are opened with the first shard."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._params = plan.params
        self._modules: dict[str, torch.nn.Module] = {}

    @cached_property
    def _source(self) -> RowSource:
        return open_rows(self._plan, name="store")

    def _module(self, device: str) -> torch.nn.Module:
        if device not in self._modules:
            prepare_torch(self._plan.threads)
            self._modules[device] = load_model(self._plan.inputs["model"]["path"], device=device)
        return self._modules[device]

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write ``part.h5``: the rows of the shard, every block computed in the same shape."""
        module = self._module(attempt.device)
        attempt.notes |= {"device": device_model(attempt.device), "torch": torch.__version__}
        tracks = [index for index, _ in self._params["tracks"]]
        found = [
            predict_block(
                module, onehot, tracks=tracks, scale=self._params["scale"], rc_average=self._params["rc_average"]
            )
            for _, onehot in blocks(self._source, shard.start, shard.stop, length=self._params["length"])
        ]
        regions = self._source.regions(shard.start, shard.stop)
        predictions.write_part(attempt.out / _PART, regions=regions, values=np.concatenate(found))

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Join the parts into ``out.h5``."""
        files = [h5.PartFile(part.path / _PART, part.shard.start, part.shard.stop) for part in parts]
        tracks = [name for _, name in self._params["tracks"]]
        conventions = {"coordinates": "0-based, half-open", "block_rows": BLOCK_ROWS}
        predictions.merge(
            files,
            out / _OUTPUT,
            tracks=tracks,
            scale=self._params["scale"],
            attributes=self._plan.result_attributes() | {"conventions": conventions},
        )
        return {name: self._params[name] for name in ("rows", "length", "bins", "scale", "split")} | {"tracks": tracks}
