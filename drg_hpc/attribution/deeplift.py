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
    _xs: tuple[torch.Tensor, ...]
    _leaves: tuple[torch.Tensor, ...]
    _output: torch.Tensor

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
        grads = torch.autograd.grad(
            self._output, self._leaves, cotangent.to(self._output).expand_as(self._output), retain_graph=True,
            materialize_grads=True,
        )  # fmt: skip
        shape = self.reference_values.shape[:2]
        return tuple(grad.view(*shape, *grad.shape[1:]) for grad in grads)

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
        means, products = [], []
        for m, x, leaf in zip(self.multipliers(cotangent), self._xs, self._leaves, strict=True):
            weighted = m * leaf.detach().view_as(m)
            delta = delta + torch.einsum("brcl,bcl->br", m, x) - weighted.sum((2, 3))
            means.append(m.mean(1))
            products.append(weighted.mean(1))
        return means, products, delta


class DeepLift:
    """DeepLIFT for one function and one number of rows.

    Parameters
    ----------
    function : ``f(xs, params) -> (b, k)``
    xs : one-hot (b, 4, L) of each input
    params : what the function needs besides, (b, …) each
    node : attribute the value of the node with this number of the trace instead (see :class:`Tail`)

    Raises
    ------
    UsageError : see :func:`check_operations`
    """

    def __init__(self, function: Function, xs: Tensors, params: Tensors = (), *, node: int | None = None) -> None:
        self._lockstep = Lockstep(function, xs, params, node=node)

    def pairs(self, xs: Tensors, references: Sequence[torch.Tensor], params: Tensors = ()) -> Pairs:
        """Run sequences and references.

        Parameters
        ----------
        xs : one-hot (b, 4, L) of each input
        references : (b, R, 4, L) of each input
        params : of the rows, (b, …) each
        """
        copies = references[0].shape[1]
        leaves = tuple(r.detach().flatten(0, 1).clone().requires_grad_() for r in references)
        value, output = self._lockstep.run(xs, leaves, params)
        split = output.detach().reshape(len(xs[0]), copies, -1)
        return Pairs(value.flatten(1), split, tuple(xs), leaves, output)


def check_operations(function: Function, xs: Tensors, params: Tensors = ()) -> None:
    """Look for what DeepLIFT cannot do, with two rows and two references each.

    Raises
    ------
    UsageError : an operation without a rule, with the module it is called in; or see :class:`Trace`
    """
    two_xs, two_params = ([_two_rows(tensor) for tensor in tensors] for tensors in (xs, params))
    Lockstep(function, two_xs, two_params).prepare(2)


def _two_rows(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[:2] if len(tensor) > 1 else tensor.repeat_interleave(2, dim=0)
