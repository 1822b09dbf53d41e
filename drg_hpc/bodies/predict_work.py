"""Work of drg-predict: a shard's rows, block by block, into one HDF5 part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from drg_hpc.bodies.predict_plan import STORE
from drg_hpc.bodies.row_options import ROWS
from drg_hpc.bodies.rows import ModelRun, blocks
from drg_hpc.bodies.selection import model_keys
from drg_hpc.models.compute import device_model
from drg_hpc.prediction.predict import mean_and_sd, predict_block
from drg_hpc.results import h5, predictions
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import BLOCK_ROWS, Attempt, Part, Shard

_PART = "part.h5"
_OUTPUT = "out.h5"
_SD = "standard deviation over the models (divided by their number), on the scale of the predictions, their mean"


class Body:
    """Predicts rows; models and input are opened with the first shard."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._params = plan.params
        self._run = ModelRun(plan, rows=STORE if STORE in plan.inputs else ROWS)

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write ``part.h5``: the rows of the shard, every block computed in the same shape."""
        modules = self._run.modules(attempt.device)
        attempt.notes |= {"device": device_model(attempt.device), "torch": torch.__version__}
        tracks = [index for index, _ in self._params["tracks"]]
        scale, rc_average = self._params["scale"], self._params["rc_average"]
        means, deviations = [], []
        for _, onehot in blocks(self._run.source, shard.start, shard.stop, bases=self._params["length"]):
            given = onehot[0] if len(onehot) == 1 else onehot
            found = [
                predict_block(module, given, tracks=tracks, scale=scale, rc_average=rc_average) for module in modules
            ]
            mean, deviation = (found[0], None) if len(found) == 1 else mean_and_sd(found)
            means.append(mean)
            if deviation is not None:
                deviations.append(deviation)
        regions = self._run.source.regions(shard.start, shard.stop)
        unkept = ~regions["kept"].to_numpy(dtype=bool)
        values, spread = np.concatenate(means), np.concatenate(deviations) if deviations else None
        values[unkept] = np.nan  # there is no sequence
        if spread is not None:
            spread[unkept] = np.nan
        predictions.write_part(
            attempt.out / _PART,
            regions=regions,
            values=values,
            deviations=spread,
        )

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Join the parts into ``out.h5``."""
        files = [h5.PartFile(part.path / _PART, part.shard.start, part.shard.stop) for part in parts]
        tracks = [name for _, name in self._params["tracks"]]
        conventions = {"coordinates": "0-based, half-open", "block_rows": BLOCK_ROWS}
        models = len(model_keys(self._plan.inputs))
        if models > 1:
            conventions["sd"] = _SD
        predictions.merge(
            files,
            out / _OUTPUT,
            tracks=tracks,
            scale=self._params["scale"],
            attributes=self._plan.result_attributes() | {"conventions": conventions},
            deviations=models > 1,
        )
        summary = {name: self._params[name] for name in ("rows", "length", "bins", "scale", "split")}
        return summary | {"tracks": tracks} | ({"models": models} if models > 1 else {})
