"""Predictions made before: whether they are of the models, the store and the rows that are evaluated."""

from __future__ import annotations

import logging
from collections.abc import Sequence
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
    inputs: dict[str, dict[str, Any]],
    rows: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The rows that were predicted, after checking that models, store and split are those asked for.

    Raises
    ------
    InputError : they are not, or rows of runs differ
    """
    found: NDArray[np.int64] | None = None
    keys = [key for key in inputs if key.startswith("model")]
    for candidate, run, key in zip(candidates, runs, keys, strict=True):
        made = candidate.made
        assert made is not None, "each model has its run"
        _check(made, run, options=options, inputs={"model": inputs[key], "store": inputs["store"]})
        _check_mean(made, run, options=options, links=track_links(candidate.header))
        here = made.regions["row"].to_numpy(dtype=np.int64)
        if len(here) != len(rows):
            log.warning("%s holds %d of %d rows of the split", run, len(here), len(rows))
        if found is not None and not np.array_equal(found, here):
            raise InputError(f"{run} holds other rows than {runs[0]}", fix="predict the same rows with every model")
        found = here
    assert found is not None
    return found


def _check(made: Predictions, run: Path, *, options: EvaluateOptions, inputs: dict[str, dict[str, Any]]) -> None:
    for name, record in inputs.items():
        if made.attributes["inputs"].get(name, {}).get("sha256") != record["sha256"]:
            raise InputError(f"{run} was made with another {name}", fix="run drg-predict again")
    params = made.attributes["params"]
    for name in ("split", "rc_average"):
        if params[name] != getattr(options, name):
            raise InputError(f"{run} has {name} {params[name]!r}, not {getattr(options, name)!r}",
                             fix=f"give the same --{name.replace('_', '-')}")  # fmt: skip


def _check_mean(made: Predictions, run: Path, *, options: EvaluateOptions, links: Sequence[str]) -> None:
    """The mean over strands is one on the output scale, as when predicting here; a mean of logits is another number."""
    other = [link for link in links if link != "identity"]
    if options.rc_average and made.scale != "output" and other:
        raise InputError(
            f"{run} has means over strands of the {made.scale} scale ({', '.join(dict.fromkeys(other))}), "
            "drg-evaluate takes them on the output scale",
            fix="run drg-predict with --rc-average --scale output, or leave --predictions out",
        )
