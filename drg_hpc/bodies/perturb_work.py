"""Work of drg-perturb: effects of a shard's sequences, block by block, into one HDF5 part; the table at the merge."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from drg_hpc.bodies.perturb_find import Finder, block_sites, make_finder
from drg_hpc.bodies.predictor import Predictor
from drg_hpc.bodies.row_options import ROWS
from drg_hpc.bodies.rows import ModelRun, blocks
from drg_hpc.bodies.selection import model_keys
from drg_hpc.errors import InputError
from drg_hpc.experiments.background import Background
from drg_hpc.experiments.perturb_sites import STATUSES
from drg_hpc.experiments.perturb_table import Table
from drg_hpc.experiments.perturb_tests import Test, test_of
from drg_hpc.experiments.perturb_values import BlockValues, Perturbation, block_values
from drg_hpc.files import counted
from drg_hpc.models.compute import device_model
from drg_hpc.models.header import read_model_header
from drg_hpc.prediction.rows import Rows
from drg_hpc.results import h5, perturbation
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import Attempt, Part, Shard
from drg_hpc.store.reader import open_dataset

log = logging.getLogger(__name__)
_PART, _OUTPUT = "part.h5", "out.h5"


class Body:
    """Perturbs sequences; models, rows and sites are opened with the first shard."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._params = plan, plan.params
        self._run = ModelRun(plan, rows=ROWS)
        self._tests: list[Test] = [test_of(test) for test in plan.params["tests"]]
        self._labelled = plan.params["effects"] != ["value"]
        self._predictors: dict[str, Predictor] = {}

    @cached_property
    def _finder(self) -> Finder:
        return make_finder(self._plan, lambda: self._run.source.regions(0, self._params["rows"]))

    @cached_property
    def _how(self) -> Perturbation:
        background = Background.from_params(self._params["background"])
        return Perturbation(background, copies=self._params["copies"], seed=self._params["seed"])

    def _predictor(self, device: str) -> Predictor:
        if device not in self._predictors:
            rows = int(self._plan.aside["pass_rows"][torch.device(device).type])
            self._predictors[device] = Predictor(self._run.modules(device), self._params, rows=rows)
        return self._predictors[device]

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write ``part.h5``: the effects of the shard's sequences, every block computed by itself."""
        attempt.notes |= {"device": device_model(attempt.device), "torch": torch.__version__}
        found: list[BlockValues] = []
        regions = self._run.source.regions(shard.start, shard.stop)
        labels = self._labels(regions)
        for first, (onehot,) in blocks(self._run.source, shard.start, shard.stop, bases=self._params["length"]):
            here = slice(first - shard.start, first - shard.start + len(onehot))
            own = None if labels is None else labels[here]
            found.append(self._block(regions.iloc[here], onehot, own, attempt.device))
        by_test = list(zip(*(block.tests for block in found), strict=True))
        perturbation.write_part(
            attempt.out / _PART,
            regions,
            [np.concatenate([block.status for block in of_test]) for of_test in by_test],
            [
                {name: np.concatenate([block.effects[name] for block in of_test]) for name in self._params["effects"]}
                for of_test in by_test
            ],
            before=np.concatenate([block.before for block in found]),
            labels=labels,
        )

    def _block(
        self, regions: pd.DataFrame, onehot: NDArray[Any], labels: NDArray[np.float64] | None, device: str
    ) -> BlockValues:
        """All tests of one block; random numbers depend on the numbers of the sequences in their input."""
        codes = np.where(onehot.any(axis=1), onehot.argmax(axis=1), 4).astype(np.uint8)
        return block_values(
            self._predictor(device),
            codes,
            labels,
            block_sites(self._finder, self._params["motifs"], regions, onehot),
            self._tests,
            self._how,
            rows=regions["row"].to_numpy(np.int64),
            effects=self._params["effects"],
            names=self._params["target"]["names"],
        )

    @cached_property
    def _targets(self) -> Rows:
        store = open_dataset(self._plan.inputs[ROWS]["path"])
        header = read_model_header(Path(self._plan.inputs[model_keys(self._plan.inputs)[0]]["path"]))
        return Rows.of_tracks(store, header, self._params["target"]["tracks"])

    def _labels(self, regions: pd.DataFrame) -> NDArray[np.float64] | None:
        """Labels (n, tracks), NaN where one is missing; None where no effect needs them.

        Raises
        ------
        InputError : a label that is neither 0 nor 1
        """
        if not self._labelled:
            return None
        labels = self._targets.targets(regions["row"].to_numpy(np.int64)).astype(np.float64)
        wrong = np.argwhere(~np.isnan(labels) & (labels != 0) & (labels != 1))
        if len(wrong):
            row, track = wrong[0].tolist()
            name = self._params["target"]["names"][track]
            raise InputError(
                f"row {regions['row'].iloc[row]}: the target of {name} is {labels[row, track]:g}, a label is 0 or 1",
                fix="--effects value, which needs no labels",
            )
        return labels

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Join the parts into ``out.h5``; statistics of all sequences, in the file and as text."""
        files = [h5.PartFile(part.path / _PART, part.shard.start, part.shard.stop) for part in parts]
        params, names = self._params, list(self._params["target"]["names"])
        attributes = self._plan.result_attributes() | {
            "statuses": list(STATUSES),
            "models": len(model_keys(self._plan.inputs)),
        }
        with h5.create(out / _OUTPUT) as handle:
            merged = perturbation.Merged(
                handle, files, tests=[(test.kind, test.motifs) for test in self._tests], effects=params["effects"],
                labelled=self._labelled, tracks=names, attributes=attributes,
            )  # fmt: skip
            labels = merged.values("labels") if self._labelled else None
            table = Table(names, seed=params["seed"], before=merged.values("before"), labels=labels)
            for number, test in enumerate(self._tests):
                status = merged.column(number, "status")
                for effect in params["effects"]:
                    table.add(test, effect, status, merged.column(number, effect))
            lines = table.lines()
            merged.write_table(lines)
        perturbation.write_texts(out, lines)
        _tell(lines)
        kept = {name: params[name] for name in ("rows", "length", "motifs", "sites", "copies", "effects", "split")}
        return kept | {"tests": len(self._tests), "tracks": names, "models": attributes["models"]}


def _tell(lines: list[perturbation.Line]) -> None:
    """What was found, and warnings of tests that could not be made."""
    for line in lines:
        if line.note:
            log.warning("%s (%s of %s): %s", line.test, line.effect, line.track, line.note)
    significant = sum(line.q is not None and line.q < 1e-3 for line in lines)
    log.info("out.tsv: %s (a test, effect and track each), %d with q < 0.001", counted(len(lines), "line"), significant)
