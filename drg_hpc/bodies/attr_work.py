"""Work of drg-attr: a shard's rows, block by block, into one HDF5 part."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.attention import attention_block
from drg_hpc.attribution.catalogue import ATTENTION, CONVENTIONS
from drg_hpc.attribution.cost import VJPS
from drg_hpc.attribution.engine import Engine, TrackResult, smaller_pass
from drg_hpc.attribution.views import make_views
from drg_hpc.bodies.attr_layout import layout_of
from drg_hpc.bodies.attr_references import planned_recipe
from drg_hpc.bodies.rows import ModelRun, RowSource, blocks
from drg_hpc.bodies.selection import model_keys
from drg_hpc.bodies.value_work import rows_of, statistic_of
from drg_hpc.models.compute import device_model
from drg_hpc.results import attributions, h5
from drg_hpc.results.attributions import InputBlock, PartWriter, TrackBlock
from drg_hpc.results.exports import write_exports
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import BLOCK_ROWS, Attempt, Part, Shard

_PART = "part.h5"
_OUTPUT = "out.h5"
_EXPORT = "export"
_LARGE_ERROR = 0.01

log = logging.getLogger(__name__)
Onehot = Sequence[NDArray[Any]]


class Body:
    """Attributes rows of an input, or of genes; models and rows are opened with the first shard."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._params = plan.params
        self._run = ModelRun(plan, rows="sequences")
        self._engines: dict[str, Engine] = {}
        self._attention_rows: int | None = None  # after a retreat
        self._said: set[int] = set()  # tracks whose convergence error was warned of

    @cached_property
    def _layout(self) -> attributions.Layout:
        return layout_of(self._params, models=len(model_keys(self._plan.inputs)))

    @cached_property
    def _source(self) -> RowSource:
        return rows_of(self._plan)

    def _engine(self, device: str) -> Engine:
        if device not in self._engines:
            self._engines[device] = Engine(
                [statistic_of(self._plan, module, self._source) for module in self._run.modules(device)],
                planned_recipe(self._params, self._plan.inputs),
                views=make_views(rc_average=self._params["rc_average"], shifts=self._params["shifts"]),
                batch=self._pass_rows(device),
                seed=self._params["seed"],
                inputs=[name for name, _ in self._params["sequences"]],
                vjps=VJPS[torch.device(device).type],
            )
        return self._engines[device]

    def _pass_rows(self, device: str) -> int:
        return int(self._plan.aside["pass_rows"][torch.device(device).type])

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write ``part.h5``: the rows of the shard, every pass computed in the same shape."""
        attempt.notes |= {"device": device_model(attempt.device), "torch": torch.__version__}
        add = self._attention if self._params["method"] == ATTENTION else self._attributions
        bases = sum(length for _, length in self._params["sequences"])
        with PartWriter(attempt.out / _PART, self._layout, rows=shard.rows) as part:
            regions = self._source.regions(shard.start, shard.stop)
            intervals = self._source.intervals(shard.start, shard.stop) if self._layout.several else None
            part.regions(regions, intervals=intervals)
            kept = regions["kept"].to_numpy(dtype=bool)
            for first, onehot in blocks(self._source, shard.start, shard.stop, bases=bases):
                at = first - shard.start
                here = np.flatnonzero(kept[at : at + len(onehot[0])])
                if not len(here):
                    part.skip(at, len(onehot[0]), onehot)
                    continue
                part.sequences(at, onehot)
                add(part, at, first, onehot, here, attempt)
        if part.faint:
            attempt.notes["faint"] = part.faint

    def _attributions(
        self, part: PartWriter, at: int, first: int, onehot: Onehot, kept: NDArray[np.int64], attempt: Attempt
    ) -> None:
        """Add one block; rows that are not kept are left out of what is computed."""
        engine = self._engine(attempt.device)
        results = engine.block([x[kept] for x in onehot], [first + int(row) for row in kept])
        for position, found in enumerate(results):
            self._look_at_error(position, found)
            part.track(at, position, _spread(found, kept, len(onehot[0])), onehot=onehot)
        if engine.batch != self._pass_rows(attempt.device):
            note = {"block": first, "rows_of_a_pass": engine.batch}
            attempt.notes.setdefault("retreats", []).append(note)

    def _look_at_error(self, position: int, found: TrackResult) -> None:
        """Say once for each track that its attributions do not add up."""
        if found.delta is None or position in self._said:
            return
        scale = float(np.abs(found.prediction).max())
        if (worst := float(found.delta.max())) > _LARGE_ERROR * scale:
            self._said.add(position)
            log.warning(
                "convergence error of track %r is up to %.2g, predictions up to %.2g: see delta in the file",
                self._layout.tracks[position][1], worst, scale,
            )  # fmt: skip

    def _attention(
        self, part: PartWriter, at: int, first: int, onehot: Onehot, kept: NDArray[np.int64], attempt: Attempt
    ) -> None:
        """Add the weights of one block, pass by pass: those of a block may not fit into memory."""
        (module,) = self._run.modules(attempt.device)
        planned = self._pass_rows(attempt.device)
        batch, start = self._attention_rows or planned, 0
        while start < len(onehot[0]):
            rows = [x[start : start + batch] for x in onehot]
            try:
                found = attention_block(module, rows, layers=self._params["attention"]["layers"], batch=batch)
            except torch.OutOfMemoryError:
                batch = self._attention_rows = smaller_pass(batch)
                continue
            part.attention(at + start, found)
            start += len(found)
        if batch != planned:
            attempt.notes.setdefault("retreats", []).append({"block": first, "rows_of_a_pass": batch})

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Join the parts into ``out.h5``, and write the files that were asked for."""
        files = [h5.PartFile(part.path / _PART, part.shard.start, part.shard.stop) for part in parts]
        attributes = self._plan.result_attributes() | {
            "conventions": CONVENTIONS | {"block_rows": BLOCK_ROWS},
            # A row of strand - holds the reverse strand, and runs backwards along the genome.
            "stranded": True,
        }
        attributions.merge(files, out / _OUTPUT, plan=self._layout, attributes=attributes)
        summary = {"rows": self._params["rows"], "method": self._params["method"]} | self._layout.summary()
        if self._params["method"] != ATTENTION:
            summary["output"] = self._params["output"]
        if kinds := self._params["export"]:
            summary["exports"] = write_exports(
                out / _OUTPUT, kinds, out / _EXPORT, contigs=dict(self._plan.aside.get("contigs", [])) or None
            )
        return summary


def _spread(found: TrackResult, kept: NDArray[np.int64], rows: int) -> TrackBlock:
    """The result of some rows of a block as one of all its rows."""

    def spread(values: NDArray[Any]) -> NDArray[Any]:
        if len(kept) == rows:
            return values
        out = np.zeros((rows, *values.shape[1:]), values.dtype)
        out[kept] = values
        return out

    def perhaps(values: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if values is None else spread(values)

    return TrackBlock(
        prediction=spread(found.prediction),
        prediction_sd=perhaps(found.prediction_sd),
        delta=perhaps(found.delta),
        inputs=tuple(
            InputBlock(
                projected=spread(one.projected),
                form=spread(one.form),
                contribution=spread(one.contribution),
                projected_sd=perhaps(one.projected_sd),
            )
            for one in found.inputs
        ),
    )
