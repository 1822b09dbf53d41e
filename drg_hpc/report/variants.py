"""The section on scored variants: what was scored, the strongest alleles, how effects are distributed, genes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.report import html
from drg_hpc.report.charts import COLOURS, Chart
from drg_hpc.report.sources import Source
from drg_hpc.results.variants_read import Allele, VariantReader, open_variants, sizes_of

_SHOWN, _TRACKS, _BINS = 10, 4, 41
_LONGEST = {"name": 20, "allele": 10}
_MINUS = {"-": "−"}
_COMPARED = {
    "subtract": "alternative minus reference",
    "divide": "alternative divided by reference",
    "log2fc": "log2 of alternative divided by reference",
}
_HEADS = {"ref": "sum with ref"}
_STUMP = 0.03
"""Of a bar that stands for one allele, whose logarithm is 0."""


def variants_section(source: Source) -> str:
    """HTML of one run of drg-variants."""
    params = source.header["params"]
    with open_variants(source.file) as found:
        ratio = params["compare"] == "divide"
        strongest = found.strongest("effect", _SHOWN, ratio=ratio)
        largest = [_largest(found, "effect", track, rows, ratio=ratio) for track, rows in enumerate(strongest)]
        order = sorted(range(len(largest)), key=lambda track: -largest[track])[:_TRACKS]
        content = f"<p>{html.escape(_lead(found, params, int(source.header.get('models', 1))))}</p>"
        content += _left_out(params["skipped"])
        if len(found.tracks) > _TRACKS:
            which = f"Of {html.number(len(found.tracks))} tracks, the {_TRACKS} with the largest effects are shown"
            content += f'<p class="note">{which}; out.h5 has all.</p>'
        charts = [_distribution(found, track, largest[track], params["compare"]) for track in sorted(order)]
        content += html.figures(charts)
        for track in sorted(order):
            content += f"<h3>{html.escape(found.tracks[track])}</h3>{_table(found, track, strongest[track])}"
        if params["backgrounds"]:
            copies = html.counted(int(params["backgrounds"]), "dinucleotide shuffle")
            content += (
                f'<p class="note">z and p: the effect against those of the same alleles in {copies} of the window, '
                "taken as normal (p by Student’s t); p is not corrected for the number of alleles.</p>"
            )
        return content + _genes(found, float(params["genes"]["pseudo"]) if found.genes else 0.0)


def _largest(found: VariantReader, name: str, column: int, rows: NDArray[np.int64], *, ratio: bool) -> float:
    """The size of the strongest of a column's numbers."""
    if not len(rows):
        return 0.0
    strongest = found.values(name, rows[:1].tolist())[:, column].astype(np.float64)
    return float(sizes_of(strongest, ratio=ratio)[0])


def _lead(found: VariantReader, params: dict[str, Any], models: int) -> str:
    views = "both strands" if params["rc_average"] else ""
    shifts = len(params["shifts"])
    views += f"{' and ' if views else ''}{shifts} shifts" if shifts > 1 else ""
    means = [f"{models} models"] if models > 1 else []
    means += [views] if views else []
    scale = {"link": " on the link scale", "output": " on the output scale"}.get(params["target"]["scale"] or "", "")
    windows = f"windows of {html.number(int(params['length']))} bases"
    pseudo = f", {html.number(float(params['pseudo']))} added to both" if params["pseudo"] else ""
    effect = f"{_COMPARED[params['compare']]}{scale}{pseudo}"
    text = f"{html.counted(found.rows, 'allele')} of a VCF, in {windows}. Effect: {effect}"
    return text + (f", mean over {' and '.join(means)}." if means else ".")


def _left_out(skipped: dict[str, int]) -> str:
    if not skipped:
        return ""
    rows = [(reason, html.number(int(count))) for reason, count in sorted(skipped.items())]
    return f"<h3>Alleles left out</h3>{html.table(['reason', 'alleles'], rows, numeric=(1,))}"


