"""DeepLIFT / DeepSHAP for any function that torch.fx can trace: multipliers of pairs of a sequence and a reference.

Sequences run without gradients, their references beside them with gradients, operation by operation. Linear operations
keep their gradient; every other one gives its backward pass by a rule from its values at both. The multipliers of a
pair come from one backward pass of the reference's side (Shrikumar et al. 2017, arXiv:1704.02685; Lundberg and Lee
2017, arXiv:1705.07874).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from drg_hpc.attribution.lockstep import Lockstep
from drg_hpc.attribution.trace import Function, Tensors

_LARGEST = 24 << 20
"""Bytes of the largest tensor of a pass on a CPU: larger ones come from the system each time, at half the speed."""


@dataclass(frozen=True)
class _Pass:
    """Some sequences that ran together, their references as they went in, and the output with its gradients by rule."""

    xs: tuple[torch.Tensor, ...]
    leaves: tuple[torch.Tensor, ...]
    output: torch.Tensor

    def multipliers(self, cotangent: torch.Tensor) -> tuple[torch.Tensor, ...]:
        weights = cotangent.to(self.output).expand_as(self.output)
        grads = torch.autograd.grad(self.output, self.leaves, weights, retain_graph=True, materialize_grads=True)
        rows = len(self.xs[0])
        return tuple(grad.view(rows, len(grad) // rows, *grad.shape[1:]) for grad in grads)


@dataclass(frozen=True)
class Pairs:
    """The pairs of one pass; holds what their backward passes need until it is dropped.

    Attributes
    ----------
    values : of the function, (b, k)
    reference_values : (b, R, k)
    """

    values: torch.Tensor
    reference_values: torch.Tensor
    _passes: tuple[_Pass, ...]

    def multipliers(self, cotangent: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Multipliers of a weighted sum of the values, for each pair.

        Parameters
        ----------
        cotangent : weights (k,), or (c, k) for c sums

        Returns
        -------
        for each input (b, R, 4, L), or (c, b, R, 4, L)
        """
        if cotangent.ndim == 2:
            several = [self.multipliers(one) for one in cotangent]
            return tuple(torch.stack(parts) for parts in zip(*several, strict=True))
        parts = zip(*(one.multipliers(cotangent) for one in self._passes), strict=True)
        return tuple(torch.cat(part) for part in parts)

    def accumulate(self, cotangent: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
        """Means over the references, from which all forms are made, and how far the sums are from exact.

        Parameters
        ----------
        cotangent : weights (k,) of the values

        Returns
        -------
        M : for each input, mean multipliers (b, 4, L)
        Q : for each input, mean of multipliers times reference (b, 4, L)
        delta : (b, R), the sum over inputs of ``multipliers * (x - reference)`` minus the difference of the values
        """
        weights = cotangent.to(self.values)
        delta = self.reference_values @ weights - (self.values @ weights)[:, None]
        means, products, sums = [], [], []
        for one in self._passes:
            ms = one.multipliers(cotangent)
            by_r = [m * leaf.detach().view_as(m) for m, leaf in zip(ms, one.leaves, strict=True)]
            means.append([m.mean(1) for m in ms])
            products.append([product.mean(1) for product in by_r])
            by_x = [torch.einsum("brcl,bcl->br", m, x) for m, x in zip(ms, one.xs, strict=True)]
            sums.append(torch.stack([a - b.sum((2, 3)) for a, b in zip(by_x, by_r, strict=True)]).sum(0))
        joined = ([torch.cat(parts) for parts in zip(*some, strict=True)] for some in (means, products))
        return next(joined), next(joined), delta + torch.cat(sums)


class DeepLift:
    """DeepLIFT for one function and one number of rows.

    Parameters
    ----------
    function : ``f(xs, params) -> (b, k)``
    xs : one-hot (b, 4, L) of each input
    params : what the function needs besides, (b, …) each
    node : attribute the embedding with this number in the trace of ``xs`` instead (see
        :class:`drg_hpc.attribution.tail.Tail`); it is found anew where more rows have other operations

    Raises
    ------
    UsageError : an operation without a rule, with the module it is called in; a function that draws random numbers or
        whose course depends on its values; from :meth:`pairs`: one whose rows influence each other, or whose
        embedding is another for more rows
    """

    def __init__(self, function: Function, xs: Tensors, params: Tensors = (), *, node: int | None = None) -> None:
        self._function, self._node = function, node
        self._example = tuple(xs), tuple(params)
        self._whole = Lockstep(function, xs, params, node=node)
        self._parts: dict[int, Lockstep] = {}

    def _lockstep(self, copies: int) -> Lockstep:
        """For all rows at once, or on a CPU for as few as keep tensors small."""
        if copies not in self._parts:
            self._parts[copies] = self._whole
            xs, params = self._example
            rows, largest = len(xs[0]), _LARGEST // (self._whole.widest * copies)
            part = max((n for n in range(1, rows + 1) if rows % n == 0 and n <= largest), default=1)
            if xs[0].device.type == "cpu" and part < rows:
                few = Lockstep(self._function, [x[:part] for x in xs], [p[:part] for p in params], node=self._node)
                if few.matches(self._whole):
                    self._parts[copies] = few
        return self._parts[copies]

    def pairs(self, xs: Tensors, references: Sequence[torch.Tensor], params: Tensors = ()) -> Pairs:
        """Run sequences and references.

        Parameters
        ----------
        xs : one-hot (b, 4, L) of each input
        references : (b, R, 4, L) of each input
        params : of the rows, (b, …) each
        """
        copies = references[0].shape[1]
        lockstep = self._lockstep(copies)
        values, others, passes = [], [], []
        for first in range(0, len(xs[0]), lockstep.rows):
            here = slice(first, first + lockstep.rows)
            own = tuple(x[here] for x in xs)
            leaves = tuple(r[here].detach().flatten(0, 1).clone().requires_grad_() for r in references)
            value, output = lockstep.run(own, leaves, [p[here] for p in params])
            values.append(value.flatten(1))
            others.append(output.detach().reshape(lockstep.rows, copies, -1))
            passes.append(_Pass(own, leaves, output))
        return Pairs(torch.cat(values), torch.cat(others), tuple(passes))
