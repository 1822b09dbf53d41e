"""Attribute sequences block by block: the engine behind drg-attr and :func:`attribute`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from drg_hpc.attribution import forms
from drg_hpc.attribution.catalogue import Recipe, make_recipe
from drg_hpc.attribution.methods import METHODS, Block
from drg_hpc.attribution.targets import TrackStatistic, choose_tracks
from drg_hpc.errors import UsageError
from drg_hpc.models.compute import Scale, array_tensor, module_place, pad_block, partner_tracks
from drg_hpc.runs.spec import BLOCK_ROWS

_FLIP = (1, 2)  # with bases in the order A, C, G, T the reverse complement turns both axes round


@dataclass(frozen=True)
class TrackResult:
    """One track of one block: statistic (n,), form and contribution (n, 4, L), projected (n, L)."""

    prediction: NDArray[Any]
    form: NDArray[Any]
    contribution: NDArray[Any]
    projected: NDArray[Any]


@dataclass(frozen=True)
class Engine:
    """Everything about an attribution but the sequences.

    Parameters
    ----------
    module : (n, 4, L) -> (n, tracks[, bins]), in eval mode
    recipe : method, form, references
    tracks : indices of the tracks
    scale : of the model's output
    rc_average : mean of both strands: the reverse complement is attributed too (a stranded track by its partner) and
        turned back
    seed : of methods that draw random numbers
    """

    module: torch.nn.Module
    recipe: Recipe
    tracks: tuple[int, ...]
    scale: Scale = "link"
    rc_average: bool = False
    seed: int = 0

    def block(
        self, sequences: NDArray[Any], rows: Sequence[int], *, reference: NDArray[Any] | None = None
    ) -> Iterator[TrackResult]:
        """Attribute up to 64 sequences; results come track by track.

        Parameters
        ----------
        sequences : (n, 4, L)
        rows : their global row numbers
        reference : (n, 4, L), instead of the recipe's base frequencies
        """
        device, dtype = module_place(self.module)
        n = len(sequences)
        x = pad_block(array_tensor(sequences).to(device=device, dtype=dtype))
        blank = self._reference(x) if reference is None else pad_block(array_tensor(reference).to(x))
        blank = blank * forms.known_bases(x)
        passes = [self._pass(x, blank, rows, self.tracks)]
        if self.rc_average:
            partners = tuple(partner_tracks(self.module, self.tracks))
            passes.append(self._pass(x.flip(_FLIP), blank.flip(_FLIP), rows, partners))
        values = torch.stack([result[0] for result in passes]).mean(dim=0)
        for position, multipliers in enumerate(zip(*(result[1] for result in passes), strict=True)):
            m = multipliers[0]
            if self.rc_average:
                m = (m + multipliers[1].flip(_FLIP)) / 2
            yield self._result(m[:n], x[:n], blank[:n], values[:n, position])

    def _pass(
        self, x: torch.Tensor, reference: torch.Tensor, rows: Sequence[int], tracks: tuple[int, ...]
    ) -> tuple[torch.Tensor, Iterator[torch.Tensor]]:
        statistic = TrackStatistic(self.module, tracks, self.scale)
        return METHODS[self.recipe.method](Block(statistic, x, reference, tuple(rows), self.seed))

    def _reference(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_tensor(self.recipe.references or (0.0,) * 4)[:, None].expand_as(x)

    def _result(self, m: torch.Tensor, x: torch.Tensor, reference: torch.Tensor, values: torch.Tensor) -> TrackResult:
        form = forms.output_form(m, x, self.recipe, reference=reference)
        contribution = forms.contribution(m, self.recipe, reference=reference)
        projected = forms.projected(contribution, x)[:, 0]
        return TrackResult(*(_numpy(item) for item in (values, form, contribution, projected)))


def _numpy(values: torch.Tensor) -> NDArray[Any]:
    array = values.detach().cpu()
    return (array if array.dtype == torch.float64 else array.float()).numpy()


@contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    """The module in eval mode, and afterwards as it was, submodule by submodule."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def attribute(
    module: torch.nn.Module,
    sequences: ArrayLike | torch.Tensor,
    method: str,
    *,
    output: str | None = None,
    tracks: Sequence[int | str] | None = None,
    references: str | ArrayLike | None = None,
    base_freqs: str | None = None,
    scale: Scale = "link",
    rc_average: bool = False,
    seed: int = 0,
) -> NDArray[Any]:
    """Attribute sequences held in memory, with the engine of drg-attr.

    Parameters
    ----------
    module : any ``torch.nn.Module``, (n, 4, length) -> (n, tracks[, bins]); run in eval mode on its own device
    sequences : (n, 4, length), one-hot in the order A, C, G, T; all-zero columns are unknown bases
    method : gradient, inputxgradient, tism, integrated-gradients
    output : raw, corrected, hypothetical or global; None for the method's default
    tracks : indices or names (None: all); a track with bins by its total (log link: log of the total)
    references : zero, uniform, freq:a,c,g,t, or an array (4,), (4, length) or (n, 4, length)
    base_freqs : a,c,g,t of the hypothetical form
    scale : link (as the module returns it) or output (through ``module.link``)
    rc_average : mean over both strands
    seed : of methods that draw random numbers

    Returns
    -------
    (n, tracks, 4, length), float32 (float64 for a float64 module); rows are computed in blocks of 64, the last padded

    Raises
    ------
    UsageError : shapes, tracks or a combination of method and form that do not fit
    """
    x = np.asarray(sequences.detach().cpu() if isinstance(sequences, torch.Tensor) else sequences)
    if x.ndim != 3 or x.shape[1] != 4:
        raise UsageError(f"sequences have shape {x.shape}", fix="give (n, 4, length), bases in the order A, C, G, T")
    length = getattr(module, "length", x.shape[2])
    if length != x.shape[2]:
        raise UsageError(f"sequences have {x.shape[2]} bases, the model takes {length}")
    recipe, blank = _recipe(method, output, references=references, base_freqs=base_freqs, shape=x.shape)
    with _evaluating(module):
        chosen = choose_tracks(module, tracks, length=x.shape[2])
        engine = Engine(module, recipe, chosen, scale=scale, rc_average=rc_average, seed=seed)
        dtype = np.float64 if module_place(module)[1] == torch.float64 else np.float32
        found = np.zeros((len(x), len(chosen), 4, x.shape[2]), dtype)
        for at in range(0, len(x), BLOCK_ROWS):
            stop = min(at + BLOCK_ROWS, len(x))
            here = None if blank is None else blank[at:stop]
            for position, result in enumerate(engine.block(x[at:stop], range(at, stop), reference=here)):
                found[at:stop, position] = result.form
    return found


def _recipe(
    method: str,
    output: str | None,
    *,
    references: str | ArrayLike | None,
    base_freqs: str | None,
    shape: tuple[int, ...],
) -> tuple[Recipe, NDArray[Any] | None]:
    """The checked recipe, and the reference as an array of ``shape`` when it was given as one."""
    if references is None or isinstance(references, str):
        return make_recipe(method, output, references=references, base_freqs=base_freqs), None
    array = np.asarray(references)
    if array.shape not in ((4,), shape[1:], shape):
        raise UsageError(f"references have shape {array.shape}", fix=f"give (4,), {shape[1:]} or {shape}")
    recipe = make_recipe(method, output, base_freqs=base_freqs)
    if recipe.references is None:
        raise UsageError(f"references have no effect on {method} with output {recipe.output}", fix="leave them out")
    if method == "inputxgradient":
        raise UsageError("inputxgradient is defined with reference zero", fix="take gradient with output global")
    return recipe, np.broadcast_to(array[:, None] if array.ndim == 1 else array, shape)
