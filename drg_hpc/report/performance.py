"""Training curves and the evaluation on held-out rows."""

from __future__ import annotations

from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError
from drg_hpc.models.header import model_inputs
from drg_hpc.report import html
from drg_hpc.report.charts import COLOURS, Chart, padded
from drg_hpc.report.sources import Source

METRIC_NAMES = {
    "auroc": "AUROC", "auprc": "AUPRC", "pearson": "Pearson r", "pearson_total": "Pearson r of row totals",
    "spearman": "Spearman ρ", "r2": "R²", "jsd": "profile JSD (bits)", "mse": "MSE",
}  # fmt: skip
_CURVES_SHOWN = 6
_ROWS_SHOWN = 100
Points = NDArray[np.floating]


def training_section(source: Source) -> str:
    """HTML of one model: what it is, and its curves."""
    header = source.header
    config = header.get("config", {})
    tracks = header.get("tracks", [])
    pairs: list[tuple[str, object]] = [
        ("architecture", header.get("architecture")),
        ("input", ", ".join(f"{name}: {length} bp" for name, length in model_inputs(header).items())),
        ("tracks", f"{len(tracks)}: {', '.join(map(str, tracks[:8]))}{' …' if len(tracks) > 8 else ''}"),
        ("output link", header.get("link")),
        ("parameters", html.number(header.get("parameters")) if header.get("parameters") else ""),
        ("multiply-adds per sequence", html.number(header.get("operations", {}).get("macs_per_row"))),
        ("settings", ", ".join(f"{key} = {value}" for key, value in sorted(config.items()))),
        ("best epoch", source.done.get("summary", {}).get("best_epoch", "")),
    ]
    return html.facts(pairs) + html.figures(_history_charts(source))


def _history_charts(source: Source) -> list[str]:
    path = source.file / "history.tsv"
    if not path.is_file():
        return []
    history = pd.read_csv(path, sep="\t")
    if "epoch" not in history or not len(history):
        raise CorruptError(f"{path} has no epochs", fix="restore the file, or train again")
    epochs = history["epoch"].to_numpy(np.float64)
    numbers = history.select_dtypes("number")
    losses = [name for name in ("train_loss", "valid_loss") if name in numbers]
    scores = [name for name in METRIC_NAMES if name in numbers and name != "mse" and numbers[name].notna().any()]
    found = []
    for names, title, caption in ((losses, "loss", "Loss by epoch."), (scores, "score", "Validation scores by epoch.")):
        if names:
            found.append(html.figure(_epoch_chart(epochs, numbers[names], title), caption))
    return found


def _epoch_chart(epochs: Points, values: pd.DataFrame, title: str) -> str:
    everything = values.to_numpy(np.float64)
    span = padded(everything, 0.08)
    right = max(float(epochs.max()), float(epochs.min()) + 1)
    chart = Chart(f"{title} by epoch", (float(epochs.min()), right), span, "epoch", title)
    for name, colour in zip(values, COLOURS, strict=False):
        points = np.column_stack([epochs, values[name].to_numpy(np.float64)])
        label = str(name).removesuffix("_loss").replace("_", " ")
        chart.line(points, colour=colour, name=METRIC_NAMES.get(str(name), label))
        chart.points(points, colour=colour, radius=3, opacity=1)
    return chart.svg()


def load_curves(source: Source) -> dict[str, NDArray[Any]]:
    """Arrays of curves.npz; empty when the evaluation kept none.

    Raises
    ------
    CorruptError : not a whole npz file
    """
    path = source.file / "curves.npz"
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise CorruptError(f"{path} cannot be read: {error}", fix="run drg-evaluate again") from None


def evaluation_section(source: Source) -> str:
    """HTML of one evaluation: numbers per track, ROC and precision-recall curves, scatter."""
    tracks: list[dict[str, Any]] = list(source.header.get("tracks", []))
    curves = load_curves(source)
    columns = [name for name in METRIC_NAMES if any(track.get(name) is not None for track in tracks)]
    shown = tracks[:_ROWS_SHOWN]
    rows = [(t["name"], html.number(t.get("n")), *(html.number(t.get(name), 4) for name in columns)) for t in shown]
    head = ("track", "values", *(METRIC_NAMES[name] for name in columns))
    content = f"<p>Split <b>{html.escape(source.header.get('split', ''))}</b>, "
    content += f"{html.number(source.header.get('rows'))} rows.</p>"
    content += html.table(head, rows, numeric=range(1, len(head)))
    if len(tracks) > len(shown):
        content += f'<p class="note">The first {len(shown)} of {len(tracks)} tracks; all are in tracks.tsv.</p>'
    return content + html.figures(_curve_charts(tracks, curves) + _scatter_charts(tracks, curves))


