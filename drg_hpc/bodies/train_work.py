"""Work of drg-train --folds and --grid: a shard's trainings, one after the other, each from its checkpoint."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import link_or_copy, read_json, write_atomic
from drg_hpc.models.compute import device_model
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import Attempt, Part, Shard
from drg_hpc.runs.state import note_progress
from drg_hpc.training.config import TrainOptions
from drg_hpc.training.inputs import placed
from drg_hpc.training.loop import Diverged
from drg_hpc.training.outputs import OUTPUTS
from drg_hpc.training.run import train
from drg_hpc.training.state import TrainState

log = logging.getLogger(__name__)
MODELS = "models"
SUMMARY = "summary.tsv"
_TRAININGS = "trainings"


class Body:
    """Trains into the state of a shard, so that what a stopped attempt has done is there for the next one."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._params = plan.params

    def work(self, stage: str, shard: Shard, attempt: Attempt) -> None:
        """Write a model folder for each training of the shard."""
        attempt.notes |= {"device": device_model(attempt.device), "torch": torch.__version__}
        for name in self._names(shard):
            model = self._train(name, attempt)
            for file in OUTPUTS:
                link_or_copy(model / file, attempt.out / name / file)

    def _names(self, shard: Shard) -> list[str]:
        names: list[str] = self._params["names"][shard.start : shard.stop]
        return names

    def _options(self, name: str, out: Path, device: str) -> TrainOptions:
        recipe, aside = placed(self._params["recipes"][name], self._plan.inputs), self._plan.aside
        run = {"store": self._plan.inputs["store"]["path"], "out": out, "device": device, "threads": self._plan.threads}
        return TrainOptions.model_validate({**recipe, **run, **aside})

    def _train(self, name: str, attempt: Attempt) -> Path:
        assert attempt.state is not None, "train is a resumable command"
        state = attempt.state
        (state / _TRAININGS).mkdir(exist_ok=True)
        options = self._options(name, state / _TRAININGS / name, attempt.device)

        def on_epoch(progress: TrainState) -> None:
            best = min(progress.losses)
            text = f"{name}: epoch {progress.epoch} of {options.train.epochs} done, best validation loss {best:.6g}"
            log.info("%s", text)  # the lines of workers side by side mingle
            note_progress(state, text)

        try:
            return train(options, alone=True, on_epoch=on_epoch)
        except Diverged as error:
            note_progress(state, f"{name}: {error.what}")
            fix = "lower optim.lr or set optim.clip_norm; the other trainings' models lie in RUN/parts/train"
            raise Diverged(f"{name}: {error.what}", fix=fix) from None
        except (InputError, UsageError) as error:
            raise type(error)(f"{name}: {error.what}", fix=error.fix) from None

    def merge(self, stage: str, parts: list[Part], out: Path) -> dict[str, Any]:
        """``models/NAME``, a model folder for each training, and ``summary.tsv``, a line for each."""
        found = {}
        for part in parts:
            for name in self._names(part.shard):
                for file in OUTPUTS:
                    link_or_copy(part.path / name / file, out / MODELS / name / file)
                found[name] = read_json(out / MODELS / name / "metrics.json")
        columns, rows = _table(self._params, found)
        lines = ["\t".join(columns), *("\t".join(_cell(row.get(key)) for key in columns) for row in rows)]
        write_atomic(out / SUMMARY, "\n".join(lines) + "\n")
        return {
            "trainings": len(found),
            "models": {name: {"best_epoch": m["best_epoch"], "valid": m["valid"]} for name, m in found.items()},
        }


def _table(params: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and rows of the summary: settings, where the best weights are from, and how they do in validation."""
    varied = list(dict.fromkeys(key for name in found for key in params["settings"][name]))
    rows = []
    for name, metrics in found.items():
        splits = params["splits"].get(name, {})
        places = {key: splits[key] for key in ("valid", "test") if splits}
        best = {key: metrics[key] for key in ("epochs", "steps", "best_epoch", "best_step")}
        scores = {f"valid_{key}": value for key, value in metrics["valid"].items()}
        settings = {key: _exact(_setting(params["recipes"][name], key)) for key in varied}
        rows.append({"name": name, **settings, **places, **best, **scores})
    return list(dict.fromkeys(_in_order(rows))), rows


def _setting(recipe: Mapping[str, Any], key: str) -> Any:
    """What a training has for a setting, its own or that of all; NA where its network has no such thing."""
    value: Any = recipe
    for word in key.split("."):
        value = value.get(word, "NA") if isinstance(value, Mapping) else "NA"
    return value


def _in_order(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Names of columns: those of settings before those of results, in the order in which they first occur."""
    last = ("valid", "test", "epochs", "steps", "best_epoch", "best_step", "valid_loss")
    keys = [key for row in rows for key in row]
    yield from (key for key in keys if key not in last and not key.startswith("valid_"))
    yield from (key for key in last if key in keys)
    yield from sorted(key for key in set(keys) if key.startswith("valid_"))


def _exact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _cell(value: Any) -> str:
    if value is None:
        return "NA"
    return f"{value:.6g}" if isinstance(value, float) else _exact(value)
