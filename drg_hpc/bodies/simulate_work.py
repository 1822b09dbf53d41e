"""Work of drg-simulate."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.bodies.dataset_body import PART_FACTS, merge_store
from drg_hpc.experiments.background import Background
from drg_hpc.experiments.grammar import OUTCOMES, grammar_of
from drg_hpc.experiments.label_values import label_values
from drg_hpc.experiments.labels import effects_of
from drg_hpc.experiments.sequences import Simulated, Simulator
from drg_hpc.experiments.site_table import site_table
from drg_hpc.experiments.tables import HOLDS
from drg_hpc.files import read_json, write_json
from drg_hpc.results import simulation
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import Attempt, Part, Shard
from drg_hpc.store.dataset_layout import dataset_arrays, inputs_of, modalities_of
from drg_hpc.store.layout import STORE
from drg_hpc.store.writer import PartWriter

_TEXT = np.dtypes.StringDType()
_SITES = "sites"


class Body:
    """Whole zarr row-shards into parts, with a file of sites for each; parts into a store and one table."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.header: dict[str, Any] = plan.params["header"]
        self.grammar = grammar_of(plan.params["grammar"])
        self.effects = effects_of(plan.params["effects"])

    @cached_property
    def _simulator(self) -> Simulator:
        background = Background.from_params(self.plan.params["background"])
        return Simulator(self.grammar, background, seed=int(self.header["seed"]))

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Simulate the global rows ``shard.start`` to ``shard.stop``."""
        writer = PartWriter(attempt.out / STORE, dataset_arrays(self.header))
        (attempt.out / _SITES).mkdir()
        outcomes = np.zeros(len(OUTCOMES), np.int64)
        size = int(self.header["row_shard"])
        for start in range(shard.start, shard.stop, size):
            check_stop()
            found = self._simulator.rows(start, min(start + size, shard.stop))
            outcomes += np.bincount(found.outcome, minlength=len(OUTCOMES))
            self._write_rows(writer, start, found)
            self._write_sites(attempt.out / _SITES / f"{start // size:06d}.h5", start, found)
        writer.close()
        write_json(attempt.out / PART_FACTS, {"outcomes": outcomes.tolist()})

    def _write_rows(self, writer: PartWriter, start: int, found: Simulated) -> None:
        rows = np.arange(start, start + len(found.codes))
        index = start // int(self.header["row_shard"])
        item, modality = inputs_of(self.header)[0], modalities_of(self.header)[0]
        writer.write_codes(f"inputs/{item.name}", index, found.codes)
        values = label_values(
            self.effects,
            present=found.starts >= 0,
            holds=found.outcome == HOLDS,
            rows=rows,
            seed=int(self.header["seed"]),
        )
        writer.write(f"targets/{modality.name}", index, values.astype(modality.dtype))
        writer.write(f"targets_mask/{modality.name}", index, np.ones(values.shape, bool))
        for name, column in self._columns(rows).items():
            writer.write(f"regions/{name}", index, column)

    def _columns(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """The regions of simulated rows: they have a name and a split, and no place on a genome."""
        count = len(rows)
        splits = self.header["splits"]
        bounds = np.cumsum([splits["train"], splits["valid"]])
        split = np.array(["train", "valid", "test"], _TEXT)[np.searchsorted(bounds, rows, side="right")]
        blank = np.full(count, "", _TEXT)
        return {
            "chrom": blank, "start": np.zeros(count, np.int64), "end": np.zeros(count, np.int64),
            "name": np.array([f"seq{row}" for row in rows.tolist()], _TEXT), "strand": blank, "split": split,
            "fold": np.full(count, -1, np.int32), "kept": np.ones(count, bool), "reason": blank,
            "origin": np.full(count, "given", _TEXT), "parent": rows,
        }  # fmt: skip

    def _write_sites(self, path: Path, start: int, found: Simulated) -> None:
        sites, letters = site_table(found, self.grammar.widths, first_row=start)
        rows = {"outcome": found.outcome, "sites": (found.starts >= 0).sum(axis=1)}
        simulation.write_part(path, sites=sites, letters=letters, rows=rows)

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Link the parts' shard files into ``out.zarr``; join their sites to ``sites.h5``."""
        merge_store(self.header, parts, out)
        params = self.plan.params
        grammar = {key: value for key, value in params["grammar"].items() if key != "words"}
        attributes = {
            "grammar": grammar,
            "background": params["background"],
            "effects": params["effects"],
            "outcomes": list(OUTCOMES),
            "rows": int(self.header["rows"]),
            "seed": int(self.header["seed"]),
            "sources": self.header["sources"],
        }
        files = [path for part in parts for path in sorted((part.path / _SITES).iterdir())]
        sites = simulation.merge_parts(
            files, out / simulation.FILE, motifs=params["grammar"]["words"], attributes=attributes
        )
        total = sum((Counter(dict(enumerate(read_json(p.path / PART_FACTS)["outcomes"]))) for p in parts), Counter())
        return {
            "rows": self.header["rows"],
            "kept": self.header["kept"],
            "splits": self.header["splits"],
            "inputs": {item.name: item.length for item in inputs_of(self.header)},
            "tracks": len(modalities_of(self.header)[0].tracks),
            "sites": sites,
            "outcomes": {name: total[number] for number, name in enumerate(OUTCOMES)},
        }
