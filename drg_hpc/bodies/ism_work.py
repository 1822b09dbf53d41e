"""Work of drg-ism: a shard's rows, each by itself, into one HDF5 part."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.cost import VJPS
from drg_hpc.attribution.ism_effects import RowEffects
from drg_hpc.attribution.ism_recipe import RATIOS, IsmRecipe
from drg_hpc.attribution.mutate import Mutator
from drg_hpc.attribution.views import make_views
from drg_hpc.bodies.engine_facts import engine_facts, joined_facts
from drg_hpc.bodies.ism_block import Block, first_undefined, remove_scratch
from drg_hpc.bodies.ism_layout import METHOD, conventions, layout_of
from drg_hpc.bodies.ism_positions import Masks, Positions
from drg_hpc.bodies.ism_table import write_table
from drg_hpc.bodies.rows import ModelRun, RowSource, blocks
from drg_hpc.bodies.selection import model_keys
from drg_hpc.bodies.value_work import rows_of, statistic_of
from drg_hpc.errors import InputError
from drg_hpc.models.compute import device_model
from drg_hpc.results import attributions, h5
from drg_hpc.results.attributions import PartWriter
from drg_hpc.results.exports import write_exports
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Attempt, Part, Shard

_PART, _OUTPUT, _TABLE, _EXPORT, _SCRATCH = "part.h5", "out.h5", "out.tsv", "export", "scratch"

log = logging.getLogger(__name__)
Onehot = Sequence[NDArray[Any]]


class Body:
    """Mutates rows of an input, or of genes; models and rows are opened with the first shard."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._params = plan, plan.params
        self._run = ModelRun(plan, rows="sequences")
        self._recipe = IsmRecipe.from_params(plan.params)
        self._mutators: dict[str, Mutator] = {}

    @cached_property
    def _layout(self) -> attributions.Layout:
        return layout_of(self._params, models=len(model_keys(self._plan.inputs)))

    @cached_property
    def _source(self) -> RowSource:
        return rows_of(self._plan)

    @cached_property
    def _positions(self) -> Positions:
        return Positions(self._params, self._plan.inputs)

    def _mutator(self, device: str) -> Mutator:
        if device not in self._mutators:
            kind = torch.device(device).type
            self._mutators[device] = Mutator(
                [statistic_of(self._plan, module, self._source) for module in self._run.modules(device)],
                self._recipe,
                views=make_views(rc_average=self._params["rc_average"], shifts=self._params["shifts"]),
                batch=int(self._plan.aside["pass_rows"][kind]),
                seed=self._params["seed"],
                inputs=[name for name, _ in self._params["sequences"]],
                vjps=VJPS[kind],
            )
        return self._mutators[device]

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write ``part.h5``: the rows of the shard, one after the other."""
        attempt.notes |= {"device": device_model(attempt.device), "torch": torch.__version__}
        bases = sum(length for _, length in self._params["sequences"])
        with PartWriter(attempt.out / _PART, self._layout, rows=shard.rows) as part:
            regions = self._source.regions(shard.start, shard.stop)
            intervals = self._source.intervals(shard.start, shard.stop)
            part.regions(regions, intervals=intervals if self._layout.several else None)
            scored = self._positions.of(regions, intervals)
            kept = regions["kept"].to_numpy(dtype=bool)
            size = self._layout.block_rows
            for first, onehot in blocks(self._source, shard.start, shard.stop, bases=bases, block=size):
                at = first - shard.start
                stop = at + len(onehot[0])
                if not kept[at:stop].any():
                    part.skip(at, stop - at, onehot)
                    continue
                part.sequences(at, onehot)
                masks = [mask[at:stop] for mask in scored]
                self._block(part, at, first, onehot, masks, kept[at:stop], attempt)
        if part.faint:
            attempt.notes["faint"] = part.faint
        if attempt.device in self._mutators:
            mutator = self._mutators[attempt.device]
            attempt.notes |= engine_facts(mutator.evaluators, batch=mutator.batch)

    def _block(
        self, part: PartWriter, at: int, first: int, onehot: Onehot, scored: Masks, kept: NDArray[np.bool_],
        attempt: Attempt,
    ) -> None:  # fmt: skip
        """Add one block; rows that are not kept are left out of what is computed."""
        mutator, scratch = self._mutator(attempt.device), attempt.out / _SCRATCH
        try:
            block = Block(self._layout, rows=len(kept), scratch=scratch)
            for row in np.flatnonzero(kept).tolist():
                check_stop()
                found = mutator.row([x[row] for x in onehot], first + row, scored=[mask[row] for mask in scored])
                self._require_defined(found, first + row)
                block.put(row, found)
            part.scored(at, block.scored)
            for position in range(len(self._layout.tracks)):
                part.track(at, position, block.track(position), onehot=onehot)
        finally:
            remove_scratch(scratch)

    def _require_defined(self, found: RowEffects, row: int) -> None:
        """Refuse ratios and logarithms of what has none."""
        compare = self._recipe.compare
        if not self._recipe.substitutes or (compare not in RATIOS and self._recipe.user_compare is None):
            return
        bad = first_undefined(found, [name for _, name in self._layout.tracks])
        if bad is not None:
            name, position = bad
            remedy = "--pseudo adds a number to both values" if compare in RATIOS else "return finite numbers"
            raise InputError(
                f"--compare {compare} of track {name!r} is not defined at row {row}, position {position}",
                fix=f"{remedy}; --compare subtract is always defined",
            )

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Join the parts into ``out.h5``, and write the files that were asked for; or write the table."""
        files = [h5.PartFile(part.path / _PART, part.shard.start, part.shard.stop) for part in parts]
        summary: dict[str, Any] = {"rows": self._params["rows"], "method": METHOD} | joined_facts(parts)
        if self._params["format"] == "tsv":
            return summary | write_table(files[0].path, out / _TABLE, self._layout)
        attributes = self._plan.result_attributes() | {
            "conventions": conventions(self._recipe),
            # A row of strand - holds the reverse strand, and runs backwards along the genome.
            "stranded": True,
        }
        attributions.merge(files, out / _OUTPUT, plan=self._layout, attributes=attributes)
        summary |= self._layout.summary()
        if kinds := self._params["export"]:
            summary["exports"] = write_exports(
                out / _OUTPUT, kinds, out / _EXPORT, contigs=dict(self._plan.aside.get("contigs", [])) or None
            )
        return summary