def _distribution(found: VariantReader, track: int, largest: float, compare: str) -> str:
    """Histogram of the effects on a track, counts as logarithms: most effects are next to none."""
    name, reach = found.tracks[track], largest or 1.0
    low, high = found.extent("effect", track) if compare == "divide" else (-reach, reach)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    edges = np.linspace(low, high, _BINS + 1)
    counts = found.histogram("effect", track, edges).astype(np.float64)
    heights = np.where(counts > 0, np.log10(np.maximum(counts, 1)) + _STUMP, 0.0)
    chart = Chart(
        f"Distribution of effects on {name}", (low, high), (0.0, max(1.0, float(heights.max()) * 1.05)),
        "effect", "alleles, log10",
    )  # fmt: skip
    chart.bars(edges, heights, colour=COLOURS[0])
    return html.figure(chart.svg(), f"{name}: effects of {html.counted(int(counts.sum()), 'allele')}")


def _short(text: str) -> str:
    longest = _LONGEST["name"]
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _bases(text: str) -> str:
    longest = _LONGEST["allele"]
    return text if len(text) <= longest else f"{text[: longest - 4]}… ({html.number(len(text))})"


def _place(allele: Allele) -> str:
    return f"{allele.chrom}:{html.number(allele.start + 1)}"


def _cells(allele: Allele) -> list[str]:
    return [_place(allele), _short(allele.name), _bases(allele.ref), _bases(allele.alt)]


def _table(found: VariantReader, track: int, rows: NDArray[np.int64]) -> str:
    chosen = rows.tolist()
    columns = {name: found.values(name, chosen)[:, track] for name in ("ref", "alt", "effect")} if chosen else {}
    scored = found.has("background/z") and bool(chosen)
    against = {name: found.values(f"background/{name}", chosen)[:, track] for name in ("z", "p")} if scored else {}
    head = ["position", "id", "ref", "alt", "with ref", "with alt", "effect", *against]
    lines = []
    for at, row in enumerate(chosen):
        numbers = [html.number(float(columns[name][at])) for name in columns]
        tested = [html.number(float(against["z"][at])), html.probability(float(against["p"][at]))] if scored else []
        lines.append([*_cells(found.allele(row)), *numbers, *tested])
    return html.table(head, lines, numeric=range(4, len(head)))


def _genes(found: VariantReader, pseudo: float) -> str:
    """Pairs with the largest log fold change of each value; of those without a logarithm the largest difference."""
    if not found.genes:
        return ""
    scores = found.gene_scores
    by = scores[-1]
    strongest = found.strongest(f"genes/{by}", _SHOWN)
    sizes = [_largest(found, f"genes/{by}", value, rows, ratio=False) for value, rows in enumerate(strongest)]
    order = sorted(range(len(sizes)), key=lambda value: -sizes[value])[:_TRACKS]
    logarithm = f"; logSED: log2 of one sum over the other, {html.number(pseudo)} added to both"
    words = (
        "SED: sum over the bins of the gene’s exons (or span) with the alternative allele, minus that with the "
        f"reference allele (ref){logarithm if by == 'logSED' else ''}. Distance: bases from the gene’s 5′ end to the "
        "variant, along its strand. Covered: the share of the exons’ bases that bins are of."
    )
    content = f"<h3>Genes</h3><p>{html.counted(found.pairs, 'pair')} of an allele and a gene near it. {words}</p>"
    for value in sorted(order):
        content += f"<h4>{html.escape(found.genes[value])}</h4>{_gene_table(found, value, strongest[value], scores)}"
    return content


def _gene_table(found: VariantReader, value: int, rows: NDArray[np.int64], scores: list[str]) -> str:
    head = ["gene", "strand", "position", "id", "ref", "alt", "distance", "covered"]
    head += [_HEADS.get(name, name) for name in scores]
    lines = []
    for row in rows.tolist():
        pair = found.pair(row)
        numbers = [html.number(float(found.values(f"genes/{name}", [row])[0, value])) for name in scores]
        gene = _short(pair.gene_name or pair.gene_id)
        strand = _MINUS.get(pair.strand, pair.strand)
        lines.append([gene, strand, *_cells(pair.allele), html.number(pair.distance), f"{pair.covered:.0%}", *numbers])
    return html.table(head, lines, numeric=range(6, len(head)))
