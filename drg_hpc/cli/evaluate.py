"""drg-evaluate: how well models predict a split of a store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.files import read_json
from drg_hpc.prediction.config import SUMMARY, EvaluateOptions

_TRACKS_SHOWN = 20
_SHOWN = ("n", "positives", "auroc", "auprc", "pearson", "spearman", "r2", "mse", "pearson_total", "jsd", "jsd_flat")


def _shown(values: dict[str, Any]) -> str:
    found = []
    for key in _SHOWN:
        if (value := values.get(key)) is not None:
            found.append(f"{key} {value:.4f}" if isinstance(value, float) else f"{key} {value}")
            if key == "pearson" and values.get("pearson_low") is not None:
                found[-1] += f" [{values['pearson_low']:.4f}, {values['pearson_high']:.4f}]"
    return ", ".join(found)


def _lines(metrics: dict[str, Any]) -> Iterator[str]:
    """A line for each track of one predictor, as far as they are few; the means of each of several."""
    if models := metrics.get("models"):
        for model in models:
            count = len(model["tracks"])
            values = model["mean"] if count > 1 else model["tracks"][0]
            yield f"{model['name']}, {f'mean of {count} tracks' if count > 1 else values['name']}: {_shown(values)}"
        return
    tracks = metrics["tracks"]
    for track in tracks[:_TRACKS_SHOWN]:
        yield f"{track['name']}: {_shown(track)}"
    if len(tracks) > _TRACKS_SHOWN:
        yield f"{len(tracks) - _TRACKS_SHOWN} more tracks in tracks.tsv"
    if len(tracks) > 1:
        yield f"mean of {len(tracks)} tracks: {_shown(metrics['mean'])}"


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
