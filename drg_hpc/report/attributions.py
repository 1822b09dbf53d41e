"""Example attributions: logos of the regions with the strongest stretch, seqlets marked and named."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.report import html
from drg_hpc.report.lineage import Lineage
from drg_hpc.report.logos import Band, LogoRow, logo_figure, span_of
from drg_hpc.report.seqlets import SeqletFacts
from drg_hpc.report.sources import Source
from drg_hpc.results.layout import SHUFFLES
from drg_hpc.results.reader import Attributions, read_attributions

_WINDOW = 30
_SHOWN = 80
_BLOCK = 4096
_BAND_COLOURS = {1: "#fff0b8", -1: "#e3ecf7"}
_TISM = "TISM (Taylor in-silico mutagenesis: how the prediction would change with the base, by its gradient)"
_METHODS = {
    "gradient": "the gradient", "inputxgradient": "input times gradient", "tism": _TISM,
    "integrated-gradients": "integrated gradients", "smoothgrad": "SmoothGrad", "deepshap": "DeepSHAP",
}  # fmt: skip
_FORMS = {
    "corrected": "less its mean over the four bases",
    "hypothetical": "less its mean over the four bases weighted by how frequent they are",
    "global": "times the difference from a reference sequence",
}  # the raw form is the method's own value: no more words
_LINKS = {"logit": "probabilities", "log": "rates"}


def method_words(source: Source) -> str:
    """The attribution method in words."""
    params = source.header.get("params", {})
    method, output = (str(params.get(name, "")) for name in ("method", "output"))
    words = _METHODS.get(method, method or "a method not recorded")
    return f"{words}, {_FORMS[output]}" if output in _FORMS and method != "inputxgradient" else words


def attribution_section(source: Source, lineage: Lineage, seqlets: list[SeqletFacts], *, examples: int) -> str:
    """HTML of one attribution run."""
    shown_as = PredictionScale.of(source, lineage)
    with read_attributions(source.file) as found:
        name, group = next(iter(found.tracks.items()))
        content = f"<p>{html.number(found.rows)} sequences attributed by {html.escape(method_words(source))}"
        content += f"; shown: {html.escape(name)}" if len(found.tracks) > 1 else ""
        marked = [item.of_track(name) for item in seqlets if lineage.parent(item.source, "attributions") is source]
        content += ". Letters are the bases that are there, their height is the contribution to the prediction"
        content += " (seqlets marked: yellow positive, blue negative). " if marked else ". "
        content += f"{html.escape(shown_as.words)}</p>"
        for rank, row in enumerate(strongest_rows(group["projected"], examples), start=1):
            content += _example(found, group, int(row), rank, marked, shown_as)
    return content


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
        if source.header.get("params", {}).get("scale") == "output":
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


def _window_sums(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sums over all windows of 30 positions (fewer in shorter rows), (rows, windows)."""
    width = min(_WINDOW, values.shape[1])
    cumulated = np.cumsum(np.pad(values.astype(np.float64), ((0, 0), (1, 0))), axis=1)
    return np.asarray(cumulated[:, width:] - cumulated[:, :-width], np.float64)


def strongest_rows(projected: Any, count: int) -> NDArray[np.int64]:
    """Rows with the largest |sum| over any 30 positions, strongest first; ties by row.

    Parameters
    ----------
    projected : (rows, length), an HDF5 dataset or an array; read in blocks
    """
    best = np.zeros(0)
    for first in range(0, projected.shape[0], _BLOCK):
        sums = np.abs(_window_sums(np.asarray(projected[first : first + _BLOCK], np.float32)))
        best = np.append(best, sums.max(axis=1, initial=0.0))
    return np.argsort(-best, kind="stable")[:count]


def _example(
    found: Attributions, group: Any, row: int, rank: int, seqlets: list[SeqletFacts], shown_as: PredictionScale
) -> str:
    values = np.asarray(group["projected"][row], np.float64)
    onehot = np.asarray(found.sequences[row], np.float64)
    middle = int(np.abs(_window_sums(values[None])).argmax()) + _WINDOW // 2
    first = int(np.clip(middle - _SHOWN // 2, 0, max(len(values) - _SHOWN, 0)))
    last = min(first + _SHOWN, len(values))
    heights = (onehot * values)[:, first:last]
    low, high = span_of(heights)
    near = [found for item in seqlets for found in _in_row(item, row) if found[0] < last and found[1] > first]
    bands = [
        Band(max(start, first) - first, min(end, last) - first, name, _BAND_COLOURS[sign])
        for start, end, sign, name in _apart(near)
    ]
    region = found.regions.iloc[row]
    where = _place(region, first, last)
    svg = logo_figure(
        [LogoRow(heights, 0, "", low, high, height=84)],
        columns=last - first, label=f"attribution logo of {where}", bands=bands, min_columns=_SHOWN,
        first_position=first, step=10,
    )  # fmt: skip
    prediction = shown_as.text(float(group["prediction"][row])) if "prediction" in group else "–"
    title = f"{rank}. {where}, prediction {prediction}"
    return f'<div class="example"><h3>{html.escape(title)}</h3>{html.wide(svg)}</div>'


def _place(region: Any, first: int, last: int) -> str:
    """Where positions ``first`` to ``last`` of a row lie; a sequence that has no place goes by its name."""
    shuffled = region["origin"] in SHUFFLES
    if shuffled or not region["chrom"]:
        made = " (shuffled)" if shuffled else ""
        return f"{region['name']}{made}, bases {first:,}–{last:,}"
    if region["strand"] == "-":
        return f"{region['chrom']}:{int(region['end']) - last:,}–{int(region['end']) - first:,} (reverse strand)"
    return f"{region['chrom']}:{int(region['start']) + first:,}–{int(region['start']) + last:,}"


def _apart(near: list[tuple[int, int, int, str]]) -> list[tuple[int, int, int, str]]:
    """The same seqlets, names left out that would be written over the name of a longer one."""
    taken: list[tuple[int, int]] = []
    named: set[int] = set()
    for i in sorted(range(len(near)), key=lambda i: (near[i][0] - near[i][1], near[i][0])):
        start, width = near[i][0], len(near[i][3])
        if width and all(start >= stop or start + width <= begin for begin, stop in taken):
            taken.append((start, start + width))
            named.add(i)
    return [item if i in named else (*item[:3], "") for i, item in enumerate(near)]


def _in_row(item: SeqletFacts, row: int) -> list[tuple[int, int, int, str]]:
    """(start, end, sign, motif) of the seqlets of one row; motifs too weak for the motif table go without a name."""
    rows = item.table["row"].to_numpy()
    near = slice(*np.searchsorted(rows, [row, row + 1]).tolist())  # the table is sorted by row
    starts, ends, signs = (item.table[name].to_numpy()[near].tolist() for name in ("start", "end", "sign"))
    names = [name if name in item.shown else "" for name in item.names[near]]
    return list(zip(starts, ends, signs, names, strict=True))
