"""Backgrounds of a run of drg-marginalize: which rows they are made of, and their bases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from drg_hpc.bodies.marginalize_settle import RANDOM
from drg_hpc.bodies.row_options import ROWS
from drg_hpc.bodies.rows import RowSource, open_rows
from drg_hpc.experiments.background import Background
from drg_hpc.experiments.marginal_backgrounds import draw_rows, random_backgrounds, shuffled
from drg_hpc.experiments.perturb_copies import Codes
from drg_hpc.genome.onehot import onehot_to_codes
from drg_hpc.runs.plan import Plan

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Made:
    """Some backgrounds.

    Attributes
    ----------
    codes : (n, L)
    rows : numbers in the input, of random ones their own; random numbers depend on them
    copies : numbers of the shuffles
    names : of the sequences they are made of
    """

    codes: Codes
    rows: Rows
    copies: Rows
    names: list[str]


class Maker:
    """Makes backgrounds by their number: every shuffle of the first row that is drawn, then of the next."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._params = plan, plan.params

    @cached_property
    def _source(self) -> RowSource:
        return open_rows(self._plan, name=ROWS)

    @cached_property
    def _drawn(self) -> Rows:
        """Places of the rows that are drawn, among those of the run."""
        regions = self._source.regions(0, self._params["rows"])
        kept = np.flatnonzero(regions["kept"].to_numpy(bool))
        assert len(kept), "plans without a row that is kept are refused"
        numbers = regions["row"].to_numpy(np.int64)[kept]
        found: Rows = kept[draw_rows(numbers, self._params["backgrounds"], seed=self._params["seed"])]
        return found

    def make(self, start: int, stop: int) -> Made:
        """Backgrounds ``start`` to ``stop``; fewer where rows are not kept."""
        params, length = self._params, self._params["length"]
        if params["input"] == RANDOM:
            rows = np.arange(start, stop)
            background = Background.from_params(params["background"])
            codes = random_backgrounds(rows, background, length=length, seed=params["seed"])
            return Made(codes, rows, np.zeros_like(rows), [f"random{row}" for row in rows.tolist()])
        copies = params["shuffles"]
        numbers = np.arange(start, min(stop, copies * len(self._drawn)))
        places = self._drawn[numbers // copies]
        codes, rows, names = np.empty((len(places), length), np.uint8), np.empty(len(places), np.int64), list[str]()
        for first, last in _runs(places):
            regions = self._source.regions(int(places[first]), int(places[last - 1]) + 1)
            (onehot,) = self._source.sequences(int(places[first]), int(places[last - 1]) + 1)
            within = places[first:last] - places[first]
            codes[first:last] = _codes(onehot)[within]
            rows[first:last] = regions["row"].to_numpy(np.int64)[within]
            names += regions["name"].iloc[within].tolist()
        made = shuffled(codes, rows, numbers % copies, how=params["shuffle"], seed=params["seed"])
        return Made(made, rows, numbers % copies, names)


def _codes(onehot: NDArray[np.generic]) -> Codes:
    """Codes (n, L) of one-hot (n, 4, L)."""
    return onehot_to_codes(np.ascontiguousarray(onehot.transpose(0, 2, 1)).astype(np.bool_))


def _runs(places: Rows) -> Iterator[tuple[int, int]]:
    """Stretches of ascending places without gaps: number of the first one and of the one after the last."""
    starts = np.flatnonzero(np.diff(places, prepend=-2) > 1).tolist()
    yield from zip(starts, [*starts, len(places)][1:], strict=True)
