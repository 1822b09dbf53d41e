"""Predictions made before: whether they are of the models, the store and the rows that are evaluated."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.models.header import track_links
from drg_hpc.prediction.config import EvaluateOptions
from drg_hpc.results.reader import Predictions

if TYPE_CHECKING:
    from drg_hpc.prediction.setup import Candidate

log = logging.getLogger(__name__)


def check_predictions(
    candidates: Sequence[Candidate],
    runs: Sequence[Path],
    *,
    options: EvaluateOptions,
    inputs: Mapping[str, Mapping[str, Any]],
    rows: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The rows that were predicted, after checking that models, store and split are those asked for.

    Parameters
    ----------
    candidates : each with its predictions; one with those of the mean of all models
    inputs : descriptions of models and store

    Raises
    ------
    InputError : they are not, or rows of runs differ
    """
    found: NDArray[np.int64] | None = None
    models = {key: record for key, record in inputs.items() if key.startswith("model")}
    mean = len(models) > len(candidates)
    for candidate, run, record in zip(candidates, runs, models.values(), strict=False):
        made = candidate.made
        assert made is not None, "each has its run"
        _check_inputs(made, run, {**(models if mean else {"model": record}), "store": inputs["store"]})
        _check_options(made, run, options)
        _check_mean(made, run, mean_over="models" if mean else "strands" if options.rc_average else None,
                    links=track_links(candidate.header))  # fmt: skip
        here = made.regions["row"].to_numpy(dtype=np.int64)
        if len(here) != len(rows):
            log.warning("%s holds %d of %d rows of the split", run, len(here), len(rows))
        if found is not None and not np.array_equal(found, here):
            raise InputError(f"{run} holds other rows than {runs[0]}", fix="predict the same rows with every model")
        found = here
    assert found is not None
    return found


def _check_inputs(made: Predictions, run: Path, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    had = {name: record["sha256"] for name, record in made.attributes["inputs"].items()}
    if "store" not in had:
        raise InputError(f"{run} holds predictions of no dataset store", fix="predict the rows of the store")
    if len(had) != len(wanted):
        raise InputError(
            f"{run} was made with {len(had) - 1} models, not {len(wanted) - 1}",
            fix="give the same models, in the same order",
        )
    for name, record in wanted.items():
        if had.get(name) != record["sha256"]:
            raise InputError(f"{run} was made with another {name}", fix="run drg-predict again")


def _check_options(made: Predictions, run: Path, options: EvaluateOptions) -> None:
    params = made.attributes["params"]
    for name in ("split", "rc_average"):
        if params[name] != getattr(options, name):
            raise InputError(f"{run} has {name} {params[name]!r}, not {getattr(options, name)!r}",
                             fix=f"give the same --{name.replace('_', '-')}")  # fmt: skip


def _check_mean(made: Predictions, run: Path, *, mean_over: str | None, links: Sequence[str]) -> None:
    """A mean is one on the output scale, as when predicting here; a mean of logits is another number."""
    other = [link for link in links if link != "identity"]
    if mean_over and made.scale != "output" and other:
        raise InputError(
            f"{run} has means over {mean_over} of the {made.scale} scale ({', '.join(dict.fromkeys(other))}), "
            "drg-evaluate takes them on the output scale",
            fix=f"run drg-predict with {'--rc-average ' * (mean_over == 'strands')}--scale output, or leave "
            "--predictions out",
        )