def _curve_charts(tracks: list[dict[str, Any]], curves: dict[str, NDArray[Any]]) -> list[str]:
    found = []
    kinds = (
        ("roc", "auroc", "false positive rate", "true positive rate", "ROC"),
        ("pr", "auprc", "recall", "precision", "precision-recall"),
    )
    for kind, metric, x_title, y_title, name in kinds:
        have = [i for i in range(len(tracks)) if f"{kind}.{i:05d}" in curves][:_CURVES_SHOWN]
        if not have:
            continue
        chart = Chart(f"{name} curve", (0, 1), (0, 1.0), x_title, y_title)
        if kind == "roc":
            chart.line(np.array([[0.0, 0.0], [1.0, 1.0]]), colour="#8c959f", dashed=True)
        for i, colour in zip(have, COLOURS, strict=False):
            label = f"{METRIC_NAMES[metric]} {html.number(tracks[i].get(metric), 4)}"
            label = label if len(have) == 1 else str(tracks[i]["name"])[:12]
            chart.line(curves[f"{kind}.{i:05d}"], colour=colour, name=label)
        caption = "Receiver operating characteristic." if kind == "roc" else "Precision and recall."
        found.append(html.figure(chart.svg(), caption))
    return found


def _scatter_charts(tracks: list[dict[str, Any]], curves: dict[str, NDArray[Any]]) -> list[str]:
    if "scatter_target" not in curves:
        return []
    found = []
    for i, track in enumerate(tracks[:_CURVES_SHOWN]):
        target, prediction = (curves[f"scatter_{side}"][:, i].astype(np.float64) for side in ("target", "prediction"))
        seen = np.isfinite(target) & np.isfinite(prediction)
        if not seen.any():
            continue
        name = str(track["name"])
        if np.isin(target[seen], (0.0, 1.0)).all():
            found.append(_class_chart(target[seen], prediction[seen], name))
            continue
        chart = Chart(f"measured and predicted {name}", padded(target), padded(prediction), "measured", "predicted")
        radius, opacity = dot_size(int(seen.sum()))
        points = np.column_stack([target[seen], prediction[seen]])
        chart.points(points, colour=COLOURS[0], radius=radius, opacity=opacity)
        caption = f"{name}: measured and predicted, {int(seen.sum()):,} {correlation(track)}."
        found.append(html.figure(chart.svg(), caption))
    return found


def correlation(track: dict[str, Any]) -> str:
    """What is drawn, and its correlation: of binned tracks the sums over the bins of a row."""
    if track.get("pearson_total") is not None:
        return f"row totals (sums over bins), Pearson r of row totals {html.number(track['pearson_total'], 3)}"
    return f"rows, Pearson r {html.number(track.get('pearson'), 3)}"


def dot_size(count: int) -> tuple[float, float]:
    """Radius and opacity of a scatter's dots: large when there are few."""
    return (4.0, 0.7) if count <= 100 else (2.6, 0.5) if count <= 500 else (1.6, 0.35)


def _class_chart(target: Points, prediction: Points, name: str) -> str:
    """Predictions of the two classes: a scatter of two columns says less than their distributions."""
    low, high = (0.0, 1.0) if prediction.min() >= 0 and prediction.max() <= 1 else padded(prediction)
    edges = np.linspace(low, high, 31)
    classes = [prediction[target == value] for value in (1, 0)]
    shares = [np.histogram(values, edges)[0] / max(len(values), 1) for values in classes]
    top = max(float(share.max()) for share in shares) * 1.08 or 1.0
    chart = Chart(f"predictions of {name}", (low, high), (0, top), "prediction", "share of class")
    for share, label, colour in zip(shares, ("1", "0"), COLOURS, strict=False):
        chart.bars(edges, share, colour=colour, opacity=0.6)
        chart.legend(f"{name} = {label}", colour)
    return html.figure(chart.svg(), f"Predictions by class of {name}.")
