"""Attribute sequences block by block: the engine behind drg-attr and :mod:`drg_hpc.attribution.attribute`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution import forms
from drg_hpc.attribution.cost import REFERENCE_BYTES, values_at_once
from drg_hpc.attribution.functions import Function, require_rows_apart
from drg_hpc.attribution.methods import METHODS, Batch, Multipliers
from drg_hpc.attribution.recipe import Recipe
from drg_hpc.attribution.reference_spec import parse_references
from drg_hpc.attribution.references import draw
from drg_hpc.attribution.sums import Sums
from drg_hpc.attribution.targets import Statistic
from drg_hpc.attribution.views import View
from drg_hpc.errors import InputError
from drg_hpc.models.compute import array_tensor, module_place, pad_block
from drg_hpc.runs.spec import BLOCK_ROWS

log = logging.getLogger(__name__)
Tensors = tuple[torch.Tensor, ...]
_Key = tuple[int, bool, int, int, int]
"""Model, strand, shift, first value, rows of a pass."""


@dataclass(frozen=True)
class InputResult:
    """One input of one value: form and contribution (n, 4, L), projected (n, L), its s.d. over models or None."""

    form: NDArray[Any]
    contribution: NDArray[Any]
    projected: NDArray[Any]
    projected_sd: NDArray[Any] | None


@dataclass(frozen=True)
class TrackResult:
    """One value of the statistic of one block.

    Attributes
    ----------
    prediction : (n,), mean over views and models
    prediction_sd : (n,), over models; None where there is one
    delta : (n,), the largest convergence error over references, views and models; None for methods that have none
    inputs : of each input of the model
    """

    prediction: NDArray[Any]
    prediction_sd: NDArray[Any] | None
    delta: NDArray[Any] | None
    inputs: tuple[InputResult, ...]


def smaller_pass(batch: int) -> int:
    """Rows of the passes to go on with after one did not fit into a GPU's memory; it is said in the log.

    Raises
    ------
    InputError : it had one row
    """
    if batch == 1:
        raise InputError("the GPU's memory does not hold one sequence", fix="use fewer references, or --device cpu")
    torch.cuda.empty_cache()
    log.warning("out of GPU memory: passes of %d rows from here on", batch // 2)
    return batch // 2


class Engine:
    """Everything about an attribution but the sequences.

    Parameters
    ----------
    statistics : the same statistic of each model
    recipe : method, form, references
    views : strands and shifts that multipliers are averaged over
    batch : rows of a pass, a power of two up to 64; halved when a GPU's memory does not do
    seed : of methods that draw random numbers
    inputs : names of the model's inputs, for their random numbers; None where there is one
    vjps : gradients computed at once

    Attributes
    ----------
    batch : rows of a pass now
    """

    def __init__(
        self,
        statistics: Sequence[Statistic],
        recipe: Recipe,
        *,
        views: Sequence[View] = (View(),),
        batch: int = BLOCK_ROWS,
        seed: int = 0,
        inputs: Sequence[str] | None = None,
        vjps: int = 1,
    ) -> None:
        assert BLOCK_ROWS % batch == 0
        self.recipe, self.views, self.seed = recipe, tuple(views), seed
        self._statistics, self.batch, self._vjps = list(statistics), batch, vjps
        self._inputs = tuple(inputs) if inputs and len(inputs) > 1 else ("",)
        self._functions: dict[_Key, Function] = {}
        self._spec = None if recipe.references is None else parse_references(recipe.references)
        self._checked: set[int] = set()  # models
        self._prepared: dict[tuple[int, View, int], Statistic] = {}
        self._drawn: dict[tuple[int, int], list[NDArray[Any]]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the values."""
        return self._statistics[0].names

    def block(
        self,
        sequences: Sequence[NDArray[Any]],
        rows: Sequence[int],
        *,
        references: Sequence[NDArray[Any]] | None = None,
    ) -> Iterator[TrackResult]:
        """Attribute up to 64 rows; results come value by value.

        Parameters
        ----------
        sequences : (n, 4, L) of each input
        rows : their global row numbers
        references : (n, R, 4, L) of each input, instead of the recipe's
        """
        xs = [np.asarray(each) for each in sequences]
        self._drawn.clear()
        step = values_at_once(sum(x[0].size for x in xs), models=len(self._statistics))
        for first in range(0, len(self.names), step):
            values = range(first, min(first + step, len(self.names)))
            yield from self._results(self._sums(values, xs, rows, references), xs)

    def _sums(
        self, values: range, xs: list[NDArray[Any]], rows: Sequence[int], references: Sequence[NDArray[Any]] | None
    ) -> Sums:
        """Multipliers of some values, averaged over views and models."""
        shapes = [x.shape for x in xs]
        dtype = torch.float32
        for statistic in self._statistics:
            dtype = torch.promote_types(dtype, module_place(statistic.module)[1])
        sums = Sums(
            len(values), shapes, views=self.views, recipe=self.recipe, models=len(self._statistics), dtype=dtype
        )
        for model in range(len(self._statistics)):
            for view in self.views:
                at = 0
                while at < len(rows):
                    at = self._pass(sums, model, view, values, at, xs=xs, rows=rows, references=references)
            sums.finish_model([array_tensor(x).to(dtype) for x in xs])
        return sums

    def _pass(
        self,
        sums: Sums,
        model: int,
        view: View,
        values: range,
        at: int,
        *,
        xs: list[NDArray[Any]],
        rows: Sequence[int],
        references: Sequence[NDArray[Any]] | None,
    ) -> int:
        """Add one pass from row ``at`` on; where the next begins. Out of memory: passes are halved, none is added."""
        stop = min(at + self.batch, len(rows))
        try:
            found = self._explain(
                model,
                view,
                values,
                xs=[x[at:stop] for x in xs],
                rows=rows[at:stop],
                references=self._references_of(slice(at, stop), xs=xs, rows=rows, given=references),
            )
        except torch.OutOfMemoryError:
            self._retreat()
            return at
        sums.add(view, slice(at, stop), *found)
        return stop

    def _references_of(
        self, part: slice, *, xs: list[NDArray[Any]], rows: Sequence[int], given: Sequence[NDArray[Any]] | None
    ) -> list[NDArray[Any]] | None:
        """References (n, R, 4, L) of a pass, of each input, zero where there is no base.

        Drawn ones are kept for other views and models while they are small.
        """
        if given is not None:
            known = (forms.known_bases(array_tensor(x[part]))[:, None].numpy() for x in xs)
            return [each[part] * bases for each, bases in zip(given, known, strict=True)]
        if self._spec is None:
            return None
        key = (part.start, part.stop)
        found = self._drawn.get(key)
        if found is None:
            found = [
                draw(self._spec, x[part], rows=rows[part], seed=self.seed, input_name=name)
                for x, name in zip(xs, self._inputs, strict=True)
            ]
            held = sum(each.nbytes for some in self._drawn.values() for each in some)
            if held + sum(each.nbytes for each in found) <= REFERENCE_BYTES:
                self._drawn[key] = found
        return found

    def _retreat(self) -> None:
        self.batch = smaller_pass(self.batch)
        self._functions.clear()

    def _explain(
        self,
        model: int,
        view: View,
        values: range,
        *,
        xs: list[NDArray[Any]],
        rows: Sequence[int],
        references: Sequence[NDArray[Any]] | None,
    ) -> tuple[torch.Tensor, list[Multipliers]]:
        """Values (n, k) and multipliers of one pass."""
        statistic = self._statistic(model, view, values)
        device, dtype = module_place(statistic.module)
        n = len(rows)

        def place(arrays: Sequence[NDArray[Any]]) -> Tensors:
            return tuple(
                pad_block(array_tensor(each).to(device=device, dtype=dtype), self.batch) for each in arrays
            )  # fmt: skip

        padding = [rows[-1]] * (self.batch - n)
        params = tuple(placed(each, device, dtype) for each in statistic.params([*rows, *padding]))
        inputs = place(xs)
        key = (model, view.reverse, view.shift, values.start, self.batch)
        batch = Batch(
            function=self._function(key, statistic, inputs, params),
            xs=inputs,
            params=params,
            references=None if references is None else place(references),
            rows=tuple(rows),
            recipe=self.recipe,
            view=view,
            seed=self.seed,
            names=self._inputs,
        )
        explained = METHODS[self.recipe.method](batch)
        return explained.values[:n].detach().cpu(), [one.cut(n) for one in explained.each]

    def _function(self, key: _Key, statistic: Statistic, xs: Tensors, params: Tensors) -> Function:
        """The function of a model, a strand, a shift, some values and a size of passes, prepared once."""
        if key[0] not in self._checked:
            require_rows_apart(statistic, xs, params)
            self._checked.add(key[0])
        if key not in self._functions:
            self._functions[key] = Function(statistic, xs=xs, params=params, vjps=self._vjps)
            log.info("%s: %s", self.recipe.method, self._functions[key].route)
        return self._functions[key]

    def _statistic(self, model: int, view: View, values: range) -> Statistic:
        """Some values of a model's statistic, as a view is to be asked for them; made once."""
        key = (model, view, values.start)
        if key not in self._prepared:
            statistic = self._statistics[model]
            chosen = statistic if len(values) == len(self.names) else statistic.subset(list(values))
            self._prepared[key] = chosen.seen_by(view)
        return self._prepared[key]

    def _results(self, sums: Sums, xs: list[NDArray[Any]]) -> Iterator[TrackResult]:
        tensors = [array_tensor(x).to(sums.dtype) for x in xs]
        sd = sums.value_sd()
        for value in range(sums.values.shape[1]):
            inputs = []
            for number, x in enumerate(tensors):
                m, q = sums.of(value, number)
                contribution = forms.contribution(m, q, self.recipe)
                inputs.append(
                    InputResult(
                        form=_numpy(forms.output_form(m, q, x, self.recipe)),
                        contribution=_numpy(contribution),
                        projected=_numpy(forms.projected(contribution, x)[:, 0]),
                        projected_sd=sums.projected_sd(value, number),
                    )
                )
            yield TrackResult(
                prediction=_numpy(sums.values[:, value]),
                prediction_sd=None if sd is None else sd[:, value],
                delta=None if sums.delta is None else _numpy(sums.delta[:, value]),
                inputs=tuple(inputs),
            )


def placed(values: NDArray[Any], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """A tensor of a statistic's parameters; numbers of tracks or bins stay whole."""
    tensor = array_tensor(values)
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)


def _numpy(values: torch.Tensor) -> NDArray[Any]:
    return (values if values.dtype == torch.float64 else values.float()).numpy()
