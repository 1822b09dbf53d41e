"""Values of a sequence with each of some pieces replaced, by every model and view."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.attribution.edit_lists import PIECE_CODES, RowInput, edit_pieces
from drg_hpc.attribution.edit_spec import EditSpec, Fill
from drg_hpc.attribution.edits import Codes, Edits, Positions, concatenated, replacements, sequence_codes
from drg_hpc.attribution.ism_effects import Kind
from drg_hpc.attribution.ism_recipe import IsmRecipe
from drg_hpc.attribution.mutate import Mutator
from drg_hpc.attribution.targets import Statistic
from drg_hpc.attribution.views import View
from drg_hpc.bodies.ablate_pieces import BACKGROUND
from drg_hpc.experiments.ablation import Array, drawn, effects_of
from drg_hpc.results.attributions_blocks import require_defined
from drg_hpc.runs.signals import check_stop

_FILLS: Mapping[str, Fill] = {"mono": "shuffle", "dinuc": "dinuc"}


@dataclass(frozen=True)
class Ablated:
    """Of one sequence.

    Attributes
    ----------
    value : (k,), of the sequence as it is; mean over models
    effects : (n, k) of each piece, by the name of their dataset
    changed : (n,) mean share of the bases of a piece that its copies have another base at
    """

    value: Array
    effects: dict[str, Array]
    changed: Array


class Ablator:
    """Replaces pieces of one sequence at a time.

    Parameters
    ----------
    params : of the plan: replace, background, shuffles, engine, seed

    Attributes
    ----------
    mutator : computes values
    """

    def __init__(
        self, statistics: Sequence[Statistic], params: Mapping[str, Any], *, views: Sequence[View], batch: int
    ) -> None:  # fmt: skip
        recipe = IsmRecipe(engine=params["engine"])
        self.mutator = Mutator(statistics, recipe, batch=batch, views=views, seed=params["seed"])
        self._replace, self._background = params["replace"], params["background"]
        self._copies = int(params["shuffles"])

    def ablate(self, x: NDArray[Any], row: int, starts: Positions, ends: Positions) -> Ablated:
        """Replace each piece by itself.

        Parameters
        ----------
        x : one-hot (4, L)
        row : number that random numbers depend on
        starts, ends : (n,) of the pieces, n at least 1
        """
        given = RowInput(0, "", sequence_codes(x), row, self.mutator.seed)
        widths, found, values = ends - starts, dict[str, Array](), np.zeros(0)
        changed = np.empty(len(starts))
        order = np.lexsort((starts, widths))  # what has one width is drawn together
        step = max(1, PIECE_CODES // (self._copies * max(int(widths.max()), len(self.mutator.names))))
        for first in range(0, len(order), step):
            check_stop()
            part = order[first : first + step]
            edits = concatenated(list(self._edits(given, starts[part], widths[part])))
            share = _changed(given.codes, edits)
            values, after = self.copies(x, row, edits, share > 0)
            changed[part] = share.reshape(-1, self._copies).mean(axis=1)
            effects = effects_of(after, values)
            for name, each in (("effect", effects.mean), ("sd", effects.sd), ("model_sd", effects.model_sd)):
                if each is not None:
                    found.setdefault(name, np.empty((len(starts), each.shape[1])))[part] = each
        return Ablated(values.mean(axis=0), found, changed)

    def copies(self, x: NDArray[Any], row: int, edits: Edits, differ: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Values of the sequence (models, k), and of its copies (models, n, copies, k).

        Parameters
        ----------
        edits : piece after piece, with the copies of each together
        differ : (n * copies,) the copies that differ from the sequence; the others have its values, which rounding in
            other passes would not give exactly

        Raises
        ------
        InputError : a value that is not finite
        """
        changing = edits.take(differ)
        kind = Kind(EditSpec("windows"), changing.starts, (changing,))
        original, after = [], []
        for model in range(self.mutator.models):
            prediction, (values,) = self.mutator.values(model, [x], row, [[kind]])
            original.append(prediction.double().numpy())
            found = np.repeat(original[-1][None], len(edits), axis=0)
            found[differ] = values.double().numpy()
            after.append(found.reshape(-1, self._copies, len(prediction)))
        value, copies, rows = np.stack(original), np.stack(after), np.array([row])
        require_defined(value[None], self.mutator.names, rows=rows)
        require_defined(copies[None], self.mutator.names, rows=rows, of="prediction of a changed copy")
        return value, copies

    def _edits(self, given: RowInput, starts: Positions, widths: Positions) -> Iterator[Edits]:
        """Copies of pieces whose widths ascend."""
        for width in np.unique(widths).tolist():
            own = starts[widths == width]
            if self._replace == BACKGROUND:
                windows = given.codes[own[:, None] + np.arange(width)]
                put = drawn(windows, own, self._background, copies=self._copies, seed=given.seed, row=given.row)
                yield replacements(np.repeat(own, self._copies), put.reshape(-1, width))
            else:
                spec = EditSpec("windows", width, _FILLS[self._replace], copies=self._copies)
                yield from edit_pieces(spec, given, own)


def _changed(codes: Codes, edits: Edits) -> Array:
    """Share of the bases of each edit that differ from those of the sequence."""
    differs = np.add.reduceat(edits.codes != codes[edits.places], edits.offsets[:-1], dtype=np.float64)
    found: Array = differs / edits.widths
    return found
