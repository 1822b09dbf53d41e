"""In-silico mutagenesis that computes only what an edit changes, exactly.

An edit of some bases changes only a window of positions at each layer. The reference sequence is run once; of every
edit, layer by layer, only that window is computed. Convolutions and linear layers multiply the *differences* from the
reference: zeros are never multiplied. From where a layer needs all positions, edits are run in full. (The idea of
windows: fastISM, Nair et al. 2022, 10.1093/bioinformatics/btac135.)
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import Node
from torch.fx.node import map_arg

from drg_hpc.attribution.edits import Edits, sequence_codes
from drg_hpc.attribution.full import FullEvaluator
from drg_hpc.attribution.incremental.axes import Flat, Positions, Stacked, shape_of
from drg_hpc.attribution.incremental.kernels import Windows, kernels_for
from drg_hpc.attribution.incremental.plan import make_plan, read_without_edits
from drg_hpc.attribution.incremental.run import Reference, Run
from drg_hpc.attribution.incremental.steps_conv import BASE_CODES
from drg_hpc.attribution.incremental.traces import Untraceable, alike, expanded, macs_of, refusing, rows_of, trace_of
from drg_hpc.attribution.targets import Statistic
from drg_hpc.attribution.trace import Values, call
from drg_hpc.errors import InputError

log = logging.getLogger(__name__)
_CHUNK_BYTES = {"cpu": 8 << 20, "cuda": 1 << 30}
"""Of what one layer takes for the edits that are computed together: what a core's caches hold."""
_CHUNK = {"cpu": (32, 192), "cuda": (64, 4096)}
"""Least and most edits that are computed together."""
_GEOMETRY_BYTES, _WINDOW_BYTES = 64 << 20, 40
"""Of the windows that are kept for the next sequence, and of one window."""
Codes = NDArray[np.int64]


