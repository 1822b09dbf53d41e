"""A function of sequences as the list of its ATen operations: what depends on the sequences, what is constant."""

from __future__ import annotations

import operator
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch.func import functionalize
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg
from torch.nn.attention import SDPBackend, sdpa_kernel

from drg_hpc.errors import DrgError, UsageError

Tensors: TypeAlias = Sequence[torch.Tensor]
Function: TypeAlias = Callable[[Tensors, Tensors], torch.Tensor]
"""``f(xs, params) -> (b, k)``: xs are one-hot sequences (b, 4, L), one an input; params are tensors (b, …)."""
Values: TypeAlias = dict[Node, Any]

_SHAPE_ONLY = {
    "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty",
    "new_empty_strided",
}  # fmt: skip
"""Operations that read the shape of their tensor, not its values."""


def op_name(node: Node) -> str:
    """Name of a node's operation without namespace and overload: ``gelu``, ``getitem``."""
    packet = getattr(node.target, "overloadpacket", None)
    return str(packet).rsplit(".", 1)[-1] if packet is not None else getattr(node.target, "__name__", str(node.target))


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Attention as matrix products and softmax, encoder layers as their parts, no gradients."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _changes_in_place(graph: Graph) -> bool:
    schemas = (getattr(node.target, "_schema", None) for node in graph.nodes)
    return any(schema is not None and schema.is_mutable for schema in schemas)


def _graph_module(function: Function, xs: Tensors, params: Tensors) -> GraphModule:
    count = len(xs)

    def flat(*tensors: torch.Tensor) -> torch.Tensor:
        return function(tensors[:count], tensors[count:])

    def trace(called: Callable[..., torch.Tensor]) -> GraphModule:
        traced: GraphModule = make_fx(functionalize(called))(*xs, *params)
        return traced

    with _plain_kernels():
        found = trace(flat)
        # Composite operations work in place on what they make; traced again, these are operations of their own.
        return trace(found) if _changes_in_place(found.graph) else found


class Trace:
    """The operations of a function for one number of rows.

    Attributes
    ----------
    inputs : placeholders of the sequences
    nodes : in order, those that the output depends on; the last one gives it
    needed : the same as a set
    varying : whose values depend on the sequences
    constants : values that depend on neither sequences nor params
    rows : of the batch

    Raises
    ------
    UsageError : the function cannot be traced (its course depends on the values), draws random numbers, or does not
        return ``(rows, k)`` that depends on the sequences
    """

    def __init__(self, function: Function, xs: Tensors, params: Tensors = ()) -> None:
        self.rows = len(xs[0])
        try:
            self._module = _graph_module(function, xs, params)
        except DrgError:
            raise
        except Exception as error:
            raise _untraceable(error) from error
        graph = self._module.graph
        _without_copies(graph)
        _without_stacks(graph)
        holders = [node for node in graph.nodes if node.op == "placeholder"]
        self.inputs, self._params = holders[: len(xs)], holders[len(xs) :]
        returned = next(node for node in reversed(graph.nodes) if node.op == "output").args[0]
        if not isinstance(returned, Node):
            raise UsageError("what is attributed must be one tensor (rows, values)")
        self.output = returned
        self.nodes = _needed(graph, returned)
        self.needed = set(self.nodes)
        self.varying = _reached(self.nodes, self.inputs)
        if returned not in self.varying:
            raise UsageError("the model's output does not depend on its input", fix="is the model in inference mode?")
        self._check_random()
        self.constants = self._fold()
        self._last = _last_uses(self.nodes, keep=returned)

    def _check_random(self) -> None:
        for node in self.nodes:
            idle = op_name(node).startswith("rrelu") and not any(node.args[4:5])  # random in training alone
            if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) and not idle:
                raise UsageError(f"operation {node.target} draws random numbers", fix="put the model in eval mode")

    def _fold(self) -> Values:
        """Values of the nodes that depend on neither sequences nor params, computed once."""
        moving = _reached(self.nodes, [*self.inputs, *self._params], shapes=True)
        found: Values = {}
        with torch.no_grad():
            for node in self.nodes:
                if node.op == "get_attr":
                    found[node] = _attribute(self._module, str(node.target))
                elif node.op == "call_function" and node not in moving:
                    found[node] = call(node, found)
        return found

    def start(self, xs: Tensors, params: Tensors = ()) -> Values:
        """Values to begin a run with: constants and inputs."""
        tensors = dict(zip([*self.inputs, *self._params], [*xs, *params], strict=True))
        return self.constants | tensors

    def steps(self) -> Iterator[Node]:
        """Nodes that a run computes, in order."""
        return (node for node in self.nodes if node.op == "call_function" and node not in self.constants)

    def drop(self, values: Values, node: Node, *, keep: Container[Node] = ()) -> None:
        """Forget what is not used after ``node``."""
        for used in self._last.get(node, ()):
            if used not in self.constants and used not in keep:
                values.pop(used, None)

    def reached(self, sources: Sequence[Node]) -> set[Node]:
        """Nodes whose values depend on some of its inputs."""
        return _reached(self.nodes, sources)

    def run(self, xs: Tensors, params: Tensors = (), *, until: int | None = None) -> torch.Tensor:
        """The function's value, or that of the node with number ``until`` in :attr:`nodes`."""
        end = self.output if until is None else self.nodes[until]
        values = self.start(xs, params)
        for node in self.steps():
            values[node] = call(node, values)
            if node is end:
                break
            self.drop(values, node)
        result: torch.Tensor = values[end]
        return result

    def matches(self, other: Trace) -> bool:
        """Whether another trace has the same operations on the same values, shapes apart."""
        number = {node: i for i, node in enumerate(self.nodes)}
        others = {node: i for i, node in enumerate(other.nodes)}
        if len(number) != len(others):
            return False
        return all(
            a.op == b.op
            and (a.op != "call_function" or a.target is b.target)
            and [number[node] for node in a.all_input_nodes] == [others[node] for node in b.all_input_nodes]
            for a, b in zip(self.nodes, other.nodes, strict=True)
        )


