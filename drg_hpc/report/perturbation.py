"""The section on perturbation tests: a table for each effect."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from drg_hpc.report import html
from drg_hpc.report.sources import Source
from drg_hpc.results.perturbation import read_table

_TITLES = {
    "loss": "Loss",
    "logit": "Logit, signed by the label",
    "value": "Value of the model",
}
_WORDS = {
    "loss": "Cross entropy of a sequence minus the mean of its perturbed copies: negative means that what was "
    "perturbed matters. Interaction: loss with both motifs replaced, minus that if their effects on the logit were "
    "additive.",
    "logit": "Mean logit of the perturbed copies minus that of the sequence, times −1 for label 0: negative means that "
    "what was perturbed speaks for the label. Interaction: the change with both motifs replaced, less the sum of "
    "the changes with each.",
    "value": "Mean value of the perturbed copies minus that of the sequence; of sequences with opposite labels such "
    "changes may cancel. Interaction: the change with both motifs replaced, less the sum of the changes with each.",
}
_CHANGED = {
    "presence": "the sites of the motif are drawn afresh from the background",
    "order": "both sites exchange places",
    "distance": "both sites are moved to random places; the left one stays left",
    "shift": "the pair is moved as one piece: the control of distance, order and gap stay",
    "interaction": "both motifs are replaced, against the sum of replacing each of them",
}
_LITTLE = 0.05
"""Share of the effect of presence below which an effect of a pair is called little."""
_READINGS = {"loss": ("matters", "hinders"), "logit": ("matters", "hinders"), "value": ("value falls", "value rises")}
"""Of negative and positive effects."""
_LEFT_OUT = {
    "missing": "without a motif", "overlapping": "overlapping sites", "unplaceable": "no other place",
    "unlabelled": "no label",
}  # fmt: skip


def perturbation_section(source: Source) -> str:
    """HTML of one run of drg-perturb."""
    found, params = read_table(source.file), source.header["params"]
    kinds = dict.fromkeys(found["kind"])
    content = f"<p>{html.escape(_lead(params))}</p>" + html.facts((kind, _CHANGED[kind]) for kind in kinds)
    for effect in dict.fromkeys(found["effect"]):
        own = found[found["effect"] == effect]
        content += f"<h3>{html.escape(_TITLES[effect])}</h3><p>{html.escape(_WORDS[effect])}</p>{_table(own)}"
    return content + (
        '<p class="note">Interval: 95 % of the mean over sequences. Share of presence: mean and interval over the size '
        "of the mean effect of presence of the motifs. Reading: not seen, the interval holds 0; little, it lies within "
        f"{100 * _LITTLE:.0f} % of presence. q: Wilcoxon’s signed-rank test, Benjamini–Hochberg over the table; with "
        "many sequences q is small for effects of no size, so read it with the share.</p>"
    )


def _lead(params: dict[str, Any]) -> str:
    where = {
        "simulation": "where they were simulated", "scan": "where a scan found them",
        "bed": "where a BED file has them", "motifs": "where they were called from seqlets",
    }[params["sites"]]  # fmt: skip
    copies = int(params["copies"])
    times = "one random copy" if copies == 1 else f"{html.number(copies)} random copies"
    return (
        f"Motifs {', '.join(params['motifs'])}, {where}, were replaced by background, exchanged and moved in "
        f"{html.counted(int(params['rows']), 'sequence')}, in {times} of each."
    )


def _table(found: pd.DataFrame) -> str:
    several = found["track"].nunique() > 1
    head = ["test", *(["track"] if several else []), "sequences", "mean", "interval", "share of presence", "reading"]
    head += ["q", "left out"]
    rows = []
    for line in found.to_dict("records"):
        share, interval = "–", line["note"]
        if math.isfinite(line["relative"]):
            shares = (line[name] for name in ("relative", "relative_low", "relative_high"))
            mean, low, high = (f"{round(100 * each, 1) + 0.0:,.1f}" for each in shares)
            share = f"{mean} % ({low} to {high})"
        if math.isfinite(line["low"]):
            interval = f"{html.number(float(line['low']))} to {html.number(float(line['high']))}"
        rows.append([
            line["test"],
            *([line["track"]] if several else []),
            html.number(int(line["count"])),
            html.number(float(line["mean"])) if line["count"] else "–",
            interval,
            share,
            reading(line),
            html.probability(float(line["q"])),
            ", ".join(f"{html.number(int(line[name]))} {words}" for name, words in _LEFT_OUT.items() if line[name]),
        ])  # fmt: skip
    first = 1 + several
    return html.table(head, rows, numeric=(first, first + 1, first + 5))


def reading(line: Mapping[Hashable, Any]) -> str:
    """What a line says, in a word or two."""
    if not math.isfinite(line["low"]):
        return "–"
    if line["low"] <= 0 <= line["high"]:
        return "not seen"
    if max(abs(line["relative_low"]), abs(line["relative_high"])) < _LITTLE:
        return "little"
    positive = line["mean"] > 0
    if line["kind"] == "interaction":
        return (
            ("more than the sum" if positive else "less than the sum") if line["effect"] == "value" else "not additive"
        )
    return _READINGS[line["effect"]][positive]
