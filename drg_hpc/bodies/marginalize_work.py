"""Work of drg-marginalize: values of backgrounds, then changes by designs, block by block, into one HDF5 part."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.bodies.engine_facts import joined_facts, named_facts
from drg_hpc.bodies.marginalize_backgrounds import Maker
from drg_hpc.bodies.marginalize_engine import make_engine
from drg_hpc.bodies.marginalize_settle import BEFORE, MOTIFS
from drg_hpc.bodies.marginalize_values import Engine, Experiment, require_finite
from drg_hpc.bodies.predictor import Predictor
from drg_hpc.bodies.row_options import ROWS
from drg_hpc.bodies.rows import ModelRun
from drg_hpc.bodies.selection import model_keys
from drg_hpc.experiments.effect_tests import adjusted, largest, rounding_of
from drg_hpc.experiments.marginal_designs import QUANTITIES, Design, Designs, insertions_of
from drg_hpc.experiments.marginal_sites import Sites, window_of
from drg_hpc.experiments.marginal_statistics import Summaries
from drg_hpc.files import counted
from drg_hpc.genome.motif_formats import read_raw
from drg_hpc.models.compute import device_model
from drg_hpc.models.header import read_model_header
from drg_hpc.results import h5, marginalization
from drg_hpc.results.marginalization_read import write_table
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import BLOCK_ROWS, Attempt, Part, Shard

log = logging.getLogger(__name__)
_PART, _OUTPUT, _TABLE = "part.h5", "out.h5", "out.tsv"
_TYPICAL = 64
Arrays = dict[str, NDArray[Any]]


class Body:
    """Puts motifs into backgrounds; models, rows and motifs are opened with the first shard."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._params = plan, plan.params
        self._run, self._maker = ModelRun(plan, rows=ROWS), Maker(plan)
        self._designs = Designs.from_params(plan.params["designs"], length=plan.params["length"])
        self._quantities = QUANTITIES[self._designs.by]
        self._predictors: dict[str, Predictor] = {}
        self._engines: dict[str, Engine] = {}

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write ``before.npz``: backgrounds and their values; or ``part.h5``: what designs change."""
        attempt.notes |= {"device": device_model(attempt.device), "torch": torch.__version__}
        if stage == BEFORE:
            np.savez(attempt.out / f"{BEFORE}.npz", **self._before(shard, attempt.device))  # type: ignore[arg-type]
            return
        engine = self._engine(attempt.device)
        attempt.notes |= named_facts([engine.name], [engine.deviation])
        with marginalization.part_writer(attempt.out / _PART, self._layout, rows=shard.rows) as part:
            for first in range(shard.start, shard.stop, BLOCK_ROWS):
                self._block(part, engine, first, min(first + BLOCK_ROWS, shard.stop), at=first - shard.start)

    def _pass_rows(self, device: str) -> int:
        return int(self._plan.aside["pass_rows"][torch.device(device).type])

    def _predictor(self, device: str) -> Predictor:
        if device not in self._predictors:
            rows = self._pass_rows(device)
            self._predictors[device] = Predictor(self._run.modules(device), self._params, rows=rows)
        return self._predictors[device]

    def _before(self, shard: Shard, device: str) -> Arrays:
        made = self._maker.make(shard.start, shard.stop)
        values = np.zeros((0, len(self._params["target"]["names"])))
        found = [
            self._predictor(device)(made.codes[at : at + BLOCK_ROWS]).mean(axis=1)
            for at in range(0, len(made.codes), BLOCK_ROWS)
        ]
        before = {
            "codes": made.codes, "values": np.concatenate([values, *found]), "rows": made.rows, "copies": made.copies,
            "names": np.array(made.names, np.str_),
        }  # fmt: skip
        tracks = self._params["target"]["names"]
        require_finite(before["values"], tracks, lambda number: f"in {_background_words(before, number)}")
        return before

    @cached_property
    def _backgrounds(self) -> Arrays:
        return _arrays(self._plan.folder / "stages" / f"{BEFORE}.npz")

    @cached_property
    def _layout(self) -> marginalization.Layout:
        count, values = self._backgrounds["values"].shape
        return marginalization.Layout(self._quantities, count, values, self._params["keep_effects"])

    @cached_property
    def _summaries(self) -> Summaries:
        return Summaries(len(self._backgrounds["values"]), seed=self._params["seed"])

    @cached_property
    def _sites(self) -> Sites:
        items, found = self._designs.items, self._backgrounds
        drawn = {item.file for item in items if self._params["sites"] == "sampled" and item.file is not None}
        motifs = {number: self._matrices(number) for number in sorted(drawn)}
        matrices = {at: motifs[item.file][item.name] for at, item in enumerate(items) if item.file in drawn}
        return Sites(items, matrices, rows=found["rows"], copies=found["copies"], seed=self._params["seed"])

    def _matrices(self, file: int) -> Arrays:
        """Probabilities (width, 4) of the motifs of a database, by name."""
        path = Path(self._plan.inputs[f"{MOTIFS}{file + 1}"]["path"])
        return {raw.name: np.array(raw.rows, np.float64) for raw in read_raw(path, self._params["motif_format"])}

    def _engine(self, device: str) -> Engine:
        """The engine of a device; the work is judged by designs at even steps through all of them."""
        if device not in self._engines:
            number = min(_TYPICAL, len(self._designs))
            some = [self._designs[i * len(self._designs) // number] for i in range(number)]
            header = read_model_header(Path(self._plan.inputs[model_keys(self._plan.inputs)[0]]["path"]))
            experiment = Experiment(
                self._backgrounds["codes"], self._backgrounds["values"], self._sites, self._designs.items
            )
            self._engines[device] = make_engine(
                self._run.modules(device), self._params, self._predictor(device), experiment,
                typical=some, macs=int(header["operations"]["macs_per_row"]), batch=self._pass_rows(device),
            )  # fmt: skip
            log.info("%s engine", self._engines[device].name)
        return self._engines[device]

    def _block(self, part: marginalization.PartWriter, engine: Engine, first: int, last: int, *, at: int) -> None:
        """One block of designs, some of them at a time."""
        groups = []
        for start in range(first, last, self._params["group"]):
            check_stop()
            groups.append(
                self._group(engine, [self._designs[i] for i in range(start, min(start + self._params["group"], last))])
            )
        statistics = {
            quantity: {
                name: np.concatenate([each[0][quantity][name] for each in groups]) for name in groups[0][0][quantity]
            }
            for quantity in self._quantities
        }  # fmt: skip
        effects = {
            quantity: np.concatenate([each[1][quantity] for each in groups]) for quantity in groups[0][1]
        }  # fmt: skip
        part.block(at, statistics, effects)

    def _group(self, engine: Engine, designs: Sequence[Design]) -> tuple[dict[str, Arrays], Arrays]:
        """Statistics by quantity and name, (n, k); and effects (n, backgrounds, k) by quantity where they are kept."""
        parts = [insertions_of(design) for design in designs]
        place: dict[Design, int] = {}
        for insertion in (each for own in parts for each in own):
            place.setdefault(insertion, len(place))
        changes = engine.changes(list(place))
        require_finite(changes, self._params["target"]["names"], partial(self._words, list(place)))
        columns = ([place[own[part]] for own in parts] for part in range(len(parts[0])))
        # of pairs there is a quantity more, the interaction, made of the others
        found = dict(zip(self._quantities, (changes[numbers] for numbers in columns), strict=False))
        if len(found) > 1:
            found["interaction"] = found["effect"] - found["left"] - found["right"]
        sizes = largest(self._backgrounds["values"]) + sum(largest(values) for values in found.values())
        rounding = rounding_of(sizes)
        statistics = {quantity: self._statistics(values, rounding) for quantity, values in found.items()}
        kept = found if self._params["keep_effects"] else {}
        return statistics, {quantity: values.astype(np.float32) for quantity, values in kept.items()}

    def _words(self, insertions: Sequence[Design], insertion: int, background: int) -> str:
        """What was put in where, for messages."""
        sites = (f"{self._designs.items[site.item].name} at {site.start}" for site in insertions[insertion])
        return f"with {' and '.join(sites)} in {_background_words(self._backgrounds, background)}"

    def _statistics(self, changes: NDArray[np.float64], rounding: NDArray[np.float64]) -> Arrays:
        """Statistics (n, k) of changes (n, backgrounds, k)."""
        shape = (len(changes), changes.shape[2])
        flat = changes.transpose(1, 0, 2).reshape(changes.shape[1], -1)
        return {
            name: values.reshape(shape) for name, values in self._summaries.of(flat, rounding=rounding.ravel()).items()
        }

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Join backgrounds into ``before.npz``; or designs into ``out.h5``, with q, and the table as text."""
        if stage == BEFORE:
            loaded = [_arrays(part.path / f"{BEFORE}.npz") for part in parts]
            joined = {name: np.concatenate([each[name] for each in loaded]) for name in loaded[0]}
            np.savez(out / f"{BEFORE}.npz", **joined)  # type: ignore[arg-type]
            count, distinct = len(joined["codes"]), marginalization.distinct(joined["codes"])
            if distinct < count:
                log.warning("%d backgrounds, %d of them distinct: p and q count each by itself", count, distinct)
            return {}
        files = [h5.PartFile(part.path / _PART, part.shard.start, part.shard.stop) for part in parts]
        params, models = self._params, len(model_keys(self._plan.inputs))
        attributes = self._plan.result_attributes() | {"models": models}
        marginalization.merge(
            files, out / _OUTPUT, self._layout, self._tables(), attributes=attributes, adjust=adjusted
        )
        if params["format"] == "both":
            write_table(out / _OUTPUT, out / _TABLE)
        found = {
            "designs": len(self._designs), "by": self._designs.by, "backgrounds": self._layout.backgrounds,
            "length": self._designs.length, "tracks": list(params["target"]["names"]), "models": models,
        }  # fmt: skip
        log.info("%s in %s", counted(len(self._designs), "design"), counted(self._layout.backgrounds, "background"))
        return found | joined_facts(parts)

    def _tables(self) -> marginalization.Tables:
        """What the merged file says of motifs, backgrounds and designs."""
        found, items = self._backgrounds, self._designs.items
        return marginalization.Tables(
            motifs={"name": [item.name for item in items], "letters": [item.letters for item in items]},
            designs=_columns(self._designs),
            backgrounds={
                "row": found["rows"], "shuffle": found["copies"], "name": found["names"].tolist(),
                "codes": found["codes"],
            },
            before=found["values"],
            tracks=self._params["target"]["names"],
        )  # fmt: skip


def _background_words(found: Arrays, number: int) -> str:
    """A background, for messages."""
    row, copy = int(found["rows"][number]), int(found["copies"][number])
    return f"background {str(found['names'][number])!r} (row {row}, shuffle {copy})"


def _arrays(path: Path) -> Arrays:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def _columns(designs: Designs) -> dict[str, Any]:
    """The table of designs, by column."""
    count, pairs = len(designs), designs.by == "spacing"
    names = ("left", "right", "spacing", "start", "right_start", "end") if pairs else ("motif", "start", "end")
    numbers = {name: np.empty(count, np.int32) for name in names}
    strands: list[str] = []
    for row in range(count):
        design = designs[row]
        first, last = design[0], design[-1]
        numbers["start"][row], numbers["end"][row] = window_of(design, designs.items)
        strands.append("".join(site.strand for site in design))
        if not pairs:
            numbers["motif"][row] = first.item
            continue
        numbers["left"][row], numbers["right"][row] = first.item, last.item
        numbers["spacing"][row] = last.start - first.start - designs.items[first.item].width
        numbers["right_start"][row] = last.start
    return {**numbers, "orientation" if pairs else "strand": strands}
