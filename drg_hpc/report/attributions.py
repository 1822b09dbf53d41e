"""An attribution run on the page: examples, convergence, and rows that were left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from drg_hpc.report import html
from drg_hpc.report.attribution_examples import deviates, example, strongest_rows
from drg_hpc.report.attribution_scale import PredictionScale, model_tracks
from drg_hpc.report.attribution_tables import delta_table, unkept_table
from drg_hpc.report.lineage import Lineage
from drg_hpc.report.method_words import params_words, references_words
from drg_hpc.report.seqlets import SeqletFacts
from drg_hpc.report.sources import Source
from drg_hpc.report.statistic_words import statistic_words
from drg_hpc.results.reader import Attributions, list_inputs, read_attributions


def method_words(source: Source) -> str:
    """The attribution method in words."""
    return params_words(source.header.get("params", {}))


def attribution_section(source: Source, lineage: Lineage, seqlets: list[SeqletFacts], *, examples: int) -> str:
    """HTML of one attribution run."""
    with ExitStack() as stack:
        names = list_inputs(source.file) or (None,)
        opened = [stack.enter_context(read_attributions(source.file, name)) for name in names]
        found = opened[0]
        if not found.tracks:
            return f"<p>{_attention_words(found)}</p>{unkept_table(found)}"
        if not found.by_base:
            return f"<p>{html.escape(_edits_words(source, found))}</p>{unkept_table(found)}"
        shown_as = PredictionScale.of(source, lineage)
        marked = [item for item in seqlets if lineage.parent(item.source, "attributions") is source]
        tracks = model_tracks(source, lineage)
        content = f"<p>{html.escape(_lead(source, opened, bool(marked), tracks))} {html.escape(shown_as.words)}</p>"
        for rank, row in enumerate(strongest_rows(opened, examples), start=1):
            content += example(opened, int(row), rank, marked, shown_as)
        return content + delta_table(found) + unkept_table(found)


def _attention_words(found: Attributions) -> str:
    assert found.attention is not None
    _, layers, heads, positions, _ = found.attention.shape
    text = f"Attention of {html.counted(found.rows, 'sequence')}: {html.counted(layers, 'layer')} of"
    return f"{text} {html.counted(heads, 'head')}, from each of {html.counted(positions, 'position')} to each."


def _edits_words(source: Source, found: Attributions) -> str:
    """Of mutagenesis without substitutions."""
    edits = ", ".join(source.header.get("params", {}).get("edits", ()))
    text = f"{html.counted(int(found.kept.sum()), 'sequence')} mutated ({edits})"
    return f"{text}. Only substitutions give attributions to bases; the effects of other edits are in the file."


def _scored_words(opened: Sequence[Attributions]) -> str:
    """Which share of the positions was mutated, where it is not all of them."""
    masks = [found.scored[()][found.kept] for found in opened if found.scored is not None]
    share = sum(int(mask.sum()) for mask in masks) / max(1, sum(mask.size for mask in masks))
    return "" if not masks or share == 1 else f"; {100 * share:.3g} % of the positions were mutated, the others have 0"


def _rows_words(found: Attributions, genes: Mapping[str, object] | None) -> str:
    """``1 sequence``, ``12 genes``, ``12 exons of 3 genes``."""
    rows = int(found.kept.sum())
    if genes is None:
        return html.counted(rows, "sequence")
    kept = found.regions[found.kept]
    named = next((name for name in ("gene_id", "gene_name") if name in kept), "name")
    count = int(kept[named].nunique())
    if genes.get("statistic") != "splice" and count == rows:
        return html.counted(rows, "gene")
    what = "exon" if genes.get("statistic") == "splice" else "row"
    return f"{html.counted(rows, what)} of {html.counted(count, 'gene')}"


def _lead(source: Source, opened: Sequence[Attributions], marked: bool, tracks: Sequence[str]) -> str:
    """What was attributed, how, and what is shown."""
    found, params = opened[0], source.header.get("params", {})
    text = _rows_words(found, params.get("genes"))
    text += f" attributed by {method_words(source)}"
    text += f"; references: {words}" if (words := references_words(params)) else ""
    text += f"; of {words}" if (words := statistic_words(params, tracks)) else ""
    models = sum(name.startswith("model") for name in source.header.get("inputs", {}))
    text += f"; mean of {models} models" if models > 1 else ""
    text += f"; shown: {next(iter(found.tracks))}" if len(found.tracks) > 1 else ""
    text += f", each of {len(opened)} inputs" if len(opened) > 1 else ""
    text += _scored_words(opened)
    text += ". Letters are the bases that are there, their height is the contribution to the prediction"
    text += ", grey lines one standard deviation over the models" if deviates(found) else ""
    if not marked:
        return f"{text}."
    of = f"; those of input {opened[0].input}" if len(opened) > 1 else ""
    return f"{text} (seqlets marked: yellow positive, blue negative{of})."
