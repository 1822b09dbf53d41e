"""drg-evaluate: how well a model predicts a split of a store."""

from __future__ import annotations

from typing import NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.files import read_json
from drg_hpc.prediction.config import SUMMARY, EvaluateOptions


def _shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _action(options: EvaluateOptions) -> Result:
    from drg_hpc.runs.plan import pin_threads

    pin_threads(options.threads)
    from drg_hpc.prediction.evaluate import evaluate

    folder = evaluate(options)
    metrics = read_json(folder / "metrics.json")
    lines = [
        f"{track['name']}: " + ", ".join(f"{key} {_shown(v)}" for key, v in track.items() if isinstance(v, float | int))
        for track in metrics["tracks"]
    ]
    return {"message": f"evaluation: {folder / 'metrics.json'}", "lines": lines, "out": str(folder), "metrics": metrics}


def main() -> NoReturn:
    """drg-evaluate."""
    run_command(prog="drg-evaluate", summary=SUMMARY, options=EvaluateOptions, action=_action)
