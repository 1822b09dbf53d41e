"""Work of drg-variants: a shard's alleles, block by block, into one HDF5 part."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.bodies.gene_places import GeneMap, GenePlace
from drg_hpc.bodies.rows import ModelRun
from drg_hpc.bodies.selection import model_keys
from drg_hpc.bodies.variants_checks import require_gene_numbers, require_numbers
from drg_hpc.bodies.variants_genes import output_of, read_places
from drg_hpc.bodies.variants_score import Scorer
from drg_hpc.bodies.variants_sums import GeneBins, gene_bins
from drg_hpc.errors import CorruptError
from drg_hpc.experiments.variant_scores import against_backgrounds, largest_of
from drg_hpc.experiments.variant_windows import Window, make_window
from drg_hpc.genome.vcf import Variant, select_variants
from drg_hpc.models.compute import device_model
from drg_hpc.results import h5, variants
from drg_hpc.results.variant_genes import GeneList, GenePairs, write_gene_table
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop
from drg_hpc.runs.spec import BLOCK_ROWS, Attempt, Part, Shard
from drg_hpc.store.reader import GenomeStore, open_genome

_PART, _OUTPUT, _TABLE, _GENE_TABLE = "part.h5", "out.h5", "out.tsv", "out_genes.tsv"


class Body:
    """Scores alleles; models, genome and VCF are opened with the first shard."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._params = plan, plan.params
        self._run = ModelRun(plan, rows="genome")
        self._scorers: dict[str, Scorer] = {}

    @cached_property
    def _genome(self) -> GenomeStore:
        return open_genome(self._plan.inputs["genome"]["path"])

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

    @cached_property
    def _near(self) -> GeneMap:
        return GeneMap(self._places)

    @cached_property
    def _places(self) -> list[GenePlace]:
        files = {name: Path(record["path"]) for name, record in self._plan.inputs.items()}
        return read_places(self._params["genes"], files, self._genome.contigs).genes

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write ``part.h5``: the alleles of the shard, block by block: passes depend on the block alone."""
        attempt.notes |= {"device": device_model(attempt.device), "torch": torch.__version__}
        found: list[dict[str, NDArray[Any]]] = []
        pairs: list[GenePairs] = []
        for first in range(shard.start, shard.stop, BLOCK_ROWS):
            check_stop()
            rows = self._variants[first : min(first + BLOCK_ROWS, shard.stop)]
            length = self._params["length"]
            windows = [make_window(self._genome, row, length=length, path=self._vcf) for row in rows]
            values, genes = self._block(windows, first, attempt.device)
            found.append(values)
            pairs += [] if genes is None else [genes]
        values = {name: np.concatenate([block[name] for block in found]) for name in found[0]}
        joined = GenePairs.joined(pairs) if pairs else None
        variants.write_part(attempt.out / _PART, self._variants[shard.start : shard.stop], values, genes=joined)

    def _block(
        self, windows: list[Window], first: int, device: str
    ) -> tuple[dict[str, NDArray[Any]], GenePairs | None]:
        """Scores of one block, (n, k) each, by the name of their dataset; and those of genes."""
        scorer, gained = self._scorer(device), [window.gained for window in windows]
        pairs = [window.sequences() for window in windows]
        ref, alt = np.stack([ref for ref, _ in pairs]), np.stack([alt for _, alt in pairs])
        genes = self._genes_of(windows)
        scores = scorer.score(ref, alt, gained, None if genes is None else self._bins_of(windows, genes))
        self._require_numbers(scores.alleles, windows)
        found = {variants.dataset_name(name): values for name, values in scores.alleles.items()}
        found |= self._against_shuffles(windows, first, scores.alleles["effect"], scorer)
        return found, None if genes is None else self._pairs(windows, first, genes, scores.genes)

    def _against_shuffles(
        self, windows: list[Window], first: int, effect: NDArray[Any], scorer: Scorer
    ) -> dict[str, NDArray[Any]]:
        """z and p of a block's effects, by the name of their dataset; nothing without --backgrounds."""
        found: list[dict[str, NDArray[Any]]] = []
        for copy in range(self._params["backgrounds"]):
            check_stop()
            pairs = [
                window.shuffled(seed=self._params["seed"], row=first + number, copy=copy)
                for number, window in enumerate(windows)
            ]
            ref, alt = np.stack([ref for ref, _ in pairs]), np.stack([alt for _, alt in pairs])
            found.append(scorer.score(ref, alt, None).alleles)
            self._require_numbers(found[-1], windows, where=f" in shuffle {copy + 1}")
        if not found:
            return {}
        refs, alts, effects = (np.stack([each[name] for each in found]) for name in ("ref", "alt", "effect"))
        sizes = largest_of(refs, alts, effects, compare=self._params["compare"])
        compared = against_backgrounds(effect, effects, sizes=sizes)
        return {f"background/{name}": values for name, values in compared.items()}

    def _require_numbers(self, scores: dict[str, NDArray[Any]], windows: list[Window], *, where: str = "") -> None:
        names, compare = self._params["target"]["names"], self._params["compare"]
        rows = [window.variant for window in windows]
        require_numbers(scores, rows, names=names, compare=compare, vcf=self._vcf, where=where)

    def _genes_of(self, windows: list[Window]) -> list[list[GenePlace]] | None:
        """Genes near each allele; None without --gtf."""
        if "genes" not in self._params:
            return None
        genes = self._params["genes"]
        return [self._near.touching(w.variant.chrom, output_of(w.variant, genes)) for w in windows]

    def _bins_of(self, windows: list[Window], genes: list[list[GenePlace]]) -> list[list[GeneBins]]:
        shifts, params = tuple(self._params["shifts"]) or (0,), self._params["genes"]
        return [
            gene_bins(window, near, params, shifts=shifts) for window, near in zip(windows, genes, strict=True)
        ]  # fmt: skip

    def _pairs(
        self, windows: list[Window], first: int, genes: list[list[GenePlace]], values: dict[str, NDArray[Any]]
    ) -> GenePairs:
        """Rows of the table of genes."""
        rows = [(number, window, gene) for number, window in enumerate(windows) for gene in genes[number]]
        names = [record["name"] for record in self._params["genes"]["values"]]
        require_gene_numbers(values, [window.variant for _, window, _ in rows], names=names, vcf=self._vcf)
        covered = [gene.covered(*output_of(window.variant, self._params["genes"])) for _, window, gene in rows]
        return GenePairs(
            allele=np.array([first + number for number, _, _ in rows], np.int64),
            gene=np.array([gene.number for _, _, gene in rows], np.int64),
            distance=np.array([gene.distance(w.variant.trimmed().start) for _, w, gene in rows], np.int64),
            covered=np.array(covered, np.float32),
            values=values,
        )

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """Join the parts into ``out.h5``, and write the tables."""
        files = [h5.PartFile(part.path / _PART, part.shard.start, part.shard.stop) for part in parts]
        names = list(self._params["target"]["names"])
        models = len(model_keys(self._plan.inputs))
        attributes = self._plan.result_attributes() | {"conventions": variants.CONVENTIONS, "models": models}
        summary = {name: self._params[name] for name in ("rows", "length", "bins", "stats", "skipped", "backgrounds")}
        summary |= {"tracks": names, "models": models}
        genes = None
        if "genes" in self._params:
            values = [record["name"] for record in self._params["genes"]["values"]]
            genes = GeneList({gene.number: gene for gene in self._places}, values)
        counts = variants.merge(files, out / _OUTPUT, names=names, attributes=attributes, genes=genes)
        if self._params["format"] == "both":
            variants.write_table(out / _OUTPUT, out / _TABLE)
            if genes is not None:
                write_gene_table(out / _OUTPUT, out / _GENE_TABLE)
        return summary | ({} if counts is None else {"genes": counts})
