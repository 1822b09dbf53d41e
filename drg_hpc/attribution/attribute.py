"""Attribute sequences held in memory: the engine of drg-attr for Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.attribution.cost import PASS_SIZES
from drg_hpc.attribution.engine import Engine
from drg_hpc.attribution.given import Given, as_array, check_inputs, evaluating, input_names, sequences_given
from drg_hpc.attribution.recipe import Recipe, check_shifts, make_recipe, require_one_reference
from drg_hpc.attribution.targets import Statistic, TrackStatistic, choose_tracks
from drg_hpc.attribution.views import make_views
from drg_hpc.errors import UsageError
from drg_hpc.models.compute import Scale, module_place
from drg_hpc.runs.spec import BLOCK_ROWS


def attribute(
    module: torch.nn.Module,
    sequences: Given | Sequence[Given],
    method: str,
    *,
    output: str | None = None,
    tracks: Sequence[int | str] | None = None,
    target: Statistic | None = None,
    references: str | Given | Sequence[Given] | None = None,
    base_freqs: str | None = None,
    samples: int | None = None,
    level: float | None = None,
    scale: Scale = "link",
    rc_average: bool = False,
    shifts: Sequence[int] = (),
    batch: int = BLOCK_ROWS,
    seed: int = 0,
) -> Any:
    """Attribute sequences held in memory, with the engine of drg-attr.

    Parameters
    ----------
    module : any ``torch.nn.Module``, (n, 4, length) -> (n, tracks[, bins]); run in eval mode on its own device
    sequences : (n, 4, length), one-hot in the order A, C, G, T; all-zero columns are unknown bases. A list of such
        arrays for a module of several inputs
    method : gradient, inputxgradient, tism, integrated-gradients, expected-gradients, smoothgrad, smoothgrad-gaussian,
        deeplift, deepshap
    output : raw, corrected, hypothetical or global; None for the method's default
    tracks : indices or names (None: all); a track with bins by its total (log link: log of the total)
    target : another statistic of ``module`` than its tracks
    references : zero, uniform, freq:a,c,g,t, dinuc:N and so on, or an array (4,), (4, length), (n, 4, length) or
        (n, references, 4, length); a list of arrays for several inputs
    base_freqs : a,c,g,t of the hypothetical form
    samples, level : of smoothgrad: copies; share of bases kept, or standard deviation of the noise
    scale : link (as the module returns it) or output (through ``module.link``)
    rc_average : mean over both strands
    shifts : mean over these shifts, in bases
    batch : rows of a pass, a power of two up to 64
    seed : of methods that draw random numbers

    Returns
    -------
    (n, tracks, 4, length), float32 (float64 for a float64 module); of several inputs a list of such arrays. Rows are
    computed in passes of ``batch``, the last padded

    Raises
    ------
    UsageError : shapes, tracks or a combination of method and form that do not fit, or an operation of the module that
        DeepLIFT has no rule for
    """
    xs, several = sequences_given(sequences)
    check_inputs(module, xs)
    if batch not in PASS_SIZES:
        raise UsageError(f"batch = {batch} is no power of two up to {BLOCK_ROWS}")
    recipe, given = _recipe(method, output, references, xs=xs, base_freqs=base_freqs, samples=samples, level=level)
    with evaluating(module):
        if target is None:
            chosen = choose_tracks(module, tracks, lengths=[x.shape[2] for x in xs])
            target = TrackStatistic(module, chosen, scale)
        elif tracks is not None or scale != "link":
            raise UsageError("tracks and scale belong to the tracks of the module, not to a target of its own")
        check_shifts(shifts, length=min(x.shape[2] for x in xs))
        views = make_views(rc_average=rc_average, shifts=shifts)
        names = input_names(module, len(xs)) if several else None
        engine = Engine([target], recipe, views=views, batch=batch, seed=seed, inputs=names)
        dtype = np.float64 if module_place(module)[1] == torch.float64 else np.float32
        found = [np.zeros((len(x), len(target.names), 4, x.shape[2]), dtype) for x in xs]
        for at in range(0, len(xs[0]), BLOCK_ROWS):
            stop = min(at + BLOCK_ROWS, len(xs[0]))
            here = None if given is None else [each[at:stop] for each in given]
            results = engine.block([x[at:stop] for x in xs], range(at, stop), references=here)
            for value, result in enumerate(results):
                for number, one in enumerate(result.inputs):
                    found[number][at:stop, value] = one.form
    return found if several else found[0]


def _recipe(
    method: str,
    output: str | None,
    references: str | Given | Sequence[Given] | None,
    *,
    xs: Sequence[NDArray[Any]],
    base_freqs: str | None,
    samples: int | None,
    level: float | None,
) -> tuple[Recipe, list[NDArray[Any]] | None]:
    """The checked recipe, and references as arrays (n, R, 4, L) when they were given so."""
    options: dict[str, Any] = {"base_freqs": base_freqs, "samples": samples, "level": level}
    if references is None or isinstance(references, str):
        return make_recipe(method, output, references=references, **options), None
    recipe = make_recipe(method, output, **options)
    if recipe.references is None:
        raise UsageError(f"references have no effect on {method} with output {recipe.output}", fix="leave them out")
    if method == "inputxgradient":
        raise UsageError("inputxgradient is defined with reference zero", fix="take gradient with output global")
    arrays = list(references) if len(xs) > 1 else [references]  # type: ignore[arg-type]
    if len(arrays) != len(xs):
        raise UsageError(f"{len(arrays)} references for {len(xs)} inputs", fix="give a list of one array an input")
    found = [_reference(each, x.shape) for each, x in zip(arrays, xs, strict=True)]
    require_one_reference(method, found[0].shape[1])
    return recipe, found


def _reference(given: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """References of one input as (n, R, 4, L)."""
    array = as_array(given)
    if array.ndim == 4 and array.shape[0] == shape[0] and array.shape[2:] == shape[1:]:
        return array
    if array.shape not in ((4,), shape[1:], shape):
        n, _, length = shape
        raise UsageError(
            f"references have shape {array.shape}",
            fix=f"give (4,), (4, {length}), ({n}, 4, {length}) or ({n}, references, 4, {length})",
        )
    return np.broadcast_to(array[:, None] if array.ndim == 1 else array, shape)[:, None]
