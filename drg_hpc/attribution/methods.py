"""Attribution methods. Each gives multipliers per value of a statistic; forms are made of them elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from drg_hpc.attribution.copies import noisy, substituted
from drg_hpc.attribution.functions import Function
from drg_hpc.attribution.recipe import Recipe
from drg_hpc.attribution.views import View
from drg_hpc.errors import InputError
from drg_hpc.rng import row_generator

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Batch:
    """What a method works on: one pass of rows, padded to a fixed number.

    Parameters
    ----------
    function : the statistic of the model
    xs : one-hot (b, 4, L) of each input
    params : of the statistic, (b, …)
    references : (b, R, 4, L) of each input, zero where ``xs`` has no base; None where the recipe has none
    rows : global numbers of the rows, without padding
    view : how the model sees sequences and references
    """

    function: Function
    xs: Tensors
    params: Tensors
    references: Tensors | None
    rows: tuple[int, ...]
    recipe: Recipe
    view: View
    seed: int
    names: tuple[str, ...] = ("",)

    def seen(self, tensors: Sequence[torch.Tensor]) -> Tensors:
        """Tensors (…, 4, L) as the model sees them."""
        return tuple(self.view.apply(each) for each in tensors)

    @property
    def count(self) -> int:
        """References of a row."""
        return 0 if self.references is None else self.references[0].shape[1]

    def reference(self, number: int) -> Tensors:
        """One reference of each row, (b, 4, L) of each input, as the model sees it."""
        assert self.references is not None
        return self.seen([each[:, number] for each in self.references])

    def mean_reference(self) -> Tensors | None:
        """Mean over the references, where the form needs products and multipliers are the same for all of them."""
        if not self.recipe.uses_products:
            return None
        assert self.references is not None
        return self.seen([each.mean(1) for each in self.references])


@dataclass(frozen=True)
class Multipliers:
    """Of one value of the statistic, as the model saw the sequence.

    Attributes
    ----------
    m : (b, 4, L) of each input, mean over references or copies
    q : mean over references of multipliers times reference; None where the recipe has no use for it
    error : (b, references): sum of the global form minus the difference of the statistic, of methods that are complete;
        else None
    """

    m: Tensors
    q: Tensors | None
    error: torch.Tensor | None = None

    def cut(self, rows: int) -> Multipliers:
        """The first ``rows`` rows, on the CPU."""

        def cut(part: torch.Tensor) -> torch.Tensor:
            return part[:rows].detach().cpu()

        q = None if self.q is None else tuple(cut(part) for part in self.q)
        return Multipliers(tuple(cut(part) for part in self.m), q, None if self.error is None else cut(self.error))


@dataclass(frozen=True)
class Explained:
    """Values of the statistic (b, k) and their multipliers, one value at a time."""

    values: torch.Tensor
    each: Iterator[Multipliers]


def _gradients(function: Function, xs: Tensors, params: Tensors) -> tuple[torch.Tensor, Iterator[Tensors]]:
    """Units of a function (b, units), and for each its gradient by the inputs."""
    xs = tuple(x.detach().requires_grad_() for x in xs)
    units = function.units(xs, params)
    if not units.requires_grad:
        raise InputError("the model's output does not depend on its input", fix="is the model in inference mode?")
    return units.detach(), function.products(units, xs)


def gradient(batch: Batch) -> Explained:
    """One forward pass, and a backward pass per unit: the multipliers of gradient, input x gradient and TISM."""
    units, each = _gradients(batch.function, batch.seen(batch.xs), batch.params)
    constant = batch.mean_reference()

    def found() -> Iterator[Multipliers]:
        for m in batch.function.each(each):
            q = None if constant is None else tuple(a * r for a, r in zip(m, constant, strict=True))
            yield Multipliers(m, q)

    return Explained(batch.function.values(units), found())


class _Sums:
    """Sums over points of multipliers of each unit, and of their products with references."""

    def __init__(self) -> None:
        self.m: list[Tensors] = []
        self.q: list[Tensors] = []

    def add(self, each: Iterator[Tensors], *, weight: float, reference: Tensors | None) -> None:
        """Add the multipliers of every unit at one point."""
        for number, found in enumerate(each):
            m = tuple(part * weight for part in found)
            q = () if reference is None else tuple(a * r for a, r in zip(m, reference, strict=True))
            if number == len(self.m):
                self.m.append(m)
                self.q.append(q)
                continue
            for total, part in zip(self.m[number] + self.q[number], m + q, strict=True):
                total += part

    def each(self, batch: Batch) -> Iterator[tuple[Tensors, Tensors | None]]:
        """``m`` and ``q`` of each value of the statistic."""
        products = batch.function.each(iter(self.q)) if batch.recipe.uses_products else itertools.repeat(None)
        yield from zip(batch.function.each(iter(self.m)), products, strict=False)  # repeat has no end


def _over_points(batch: Batch, points: Iterator[tuple[Tensors, Tensors | None]], *, count: int) -> Explained:
    """Mean gradient over points, each with the reference that it belongs to."""
    with torch.no_grad():
        units = batch.function.units(batch.seen(batch.xs), batch.params)
    sums = _Sums()
    for xs, reference in points:
        _, each = _gradients(batch.function, xs, batch.params)
        sums.add(each, weight=1 / count, reference=reference if batch.recipe.uses_products else None)

    return Explained(batch.function.values(units), (Multipliers(m, q) for m, q in sums.each(batch)))


def smoothgrad(batch: Batch, *, draw: Callable[..., torch.Tensor], level: str) -> Explained:
    """Mean gradient over random copies (Smilkov et al. 2017, arXiv:1706.03825)."""
    recipe = batch.recipe
    constant = batch.mean_reference()

    def points() -> Iterator[tuple[Tensors, Tensors | None]]:
        for copy in range(recipe.samples):
            drawn = [
                draw(x, rows=batch.rows, seed=batch.seed, copy=copy, name=name, **{level: recipe.level})
                for x, name in zip(batch.xs, batch.names, strict=True)
            ]
            yield batch.seen(drawn), constant

    return _over_points(batch, points(), count=recipe.samples)


def expected_gradients(batch: Batch) -> Explained:
    """Mean over references of the gradient at one random point of the path from each (Erion et al. 2021,
    10.1038/s42256-021-00343-w)."""
    xs = batch.seen(batch.xs)

    def points() -> Iterator[tuple[Tensors, Tensors | None]]:
        for number in range(batch.count):
            reference = batch.reference(number)
            share = xs[0].new_zeros(len(xs[0]))
            for at, row in enumerate(batch.rows):
                share[at] = row_generator(batch.seed, row, f"expected-gradients:{number}").random()
            at_share = share[:, None, None]
            yield tuple(r + at_share * (x - r) for x, r in zip(xs, reference, strict=True)), reference

    return _over_points(batch, points(), count=batch.count)


def integrated_gradients(batch: Batch) -> Explained:
    """Mean gradient on the path from each reference (Sundararajan et al. 2017), Gauss-Legendre, by captum.

    Each point of the path is one pass over all rows, so that batch shapes are the same everywhere; its gradients of all
    units share the forward pass.
    """
    from captum.attr import IntegratedGradients  # it loads matplotlib: a second, which other methods need not wait

    function, xs, params = batch.function, batch.seen(batch.xs), batch.params
    with torch.no_grad():
        units = function.units(xs, params)

    def all_units(inputs: Tensors, additional_forward_args: Tensors | None = None, **_others: object) -> Tensors:
        _, each = _gradients(function, inputs, additional_forward_args or ())
        return tuple(torch.stack(part, dim=1) for part in zip(*each, strict=True))

    explainer = IntegratedGradients(lambda *given: function.units(given[: len(xs)], given[len(xs) :]),
                                    multiply_by_inputs=False)  # fmt: skip
    explainer.gradient_func = all_units
    sums, errors = _Sums(), []
    for number in range(batch.count):
        reference = batch.reference(number)
        found = explainer.attribute(
            xs,
            baselines=reference,
            additional_forward_args=params or None,
            n_steps=batch.recipe.spec.points,
            method="gausslegendre",
            internal_batch_size=len(xs[0]),
        )
        by_unit = [tuple(part.detach() for part in one) for one in zip(*(f.unbind(1) for f in found), strict=True)]
        kept = reference if batch.recipe.uses_products else None
        sums.add(iter(by_unit), weight=1 / batch.count, reference=kept)
        with torch.no_grad():
            difference = units - function.units(reference, params)
        totals = [sum((m * (x - r)).sum((1, 2)) for m, x, r in zip(one, xs, reference, strict=True)) for one in by_unit]
        errors.append(torch.stack(totals, dim=1) - difference)
    by_value = function.combined(torch.stack(errors, dim=1))  # (b, references, k)

    return Explained(function.values(units), _with_errors(sums.each(batch), by_value))


def _with_errors(each: Iterator[tuple[Tensors, Tensors | None]], errors: torch.Tensor) -> Iterator[Multipliers]:
    """Multipliers of each value with its convergence errors, (b, references, k)."""
    for value, (m, q) in enumerate(each):
        yield Multipliers(m, q, errors[:, :, value])


def deeplift(batch: Batch) -> Explained:
    """DeepLIFT multipliers against each reference (Shrikumar et al. 2017, arXiv:1704.02685), mean over references."""
    assert batch.references is not None
    function, xs = batch.function, batch.seen(batch.xs)
    pairs = function.lift.pairs(xs, batch.seen(batch.references), batch.params)
    count = pairs.values.shape[1]
    found = [pairs.accumulate(one) for one in torch.eye(count, dtype=xs[0].dtype, device=xs[0].device)]
    by_value = function.combined(torch.stack([error for _, _, error in found], dim=2))
    sums = _Sums()
    sums.m, sums.q = [tuple(m) for m, _, _ in found], [tuple(q) for _, q, _ in found]
    return Explained(function.values(pairs.values), _with_errors(sums.each(batch), by_value))


METHODS: dict[str, Callable[[Batch], Explained]] = {
    "gradient": gradient,
    "inputxgradient": gradient,
    "tism": gradient,
    "integrated-gradients": integrated_gradients,
    "expected-gradients": expected_gradients,
    "smoothgrad": partial(smoothgrad, draw=substituted, level="keep"),
    "smoothgrad-gaussian": partial(smoothgrad, draw=noisy, level="level"),
    "deeplift": deeplift,
    "deepshap": deeplift,
}
"""Gradient, input x gradient and TISM have the same multipliers; they differ in the forms made of them."""
