"""In-silico mutagenesis of sequences held in memory: the engine of drg-ism for Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.cost import MUTANT_ROWS
from drg_hpc.attribution.given import Given, check_inputs, evaluating, input_names, sequences_given
from drg_hpc.attribution.ism_recipe import IsmRecipe, make_ism_recipe
from drg_hpc.attribution.mutate import Mutator
from drg_hpc.attribution.recipe import check_shifts
from drg_hpc.attribution.targets import Statistic, TrackStatistic, choose_tracks
from drg_hpc.attribution.views import make_views
from drg_hpc.errors import UsageError
from drg_hpc.models.compute import Scale, module_place


def saturation_mutagenesis(
    module: torch.nn.Module,
    sequences: Given | Sequence[Given],
    start: int = 0,
    end: int | None = None,
    engine: str = "auto",
    compare: str | Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]] = "subtract",
    *,
    pseudo: float | None = None,
    tracks: Sequence[int | str] | None = None,
    target: Statistic | None = None,
    scale: Scale | None = None,
    rc_average: bool = False,
    shifts: Sequence[int] = (),
    batch: int = MUTANT_ROWS,
) -> Any:
    """Put every base at every position, with the engine of drg-ism.

    Parameters
    ----------
    module : any ``torch.nn.Module``, (n, 4, length) -> (n, tracks[, bins]); run in eval mode on its own device
    sequences : (n, 4, length), one-hot in the order A, C, G, T; all-zero columns are unknown bases. A list of such
        arrays for a module of several inputs, each of which is mutated with the others as they are
    start, end : positions, half-open; None is the end of each input
    engine : incremental (only what a mutation changes is computed), full, or auto: incremental where it can be
    compare : subtract, divide or log2fc of alternative and reference, none (the alternative's value), or a function of
        two arrays, alternatives (m, tracks) and reference (tracks,), to an array of the shape of the first
    pseudo : added to both before they are divided
    tracks : indices or names (None: all); a track with bins by its total (log link: log of the total)
    target : another statistic of ``module`` than its tracks
    scale : link (as the module returns it) or output (through ``module.link``); None for link, and output where
        values are divided or compared by a function
    rc_average : values are means over both strands
    shifts : values are means over these shifts, in bases
    batch : mutants of a pass of the full engine

    Returns
    -------
    (n, tracks, 4, end - start), float32 (float64 for a float64 module); of several inputs a list of such arrays. At the
    base that is there: 0 of subtract and log2fc, 1 of divide, else what ``compare`` gives of the reference with itself

    Raises
    ------
    UsageError : shapes, positions, tracks or a combination of options that do not fit
    """
    xs, several = sequences_given(sequences)
    check_inputs(module, xs)
    _check_onehot(xs)
    if batch < 1:
        raise UsageError(f"batch = {batch}: a pass has at least one row")
    spans = [_span(start, end, x.shape[2]) for x in xs]
    recipe, function = _recipe(compare, pseudo, engine)
    with evaluating(module):
        if target is None:
            chosen = choose_tracks(module, tracks, lengths=[x.shape[2] for x in xs])
            on: Scale = (scale or "output") if function is not None else recipe.scale(scale)
            target = TrackStatistic(module, chosen, on)
        elif tracks is not None or scale is not None:
            raise UsageError("tracks and scale belong to the tracks of the module, not to a target of its own")
        check_shifts(shifts, length=min(x.shape[2] for x in xs))
        mutator = Mutator(
            [target],
            recipe,
            batch=batch,
            views=make_views(rc_average=rc_average, shifts=shifts),
            inputs=input_names(module, len(xs)) if several else None,
            compare=function,
        )
        scored = [_mask(span, x.shape[2]) for span, x in zip(spans, xs, strict=True)]
        dtype = np.float64 if module_place(module)[1] == torch.float64 else np.float32
        found = [np.zeros((len(x), len(target.names), 4, e - s), dtype) for x, (s, e) in zip(xs, spans, strict=True)]
        for row in range(len(xs[0])):
            effects = mutator.row([x[row] for x in xs], row, scored=scored)
            for out, one, (first, last) in zip(found, effects.inputs, spans, strict=True):
                out[row] = one.ism[:, :, first:last]
    return found if several else found[0]


def _recipe(
    compare: str | Callable[..., Any], pseudo: float | None, engine: str
) -> tuple[IsmRecipe, Callable[..., Any] | None]:
    """The checked recipe, and the user's function where one was given."""
    if isinstance(compare, str):
        return make_ism_recipe(compare=compare, pseudo=pseudo, engine=engine), None
    if pseudo is not None:
        raise UsageError("pseudo has no effect on a compare function", fix="it belongs to divide and log2fc")
    return make_ism_recipe(engine=engine), compare


def _span(start: int, end: int | None, length: int) -> tuple[int, int]:
    last = length if end is None else end
    if not 0 <= start < last <= length:
        raise UsageError(f"positions {start} to {last} of sequences of {length} bases",
                         fix=f"0 <= start < end <= {length}, half-open")  # fmt: skip
    return start, last


def _mask(span: tuple[int, int], length: int) -> NDArray[np.bool_]:
    places = np.arange(length)
    found: NDArray[np.bool_] = (places >= span[0]) & (places < span[1])
    return found


def _check_onehot(xs: Sequence[NDArray[Any]]) -> None:
    for x in xs:
        columns = x.sum(axis=1)
        if not (((x == 0) | (x == 1)).all() and columns.max(initial=0) <= 1):
            raise UsageError("sequences have columns that are no single base", fix="give 1 at one base, or all zeros")
