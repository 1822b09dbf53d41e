"""drg-report: one self-contained page. No script, nothing fetched, no time of writing: equal inputs, equal bytes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from drg_hpc.digests import package_version
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import disk_full, write_atomic
from drg_hpc.report import html
from drg_hpc.report.ablation import ablation_section
from drg_hpc.report.attribution_pairs import pairs_of, pairs_section
from drg_hpc.report.attributions import attribution_section
from drg_hpc.report.config import ReportOptions
from drg_hpc.report.data import DataFacts, data_section
from drg_hpc.report.kernels import kernel_section
from drg_hpc.report.lineage import Lineage
from drg_hpc.report.logos import glyph_symbols
from drg_hpc.report.marginalization import marginalization_section
from drg_hpc.report.motifs import motif_section
from drg_hpc.report.performance import evaluation_section, training_section
from drg_hpc.report.perturbation import perturbation_section
from drg_hpc.report.provenance import kind_words, provenance_section
from drg_hpc.report.seqlets import SeqletFacts, seqlet_facts, seqlet_section
from drg_hpc.report.sources import Kind, Source, Sources
from drg_hpc.report.summary import default_title, summary
from drg_hpc.report.variants import variants_section
from drg_hpc.results.kernels import KernelResult, read_kernels

log = logging.getLogger(__name__)


def write_report(options: ReportOptions) -> Path:
    """Write the page; an older one of that name is replaced in one step.

    Raises
    ------
    UsageError : another file than a report is in the way
    InputError : a path that is nothing a report can show, or no place or space to write
    IncompleteError, CorruptError : a run that is not merged, or damaged
    """
    if options.out.is_dir():
        raise InputError(f"{options.out} is a folder", fix="give the name of an HTML file with -o")
    if options.out.exists() and not (options.out.is_file() and html.is_report(options.out)):
        raise UsageError(f"{options.out} is not a report", fix="choose another -o; only an older report is replaced")
    text = render(Sources(options.paths), options)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(options.out, text)
    except OSError as error:
        raise disk_full(error, options.out) or error from None
    return options.out


def render(sources: Sources, options: ReportOptions) -> str:
    """The page's text."""
    lineage = Lineage(sources)
    strangers = lineage.strangers()
    for text in strangers:
        log.warning("%s", text)
    data: list[DataFacts] = []
    data_html = ""
    for source in sources.of("store"):
        content, found = data_section(source)
        data_html += _titled(source, sources, content)
        data.append(found)
    seqlets = [seqlet_facts(source, lineage, max_motifs=options.max_motifs) for source in sources.of("seqlets")]
    kernels = [read_kernels(source.file) for source in sources.of("kernels")]
    lead, cards = summary(lineage, data, seqlets, kernels)
    title = options.title or default_title(sources)
    body = [
        glyph_symbols(),
        f"<header><h1>{html.escape(title)}</h1>",
        f'<p class="lead">{html.escape(lead)}</p>' if lead else "",
        html.warning("Not everything on this page belongs together:", strangers),
        html.cards(cards),
        f'<p class="note">Made by drg-report {html.escape(package_version())} from: ',
        f"{html.escape(_made_from(sources))}.</p>",
        "</header>",
        html.section("Data", data_html, anchor="data"),
        html.section("Training", _each(sources, "model", training_section), anchor="training"),
        html.section("Performance", _each(sources, "evaluation", evaluation_section), anchor="performance"),
        html.section("Motifs", _motifs(lineage, options), anchor="motifs"),
        html.section("Kernels", _kernels(sources, kernels, options), anchor="kernels"),
        html.section("Attributions", _attributions(lineage, seqlets, options), anchor="attributions"),
        html.section("Seqlets", _seqlets(lineage, seqlets), anchor="seqlets"),
        html.section(
            "Motifs in backgrounds",
            _each(sources, "marginalization", marginalization_section),
            anchor="marginalization",
        ),
        html.section("Perturbation tests", _each(sources, "perturbation", perturbation_section), anchor="perturbation"),
        html.section("Ablations", _ablations(sources, options), anchor="ablations"),
        html.section("Variants", _each(sources, "variants", variants_section), anchor="variants"),
        html.section("Provenance", provenance_section(sources), anchor="provenance"),
    ]
    return html.document(title, "\n".join(filter(None, body)))


def _made_from(sources: Sources) -> str:
    """``model (cnn), attributions (a, b)``."""
    runs: dict[str, list[str]] = {}
    for source in sources.all:
        runs.setdefault(kind_words(source), []).append(sources.name(source))
    return ", ".join(f"{kind} ({', '.join(names)})" for kind, names in runs.items())


def _titled(source: Source, sources: Sources, content: str) -> str:
    """Content under the path's name when several sources of the kind were given."""
    several = len(sources.of(source.kind)) > 1
    return (f"<h3>{html.escape(source.path)}</h3>" if several else "") + content


def _each(sources: Sources, kind: Kind, make: Callable[[Source], str]) -> str:
    return "".join(_titled(source, sources, make(source)) for source in sources.of(kind))


def _motifs(lineage: Lineage, options: ReportOptions) -> str:
    return "".join(
        _titled(source, lineage.sources, motif_section(source, lineage, limit=options.max_motifs))
        for source in lineage.sources.of("motifs")
    )


def _kernels(sources: Sources, kernels: list[KernelResult], options: ReportOptions) -> str:
    return "".join(
        _titled(source, sources, kernel_section(source, found, limit=options.max_motifs))
        for source, found in zip(sources.of("kernels"), kernels, strict=True)
    )


def _attributions(lineage: Lineage, seqlets: list[SeqletFacts], options: ReportOptions) -> str:
    found = "".join(
        _titled(source, lineage.sources, attribution_section(source, lineage, seqlets, examples=options.examples))
        for source in lineage.sources.of("attributions")
    )
    pairs = pairs_of(lineage.sources)
    for pair in pairs:
        log.info("%s", pair.words)
    return found + pairs_section(pairs)


def _ablations(sources: Sources, options: ReportOptions) -> str:
    return _each(sources, "ablation", lambda source: ablation_section(source, examples=options.examples))


def _seqlets(lineage: Lineage, seqlets: list[SeqletFacts]) -> str:
    return "".join(_titled(item.source, lineage.sources, seqlet_section(item, lineage)) for item in seqlets)
