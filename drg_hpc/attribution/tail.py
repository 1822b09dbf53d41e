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
from drg_hpc.errors import UsageError


@dataclass
class Tail:
    """``function(xs, params) = embedding(xs, params) @ matrix.T + offset``.

    Attributes
    ----------
    matrix : (k, E)
    offset : (k,)
    node : number of the embedding in the trace, for :class:`drg_hpc.attribution.deeplift.DeepLift`
    rows : that it was found with
    """

    matrix: torch.Tensor
    offset: torch.Tensor
    node: int
    rows: int
    _function: Function
    _found: dict[int, tuple[Trace, int]] = field(default_factory=dict)
    """By the number of rows: the trace, and the embedding's number in it."""

    @property
    def width(self) -> int:
        """E, numbers of the embedding."""
        return self.matrix.shape[1]

    def embedding(self, xs: Tensors, params: Tensors = ()) -> torch.Tensor:
        """``(b, E)``, differentiable.

        Raises
        ------
        UsageError : the function has another linear end for this number of rows
        """
        rows = len(xs[0])
        if rows not in self._found:
            detached = [tensor.detach() for tensor in xs], [tensor.detach() for tensor in params]
            self._found[rows] = self._find(Trace(self._function, *detached), *detached)
        trace, node = self._found[rows]
        return trace.run(xs, params, until=node).flatten(1)

    def _find(self, trace: Trace, xs: Tensors, params: Tensors) -> tuple[Trace, int]:
        """The embedding for another number of rows, whose operations may be others."""
        node, width = narrowest(trace)
        if width == self.width:
            with torch.no_grad():
                values, embedding = trace.run(xs, params), trace.run(xs, params, until=node).flatten(1)
            if close(values.flatten(1), embedding @ self.matrix.T + self.offset):
                return trace, node
        raise other_end(trace.rows, self.rows)


def other_end(rows: int, known: int) -> UsageError:
    """Refusal of a function whose linear end depends on the number of rows."""
    return UsageError(
        f"the linear end of this model is another for {rows} rows than for {known}",
        fix="let its operations not depend on the rows of a batch, or attribute fewer than 8 tracks at once",
    )


def close(x: torch.Tensor, r: torch.Tensor) -> bool:
    """Whether two tensors differ by no more than rounding, in any kind of arithmetic."""
    finite = x[x.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(x.expand_as(r), r, rtol=0, atol=1e-3 * scale, equal_nan=True)


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
    number, width = narrowest(trace)
    values = math.prod(_shape(trace.output)[1:])
    if width >= values:
        return None
    found = _coefficients(trace, trace.nodes[number], values, device=xs[0].device)
    if found is None:
        return None
    return Tail(*found, node=number, rows=trace.rows, _function=function, _found={trace.rows: (trace, number)})


def _shape(node: Node) -> torch.Size:
    shape: torch.Size = node.meta["tensor_meta"].shape
    return shape


def narrowest(trace: Trace) -> tuple[int, int]:
    """Number and width of the narrowest single value that all else after it is a constant linear function of.

    It is the value of an operation, not an input.
    """
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
    return node.op == "call_function" and isinstance(shape, torch.Size) and shape[:1] == (trace.rows,)


def _run_from(trace: Trace, node: Node, value: torch.Tensor) -> torch.Tensor:
    """The function's values, given that of one node that all of it goes through."""
    values = dict(trace.constants) | {node: value}
    for step in trace.steps():
        if step in trace.varying and step is not node and all(used in values for used in step.all_input_nodes):
            values[step] = call(step, values)
    result: torch.Tensor = values[trace.output]
    return result.flatten(1)


def _coefficients(
    trace: Trace, node: Node, count: int, *, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Matrix and offset; None where rows do not have the same."""
    output = node.meta["tensor_meta"]
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