def _without_copies(graph: Graph) -> None:
    """Leave out clones, and let reshapes copy where they have to: which of them there are depends on sizes of 1."""
    for node in list(graph.nodes):
        name = op_name(node)
        if name in ("clone", "lift_fresh_copy"):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif name in ("view", "_unsafe_view"):
            node.target = torch.ops.aten.reshape.default


def _without_stacks(graph: Graph) -> None:
    """Take what is selected from a stack from where it came, as when the scans of two strands are joined again."""
    for node in list(graph.nodes):
        if op_name(node) != "select" or op_name(node.args[0]) != "stack":
            continue
        stack, dim, index = node.args[0], node.args[1], node.args[2]
        along = stack.args[1] if len(stack.args) > 1 else 0
        ndim = len(node.meta["tensor_meta"].shape) + 1
        if dim % ndim == along % ndim:
            node.replace_all_uses_with(stack.args[0][index])
            graph.erase_node(node)


def call(node: Node, values: Values) -> Any:
    """Value of a ``call_function`` node."""
    args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
    return node.target(*args, **kwargs)  # type: ignore[operator]


def _attribute(module: torch.nn.Module, path: str) -> torch.Tensor:
    value: torch.Tensor = operator.attrgetter(path)(module)
    return value.detach()


def _needed(graph: Graph, output: Node) -> list[Node]:
    wanted = {output}
    for node in reversed(graph.nodes):
        if node in wanted:
            wanted.update(node.all_input_nodes)
    return [node for node in graph.nodes if node in wanted]


def _reached(nodes: Sequence[Node], sources: Sequence[Node], *, shapes: bool = False) -> set[Node]:
    """Nodes whose values (with ``shapes``: or shapes alone) depend on some sources."""
    found = set(sources)
    for node in nodes:
        if any(used in found for used in node.all_input_nodes) and (shapes or op_name(node) not in _SHAPE_ONLY):
            found.add(node)
    return found


def _last_uses(nodes: Sequence[Node], *, keep: Node) -> dict[Node, list[Node]]:
    last: dict[Node, Node] = {}
    for node in nodes:
        for used in node.all_input_nodes:
            last[used] = node
    found: dict[Node, list[Node]] = {}
    for used, node in last.items():
        if used is not keep:
            found.setdefault(node, []).append(used)
    return found


def _untraceable(error: Exception) -> UsageError:
    told = str(error).strip().splitlines()
    first = told[0] if told else type(error).__name__
    if "data-dependent" in str(error) or "value out of a tracing tensor" in str(error):
        return UsageError(
            "the model's course depends on the values of its input (a Python if, .item() or a shape made of values), "
            "so its operations cannot be listed",
            fix="write that with torch.where, or take another method",
        )
    return UsageError(f"the model's operations cannot be listed: {type(error).__name__}: {first}")
