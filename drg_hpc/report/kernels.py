"""The kernel section: clusters of kernels and the kernels themselves, with logos, matches and what predictions lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.report import html
from drg_hpc.report.heat import matrix, strip
from drg_hpc.report.kernel_words import facts_table
from drg_hpc.report.logos import LogoRow, information, logo_figure, span_of
from drg_hpc.report.motif_tree import LINKED, Heat, Leaf, most_affected, similarity_tree
from drg_hpc.report.sources import Source
from drg_hpc.results.kernels import Kernel, KernelCluster, KernelResult, consensus

Float64 = NDArray[np.float64]
_LEAST_IN_TREE = 3
_LONGEST = 32
_SCALED = "Each logo has an axis of its own, up to its tallest column."


def kernel_section(source: Source, found: KernelResult, *, limit: int) -> str:
    """HTML of one run of drg-kernels.

    Parameters
    ----------
    limit : clusters and kernels shown, those with the largest effects
    """
    several = len({kernel.model for kernel in found.kernels}) > 1
    of_clusters, of_kernels = found.cluster_effects(), found.effects
    clusters, kernels = _strongest(of_clusters["effect"], limit), _strongest(of_kernels["effect"], limit)
    tracks = most_affected(of_kernels["effect"])
    return "".join([
        facts_table(source, found),
        _cluster_table(found, clusters, tracks, several=several),
        _tree(found, clusters, tracks),
        _kernel_table(found, kernels, tracks),
        _track_heat(found, kernels, tracks),
        _class_heat(found, kernels),
        _region_heat(found, clusters, of_clusters.get("region_effect")),
    ])  # fmt: skip


def kernel_summary(found: KernelResult) -> tuple[str, tuple[str, str]]:
    """A sentence about a run, and a key number with what it is."""
    models = len({kernel.model for kernel in found.kernels})
    first = found.clusters[_strongest(found.cluster_effects()["effect"], 1)[0]]
    matched = sum(bool(cluster.match) for cluster in found.clusters)
    text = (
        f"The {html.counted(len(found.kernels), 'kernel')} of {html.counted(models, 'model')} make "
        f"{html.counted(len(found.clusters), 'cluster')}"
    )
    if any(np.isfinite(cluster.q) for cluster in found.clusters):
        text += f", {html.number(matched)} of them with a match in the database"
    text += f"; the largest mean effect is that of {first.name} ({consensus(first.pfm)}"
    text += f", matches {first.match})." if first.match else ")."
    return text, (html.number(len(found.clusters)), f"clusters of {html.counted(len(found.kernels), 'kernel')}")


def _strongest(effect: Float64, limit: int) -> list[int]:
    """Numbers of the rows of (n, tracks) with the largest mean magnitudes, largest first."""
    return [int(i) for i in np.argsort(-np.abs(effect).mean(axis=1), kind="stable")[:limit]]


def _largest(values: Float64) -> float:
    return float(np.nanmax(np.abs(values), initial=0.0))


def _named(names: Sequence[str], numbers: Sequence[int]) -> list[str]:
    return [names[i] for i in numbers]


def _cluster_table(found: KernelResult, shown: list[int], tracks: list[int], *, several: bool) -> str:
    effects, columns = found.cluster_effects(), max(found.clusters[i].pfm.shape[1] for i in shown)
    rows = ""
    for i in shown:
        cluster = found.clusters[i]
        numbers = [("kernels", html.number(len(cluster.members)))]
        numbers += [("models", html.number(cluster.models))] if several else []
        logo = [_logo(cluster.pfm, "frequency", height=44)]
        rows += _row(cluster, logo, columns, _strip(cluster.name, effects["effect"], i, found.tracks, tracks),
                     [*numbers, *_numbers(effects, i)], under=_members(found, cluster))  # fmt: skip
    head = ["kernels", *(["models"] if several else []), *(name for name, _ in _numbers(effects, 0))]
    text = f"Kernels of one motif{', divided by their effects' if len(tracks) > 1 else ''}; "
    text += "those with the largest mean |effect| first. Numbers are means over the members"
    text += "; cells below a logo its effects on the tracks, told by their titles" if len(tracks) > 1 else ""
    text += f". {_SCALED}"
    more = _more(len(shown), len(found.clusters), "clusters", "clusters.tsv and clusters.meme")
    return f"<h3>Clusters of kernels</h3><p>{text}</p>{_table('cluster', head, rows)}{more}"


def _kernel_table(found: KernelResult, shown: list[int], tracks: list[int]) -> str:
    label = {member: cluster.name for cluster in found.clusters for member in cluster.members}
    columns, effects, rows = max(found.kernels[i].pfm.shape[1] for i in shown), found.effects, ""
    for i in shown:
        kernel = found.kernels[i]
        logos = [
            _logo(kernel.pfm, "k-mers that activate it", height=40),
            _logo(kernel.ppm / kernel.ppm.sum(0), "its weights", height=40),
        ]
        numbers = [("k-mers", html.number(kernel.kmers))]
        under = f"{label[i]}, constant {html.number(kernel.constant)}"
        rows += _row(kernel, logos, columns, _strip(kernel.name, effects["effect"], i, found.tracks, tracks),
                     [*numbers, *_numbers(effects, i)], under=under)  # fmt: skip
    head = ["k-mers", *(name for name, _ in _numbers(effects, 0))]
    text = (
        "Those with the largest mean |effect| first. k-mers: how many made the motif; constant: what took the place of "
        "the kernel's w·x + b; effect: prediction with all kernels less that without it, summed over rows"
        f"{', mean of tracks' if len(tracks) > 1 else ''}."
    )
    if "correlation" in effects:
        text += " R lost: correlation over rows with it less without it. RMSE lost: RMSE without it less with it."
    text += f" {_SCALED}"
    more = _more(len(shown), len(found.kernels), "kernels", "kernels.tsv and kernels.meme")
    return f"<h3>Kernels</h3><p>{html.escape(text)}</p>{_table('kernel', head, rows)}{more}"


def _logo(pfm: Float64, words: str, *, height: float) -> LogoRow:
    """A logo on an axis of its own: kernels of few and weak k-mers would be flat on one of 2 bits."""
    heights = information(pfm)
    high = span_of(heights)[1]
    tallest = f"tallest column {high:.2g} bits" if heights.any() else "no information"
    return LogoRow(heights, 0, f"{words}, {tallest}", 0.0, high, height=height)


def _unbroken(text: str, tag: str) -> str:
    """A name that is not broken within, unless it is longer than a narrow page."""
    style = "white-space:nowrap" if len(text) <= _LONGEST else "overflow-wrap:anywhere"
    return f'<{tag} style="{style};font-size:.78rem">{html.escape(text)}</{tag}>'


def _more(shown: int, of: int, what: str, files: str) -> str:
    return f'<p class="note">{shown} of {of} {what} shown; all are in {files}.</p>' if of > shown else ""


def _table(first: str, numbers: Sequence[str], rows: str) -> str:
    head = f"<th>{first}</th><th>logos</th><th>best match</th>"
    head += "".join(f'<th class="n">{html.escape(name)}</th>' for name in numbers)
    return f'<table class="motifs"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _numbers(effects: Any, row: int) -> list[tuple[str, str]]:
    """Means over tracks, of tracks where they are known."""
    names = {"effect": "effect", "correlation": "R lost", "rmse": "RMSE lost"}
    found = []
    for key, name in names.items():
        if key in effects:
            known = effects[key][row][np.isfinite(effects[key][row])]
            found.append((name, html.number(float(known.mean()) if len(known) else float("nan"))))
    return found


def _row(
    item: Kernel | KernelCluster, logos: Sequence[LogoRow], columns: int, below: str,
    numbers: Sequence[tuple[str, str]], *, under: str,
) -> str:  # fmt: skip
    match = "–"
    if np.isfinite(item.q):
        match = _unbroken(item.match, "b") if item.match else "no match"
        match += f'<div class="sub">{"q" if item.match else "least q"} = {html.small(item.q)}</div>'
    letters = consensus(item.pfm)
    logo = logo_figure(
        logos, columns=item.pfm.shape[1], label=f"logo of {item.name}, {letters}", min_columns=columns, step=14
    )
    cells = "".join(f'<td class="n" data-label="{html.escape(n)}">{html.escape(value)}</td>' for n, value in numbers)
    return (
        f'<tr><td class="name"><b>{html.escape(item.name)}</b> <span class="sub">{html.escape(under)}</span>'
        f'{_unbroken(letters, "code")}</td><td class="logo">{logo}{below}</td>'
        f'<td data-label="best match">{match}</td>{cells}</tr>'
    )


def _members(found: KernelResult, cluster: KernelCluster) -> str:
    names = [found.kernels[i].name for i in cluster.members[:4]]
    return ", ".join(names) + (f" and {len(cluster.members) - 4} more" if len(cluster.members) > 4 else "")


def _strip(name: str, effect: Float64, row: int, names: Sequence[str], tracks: list[int]) -> str:
    if len(tracks) < 2:
        return ""
    return strip(
        effect[row, tracks], _named(names, tracks), _largest(effect), label=f"effects of {name} on tracks"
    )  # fmt: skip


def _tree(found: KernelResult, shown: list[int], tracks: list[int]) -> str:
    if len(shown) < _LEAST_IN_TREE:
        return ""
    effect = found.cluster_effects()["effect"][shown]
    clusters = [found.clusters[i] for i in shown]
    leaves = [
        Leaf(c.name, c.match or consensus(c.pfm), 1 if own.mean() >= 0 else -1, information(c.pfm),
             high=span_of(information(c.pfm))[1])
        for c, own in zip(clusters, effect, strict=True)
    ]  # fmt: skip
    tree = similarity_tree(leaves, Heat(effect[:, tracks], _named(found.tracks, tracks), _largest(effect)))
    text = f"{LINKED} {_SCALED} Arrows: sign of the mean effect. Cells: effect, summed over rows, mean of the "
    text += "cluster's kernels."
    return f"<h3>Clusters by similarity</h3><p>{html.escape(text)}{_track_words(found, tracks)}</p>{html.wide(tree)}"


def _track_words(found: KernelResult, tracks: list[int]) -> str:
    many = len(found.tracks) > len(tracks)
    return f" {len(tracks)} of {len(found.tracks)} tracks, those with the largest effects." if many else ""


def _track_heat(found: KernelResult, shown: list[int], tracks: list[int]) -> str:
    effect, names = found.effects["effect"][np.ix_(shown, tracks)], [found.kernels[i].name for i in shown]
    figure = matrix(effect, rows=names, columns=_named(found.tracks, tracks), largest=_largest(effect), words="effect")
    text = "Prediction with all kernels less that without the kernel, summed over rows: red where the kernel raises it."
    return f"<h3>Kernels and tracks</h3><p>{text}{_track_words(found, tracks)}</p>{html.wide(figure)}"


def _class_heat(found: KernelResult, shown: list[int]) -> str:
    """Losses of the correlation over the tracks of each class; nothing where there is none."""
    if not found.classes:
        return ""
    loss, names = found.effects["class_correlation"][shown], [found.kernels[i].name for i in shown]
    figure = matrix(loss, rows=names, columns=list(found.classes), largest=_largest(loss), words="loss of correlation")
    text = (
        "Correlation of a row's predictions with its measured values over the tracks of a class, with all kernels less "
        "without the kernel; mean over rows that are predicted well."
    )
    return f"<h3>Kernels and classes of tracks</h3><p>{text}</p>{html.wide(figure)}"


def _region_heat(found: KernelResult, shown: list[int], effect: Float64 | None) -> str:
    """Effects of clusters (clusters, classes, tracks) on the rows of each class of regions, by row."""
    if effect is None:
        return ""
    counted = np.maximum(found.region_rows, 1)
    mean = effect[shown].mean(axis=2) / counted
    columns = [f"{name} ({html.number(int(n))})" for name, n in
               zip(found.region_classes, found.region_rows, strict=True)]  # fmt: skip
    names = [found.clusters[i].name for i in shown]
    figure = matrix(mean, rows=names, columns=columns, largest=_largest(mean), words="mean effect by row")
    text = (
        "Mean effect on a row of each class of regions (rows in brackets), mean of tracks and of the cluster's kernels."
    )
    return f"<h3>Clusters and classes of regions</h3><p>{text}</p>{html.wide(figure)}"
