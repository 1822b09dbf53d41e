"""The first paragraph: what was found, in plain words, with nothing claimed that the files do not show."""

from __future__ import annotations

from typing import Any

from drg_hpc.report import html
from drg_hpc.report.attributions import SeqletFacts, method_words
from drg_hpc.report.data import DataFacts
from drg_hpc.report.performance import METRIC_NAMES
from drg_hpc.report.sources import Source, Sources


def default_title(sources: Sources) -> str:
    """A title from the tracks that the sources are about."""
    for source in sources.of("model", "store", "attributions"):
        tracks = source.header.get("tracks") or source.done.get("summary", {}).get("tracks")
        names = [str(item["name"] if isinstance(item, dict) else item) for item in tracks or []]
        if names:
            more = f" and {len(names) - 2} more tracks" if len(names) > 3 else ""
            return f"Sequence model: {', '.join(names[:2] if more else names)}{more}"
    return "Regulatory sequence report"


def _held_out(evaluation: Source, data: list[DataFacts]) -> str:
    """The rows of an evaluation in words; "never seen in training" only when the store shows it."""
    rows, split = html.number(evaluation.header.get("rows")), str(evaluation.header.get("split", ""))
    wanted = evaluation.header.get("inputs", {}).get("store", {}).get("sha256")
    for facts in data:
        manifest = facts.source.file / "manifest.json"
        if wanted is not None and manifest.is_file() and _store_identity(facts.source) == wanted:
            names = facts.chromosomes.get(split, [])
            where = f"{rows} sequences of {', '.join(names[:4])}{' …' if len(names) > 4 else ''}"
            if facts.unseen(split):
                return f"{where}, {'a chromosome' if len(names) == 1 else 'chromosomes'} never seen in training"
            return f"{where} (split {split})"
    return f"{rows} sequences of split {split}"


def _store_identity(source: Source) -> str:
    from drg_hpc.digests import describe_input

    return str(describe_input(source.file, ("manifest.json",))["sha256"])


def _scores(evaluation: Source) -> str:
    tracks: list[dict[str, Any]] = evaluation.header.get("tracks", [])
    mean: dict[str, Any] = evaluation.header.get("mean", {})
    found = [name for name in ("auroc", "auprc") if mean.get(name) is not None]
    found = found or [name for name in ("pearson", "spearman") if mean.get(name) is not None]
    each = "" if len(tracks) == 1 else f" (mean of {len(tracks)} tracks)"
    return ", ".join(f"{METRIC_NAMES[name]} {mean[name]:.3f}" for name in found) + (each if found else "")


def summary(sources: Sources, data: list[DataFacts], seqlets: list[SeqletFacts]) -> tuple[str, list[tuple[str, str]]]:
    """Plain-words paragraph and key numbers (value, what it is)."""
    sentences: list[str] = []
    cards: list[tuple[str, str]] = []
    for evaluation in sources.of("evaluation"):
        scores, where = _scores(evaluation), _held_out(evaluation, data)
        if scores:
            what = "separates the classes with" if "AUROC" in scores else "predicts the targets with"
            sentences.append(f"The model {what} {scores} on {where}.")
            first = scores.split(",")[0]
            name, _, value = first.rpartition(" ") if "(" not in first else (first, "", "")
            cards.append((value or first, f"{name or 'score'}, split {evaluation.header.get('split')}"))
    if not sources.of("evaluation"):
        for facts in data:
            header = facts.source.header
            length = ", ".join(str(value) for value in header["inputs"].values())
            sentences.append(f"The data are {html.number(header['rows'])} sequences of {length} bp.")
    for facts in data:
        cards.append((html.number(facts.source.header["rows"]), "sequences"))
    for source in sources.of("attributions"):
        rows = source.done.get("summary", {}).get("rows")
        count = f"{html.number(rows)} sequences were" if rows else "Sequences were"
        sentences.append(f"{count} attributed by {method_words(source)}.")
    for item in seqlets:
        positive = int((item.table["sign"] > 0).sum())
        negative = len(item.table) - positive
        sentences.append(
            f"The attributions hold {html.number(positive)} positive and {html.number(negative)} negative seqlets."
        )
        cards.append((html.number(len(item.table)), "seqlets"))
    for source in sources.of("motifs"):
        _add_motifs(source, sentences, cards)
    return " ".join(sentences), cards


def _add_motifs(source: Source, sentences: list[str], cards: list[tuple[str, str]]) -> None:
    motifs: list[dict[str, Any]] = source.header.get("motifs", [])
    if not motifs:
        sentences.append("No motif was found among them.")
        return
    first, limit = motifs[0], float(source.header["params"].get("max_q", 0.05))
    count = "The one motif found" if len(motifs) == 1 else f"Of {len(motifs)} motifs the strongest"
    text = f"{count}, {first['motif']} ({first['consensus']}, {html.number(first['n_seqlets'])} seqlets),"
    if "target" not in first:
        sentences.append(f"{text} was not compared with a motif database.")
        cards.append((first["consensus"], "strongest motif"))
        return
    q = html.small(float(first["q"]))
    if float(first["q"]) <= limit:
        sentences.append(f"{text} matches {first['target']} (Tomtom q = {q}).")
        cards.append((str(first["target"]).split(".")[0], f"best match of the strongest motif, q = {q}"))
    else:
        sentences.append(f"{text} matches no motif of the database (nearest: {first['target']}, q = {q}).")
        cards.append(("no match", "of the strongest motif in the database"))
