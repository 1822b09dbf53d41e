"""Rows of a run over genes: the table of regions, and sequences from a genome store."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.attribution.genes import COVERED, GeneRow, table_digest
from drg_hpc.bodies.gene_plan import read_gene_rows
from drg_hpc.errors import CorruptError
from drg_hpc.genome.onehot import UNKNOWN, codes_to_onehot
from drg_hpc.runs.plan import Plan
from drg_hpc.store.genome_reader import GenomeStore
from drg_hpc.store.reader import open_store


class GeneRows:
    """A :class:`drg_hpc.bodies.rows.RowSource` of genes, made again from the plan's ``genes`` and its files.

    Sequences are those of the + strand, whatever the gene's, with N off the ends of contigs; rows that are not kept
    are all N.

    Raises
    ------
    CorruptError : the rows are not those that the plan was made with
    """

    def __init__(self, plan: Plan, *, genome: str = "genome") -> None:
        self._params: dict[str, Any] = plan.params["genes"]
        self._files = {name: Path(record["path"]) for name, record in plan.inputs.items()}
        store = open_store(self._files[genome])
        assert isinstance(store, GenomeStore)
        self._genome = store

    @cached_property
    def rows(self) -> list[GeneRow]:
        """All rows of the run."""
        found = read_gene_rows(self._params, self._files, self._genome.contigs)
        if len(found) != self._params["rows"] or table_digest(found) != self._params["sha256"]:
            raise CorruptError(
                f"{self._files['gtf']} gives {len(found)} rows that are not the plan's {self._params['rows']}",
                fix="plan a new run with another -o",
            )
        return found

    @cached_property
    def _table(self) -> pd.DataFrame:
        columns: dict[str, Any] = {
            name: [getattr(row, name) for row in self.rows]
            for name in ("chrom", "start", "end", "kept", "reason", "gene_id", "gene_name", "choice", COVERED)
        }
        several = len({row.gene_id for row in self.rows}) < len(self.rows)
        columns["name"] = [_name(row, several) for row in self.rows]
        columns["gene_strand"] = [row.strand for row in self.rows]
        return pd.DataFrame(columns).assign(strand="+", origin="given", row=np.arange(len(self.rows), dtype=np.int64))

    def regions(self, start: int, stop: int) -> pd.DataFrame:
        """Some rows of the table."""
        return self._table.iloc[start:stop]

    def sequences(self, start: int, stop: int) -> list[NDArray[Any]]:
        """One-hot (n, 4, L) of some rows, of the one input."""
        chosen = self.rows[start:stop]
        codes = np.full((len(chosen), self._params["geometry"]["length"]), UNKNOWN, np.uint8)
        for i, row in enumerate(chosen):
            if row.kept:
                codes[i] = self._genome.codes(row.chrom, row.start, row.end)
        return [codes_to_onehot(codes).transpose(0, 2, 1).astype(np.float32)]

    def intervals(self, start: int, stop: int) -> dict[str, pd.DataFrame]:
        """None: rows have one sequence."""
        return {}


def _name(row: GeneRow, several: bool) -> str:
    """The gene's id; where genes have several rows, what was chosen besides."""
    return f"{row.gene_id} {row.choice}" if several and row.choice else row.gene_id
