"""What a training leaves in MODEL: history.tsv and speed.tsv while it runs, the model and done.json at its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drg_hpc.digests import versions, who_and_where
from drg_hpc.files import changed_files, read_json, sha256_file, write_atomic, write_json
from drg_hpc.models.base import SequenceModel
from drg_hpc.models.config import ModelConfig
from drg_hpc.models.io import write_model_files
from drg_hpc.training.state import TrainState

log = logging.getLogger(__name__)
OUTPUTS = ("model.json", "weights.safetensors", "tracks.tsv", "history.tsv", "metrics.json")
_FIRST = ("epoch", "step", "lr", "train_loss", "valid_loss")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]], first: Sequence[str]) -> None:
    """Write a line per epoch, and log the last one."""
    columns = [*first, *sorted(set(rows[0]) - set(first))]  # by name: JSON of a checkpoint has its keys sorted
    lines = ["\t".join(columns), *("\t".join(_cell(row[name]) for name in columns) for row in rows)]
    write_atomic(path, "\n".join(lines) + "\n")
    log.info("%s", ", ".join(f"{name} {_cell(rows[-1][name]) or 'undefined'}" for name in columns))


def write_history(folder: Path, state: TrainState) -> None:
    """Write history.tsv, the same for equal trainings, and speed.tsv."""
    _write_table(folder / "history.tsv", state.history, _FIRST)
    _write_table(folder / "speed.tsv", state.speed, ("epoch",))


def write_outputs(
    folder: Path,
    *,
    model: SequenceModel,
    config: ModelConfig,
    recipe: Mapping[str, Any],
    tracks: Sequence[str],
    state: TrainState,
    inputs: Mapping[str, Mapping[str, Any]],
    run: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the model with its best weights, already loaded, and commit everything with done.json.

    Parameters
    ----------
    recipe : as :func:`drg_hpc.training.config.recorded`
    inputs : descriptions of ``store``, and of further stores and files
    run : facts of this job: ranks, device, threads, seconds
    """
    best = state.best
    assert best is not None, "a finished training has validated at least once"
    provenance = {"recipe": dict(recipe), "store": inputs["store"]["sha256"], "step": best.step}
    metrics = {"best_epoch": best.epoch + 1, "best_step": best.step, "epochs": state.epoch, "steps": state.step}
    valid = {"loss": best.loss, **best.scores}
    write_json(
        folder / "metrics.json",
        {**metrics, "valid": valid, "valid_tracks": {"track": list(tracks), **best.tracks}},
    )
    write_model_files(folder, module=model, config=config, tracks=tracks, provenance=provenance)
    record = {
        "format": "drg-done/1",
        "command": "train",
        "outputs": {
            name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)} for name in OUTPUTS
        },
        "summary": {**metrics, "valid": valid, "tracks": list(tracks)},
        "params": dict(recipe),
        "inputs": {name: {"path": item["path"], "sha256": item["sha256"]} for name, item in inputs.items()},
        **run,
        "versions": versions(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "by": who_and_where(),
    }
    write_json(folder / "done.json", record)
    return record


def output_faults(folder: Path) -> list[str]:
    """Outputs of a finished training that are not as done.json says."""
    return changed_files(folder, read_json(folder / "done.json")["outputs"])
