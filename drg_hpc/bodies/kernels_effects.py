"""What the predictions of a model lose without each of its kernels, block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.bodies.kernels_layers import find_branches
from drg_hpc.bodies.kernels_scan import Arrays, Kernels, choice_of, constants, spread_on_rows, windows_of
from drg_hpc.interpretation import kernel_motifs as motifs
from drg_hpc.interpretation.kernel_ablation import Ablation
from drg_hpc.interpretation.kernel_effects import Collector, Shape
from drg_hpc.models.base import SequenceModel
from drg_hpc.models.compute import array_tensor, model_output, module_place, on_scale, pad_block
from drg_hpc.runs.signals import check_stop

Onehot = Sequence[NDArray[Any]]


class ModelEffects:
    """Effects of the kernels of one model over a group of rows.

    Parameters
    ----------
    params : of the plan
    number : of the model
    kernels : of all models
    scanned : the merged scan
    """

    def __init__(
        self, params: Mapping[str, Any], number: int, module: SequenceModel, *, kernels: Sequence[Kernels],
        scanned: Mapping[str, NDArray[Any]],
    ) -> None:  # fmt: skip
        self._params, self._number, self._scanned = params, number, scanned
        self._kernels = [item for item in kernels if item.model == number]
        self._place = module_place(module)
        branches, closed = find_branches(module)
        device, dtype = self._place
        self._ablation = Ablation(
            branches,
            [torch.tensor(constants(item, self._scanned, self._params), dtype=dtype, device=device)
             for item in self._kernels],
            predict=_prediction(module, self._params),
            closed=closed,
        )  # fmt: skip
        self._motifs: Arrays = {}

    @property
    def _sums_motifs(self) -> bool:
        return self._params["kmers"] == "data" and not self._params["unique"]

    def begin(self, device: str) -> None:
        """Set all sums to zero."""
        classes = tuple(tuple(members) for _, members in self._params["classes"])
        shape = Shape(
            kernels=sum(item.branch.kernels for item in self._kernels), tracks=len(self._params["tracks"]),
            classes=classes, regions=len(self._params["region_classes"]), cut=self._params["min_correlation"],
            measured=self._params["measured"],
        )  # fmt: skip
        self._collector = Collector(shape, device)
        if self._sums_motifs:
            self._motifs = {}
            for item in self._kernels:
                self._motifs[f"{item.tag}_sums"] = np.zeros((len(item.weight), 4 * item.width))
                self._motifs[f"{item.tag}_counts"] = np.zeros(len(item.weight), np.int64)

    def add(
        self, onehot: Onehot, kept: NDArray[np.int64], *, measured: NDArray[np.float64] | None,
        classes: NDArray[np.int64] | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:  # fmt: skip
        """A block of rows, of which some are kept.

        Returns
        -------
        with ``per_row``, losses of the kept rows (n, classes, kernels), and what is lost from (n, classes)
        """
        device, dtype = self._place
        x = [pad_block(array_tensor(each).to(device=device, dtype=dtype)) for each in onehot]
        rows = torch.from_numpy(kept).to(device)
        prediction = self._ablation.block(x)
        y, regions = (None if v is None else torch.from_numpy(v).to(device) for v in (measured, classes))
        self._collector.rows(prediction[rows], y, regions)
        first, losses = 0, []
        for number, item in enumerate(self._kernels):
            for chosen, without in self._ablation.without(number):
                check_stop()
                here = slice(first + chosen.start, first + chosen.stop)
                loss = self._collector.without(here, without[:, rows])
                if self._params["per_row"] and loss is not None:
                    losses.append(loss.float().cpu().numpy())
            first += item.branch.kernels
            if self._sums_motifs:
                self._add_motifs(item, [each[kept] for each in onehot])
        if not losses:
            return None
        return np.concatenate(losses).transpose(1, 2, 0), self._collector.row_correlations.float().cpu().numpy()

    def _add_motifs(self, item: Kernels, onehot: Onehot) -> None:
        spread, choice = spread_on_rows(item, self._scanned), choice_of(self._params)
        for windows in windows_of(item, onehot, self._params):
            active = item.activation(motifs.responses(windows, item.weight, item.bias))
            sums, counted = motifs.motif_sums(windows, active, spread, choice)
            self._motifs[f"{item.tag}_sums"] += sums
            self._motifs[f"{item.tag}_counts"] += counted

    def sums(self) -> Arrays:
        """The sums so far."""
        own = {f"m{self._number}_{name}": value for name, value in self._collector.sums().items()}
        return own | self._motifs


def _prediction(module: SequenceModel, params: Mapping[str, Any]) -> Callable[[list[torch.Tensor]], torch.Tensor]:
    tracks = [index for index, _ in params["tracks"]]

    def predict(x: list[torch.Tensor]) -> torch.Tensor:
        found = on_scale(model_output(module, x[0] if len(x) == 1 else x), module, params["scale"])[:, tracks]
        return found.mean(2) if found.ndim == 3 else found

    return predict
