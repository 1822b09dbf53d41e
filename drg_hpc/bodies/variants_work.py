"""Work of drg-variants: a shard's alleles, block by block, into one HDF5 part."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.bodies.rows import ModelRun
from drg_hpc.bodies.selection import model_keys
from drg_hpc.bodies.variants_score import Scorer
from drg_hpc.errors import CorruptError, InputError
from drg_hpc.experiments.variant_scores import against_backgrounds
from drg_hpc.experiments.variant_windows import Window, make_window
from drg_hpc.genome.vcf import Variant, select_variants
from drg_hpc.models.compute import device_model
from drg_hpc.results import h5, variants
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import BLOCK_ROWS, Attempt, Part, Shard
from drg_hpc.store.reader import GenomeStore, open_store

_PART, _OUTPUT, _TABLE = "part.h5", "out.h5", "out.tsv"


class Body:
    """Scores alleles; models, genome and VCF are opened with the first shard."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._params = plan, plan.params
        self._run = ModelRun(plan, rows="genome")
        self._scorers: dict[str, Scorer] = {}

    @cached_property
    def _genome(self) -> GenomeStore:
        store = open_store(Path(self._plan.inputs["genome"]["path"]))
        if not isinstance(store, GenomeStore):
            raise InputError(f"{store.path} is a dataset store, a genome store is needed here")
        return store

    @cached_property
    def _variants(self) -> list[Variant]:
        found, _ = select_variants(self._vcf, self._genome.contigs, length=self._params["length"])
        if len(found) < self._params["rows"]:
            raise CorruptError(f"{self._vcf} has {len(found)} alleles, {self._params['rows']} were planned")
        return found[: self._params["rows"]]

    @property
    def _vcf(self) -> Path:
        return Path(self._plan.inputs["vcf"]["path"])

    def _scorer(self, device: str) -> Scorer:
        if device not in self._scorers:
            rows = int(self._plan.aside["pass_rows"][torch.device(device).type])
            self._scorers[device] = Scorer(self._run.modules(device), self._params, rows=rows)
        return self._scorers[device]

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write ``part.h5``: the alleles of the shard, every block computed in the same shape."""
        attempt.notes |= {"device": device_model(attempt.device), "torch": torch.__version__}
        found = []
        for first in range(shard.start, shard.stop, BLOCK_ROWS):
            check_stop()
            rows = self._variants[first : min(first + BLOCK_ROWS, shard.stop)]
            length = self._params["length"]
            windows = [make_window(self._genome, row, length=length, path=self._vcf) for row in rows]
            found.append(self._block(windows, first, attempt.device))
        values = {name: np.concatenate([block[name] for block in found]) for name in found[0]}
        variants.write_part(attempt.out / _PART, self._variants[shard.start : shard.stop], values)

    def _block(self, windows: list[Window], first: int, device: str) -> dict[str, NDArray[Any]]:
        """Scores of one block, (n, k) each, by the name of their dataset."""
        scorer, gained = self._scorer(device), [window.gained for window in windows]
        pairs = [window.sequences() for window in windows]
        scores = scorer.score(np.stack([ref for ref, _ in pairs]), np.stack([alt for _, alt in pairs]), gained)
        found = {variants.dataset_name(name): values for name, values in scores.items()}
        if not self._params["backgrounds"]:
            return found
        effects = []
        for copy in range(self._params["backgrounds"]):
            check_stop()
            pairs = [
                window.shuffled(seed=self._params["seed"], row=first + number, copy=copy)
                for number, window in enumerate(windows)
            ]
            ref, alt = np.stack([ref for ref, _ in pairs]), np.stack([alt for _, alt in pairs])
            effects.append(scorer.score(ref, alt, None)["effect"])
        compared = against_backgrounds(scores["effect"], np.stack(effects))
        return found | {f"background/{name}": values for name, values in compared.items()}

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Join the parts into ``out.h5``, and write the table."""
        files = [h5.PartFile(part.path / _PART, part.shard.start, part.shard.stop) for part in parts]
        names = list(self._params["target"]["names"])
        models = len(model_keys(self._plan.inputs))
        attributes = self._plan.result_attributes() | {"conventions": variants.CONVENTIONS, "models": models}
        variants.merge(files, out / _OUTPUT, names=names, attributes=attributes)
        if self._params["format"] == "both":
            variants.write_table(out / _OUTPUT, out / _TABLE)
        summary = {name: self._params[name] for name in ("rows", "length", "bins", "stats", "skipped", "backgrounds")}
        return summary | {"tracks": names, "models": models}
