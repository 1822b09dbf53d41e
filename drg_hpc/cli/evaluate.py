"""drg-evaluate: how well models predict a split of a store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.files import read_json
from drg_hpc.prediction.config import SUMMARY, EvaluateOptions

_TRACKS_SHOWN = 20


def _shown(values: dict[str, Any]) -> str:
    numbers = {key: value for key, value in values.items() if isinstance(value, float | int)}
    return ", ".join(f"{key} {v:.4f}" if isinstance(v, float) else f"{key} {v}" for key, v in numbers.items())


def _lines(metrics: dict[str, Any]) -> Iterator[str]:
    """A line for each track of a few, and the means of each predictor."""
    models = metrics.get("models") or [metrics]
    for model in models:
        before = f"{model['name']}: " if len(models) > 1 else ""
        tracks = model["tracks"]
        for track in tracks[:_TRACKS_SHOWN]:
            yield f"{before}{track['name']}: {_shown(track)}"
        if len(tracks) > _TRACKS_SHOWN:
            yield f"{before}{len(tracks) - _TRACKS_SHOWN} more tracks in tracks.tsv"
        if len(tracks) > 1:
            yield f"{before}mean of {len(tracks)} tracks: {_shown(model['mean'])}"


def _action(options: EvaluateOptions) -> Result:
    from drg_hpc.runs.plan import pin_threads

    pin_threads(options.threads)
    from drg_hpc.prediction.evaluate import evaluate
    from drg_hpc.report.figures import draw_evaluation

    folder = evaluate(options, draw=draw_evaluation)
    metrics = read_json(folder / "metrics.json")
    message = f"evaluation: {folder / 'metrics.json'}"
    return {"message": message, "lines": list(_lines(metrics)), "out": str(folder), "metrics": metrics}


def main() -> NoReturn:
    """drg-evaluate."""
    run_command(prog="drg-evaluate", summary=SUMMARY, options=EvaluateOptions, action=_action)
