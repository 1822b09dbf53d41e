"""What a run of drg-ism costs, from the sizes in a model's header. Light: plans say it before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drg_hpc.attribution.cost import MUTANT_BYTES, MUTANT_ROWS, RESULT_BYTES, Work
from drg_hpc.attribution.ism_recipe import IsmRecipe
from drg_hpc.results.attributions_layout import Layout
from drg_hpc.runs.spec import BLOCK_ROWS

CPU_MACS, GPU_MACS = 20e9, 5e12
"""Multiply-adds a second that expected hours are told at: of a CPU core, of a data-centre GPU."""
_BLOCK_S, _SHARD_S = 60.0, 300.0
"""Seconds at most, in full on one core, of a block of rows where that is possible, and of a shard unless one is asked
for."""
_MUTANTS = {"cpu": MUTANT_ROWS, "cuda": 1024}
"""Mutants of a pass at most, by kind of device."""


def mutants_of_pass(work: Work, kind: str) -> int:
    """Mutants of a pass through the whole model that a kind of device is good for: a power of two."""
    rows = _MUTANTS[kind]
    while rows > 1 and rows * work.row_bytes > MUTANT_BYTES[kind]:
        rows //= 2
    return rows


@dataclass(frozen=True)
class IsmCost:
    """The size of a run.

    Parameters
    ----------
    work : views, models and values; ``work.macs`` are the multiply-adds of a forward pass
    rows : sequences
    positions : of all of them that are mutated
    substitutions, others : edits of all of them
    screened : of TISM, whose price is a gradient for each row and value
    """

    work: Work
    rows: int
    positions: int
    substitutions: int
    others: int
    screened: bool = False

    @staticmethod
    def of(work: Work, recipe: IsmRecipe, *, rows: int, positions: Sequence[int]) -> IsmCost:
        """The size of a run whose rows all have so many positions of each input."""
        return IsmCost.of_rows(work, recipe, [list(positions)], times=rows)

    @staticmethod
    def of_rows(work: Work, recipe: IsmRecipe, counts: Iterable[Sequence[int]], *, times: int = 1) -> IsmCost:
        """The size of a run.

        Parameters
        ----------
        counts : positions of each input, row by row
        times : how often these rows are there
        """
        rows = positions = substitutions = edits = 0
        for count in counts:
            left = sum(count) if recipe.screen is None else min(recipe.screen, sum(count))
            share = left / sum(count) if sum(count) else 0.0
            rows, positions = rows + 1, positions + left
            substitutions += 3 * left * recipe.substitutes
            edits += round(share * recipe.edits_of_row(count))
        return IsmCost(
            work,
            rows=times * rows,
            positions=times * positions,
            substitutions=times * substitutions,
            others=times * max(0, edits - substitutions),
            screened=recipe.screen is not None,
        )

    @property
    def edits(self) -> int:
        """Of all kinds."""
        return self.substitutions + self.others

    @property
    def _passes(self) -> int:
        """Forward passes of sequences as they are, a gradient for the screen counted as one."""
        return self.rows * (1 + (1 + self.work.units if self.screened else 0))

    @property
    def full(self) -> float:
        """Multiply-adds with every mutant through the whole model."""
        return float((self._passes + self.edits) * self.work.macs * self.work.views * self.work.models)

    def incremental(self, macs: float) -> float:
        """Multiply-adds where a substitution takes ``macs``; other edits are counted in full."""
        each = (self._passes + self.others) * self.work.macs + self.substitutions * macs
        return float(each * self.work.views * self.work.models)

    @property
    def block_rows(self) -> int:
        """Rows of a block, which no shard divides: 64, and fewer where they take long."""
        rows = BLOCK_ROWS
        while rows > 1 and rows * self._row_s > _BLOCK_S:
            rows //= 2
        return rows

    @property
    def shard_rows(self) -> int:
        """Rows of a shard unless another number is asked for."""
        return max(self.block_rows, int(_SHARD_S / self._row_s) // self.block_rows * self.block_rows)

    @property
    def _row_s(self) -> float:
        return max(1e-6, self.full / max(1, self.rows) / CPU_MACS)

    def memory(self, layout: Layout, *, mutants: int) -> int:
        """Bytes that computing takes besides the model: a pass of mutants, the effects of a row, and those of a block
        (beyond a gigabyte they are in a file); blocks are written value by value."""
        row = 4 * self.work.values * 7 * self.work.bases * self.work.models
        return (
            mutants * self.work.row_bytes
            + 2 * row
            + min(RESULT_BYTES, self.block_rows * row)
            + 2 * (self.block_rows * layout.row_bytes() // self.work.values)
        )
