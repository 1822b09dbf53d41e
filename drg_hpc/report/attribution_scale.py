"""On which scale a page shows predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from drg_hpc.report import html
from drg_hpc.report.lineage import Lineage
from drg_hpc.report.sources import Source
from drg_hpc.report.statistic_words import scale_of, statistic_words

_LINKS = {"logit": "probabilities", "log": "rates"}


def model_tracks(source: Source, lineage: Lineage) -> list[str]:
    """Names of the tracks of the model that a run is of; empty where it is not on the page."""
    model = lineage.parent(source, "model")
    return [str(name) for name in model.header.get("tracks", ())] if model else []


@dataclass(frozen=True)
class PredictionScale:
    """How the page shows a prediction: on the output scale wherever that is known.

    Parameters
    ----------
    link : of the values that are to be converted, ``identity`` to show them as they are stored
    words : the sentence that says so
    """

    link: str
    words: str

    @staticmethod
    def of(source: Source, lineage: Lineage) -> PredictionScale:
        """Stored values are on the link scale unless the run asked for ``output``; the model knows the link."""
        params = source.header.get("params", {})
        words = statistic_words(params)
        if words and "genes" in params:
            return PredictionScale("identity", f"Predictions are {words}.")
        if words:
            output = scale_of(params) == "output"
            scale = "on the output scale" if output else "on the model's own scale, before its output link"
            return PredictionScale("identity", f"Predictions are values of that statistic, of tracks {scale}.")
        if scale_of(params) == "output":
            return PredictionScale("identity", "Predictions are on the model's output scale.")
        model = lineage.parent(source, "model")
        link = str(model.header.get("link")) if model else ""
        if model and link in _LINKS and not model.header.get("bins"):  # a sum over bins of logs is no log of a sum
            scale = f"Predictions are {_LINKS[link]}, on the output scale"
            return PredictionScale(link, f"{scale}; contributions are on the model's own scale ({link}).")
        if link == "identity":
            return PredictionScale(link, "Predictions are on the model's output scale.")
        own = f", the {link}" if link else ""
        return PredictionScale("identity", f"Predictions are on the model's own scale, before its output link{own}.")

    def text(self, value: float) -> str:
        """The number on the page."""
        if self.link == "logit":
            value = 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
            if value > 0.9995:
                return ">0.999"
        elif self.link == "log":
            value = math.exp(min(value, 700.0))
        return html.number(value)
