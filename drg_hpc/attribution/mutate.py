"""In-silico mutagenesis of a row: its edits through every model and view, compared with the row itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.compare import make_comparison
from drg_hpc.attribution.edit_lists import RowInput, edit_pieces, edit_starts
from drg_hpc.attribution.edits import Edits, sequence_codes, unchanged
from drg_hpc.attribution.engine import placed
from drg_hpc.attribution.evaluators import choose
from drg_hpc.attribution.full import Evaluator
from drg_hpc.attribution.ism_effects import InputEffects as InputEffects
from drg_hpc.attribution.ism_effects import Kind, RowEffects, Tally
from drg_hpc.attribution.ism_recipe import IsmRecipe
from drg_hpc.attribution.screen import Screen
from drg_hpc.attribution.sums import Moments
from drg_hpc.attribution.targets import Statistic
from drg_hpc.attribution.views import View
from drg_hpc.models.compute import array_tensor, module_place

log = logging.getLogger(__name__)
Masks = Sequence[NDArray[np.bool_]]
Array = NDArray[Any]


class Mutator:
    """Everything about in-silico mutagenesis but the sequences. Every row is computed on its own.

    Parameters
    ----------
    statistics : the same statistic of each model
    views : strands and shifts that values are averaged over, edit by edit, before they are compared; a base that a
        shift moves out of the sequence changes nothing there
    batch : mutants of a pass through the whole model
    seed : of random bases and shuffles
    inputs : names of the model's inputs, for their random numbers; None where there is one
    vjps : gradients computed at once in a screen
    compare : a function of the user's instead of the recipe's
    """

    def __init__(
        self,
        statistics: Sequence[Statistic],
        recipe: IsmRecipe,
        *,
        batch: int,
        views: Sequence[View] = (View(),),
        seed: int = 0,
        inputs: Sequence[str] | None = None,
        vjps: int = 1,
        compare: Callable[..., Any] | None = None,
    ) -> None:
        self.recipe, self.views, self.seed, self.batch = recipe, tuple(views), seed, batch
        self._statistics = list(statistics)
        self._inputs = tuple(inputs) if inputs and len(inputs) > 1 else ("",)
        self._compare = make_comparison(recipe, compare)
        self._screen = None
        if recipe.screen is not None:
            self._screen = Screen(statistics, recipe.screen, views=views, inputs=inputs, vjps=vjps)
        self._seen: dict[tuple[int, View], Statistic] = {}
        self._evaluators: dict[tuple[int, View, int], Evaluator] = {}
        self._undefined: set[str] = set()  # names of values that were warned of

    @property
    def names(self) -> tuple[str, ...]:
        """Of the values."""
        return self._statistics[0].names

    @property
    def models(self) -> int:
        """How many there are."""
        return len(self._statistics)

    @property
    def evaluators(self) -> tuple[Evaluator, ...]:
        """Those chosen so far, of every model, view and input."""
        return tuple(self._evaluators.values())

    def row(self, xs: Sequence[Array], row: int, *, scored: Masks | None = None) -> RowEffects:
        """Mutate one row.

        Parameters
        ----------
        xs : one-hot (4, L) of each input
        row : its global row number
        scored : positions asked for, (L,) of each input; None for all
        """
        arrays = [np.asarray(x) for x in xs]
        asked = [np.ones(x.shape[1], np.bool_) for x in arrays] if scored is None else [np.asarray(s) for s in scored]
        kept = asked if self._screen is None else self._screen.strongest(arrays, row, scored=asked)
        tallies = []
        for number, (name, x) in enumerate(zip(self._inputs, arrays, strict=True)):
            given = RowInput(number, name, sequence_codes(x), row, self.seed)
            tallies.append(Tally(given, self._kinds(given, asked[number], kept[number]), kept[number], self.recipe))
        predictions = Moments()
        for model in range(self.models):
            prediction, values = self.values(model, arrays, row, [tally.kinds for tally in tallies])
            predictions.add(prediction)
            for tally, found in zip(tallies, values, strict=True):
                tally.add(*self._compared(found, prediction, row))
        several = self.models > 1
        return RowEffects(
            prediction=predictions.mean.numpy(),
            prediction_sd=predictions.deviation.numpy() if several else None,
            inputs=tuple(tally.effects(several=several) for tally in tallies),
        )

    def _kinds(self, given: RowInput, asked: NDArray[np.bool_], kept: NDArray[np.bool_]) -> list[Kind]:
        found = []
        for spec in self.recipe.edits:
            starts = edit_starts(spec, asked, among=kept)
            found.append(Kind(spec, starts, tuple(edit_pieces(spec, given, starts))))
        return found

    def values(
        self, model: int, xs: Sequence[Array], row: int, kinds: Sequence[Sequence[Kind]]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Of one model, means over views: the row's values (k,), and those of the edits of each input (E, k).

        Parameters
        ----------
        model : its number
        xs : one-hot (4, L) of each input
        row : its global row number
        kinds : edits of each input
        """
        predictions: list[torch.Tensor] = []
        sums: list[torch.Tensor] = []
        for view in self.views:
            statistic = self._statistic(model, view)
            device, dtype = module_place(statistic.module)
            shown = [view.apply(array_tensor(x).to(dtype))[None].to(device) for x in xs]
            params = [placed(each, device, dtype) for each in statistic.params([row])]
            of_inputs = []
            for number, each in enumerate(kinds):
                pieces = [piece for kind in each for piece in kind.pieces] or [unchanged(0, input=number)]
                evaluator, length = self._evaluator(model, view, number, shown, params), shown[number].shape[-1]
                found = [_through(evaluator, shown, params, piece.as_seen(view, length)) for piece in pieces]
                predictions.append(found[0][0])
                of_inputs.append(torch.cat([values for _, values in found]) / len(self.views))
            sums = [a + b for a, b in zip(sums, of_inputs, strict=True)] if sums else of_inputs
        return torch.stack(predictions[:: len(kinds)]).mean(dim=0), sums

    def _statistic(self, model: int, view: View) -> Statistic:
        """The statistic of a model, as a view is to be asked for it; made once."""
        if (model, view) not in self._seen:
            self._seen[model, view] = self._statistics[model].seen_by(view)
        return self._seen[model, view]

    def _evaluator(
        self, model: int, view: View, number: int, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor]
    ) -> Evaluator:
        """Of edits of one input; chosen with the first row."""
        key = (model, view, number)
        if key not in self._evaluators:
            statistic = self._statistic(model, view)
            self._evaluators[key] = choose(
                statistic, xs, params, engine=self.recipe.engine, batch=self.batch, input=number
            )
        return self._evaluators[key]

    def _compared(self, values: torch.Tensor, prediction: torch.Tensor, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Compared values of edits (E, k), and of the sequence itself (k,)."""
        mutant, reference = values.numpy(), prediction.numpy()
        found, same = self._compare(mutant, reference), self._compare(reference[None], reference)[0]
        undefined = (~np.isfinite(found) & np.isfinite(mutant) & np.isfinite(reference)).sum(axis=0)
        new = [value for value in np.flatnonzero(undefined) if self.names[value] not in self._undefined]
        if new:
            self._undefined.update(self.names[value] for value in new)
            counts = ", ".join(f"{self.names[value]!r} {undefined[value]} of {len(found)}" for value in new)
            advice = "" if self.recipe.user_compare else "; --pseudo is added to both values"
            log.warning("row %d: %s gives no finite number (%s)%s", row, self.recipe.compare, counts, advice)
        return torch.from_numpy(found), torch.from_numpy(same)


def _through(
    evaluator: Evaluator, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor], edits: Edits
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values of the row and of its mutants, in memory; edits that change nothing are not computed."""
    there = edits.widths > 0
    row, found = evaluator.values(xs, params, edits if there.all() else edits.take(there))
    row, found = _plain(row), _plain(found)
    if there.all():
        return row, found
    values = row.repeat(len(edits), 1)
    values[torch.from_numpy(there)] = found
    return row, values


def _plain(values: torch.Tensor) -> torch.Tensor:
    return (values if values.dtype == torch.float64 else values.float()).cpu()
