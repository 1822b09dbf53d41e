"""The linear end of a function: what its last part, a constant matrix, is applied to.

With an embedding of E numbers and k > E values, E products with the Jacobian and a matrix product do the work of k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch.fx import Node

from drg_hpc.attribution.rules import is_linear
from drg_hpc.attribution.trace import Function, Tensors, Trace, call


@dataclass
class Tail:
    """``function(xs, params) = embedding(xs, params) @ matrix.T + offset``.

    Attributes
    ----------
    matrix : (k, E)
    offset : (k,)
    node : number of the embedding in the trace, for :class:`drg_hpc.attribution.deeplift.DeepLift`
    """

    matrix: torch.Tensor
    offset: torch.Tensor
    node: int
    _function: Function
    _traces: dict[int, Trace] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """E, numbers of the embedding."""
        return self.matrix.shape[1]

    def embedding(self, xs: Tensors, params: Tensors = ()) -> torch.Tensor:
        """``(b, E)``, differentiable."""
        rows = len(xs[0])
        if rows not in self._traces:
            detached = [tensor.detach() for tensor in xs], [tensor.detach() for tensor in params]
            self._traces[rows] = Trace(self._function, *detached)
        trace = self._traces[rows]
        node, width = _narrowest(trace)
        assert width == self.width
        return trace.run(xs, params, until=node).flatten(1)


def linear_tail(function: Function, xs: Tensors, params: Tensors = ()) -> Tail | None:
    """Find the narrowest value from which on a function is linear with the same coefficients in every row.

    Parameters
    ----------
    function, xs, params : see :class:`drg_hpc.attribution.trace.Trace`

    Returns
    -------
    None where no such value is narrower than the output

    Raises
    ------
    UsageError : the function cannot be traced
    """
    trace = Trace(function, xs, params)
    number, width = _narrowest(trace)
    values = math.prod(_shape(trace.output)[1:])
    if width >= values:
        return None
    found = _coefficients(trace, trace.nodes[number], values)
    if found is None:
        return None
    return Tail(*found, node=number, _function=function, _traces={trace.rows: trace})


def _shape(node: Node) -> torch.Size:
    shape: torch.Size = node.meta["tensor_meta"].shape
    return shape


def _narrowest(trace: Trace) -> tuple[int, int]:
    """Number and width of the narrowest single value that all else after it is a constant linear function of."""
    number = {node: i for i, node in enumerate(trace.nodes)}
    frontier, best = {trace.output}, (number[trace.output], math.prod(_shape(trace.output)[1:]))
    while True:
        node = max(frontier, key=number.__getitem__)
        if len(frontier) == 1 and _is_per_row(node, trace) and math.prod(_shape(node)[1:]) < best[1]:
            best = (number[node], math.prod(_shape(node)[1:]))
        constant = all(used in trace.varying or used in trace.constants for used in node.all_input_nodes)
        if node.op != "call_function" or not constant or not is_linear(node, trace):
            return best
        frontier.remove(node)
        frontier.update(used for used in node.all_input_nodes if used in trace.varying)


def _is_per_row(node: Node, trace: Trace) -> bool:
    shape = getattr(node.meta.get("tensor_meta"), "shape", None)
    return isinstance(shape, torch.Size) and shape[:1] == (trace.rows,)


def _run_from(trace: Trace, node: Node, value: torch.Tensor) -> torch.Tensor:
    """The function's values, given that of one node that all of it goes through."""
    values = dict(trace.constants) | {node: value}
    for step in trace.steps():
        if step in trace.varying and step is not node and all(used in values for used in step.all_input_nodes):
            values[step] = call(step, values)
    result: torch.Tensor = values[trace.output]
    return result.flatten(1)


def _coefficients(trace: Trace, node: Node, count: int) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Matrix and offset; None where rows do not have the same."""
    output = node.meta["tensor_meta"]
    device = next(iter(trace.constants.values())).device if trace.constants else torch.device("cpu")
    zero = torch.zeros(output.shape, dtype=output.dtype, device=device, requires_grad=True)
    at_zero = _run_from(trace, node, zero)
    rows = []
    for first in range(0, count, trace.rows):
        cotangents = torch.zeros_like(at_zero)
        wanted = range(first, min(first + trace.rows, count))
        for row, value in enumerate(wanted):
            cotangents[row, value] = 1.0
        (grad,) = torch.autograd.grad(at_zero, zero, cotangents, retain_graph=True)
        rows.append(grad.flatten(1)[: len(wanted)])
    matrix, offset = torch.cat(rows), at_zero[0].detach()
    example = torch.rand(output.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(zero)
    with torch.no_grad():
        wanted_values = _run_from(trace, node, example)
    given = example.flatten(1) @ matrix.T + offset
    scale = float(wanted_values.abs().max())
    return (matrix, offset) if torch.allclose(given, wanted_values, rtol=0, atol=1e-3 * scale + 1e-30) else None