class IncrementalEvaluator:
    """A statistic of the edits of a row, by computing only what they change.

    Parameters
    ----------
    xs, params : of one row, as examples: (1, 4, L) of each input; (1, …)
    input : which sequence is edited

    Attributes
    ----------
    engine : ``incremental``
    deviation : see :class:`drg_hpc.attribution.full.Evaluator`
    macs : multiply-adds of a substitution, mean over positions

    Raises
    ------
    Untraceable : the operations depend on values or on the number of rows, cannot be listed, or fail (in values too)
    """

    engine = "incremental"
    deviation: float | None = None

    def __init__(
        self, statistic: Statistic, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor] = (), *, input: int = 0
    ) -> None:
        self._statistic, self._input = statistic, input
        self._kind = xs[0].device.type
        xs, params = [x[:1] for x in xs], [p[:1] for p in params]
        self._one = trace_of(statistic, xs, params)
        source = self._one.inputs[input]
        with refusing():
            self.plan = make_plan(self._one, source, xs[input])
        self._kernels = kernels_for(xs[0].device)
        self._number = {node: i for i, node in enumerate(self._one.nodes)}
        self._keep = read_without_edits(self.plan)
        self._geometry: dict[bytes, dict[Node, Windows]] = {}
        self._example = [*xs], [*params]
        self._last: tuple[tuple[torch.Tensor, ...], Reference] | None = None
        length = xs[input].shape[2]
        at = np.unique(np.linspace(0, length - 1, min(length, 256)).astype(np.int64))
        windows = self.plan.windows(at, at + 1)
        self.macs = self.plan.macs(windows) / len(at) + sum(macs_of(node) for node in self.plan.whole)
        each = [step.bytes(windows) / len(at) for step in self.plan.steps]
        each += [math.prod(shape_of(node) or (1,)) * 4 for node in self.plan.whole]
        least, most = _CHUNK[self._kind]
        self.chunk_of(int(min(most, max(least, _CHUNK_BYTES[self._kind] // max(1, int(max(each, default=1)))))))

    def chunk_of(self, edits: int) -> None:
        """Compute so many edits together; results may differ in the last bits.

        Raises
        ------
        Untraceable : the operations depend on the number of rows
        """
        xs, params = ([rows_of(tensor, edits) for tensor in some] for some in self._example)
        self._many = trace_of(self._statistic, xs, params)
        if not self._one.matches(self._many) or not alike(self._one, self._many, self.plan.kinds):
            raise Untraceable("its operations depend on the number of rows")
        self._many_number = {node: i for i, node in enumerate(self._many.nodes)}
        self._geometry.clear()
        self.chunk = edits

    def values(
        self, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor], edits: Edits
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The statistic of a row (k,), and of its edits (E, k).

        Parameters
        ----------
        xs : (1, 4, L) of each input
        params : (1, …)
        """
        assert edits.input == self._input
        codes = sequence_codes(xs[self._input][0].cpu().numpy()).astype(np.int64)
        with torch.no_grad():
            while True:
                try:
                    with refusing():
                        reference = self._reference_of(xs, params)
                        base = reference.values[self._one.output][0]
                        found = self._all(reference, codes, edits, base)
                    break
                except torch.OutOfMemoryError:
                    self._retreat()
        lost = found.isnan().any(dim=1).cpu().numpy()
        if lost.any():  # infinities inside a network have no differences
            log.debug("%d mutants in full: they give NaN, or values inside the model are infinite", lost.sum())
            full = FullEvaluator(self._statistic, batch=self.chunk)
            found[torch.from_numpy(lost).to(found.device)] = full.values(xs, params, edits.take(lost))[1]
        return base, found

    def _all(self, reference: Reference, codes: Codes, edits: Edits, base: torch.Tensor) -> torch.Tensor:
        """Statistics (E, k) of all edits, some of them at once in every thread."""
        parts = [slice(at, at + self.chunk) for at in range(0, len(edits), self.chunk)]
        out = base.new_empty((len(edits), len(base)))

        def compute(part: slice) -> None:
            with torch.no_grad():
                out[part] = self._part(reference, codes, edits[part])[: len(out[part])]

        threads = torch.get_num_threads() if self._kind == "cpu" else 1
        if threads == 1 or len(parts) == 1:
            for part in parts:
                compute(part)
            return out
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                list(pool.map(compute, parts))
        finally:
            torch.set_num_threads(threads)
        return out

    def _retreat(self) -> None:
        if self.chunk == 1:
            raise InputError("the GPU's memory does not hold one mutant", fix="use --device cpu")
        torch.cuda.empty_cache()
        self.chunk_of(self.chunk // 2)
        log.warning("out of GPU memory: %d mutants at once from here on", self.chunk)

    def _reference_of(self, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Reference:
        """The row without edits; that of the last call where it is asked for again."""
        given = (*xs, *params)
        last = self._last
        if last is None or not all(
            a.shape == b.shape and torch.equal(a, b) for a, b in zip(given, last[0], strict=True)
        ):
            last = self._last = tuple(tensor.clone() for tensor in given), self._reference(xs, params)
        return last[1]

    def _reference(self, xs: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Reference:
        values = self._one.start(xs, params)
        for node in self._one.steps():
            values[node] = call(node, values)
            self._one.drop(values, node, keep=self._keep)
        return Reference(values)

    def _part(self, reference: Reference, codes: Codes, edits: Edits) -> torch.Tensor:
        """Statistics of some edits, (chunk, k); the last ones are empty edits where there are fewer."""
        missing = self.chunk - len(edits)
        starts = np.concatenate([edits.starts, np.zeros(missing, np.int64)])
        widths = np.concatenate([edits.widths, np.zeros(missing, np.int64)])
        windows = self._windows_of(starts, widths)
        run = Run(reference, self._kernels, windows, edits=self.chunk)
        self._enter(run, codes, edits)
        for step in self.plan.steps:
            step.run(run)
        return self._finish(run)

    def _windows_of(self, starts: NDArray[np.int64], widths: NDArray[np.int64]) -> dict[Node, Windows]:
        """Windows of every node; those of the same edits of another sequence are the same."""
        key = starts.tobytes() + widths.tobytes()
        found = self._geometry.get(key)
        if found is None:
            each = _WINDOW_BYTES * len(self.plan.spans) * len(starts)
            if len(self._geometry) * each > _GEOMETRY_BYTES:
                self._geometry.clear()
            found = self._geometry[key] = self.plan.windows(starts, starts + widths)
        return found

    def _enter(self, run: Run, codes: Codes, edits: Edits) -> None:
        """The edited sequence's own rows."""
        source, w = self.plan.source, run.windows[self.plan.source]
        owner, positions = edits.owners, edits.places
        inside = (positions >= w.lo[owner]) & (positions < w.hi[owner])
        old, new = codes[positions[inside]], edits.codes[inside].astype(np.int64)
        pairs = torch.from_numpy((old * BASE_CODES + new).astype(np.int32))
        like = run.reference.values[source]
        onehot = torch.eye(BASE_CODES, 4, dtype=like.dtype, device=like.device)
        delta = onehot[torch.from_numpy(new).to(like.device)] - onehot[torch.from_numpy(old).to(like.device)]
        positions_of = self.plan.kinds[source]
        assert isinstance(positions_of, Positions)
        run.state(source, positions_of, delta=delta, pairs=pairs.to(like.device))

    def _finish(self, run: Run) -> torch.Tensor:
        """What is computed in full, to the end."""
        values: Values = dict(self._many.constants)
        for node in self.plan.whole:
            many = self._many.nodes[self._number[node]]
            run.whole[self._number[node]] = self._whole(many, run, values)
        out = self._resolve(self._many.output, run, values)
        assert isinstance(out, torch.Tensor)
        return out

    def _whole(self, node: Node, run: Run, values: Values) -> Any:
        args, kwargs = map_arg((node.args, node.kwargs), lambda used: self._resolve(used, run, values))
        return node.target(*args, **kwargs)  # type: ignore[operator]

    def _resolve(self, node: Node, run: Run, values: Values) -> Any:
        """A node's value for all edits: computed, put together from windows, or that of the reference."""
        if node in values:
            return values[node]
        number = self._many_number[node]
        one = self._one.nodes[number]
        if number in run.whole:
            return run.whole[number]
        kind = self.plan.kinds.get(one)
        if isinstance(kind, Flat | Stacked) or (one in self.plan.reached and kind is None):
            found = self._whole(node, run, values)
        elif kind is not None:
            state = run.states[one]
            placed = run.kernels.place(state.reference, state.value(), state.windows)
            positions = state.positions
            shaped = placed.view(run.edits, positions.length, *positions.features)
            found = shaped.movedim(1, positions.axis).contiguous()  # some operations take nothing else
        else:
            found = expanded(run.reference.values[one], node.meta.get("tensor_meta"), self.chunk)
        run.whole[number] = found
        return found
