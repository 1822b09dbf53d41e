"""What an attribution costs, from the sizes in a model's header. Light: plans say it before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from drg_hpc.attribution.recipe import Recipe, make_recipe
from drg_hpc.files import counted
from drg_hpc.models.header import model_inputs
from drg_hpc.runs.spec import BLOCK_ROWS

NARROWER_FROM = 8
"""Values from which on a linear head is gone round; see :mod:`drg_hpc.attribution.functions`."""
PASS_SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Rows that a pass may have: a block is cut into equal ones."""
MUTANT_ROWS = 16
"""Mutants of a pass through the whole model on a CPU, at most (more fall out of its caches, fewer leave matrix products
narrow: Basset, BPNet and DRG's networks are within a tenth of their best)."""
RESULT_BYTES = 1 << 30
"""Of the multipliers of a block that are held at once; with more values, they are computed in several goes."""
VJPS = {"cpu": 1, "cuda": 8}
"""Gradients computed at once by kind of device: one backward pass of a small network leaves most of a GPU idle."""
REFERENCE_BYTES = 1 << 28
"""Of the references of a block that are kept for other views and models."""
PASS_BYTES = {"cpu": 32 << 20, "cuda": 4 << 30}
"""Activations of a pass by kind of device: on a CPU what caches and the allocator hold on to (with more, each tensor is
new memory), on a GPU what fits and keeps it busy."""
MUTANT_BYTES = {"cpu": 1 << 30, "cuda": 4 << 30}
"""Activations of all layers for a pass of mutants by kind of device; without gradients few of them are held at once."""


def values_at_once(size: int, *, models: int) -> int:
    """Values of a statistic whose multipliers of a block are held at once.

    Parameters
    ----------
    size : numbers of a row's sequences, 4 a base
    """
    return max(1, RESULT_BYTES // _value_bytes(size, models=models))


def _value_bytes(size: int, *, models: int) -> int:
    """Of the multipliers of a block, and of their products with references; twice where models are averaged."""
    return 8 * BLOCK_ROWS * size * (1 if models == 1 else 2)


@dataclass(frozen=True)
class Work:
    """The size of an attribution.

    Parameters
    ----------
    header : of the model
    values : of the statistic, a row
    tracks : whether these are tracks as they are, so that a linear head may be gone round
    references : of a row, 0 where the method has none
    views : strands times shifts
    models : averaged over
    """

    header: Mapping[str, Any]
    values: int
    tracks: bool
    references: int
    views: int = 1
    models: int = 1

    @property
    def macs(self) -> int:
        """Multiply-adds of one forward pass of one row."""
        return int(self.header["operations"]["macs_per_row"])

    @property
    def bases(self) -> int:
        """Of a row, over all inputs."""
        return sum(model_inputs(self.header).values())

    @property
    def embedding(self) -> int:
        """What the linear head takes, where it is gone round; else 0."""
        width = int(self.header["operations"].get("embedding", 0))
        return width if self.tracks and self.values >= NARROWER_FROM and 0 < width < self.values else 0

    @property
    def units(self) -> int:
        """Backward passes at a point."""
        return self.embedding or self.values

    def passes(self, recipe: Recipe) -> int:
        """Forward passes that a row is worth, a backward pass to the sequence counted as one."""
        each = self.units
        spec = recipe.spec
        if recipe.method in ("deeplift", "deepshap"):
            found = 1 + self.references * (1 + each)
        elif recipe.samples:
            found = 1 + recipe.samples * (1 + each)
        elif spec.needs_reference:
            complete = recipe.method == "integrated-gradients"  # it also needs the references' values
            found = 1 + self.references * (spec.points * (1 + each) + complete)
        else:
            found = 1 + each
        return found * self.views * self.models

    def mutagenesis_passes(self) -> int:
        """The same of in-silico mutagenesis, which gives all tracks at once."""
        return (1 + 3 * self.bases) * self.views * self.models

    def _pairs(self, recipe: Recipe | None) -> int:
        """Sequences in memory for each row of a pass."""
        return max(1, self.references) if recipe is not None and recipe.method in ("deeplift", "deepshap") else 1

    def pass_rows(self, recipe: Recipe | None, kind: str) -> int:
        """Rows of a pass that a kind of device is good for: a power of two up to 64; None: of attention weights."""
        rows = BLOCK_ROWS
        while rows > 1 and rows * self._pairs(recipe) * self.row_bytes > PASS_BYTES[kind]:
            rows //= 2
        return rows

    @property
    def row_bytes(self) -> int:
        """Activations of a row, each of which is taken to cost at least 32 multiply-adds."""
        return 4 * (self.macs // 32 + 64 * self.bases)

    def memory(self, recipe: Recipe | None, *, batch: int) -> int:
        """Bytes that computing takes besides the model: a pass with its gradients, and the multipliers of a block."""
        size, pairs = 4 * self.bases, batch * self._pairs(recipe)
        values = min(self.values, values_at_once(size, models=self.models))
        drawn = (
            4
            * size
            * self.references
            * max(batch, min(BLOCK_ROWS, REFERENCE_BYTES // max(1, 4 * size * self.references)))
        )
        return 3 * pairs * self.row_bytes + 2 * values * _value_bytes(size, models=self.models) + 2 * drawn

    def route(self) -> str:
        """How the values are reached, in words."""
        if self.embedding:
            return f"{self.embedding} backward passes over the embedding instead of {self.values}, one per value"
        return counted(self.values, "backward pass", "es")

    def lines(self, recipe: Recipe, *, rows: int) -> list[str]:
        """For people: route, operations, and what other methods would take."""
        mine = self.passes(recipe)
        others = {
            "gradient": make_recipe("gradient"),
            f"deepshap with {self.references or 20} references": make_recipe("deepshap"),
        }
        sized = replace(self, references=self.references or 20)
        instead = {name: sized.passes(other) for name, other in others.items() if other.method != recipe.method}
        instead["in-silico mutagenesis"] = self.mutagenesis_passes()
        others_shown = ", ".join(f"{name} {passes}" for name, passes in instead.items())
        return [
            f"at each point 1 forward pass and {self.route()}",
            f"operations: {rows * mine * self.macs:.3g} multiply-adds; passes a row, of {self.macs:.3g}: {mine} ("
            f"{others_shown})",
        ]
