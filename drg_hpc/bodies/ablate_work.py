"""Work of drg-ablate: a shard's sequences, each by itself, into one HDF5 part; the table at the merge."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.edits import sequence_codes
from drg_hpc.attribution.targets_make import make_statistic
from drg_hpc.attribution.views import make_views
from drg_hpc.bodies.ablate_find import Finder, make_finder, names_of
from drg_hpc.bodies.ablate_pieces import WINDOWS
from drg_hpc.bodies.ablate_values import Ablator
from drg_hpc.bodies.engine_facts import engine_facts, joined_facts
from drg_hpc.bodies.row_options import ROWS
from drg_hpc.bodies.rows import ModelRun, blocks
from drg_hpc.bodies.selection import model_keys
from drg_hpc.experiments.ablation import over_positions
from drg_hpc.experiments.ablation_table import lines_of
from drg_hpc.experiments.effect_tests import largest
from drg_hpc.models.compute import device_model
from drg_hpc.results import ablation, h5
from drg_hpc.results.ablation import PartWriter
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Attempt, Part, Shard

log = logging.getLogger(__name__)
_PART, _OUTPUT, _TABLE = "part.h5", "out.h5", "out.tsv"
_LITTLE = 0.05
"""Share of changed bases below which effects say next to nothing."""
Array = NDArray[Any]


class Body:
    """Replaces pieces of sequences; models, rows and pieces are opened with the first shard."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._params = plan, plan.params
        self._run = ModelRun(plan, rows=ROWS)
        self._tracks = list(plan.params["target"]["names"])
        self._tiled = plan.params["pieces"] == WINDOWS
        self._ablators: dict[str, Ablator] = {}

    @cached_property
    def _finder(self) -> Finder:
        return make_finder(self._plan, self._run.source.regions(0, self._params["rows"]))

    def _ablator(self, device: str) -> Ablator:
        if device not in self._ablators:
            self._ablators[device] = Ablator(
                [make_statistic(self._params["target"], module) for module in self._run.modules(device)],
                self._params,
                views=make_views(rc_average=self._params["rc_average"], shifts=self._params["shifts"]),
                batch=int(self._plan.aside["pass_rows"][torch.device(device).type]),
            )
        return self._ablators[device]

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write ``part.h5``: the sequences of the shard, one after the other."""
        attempt.notes |= {"device": device_model(attempt.device), "torch": torch.__version__}
        length, size = self._params["length"], self._params["block_rows"]
        regions = self._run.source.regions(shard.start, shard.stop)
        kept, numbers = regions["kept"].to_numpy(bool), regions["row"].to_numpy(np.int64)
        with PartWriter(
            attempt.out / _PART, regions, values=len(self._tracks), length=length if self._tiled else None,
            models=len(model_keys(self._plan.inputs)) > 1, block_rows=size,
        ) as part:  # fmt: skip
            for first, (onehot,) in blocks(self._run.source, shard.start, shard.stop, bases=length, block=size):
                here = slice(first - shard.start, first - shard.start + len(onehot))
                self._block(part, first, onehot, kept[here], numbers[here], at=here.start, device=attempt.device)
        if attempt.device in self._ablators:
            mutator = self._ablators[attempt.device].mutator
            attempt.notes |= engine_facts(mutator.evaluators, batch=mutator.batch)

    def _block(
        self, part: PartWriter, first: int, onehot: Array, kept: NDArray[np.bool_], numbers: NDArray[np.int64], *,
        at: int, device: str,
    ) -> None:  # fmt: skip
        """Add one block: effects of pieces row by row."""
        rows, values, length = len(onehot), len(self._tracks), onehot.shape[2]
        value = np.full((rows, values), np.nan, np.float32)
        positions = np.full((rows, values, length), np.nan, np.float32) if self._tiled else None
        found: list[tuple[dict[str, Array], dict[str, Array]]] = []
        for row in np.flatnonzero(kept).tolist():
            check_stop()
            pieces = self._finder.of(first + row)
            if not len(pieces):
                continue
            places, of_piece = np.unique(np.stack([pieces.start, pieces.end]), axis=1, return_inverse=True)
            ablated = self._ablator(device).ablate(onehot[row], int(numbers[row]), *places)
            value[row] = ablated.value
            if positions is not None:
                width = int(pieces.end[0] - pieces.start[0])
                positions[row] = over_positions(ablated.effects["effect"], places[0], width=width, length=length)
            of_piece = of_piece.reshape(-1)  # numpy 2.0 gives (1, n)
            columns = {
                "row": np.full(len(pieces), first + row), "start": pieces.start, "end": pieces.end,
                "name": pieces.name, "strand": pieces.strand, "changed": ablated.changed[of_piece],
            }  # fmt: skip
            found.append((columns, {name: each[of_piece] for name, each in ablated.effects.items()}))
        part.block(at, value)
        if positions is not None:
            part.tiled(at, positions, np.stack([sequence_codes(x) for x in onehot]))
        if found:
            part.pieces(*({key: np.concatenate([each[side][key] for each in found]) for key in found[0][side]}
                          for side in (0, 1)))  # fmt: skip

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Join the parts into ``out.h5``; statistics over sequences of named pieces, in the file and as text."""
        files = [h5.PartFile(part.path / _PART, part.shard.start, part.shard.stop) for part in parts]
        names, models = names_of(self._plan), len(model_keys(self._plan.inputs))
        attributes = self._plan.result_attributes() | {"models": models, "stranded": True}
        facts = joined_facts(parts)
        with h5.create(out / _OUTPUT) as handle:
            merged = ablation.Merged(handle, files, names=names, tracks=self._tracks, attributes=attributes)
            if names:
                lines = lines_of(
                    merged.effects, name=merged.column("name"), row=merged.column("row"), names=names,
                    tracks=self._tracks, seed=self._params["seed"],
                    sizes=np.max([largest(block) for block in merged.values()], axis=0),
                )  # fmt: skip
                merged.write_table(lines)
                ablation.write_summary(out / ablation.SUMMARY_FILE, lines)
            share = float(merged.column("changed").mean(dtype=np.float64)) if merged.pieces else None
        if self._params["format"] == "both":
            ablation.write_pieces(out / _OUTPUT, out / _TABLE, length=self._params["length"])
        _warn(share, self._params["replace"])
        kept = {name: self._params[name] for name in ("rows", "length", "pieces", "windows", "replace", "shuffles")}
        count = {"replaced": merged.pieces, "names": len(names), "tracks": self._tracks, "models": models}
        return kept | count | facts


def _warn(share: float | None, replace: str) -> None:
    """Say so where nothing was replaced, or by next to nothing else.

    Parameters
    ----------
    share : of the bases of a piece that its copies have another base at, mean over pieces; None where there is none
    """
    if share is None:
        log.warning("no piece was replaced: no row with one is kept, see regions/reason in out.h5")
    elif share < _LITTLE:
        others = {"mono": "background:a,c,g,t", "dinuc": "mono or background:a,c,g,t"}.get(replace)
        log.warning(
            "copies (--replace %s) differ from the sequence at %.2g %% of the bases of a piece, so effects are near 0; "
            "give longer pieces%s", replace, 100 * share, f", or --replace {others}" if others else "",
        )  # fmt: skip
