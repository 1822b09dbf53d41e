"""The first paragraph: what was found, in plain words, with nothing claimed that the files do not show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drg_hpc.report import html
from drg_hpc.report.attributions import method_words
from drg_hpc.report.data import DataFacts, given_rows, rows_words
from drg_hpc.report.kernels import kernel_summary
from drg_hpc.report.lineage import Lineage, parents
from drg_hpc.report.motifs import is_match
from drg_hpc.report.performance import METRIC_NAMES
from drg_hpc.report.seqlets import SeqletFacts, shuffled
from drg_hpc.report.sources import Source, Sources
from drg_hpc.report.statistic_words import enumerated
from drg_hpc.results.kernels import KernelResult
from drg_hpc.store.dataset_layout import inputs_of


def default_title(sources: Sources) -> str:
    """A title from the tracks that the sources are about."""
    models = sources.of("model")
    if len({tuple(_tracks(model)) for model in models}) > 1:  # no tracks that stand for all
        return f"{len(models)} sequence models: {enumerated([sources.name(model) for model in models])}"
    lead = "Sequence model" if len(models) < 2 else f"{len(models)} sequence models"
    for source in models if len(models) > 1 else sources.of("model", "store", "attributions", "kernels"):
        if names := _tracks(source):
            more = f" and {len(names) - 2} more tracks" if len(names) > 3 else ""
            return f"{lead}: {', '.join(names[:2] if more else names)}{more}"
    return "Regulatory sequence report"


def _tracks(source: Source) -> list[str]:
    found = source.header.get("tracks") or source.done.get("summary", {}).get("tracks")
    return [str(item["name"] if isinstance(item, dict) else item) for item in found or []]


def _attributed(sources: Sources) -> Iterator[str]:
    """A sentence for the runs of one kind, with their names where there are several runs."""
    runs: dict[str, list[str]] = {}
    for source in (found := sources.of("attributions")):
        rows, genes = source.done.get("summary", {}).get("rows"), source.header.get("params", {}).get("genes")
        what = "sequence" if genes is None else "exon" if genes.get("statistic") == "splice" else "gene"
        count = html.counted(rows, what) if rows else f"{what.capitalize()}s"
        text = f"{count} {'was' if rows == 1 else 'were'} attributed by {method_words(source)}"
        runs.setdefault(text, []).append(sources.name(source))
    for text, names in runs.items():
        each = ", each" if len(names) > 1 else ""
        yield f"{text} ({'runs' if each else 'run'} {enumerated(names)}{each})." if len(found) > 1 else f"{text}."


def _held_out(evaluation: Source, lineage: Lineage, data: list[DataFacts]) -> str:
    """The rows of an evaluation in words; "never seen in training" only when the chain of digests shows it."""
    rows, split = html.number(evaluation.header.get("rows")), str(evaluation.header.get("split", ""))
    store = lineage.parent(evaluation, "store")
    chromosomes = next((facts.chromosomes for facts in data if facts.source is store), {})
    names = [name for name in chromosomes.get(split, []) if name]
    if not names:
        return f"{rows} sequences of split {split}"
    where = f"{rows} sequences of {', '.join(names[:4])}{' …' if len(names) > 4 else ''}"
    if lineage.unseen_in_training(evaluation, chromosomes):
        return f"{where}, {'a chromosome' if len(names) == 1 else 'chromosomes'} never seen in training"
    return f"{where} (split {split})"


def _subject(evaluation: Source, lineage: Lineage) -> str:
    models = [model for model in evaluation.header.get("models", []) if model["kind"] == "model"]
    if len(models) > 1:
        shown = str(evaluation.header.get("shown"))
        return f"The mean of {len(models)} models" if shown == "ensemble" else f"The model {shown}"
    own = lineage.parent(evaluation, "model") is not None or "model" not in parents(evaluation)
    return "The model" if own or not lineage.sources.of("model") else "Another model than the one below"


def _task(evaluation: Source, lineage: Lineage, scores: str) -> str:
    """What the scores are about: ``separates peaks from their dinucleotide shuffles with``."""
    if "AUROC" not in scores:
        return "predicts the targets with"
    store = lineage.parent(evaluation, "store")
    header = store.header if store else {}
    if given_rows(header) == "peaks" and str(header.get("negatives", "")).startswith("dinuc:"):
        return "separates peaks from their dinucleotide shuffles with"
    return "separates the classes with"


def _scores(evaluation: Source) -> str:
    tracks: list[dict[str, Any]] = evaluation.header.get("tracks", [])
    mean: dict[str, Any] = evaluation.header.get("mean", {})
    found = [name for name in ("auroc", "auprc") if mean.get(name) is not None]
    found = found or [name for name in ("pearson_total", "pearson", "spearman") if mean.get(name) is not None]
    each = "" if len(tracks) == 1 else f" (mean of {len(tracks)} tracks)"
    return ", ".join(f"{METRIC_NAMES[name]} {mean[name]:.3f}" for name in found) + (each if found else "")


def summary(
    lineage: Lineage, data: list[DataFacts], seqlets: list[SeqletFacts], kernels: list[KernelResult]
) -> tuple[str, list[tuple[str, str]]]:
    """Plain-words paragraph and key numbers (value, what it is)."""
    sentences: list[str] = []
    cards: list[tuple[str, str]] = []
    sources = lineage.sources
    for facts in data:
        length = ", ".join(str(item.length) for item in inputs_of(facts.source.header))
        sentences.append(f"The data are {rows_words(facts.source.header)}, {length} bp each.")
    for evaluation in sources.of("evaluation"):
        scores, where = _scores(evaluation), _held_out(evaluation, lineage, data)
        if scores:
            sentences.append(
                f"{_subject(evaluation, lineage)} {_task(evaluation, lineage, scores)} {scores} on {where}."
            )
            first = scores.split(",")[0]
            name, _, value = first.rpartition(" ") if "(" not in first else (first, "", "")
            cards.append((value or first, f"{name or 'score'}, split {evaluation.header.get('split')}"))
    for facts in data:
        words = rows_words(facts.source.header)
        plain = not facts.source.header.get("negatives")
        cards.append((html.number(facts.source.header["rows"]), "sequences" if plain else f"sequences: {words}"))
    sentences += _attributed(sources)
    for item in seqlets:
        positive = int((item.table["sign"] > 0).sum())
        negative = len(item.table) - positive
        of = f" ({sources.name(item.source)})" if len(seqlets) > 1 else ""
        text = (
            f"The attributions hold {html.number(positive)} positive and {html.number(negative)} negative seqlets{of}"
        )
        made = shuffled(item)
        sentences.append(f"{text}, {html.number(made)} of them in shuffles." if made else f"{text}.")
        cards.append((html.number(len(item.table)), "seqlets"))
    for source in sources.of("motifs"):
        _add_motifs(source, sentences, cards)
    for found in kernels:
        sentence, card = kernel_summary(found)
        sentences.append(sentence)
        cards.append(card)
    return " ".join(sentences), cards


def _add_motifs(source: Source, sentences: list[str], cards: list[tuple[str, str]]) -> None:
    motifs: list[dict[str, Any]] = source.header.get("motifs", [])
    if not motifs:
        sentences.append("No motif was found among them.")
        return
    first, limit = motifs[0], float(source.header["params"].get("max_q", 0.05))
    strongest = f"{first['motif']} ({first['consensus']}, {html.number(first['n_seqlets'])} seqlets)"
    count = "One motif was found" if len(motifs) == 1 else f"{len(motifs)} motifs were found"
    if "target" not in first:
        sentences.append(f"{count}, not compared with a motif database; the strongest is {strongest}.")
        cards.append((first["consensus"], "strongest motif"))
        return
    matched = sum(is_match(motif, limit) for motif in motifs)
    q = html.small(float(first["q"]))
    sure = is_match(first, limit)
    verdict = f"matches {first['target']} (Tomtom q = {q})" if sure else "has none"
    found = f"{matched} of {len(motifs)} motifs found {'has' if matched == 1 else 'have'} a match in the database"
    sentences.append(f"{found}; the strongest, {strongest}, {verdict}.")
    cards.append((f"{matched} of {len(motifs)}", "motifs with a match in the database"))
    if sure:
        cards.append((str(first["target"]).split(".")[0], f"best match of the strongest motif, q = {q}"))
