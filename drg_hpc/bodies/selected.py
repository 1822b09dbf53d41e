"""What a plan knows of the rows that a run over a model works on. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from drg_hpc.bodies.where_rows import Chosen, pack
from drg_hpc.genome.regions import Region

ROW_MEMORY = 600  # bytes of a region with its name, in every worker


@dataclass(frozen=True)
class Selection:
    """Rows of an input.

    Parameters
    ----------
    kind : store, fasta, or regions of a genome
    records : descriptions of the files, for the inputs of the plan; the first is of what the sequences are read from
    rows : number of rows selected
    split : of a store, else None
    inputs : names of the store's sequences in the order of the model; nothing where both have one, whatever its name
    extra : what :attr:`params` has besides
    aside : see :class:`drg_hpc.runs.spec.RunSpec`
    unkept : there are rows with kept=false
    memory : bytes that a worker needs for the list of rows, and for sequences that it holds
    notes : lines worth telling the user
    regions : of the rows; None of a store, whose table a plan does not read
    """

    kind: Literal["store", "fasta", "regions"]
    records: dict[str, dict[str, Any]]
    rows: int
    split: str | None
    inputs: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    aside: Mapping[str, Any] = field(default_factory=dict)
    unkept: bool = False
    memory: int = 0
    notes: tuple[str, ...] = ()
    regions: Sequence[Region] | None = field(default=None, repr=False, compare=False)

    @property
    def params(self) -> dict[str, Any]:
        """What ``open_rows`` of :mod:`drg_hpc.bodies.rows` needs, for the plan."""
        named = {"inputs": list(self.inputs)} if self.inputs else {}
        return {"input": self.kind, "split": self.split, "rows": self.rows, **named, **self.extra}

    def only(self, chosen: Chosen) -> Selection:
        """The rows of it that ``--where`` chose."""
        return replace(
            self,
            rows=len(chosen.rows),
            split=chosen.split,
            extra={**self.extra, "where": chosen.params},
            aside={**self.aside, "chosen_rows": pack(chosen.rows)},
            notes=(*self.notes, chosen.note),
            regions=None if self.regions is None else [self.regions[row] for row in chosen.rows],
        )
