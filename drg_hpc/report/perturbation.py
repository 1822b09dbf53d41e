"""The section on perturbation tests: a table for each effect."""

from __future__ import annotations

import math
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
    "what was perturbed speaks for the label. Interaction: the change with both motifs replaced, less the changes with "
    "one of them.",
    "value": "Mean value of the perturbed copies minus that of the sequence; of sequences with opposite labels such "
    "changes may cancel. Interaction: the change with both motifs replaced, less the changes with one of them.",
}
_LEFT_OUT = {
    "missing": "without the motifs", "overlapping": "overlapping sites", "unplaceable": "no other place",
    "unlabelled": "no label",
}  # fmt: skip


def perturbation_section(source: Source) -> str:
    """HTML of one run of drg-perturb."""
    found, params = read_table(source.file), source.header["params"]
    content = f"<p>{html.escape(_lead(params))}</p>"
    for effect in dict.fromkeys(found["effect"]):
        own = found[found["effect"] == effect]
        content += f"<h3>{html.escape(_TITLES[effect])}</h3><p>{html.escape(_WORDS[effect])}</p>{_table(own)}"
    return content + (
        '<p class="note">Interval: 95 % of the mean over sequences. Of presence: mean and interval as shares of the '
        "size of the mean effect of presence. p: Wilcoxon’s signed-rank test; q: Benjamini–Hochberg over the table. "
        "Shift: the control of distance, both sites moved together.</p>"
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
    head = [
        "test",
        *(["track"] if several else []),
        "sequences",
        "mean",
        "interval",
        "of presence",
        "p",
        "q",
        "left out",
    ]
    first = 2 if several else 1
    rows = []
    for line in found.to_dict("records"):
        share = "–"
        if math.isfinite(line["relative"]):
            mean, low, high = (html.number(100 * line[name]) for name in ("relative", "relative_low", "relative_high"))
            share = f"{mean} % ({low} to {high})"
        tested = math.isfinite(line["p"])
        rows.append([
            line["test"],
            *([line["track"]] if several else []),
            html.number(int(line["count"])),
            html.number(float(line["mean"])) if line["count"] else "–",
            f"{html.number(float(line['low']))} to {html.number(float(line['high']))}" if tested else line["note"],
            share,
            html.small(float(line["p"])) if tested else "–",
            html.small(float(line["q"])) if tested else "–",
            ", ".join(f"{html.number(int(line[name]))} {words}" for name, words in _LEFT_OUT.items() if line[name]),
        ])  # fmt: skip
    return html.table(head, rows, numeric=(first, first + 1, first + 4, first + 5))
