"""Two runs of a function side by side: sequences, and their references with DeepLIFT's rules as backward passes."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node
from torch.fx.node import map_arg

from drg_hpc.attribution.rules import (
    find_rule,
    is_linear,
    is_narrow_convolution,
    narrow_convolution,
    varying_positions,
)
from drg_hpc.attribution.rules_call import Call, Pairing, Rule
from drg_hpc.attribution.tail import close, narrowest, other_end
from drg_hpc.attribution.trace import Function, Tensors, Trace, Values, call, op_name
from drg_hpc.attribution.trace_where import calling_module
from drg_hpc.errors import UsageError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Sides:
    """Traces of both sides for one number of references.

    Parameters
    ----------
    x, r : traces
    copies : how often sequences are repeated before they run; 1 where rules do that themselves
    rules : of each varying operation by its number, None for linear ones
    last : number of the node whose value is wanted
    """

    x: Trace
    r: Trace
    pairing: Pairing
    copies: int
    rules: dict[int, Rule | None]
    last: int


class Lockstep:
    """A function that is run for sequences and references operation by operation.

    Parameters
    ----------
    function, xs, params : see :class:`Trace`
    node : number of the embedding whose value is wanted (see :func:`drg_hpc.attribution.tail.linear_tail`) in the
        trace of ``xs``; None for the output

    Raises
    ------
    UsageError : an operation without a rule, with the module it is called in; or see :class:`Trace`
    """

    def __init__(self, function: Function, xs: Tensors, params: Tensors = (), *, node: int | None = None) -> None:
        self._function, self._xs, self._params, self._node = function, tuple(xs), tuple(params), node
        self._trace = Trace(function, xs, params)
        self._rules = self._find_rules(self._trace)
        self._sides: dict[int, _Sides] = {}

    @property
    def rows(self) -> int:
        """Sequences of a run."""
        return self._trace.rows

    @property
    def widest(self) -> int:
        """Bytes of the largest value of a row that depends on the sequences."""
        return max(_bytes(node) for node in self._trace.varying) // self.rows

    def matches(self, other: Lockstep) -> bool:
        """See :meth:`Trace.matches`."""
        return self._trace.matches(other._trace)

    def _find_rules(self, trace: Trace) -> dict[int, Rule | None]:
        found: dict[int, Rule | None] = {}
        for number, node in enumerate(trace.nodes):
            if node not in trace.varying or node.op != "call_function":
                continue
            linear = is_linear(node, trace)
            found[number] = None if linear else find_rule(node, trace)
            if linear and is_narrow_convolution(node, trace):
                found[number] = narrow_convolution
            if found[number] is None and not linear:
                raise self._refusal(node)
        return found

    def _refusal(self, node: Node, why: str = "") -> UsageError:
        where = calling_module(self._function, self._xs, self._params, name=op_name(node))
        return UsageError(
            f"DeepLIFT has no rule for the operation {node.target}"
            + (f" ({why})" if why else "") + (f", called in {where}" if where else ""),
            fix="take another method, or write it with operations that have a rule",
        )  # fmt: skip

    def prepare(self, copies: int) -> _Sides:
        """Trace the references' side for a number of references, and see that its rows stand as they are thought to.

        Raises
        ------
        UsageError : an operation that mixes rows, or whose arguments have no rule; another embedding for more rows
        """
        if copies not in self._sides:
            repeated, params = ([_repeat(tensor, copies) for tensor in some] for some in (self._xs, self._params))
            r = Trace(self._function, repeated, params) if copies > 1 else self._trace
            self._check_rows(r, copies)
            rows = len(self._xs[0])
            last = len(self._trace.nodes) - 1 if self._node is None else self._node
            sides = _Sides(self._trace, r, Pairing(rows, copies), 1, self._rules, last)
            if not self._stand_side_by_side(sides):
                log.info("operations depend on the number of rows: each sequence runs once for every reference")
                last = self._last_of(r, copies)
                sides = _Sides(r, r, Pairing(rows * copies, 1), copies, self._find_rules(r), last)
            self._sides[copies] = sides
        return self._sides[copies]

    def _examples(self, copies: int = 1, *, seed: int = 0) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        shapes = ((len(x) * copies, *x.shape[1:]) for x in self._xs)
        drawn = (torch.rand(shape, generator=generator, dtype=torch.float64) for shape in shapes)
        return [values.to(x) for values, x in zip(drawn, self._xs, strict=True)]

    def _last_of(self, r: Trace, copies: int) -> int:
        """The number that the wanted node has in a trace of more rows, whose operations are others."""
        if self._node is None:
            return len(r.nodes) - 1
        xs = self._examples()
        here = self._trace.run(xs, self._params, until=self._node).flatten(1)
        node, width = narrowest(r)
        if width == here.shape[1]:
            repeated, params = ([_repeat(tensor, copies) for tensor in some] for some in (xs, self._params))
            if close(here, r.run(repeated, params, until=node).flatten(1)[::copies]):
                return node
        raise other_end(r.rows, self.rows)

    def _check_rows(self, r: Trace, copies: int) -> None:
        """Rows must have the same values among others: those of the references, or where there is one of each in place
        of every second row.
        """
        step, params = max(copies, 2), [_repeat(p, copies) for p in self._params]
        if r.rows == 1:
            pair, params = ([_repeat(tensor, 2) for tensor in some] for some in (self._xs, self._params))
            try:
                r = Trace(self._function, pair, params)
            except UsageError:
                return  # it takes one row alone
        xs, among = self._examples(), self._examples(r.rows // self.rows, seed=1)
        kept = slice(None, None, 1 if r.rows > self.rows else 2)
        for x, others in zip(xs, among, strict=True):
            others[::step] = x[kept]
        if not close(self._trace.run(xs, self._params)[kept], r.run(among, params)[::step]):
            raise UsageError(
                "the rows of a batch influence each other in this model",
                fix="nothing in it may go over the batch, such as a mean over axis 0",
            )

    def _stand_side_by_side(self, sides: _Sides) -> bool:
        """Whether copies of a sequence have its values at every operation."""
        if not sides.x.matches(sides.r):
            return False
        xs = self._examples()
        try:
            repeated = [_repeat(x, sides.pairing.copies) for x in xs]
            value, others = self._run(sides, xs, repeated, self._params, compare=True)
            return close(*sides.pairing.side_by_side(value, others.detach()))
        except ValueError:
            return False

    def run(self, xs: Tensors, references: Tensors, params: Tensors = ()) -> tuple[torch.Tensor, torch.Tensor]:
        """Values for sequences (b, …) and for references (b R, …), the latter with gradients by rule.

        Parameters
        ----------
        references : (b R, 4, L) of each input, those of a sequence after each other
        """
        rows = len(xs[0])
        sides = self.prepare(len(references[0]) // rows)
        value, output = self._run(sides, xs, references, params)
        return value[:: sides.copies], output

    def _run(
        self, sides: _Sides, xs: Tensors, references: Tensors, params: Tensors, *, compare: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        r_params = [_repeat(p, sides.pairing.copies * sides.copies) for p in params]
        x = sides.x.start([_repeat(v, sides.copies) for v in xs], [_repeat(p, sides.copies) for p in params])
        r = sides.r.start(references, r_params)
        for number, (x_node, r_node) in enumerate(zip(sides.x.nodes, sides.r.nodes, strict=True)):
            if x_node.op != "call_function" or x_node in x:
                continue
            rule = sides.rules.get(number)
            if rule is None:
                with torch.no_grad():
                    x[x_node] = call(x_node, x)
                r[r_node] = call(r_node, r)
            else:
                x[x_node], r[r_node] = self._apply(rule, sides, (x_node, x), (r_node, r), compare=compare)
            if number == sides.last:
                break
            sides.x.drop(x, x_node)
            sides.r.drop(r, r_node)
        return x[x_node], r[r_node]

    def _apply(
        self, rule: Rule, sides: _Sides, of_x: tuple[Node, Values], of_r: tuple[Node, Values], *, compare: bool
    ) -> tuple[Any, Any]:
        node = of_x[0]
        varying = tuple(p for p in varying_positions(node, sides.x) if isinstance(p, int))
        (x_args, kwargs), (r_args, _) = (_arguments(node, values) for node, values in (of_x, of_r))
        if compare:
            for position in varying:
                if not close(*sides.pairing.side_by_side(x_args[position], r_args[position].detach())):
                    raise ValueError("rows stand otherwise")
        target: Any = node.target
        found = Call(target, op_name(node), x_args, r_args, kwargs, varying, sides.pairing)
        try:
            with torch.enable_grad():
                return rule(found)
        except NotImplementedError as error:
            raise self._refusal(node, str(error)) from error


def _arguments(node: Node, values: Values) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
    return tuple(args), dict(kwargs)


def _bytes(node: Node) -> int:
    meta: Any = node.meta.get("tensor_meta")
    return math.prod(meta.shape) * meta.dtype.itemsize if hasattr(meta, "dtype") else 0


def _repeat(tensor: torch.Tensor, copies: int) -> torch.Tensor:
    return tensor if copies == 1 else tensor.repeat_interleave(copies, dim=0)
