"""What is evaluated: models, predictions made before, the mean of several models, and baselines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.models.links import apply_links
from drg_hpc.prediction.predict import predict_block
from drg_hpc.prediction.rows import Block

Kind = Literal["model", "ensemble", "baseline"]
Array = NDArray[Any]
ENSEMBLE = "ensemble"


class Predictor(ABC):
    """Something that predicts all tracks of the evaluation.

    Parameters
    ----------
    name : unique
    """

    kind: Kind = "model"

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def raw(self, block: Block) -> Any:
        """What it knows of a block, for all tracks at once."""

    @abstractmethod
    def outputs(self, raws: Mapping[str, Any], tracks: slice) -> NDArray[np.float64]:
        """Predictions (n, tracks[, bins]) on the output scale, of some tracks.

        Parameters
        ----------
        raws : what :meth:`raw` of every predictor gave, by name
        """


def to_output(values: Array, links: Sequence[str]) -> NDArray[np.float64]:
    """From the link scale. In float64: a float32 sigmoid is exactly 1 from a logit of 17 on, and ranks would tie."""
    converted: NDArray[np.float64] = apply_links(torch.from_numpy(values).double(), links).numpy()
    return converted


class ModelPredictor(Predictor):
    """A network.

    Parameters
    ----------
    inputs : names of its sequences
    order : its tracks in the order of the evaluation
    rc_average : mean over both strands, on the output scale
    """

    def __init__(
        self, name: str, module: torch.nn.Module, *, inputs: Sequence[str], order: Sequence[int],
        links: Sequence[str], rc_average: bool,
    ) -> None:  # fmt: skip
        super().__init__(name)
        self._module, self._inputs, self._rc_average = module, list(inputs), rc_average
        self._order = None if list(order) == list(range(len(links))) else list(order)
        self._links = [links[track] for track in order]

    def raw(self, block: Block) -> Array:
        sequences: Any = [block.sequences[name] for name in self._inputs]
        found: Array = predict_block(
            self._module, sequences[0] if len(sequences) == 1 else sequences,
            tracks=self._order, scale="output" if self._rc_average else "link", rc_average=self._rc_average,
        )  # fmt: skip
        return found

    def outputs(self, raws: Mapping[str, Any], tracks: slice) -> NDArray[np.float64]:
        values = raws[self.name][:, tracks]
        return values.astype(np.float64) if self._rc_average else to_output(values, self._links[tracks])


class SavedPredictor(Predictor):
    """Predictions in memory, (rows, tracks[, bins]); ``links`` is None where they are on the output scale."""

    def __init__(
        self, name: str, values: Array, *, kind: Kind, order: Sequence[int], links: Sequence[str] | None
    ) -> None:
        super().__init__(name)
        self.kind = kind
        self._values, self._order = values, list(order)
        self._links = None if links is None else [links[track] for track in order]

    def raw(self, block: Block) -> Array:
        return self._values[block.at : block.at + len(block.rows)][:, self._order]

    def outputs(self, raws: Mapping[str, Any], tracks: slice) -> NDArray[np.float64]:
        values = raws[self.name][:, tracks]
        return values.astype(np.float64) if self._links is None else to_output(values, self._links[tracks])


class Ensemble(Predictor):
    """The mean of the outputs of several predictors."""

    kind: Kind = "ensemble"

    def __init__(self, members: Sequence[Predictor]) -> None:
        super().__init__(ENSEMBLE)
        self._members = list(members)

    def raw(self, block: Block) -> None:
        return None

    def outputs(self, raws: Mapping[str, Any], tracks: slice) -> NDArray[np.float64]:
        total = self._members[0].outputs(raws, tracks)
        for member in self._members[1:]:
            total = total + member.outputs(raws, tracks)
        return total / len(self._members)
