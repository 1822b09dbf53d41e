"""What a file of attributions holds: names, shapes and types of its datasets. Light, so that plans can count bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from drg_hpc.runs.spec import BLOCK_ROWS

RAW = "raw/seq"
SHAP = "shap/seq"
PROJECTED_SHAP = "projected_shap/seq"
ATTENTION = "attention"
ISM = "ism"
"""The form of in-silico mutagenesis: what each base would do to the prediction."""
SCORED = "scored"
INTERVAL_TEXT = ("chrom", "strand")
INTERVAL_NUMBERS = ("start", "end")
_ATTENTION_CHUNK_BYTES = 4 << 20
SIZES = {"int8": 1, "float16": 2, "float32": 4, "int32": 4}
"""Bytes of a value."""

Datasets = dict[str, tuple[tuple[int, ...], str]]
"""Name -> (shape of a row, type)."""


@dataclass(frozen=True)
class Attention:
    """Attention scores of a row: ``(layers, heads, positions, positions)``.

    Parameters
    ----------
    layers : their names, in order
    """

    layers: tuple[str, ...]
    heads: int
    positions: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a row."""
        return (len(self.layers), self.heads, self.positions, self.positions)


@dataclass(frozen=True)
class Mutagenesis:
    """What a file of in-silico mutagenesis holds of each track, in the place of other forms.

    Parameters
    ----------
    substitutions : every base at every position, and what is made of them: the form and its projection
    edits : names of other kinds of edits, (N, L) each, NaN where none was made
    """

    substitutions: bool = True
    edits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """Which datasets a file of attributions holds.

    With one input they lie at the root. With several, what belongs to one input lies below ``inputs/<name>/`` under the
    same names, and hard links there lead to what belongs to the row as a whole.

    Parameters
    ----------
    inputs : (name, bases) of every sequence of a row, in the model's order
    tracks : (number, name) of every track attributed; the number names its group
    form : name of the four-base form: raw, corrected, hypothetical, global, tism, ism
    keep_form : store that form, (N, 4, L), besides the projection
    form_is_contribution : the form times the sequence, summed over bases, is the projection (global is not such a form)
    dtype : float16 or float32
    delta : a convergence delta of each row and track
    deviations : standard deviations over models
    top : store only that many positions of each row and track, 0 for all
    unkept : some rows are not kept; they hold NaN, and zeros in ``shap/seq`` and ``projected_shap/seq``, since motif
        finders cannot do with NaN
    attention : scores to store, None for none
    columns : further columns of ``regions``, after those that all results have
    mutagenesis : what a file of form ``ism`` holds, with ``scored``: 1 at the positions that were mutated, where the
        form is not NaN
    block_rows : of a chunk
    """

    inputs: tuple[tuple[str, int], ...]
    tracks: tuple[tuple[int, str], ...]
    form: str
    keep_form: bool
    form_is_contribution: bool
    dtype: str
    delta: bool = False
    deviations: bool = False
    top: int = 0
    unkept: bool = False
    attention: Attention | None = None
    columns: tuple[str, ...] = ()
    mutagenesis: Mutagenesis | None = None
    block_rows: int = BLOCK_ROWS

    @property
    def several(self) -> bool:
        """The model takes several sequences a row."""
        return len(self.inputs) > 1

    @property
    def single(self) -> bool:
        """One track, all positions: the file also holds ``shap/seq`` and ``projected_shap/seq`` for motif finders."""
        return len(self.tracks) == 1 and not self.top and self.by_base

    @property
    def by_base(self) -> bool:
        """Tracks have attributions to every base."""
        return self.mutagenesis is None or self.mutagenesis.substitutions

    @property
    def stores_form(self) -> bool:
        """The form has a dataset of its own, and is not just a link to ``shap/seq``."""
        return self.keep_form and not (self.single and self.form_is_contribution and not self.unkept)

    @property
    def stores_form_sd(self) -> bool:
        """The form has standard deviations over models."""
        return self.mutagenesis is not None and self.deviations and self.stores_form

    @property
    def has_contributions(self) -> bool:
        """Contributions of all four bases can be read: as a form, from TISM or ISM, or from ``shap/seq``."""
        derived = self.form in ("tism", ISM)
        return self.single or (self.by_base and self.keep_form and (self.form_is_contribution or derived))

    @property
    def interval_datasets(self) -> list[str]:
        """Of the intervals that the sequences of several inputs come from."""
        names = sorted((*INTERVAL_TEXT, *INTERVAL_NUMBERS)) if self.several else []
        return [f"{self.folder(number)}regions/{name}" for number in range(len(self.inputs)) for name in names]

    def folder(self, number: int) -> str:
        """Where what belongs to an input lies: a prefix of names, empty where there is one input."""
        return f"inputs/{self.inputs[number][0]}/" if self.several else ""

    def group(self, position: int) -> str:
        """Group of the ``position``-th track of this file, named after its number."""
        return f"tracks/{self.tracks[position][0]:05d}"

    def own_group(self, position: int, number: int) -> str:
        """Where the attributions of a track to one of the inputs lie."""
        return self.folder(number) + self.group(position)

    def kept_positions(self, number: int) -> int:
        """Positions of an input that are stored: ``top``, or all of a shorter one."""
        length = self.inputs[number][1]
        return min(self.top, length) if self.top else length

    def datasets(self) -> Datasets:
        """Fixed-row datasets in the order of the file, but for those of ``regions``."""
        numbers = range(len(self.inputs))
        found: Datasets = {self.folder(n) + RAW: ((4, self.inputs[n][1]), "int8") for n in numbers}
        if self.mutagenesis is not None:
            found |= {self.folder(n) + SCORED: ((self.inputs[n][1],), "int8") for n in numbers}
        for position in range(len(self.tracks)):
            group = self.group(position)
            found |= {f"{group}/{name}": ((), "float32") for name in self.values}
            for n in numbers:
                found |= self._attributions(position, n)
        if self.single:
            four = [((4, length), self.dtype) for _, length in self.inputs]
            found |= {self.folder(n) + name: four[n] for n in numbers for name in (SHAP, PROJECTED_SHAP)}
        if self.attention is not None:
            found[ATTENTION] = (self.attention.shape, self.dtype)
        return found

    @property
    def values(self) -> list[str]:
        """Datasets of one number a row and track."""
        asked = {"prediction": True, "prediction_sd": self.deviations, "delta": self.delta}
        return [name for name, wanted in asked.items() if wanted]

    def _attributions(self, position: int, number: int) -> Datasets:
        group, kept = self.own_group(position, number), self.kept_positions(number)
        if self.top:
            group += "/top"
        found: Datasets = {f"{group}/positions": ((kept,), "int32")} if self.top else {}
        if self.mutagenesis is not None:
            found |= {f"{group}/{name}": ((kept,), self.dtype) for name in self.mutagenesis.edits}
        if not self.by_base:
            return found
        found[f"{group}/projected"] = ((kept,), self.dtype)
        if self.deviations:
            found[f"{group}/projected_sd"] = ((kept,), self.dtype)
        if self.stores_form:
            found[f"{group}/{self.form}"] = ((4, kept), self.dtype)
        if self.stores_form_sd:
            found[f"{group}/{self.form}_sd"] = ((4, kept), self.dtype)
        return found

    def chunks(self) -> tuple[int, ...] | None:
        """Of the attention scores: rows of one layer and head, since a block of 64 rows can exceed memory."""
        if self.attention is None:
            return None
        width = self.attention.positions
        return (1, 1, 1, max(1, min(width, _ATTENTION_CHUNK_BYTES // (width * SIZES[self.dtype]))), width)

    def links(self) -> dict[str, str]:
        """Hard links of the merged file: name -> dataset it equals."""
        found: dict[str, str] = {}
        for n in range(len(self.inputs)):
            if self.keep_form and not self.stores_form:
                found[f"{self.own_group(0, n)}/{self.form}"] = self.folder(n) + SHAP
            if self.several:
                for position in range(len(self.tracks)):
                    group, own = self.group(position), self.own_group(position, n)
                    found |= {f"{own}/{name}": f"{group}/{name}" for name in self.values}
        return found

    def row_bytes(self) -> int:
        """Bytes of one row before compression, without its line in ``regions``."""
        return sum(math.prod(shape) * SIZES[kind] for shape, kind in self.datasets().values())

    def summary(self) -> dict[str, Any]:
        """What done.json says of the file: tracks, ``length`` or ``inputs`` (name, length), ``top``, datasets; and
        ``by_base`` false where tracks have no attributions to bases."""
        found: dict[str, Any] = {"length": self.inputs[0][1]}
        if self.several:
            found = {"inputs": [list(pair) for pair in self.inputs]}
        if self.top:
            found["top"] = self.top
        if not self.by_base:
            found["by_base"] = False
        tracks = [name for _, name in self.tracks]
        return found | {"tracks": tracks, "datasets": [*self.datasets(), *self.links()]}
