"""drg-report: one self-contained page. No script, nothing fetched, no time of writing: equal inputs, equal bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from drg_hpc.digests import package_version
from drg_hpc.errors import InputError
from drg_hpc.files import write_atomic
from drg_hpc.report import html
from drg_hpc.report.attributions import SeqletFacts, attribution_section, seqlet_facts, seqlet_section
from drg_hpc.report.config import ReportOptions
from drg_hpc.report.data import DataFacts, data_section
from drg_hpc.report.logos import glyph_symbols
from drg_hpc.report.motifs import motif_section
from drg_hpc.report.performance import evaluation_section, training_section
from drg_hpc.report.provenance import kind_words, provenance_section
from drg_hpc.report.sources import Kind, Source, Sources
from drg_hpc.report.summary import default_title, summary


def write_report(options: ReportOptions) -> Path:
    """Write the page; an older one of that name is replaced in one step.

    Raises
    ------
    InputError : a path that is nothing a report can show, or no place to write
    IncompleteError, CorruptError : a run that is not merged, or damaged
    """
    if options.out.is_dir():
        raise InputError(f"{options.out} is a folder", fix="give the name of an HTML file with -o")
    text = render(Sources(options.paths), options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(options.out, text)
    return options.out


def render(sources: Sources, options: ReportOptions) -> str:
    """The page's text."""
    data: list[DataFacts] = []
    data_html = ""
    for source in sources.of("store"):
        content, found = data_section(source)
        data_html += _titled(source, sources, content)
        data.append(found)
    seqlets = [seqlet_facts(source, sources, max_motifs=options.max_motifs) for source in sources.of("seqlets")]
    lead, cards = summary(sources, data, seqlets)
    title = options.title or default_title(sources)
    kinds = list(dict.fromkeys(kind_words(source) for source in sources.all))
    body = [
        glyph_symbols(),
        f"<header><h1>{html.escape(title)}</h1>",
        f'<p class="lead">{html.escape(lead)}</p>' if lead else "",
        html.cards(cards),
        f'<p class="note">Made by drg-report {html.escape(package_version())} from: {html.escape(", ".join(kinds))}.',
        "</p>",
        "</header>",
        html.section("Data", data_html, anchor="data"),
        html.section("Training", _each(sources, "model", training_section), anchor="training"),
        html.section("Performance", _each(sources, "evaluation", evaluation_section), anchor="performance"),
        html.section("Motifs", _motifs(sources, options), anchor="motifs"),
        html.section("Attributions", _attributions(sources, seqlets, options), anchor="attributions"),
        html.section("Seqlets", _seqlets(sources, seqlets), anchor="seqlets"),
        html.section("Provenance", provenance_section(sources), anchor="provenance"),
    ]
    return html.document(title, "\n".join(filter(None, body)))


def _titled(source: Source, sources: Sources, content: str) -> str:
    """Content under the path's name when several sources of the kind were given."""
    several = len(sources.of(source.kind)) > 1
    return (f"<h3>{html.escape(source.path)}</h3>" if several else "") + content


def _each(sources: Sources, kind: Kind, make: Callable[[Source], str]) -> str:
    return "".join(_titled(source, sources, make(source)) for source in sources.of(kind))


def _motifs(sources: Sources, options: ReportOptions) -> str:
    found = sources.of("motifs")
    return "".join(_titled(source, sources, motif_section(source, limit=options.max_motifs)) for source in found)


def _attributions(sources: Sources, seqlets: list[SeqletFacts], options: ReportOptions) -> str:
    found = sources.of("attributions")
    return "".join(
        _titled(source, sources, attribution_section(source, seqlets, examples=options.examples)) for source in found
    )


def _seqlets(sources: Sources, seqlets: list[SeqletFacts]) -> str:
    return "".join(_titled(item.source, sources, seqlet_section(item)) for item in seqlets)
