"""Work of drg-attr: a shard's rows, block by block, into one HDF5 part."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from drg_hpc.attribution.catalogue import CONVENTIONS, Recipe
from drg_hpc.attribution.engine import Engine
from drg_hpc.bodies.rows import ModelRun, blocks
from drg_hpc.models.compute import device_model
from drg_hpc.results import attributions, h5
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import BLOCK_ROWS, Attempt, Part, Shard

_PART = "part.h5"
_OUTPUT = "out.h5"


class Body:
    """Attributes rows of a store or FASTA; model and input are opened with the first shard."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._params = plan.params
        self._run = ModelRun(plan, rows="sequences")
        self._engines: dict[str, Engine] = {}

    @cached_property
    def _recipe(self) -> Recipe:
        frequencies = {
            key: None if self._params[key] is None else tuple(self._params[key]) for key in ("references", "base_freqs")
        }
        return Recipe(method=self._params["method"], output=self._params["output"], **frequencies)

    @cached_property
    def _layout(self) -> attributions.Layout:
        return attributions.Layout(
            length=self._params["length"],
            tracks=tuple((index, name) for index, name in self._params["tracks"]),
            form=self._recipe.form,
            keep_form=self._params["keep"] == "hypothetical",
            form_is_contribution=self._recipe.form_is_contribution,
            dtype=self._params["store_dtype"],
        )

    def _engine(self, device: str) -> Engine:
        if device not in self._engines:
            (module,) = self._run.modules(device)
            self._engines[device] = Engine(
                module,
                self._recipe,
                tuple(index for index, _ in self._layout.tracks),
                scale=self._params["scale"],
                rc_average=self._params["rc_average"],
                seed=self._params["seed"],
            )
        return self._engines[device]

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write ``part.h5``: the rows of the shard, every block computed in the same shape."""
        engine = self._engine(attempt.device)
        attempt.notes |= {"device": device_model(attempt.device), "torch": torch.__version__}
        with attributions.PartWriter(attempt.out / _PART, self._layout, rows=shard.rows) as part:
            part.regions(self._run.source.regions(shard.start, shard.stop))
            for first, (onehot,) in blocks(self._run.source, shard.start, shard.stop, bases=self._layout.length):
                at = first - shard.start
                part.sequences(at, onehot)
                for position, found in enumerate(engine.block(onehot, range(first, first + len(onehot)))):
                    part.track(
                        at,
                        position,
                        prediction=found.prediction,
                        projected=found.projected,
                        form=found.form,
                        contribution=found.contribution,
                        onehot=onehot,
                    )

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Join the parts into ``out.h5``."""
        files = [h5.PartFile(part.path / _PART, part.shard.start, part.shard.stop) for part in parts]
        attributes = self._plan.result_attributes() | {
            "conventions": CONVENTIONS | {"block_rows": BLOCK_ROWS},
            "stranded": True,  # a row of strand - holds the reverse strand, and runs backwards along the genome
        }
        attributions.merge(files, out / _OUTPUT, plan=self._layout, attributes=attributes)
        return {
            "rows": self._params["rows"],
            "length": self._params["length"],
            "tracks": [name for _, name in self._layout.tracks],
            "method": self._params["method"],
            "output": self._params["output"],
            "datasets": [*self._layout.datasets(), *self._layout.links()],
        }
