"""What a run attributes, in words: statistics of genes, groups and transforms of tracks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from drg_hpc.files import counted

Params = Mapping[str, Any]

_LISTED = 4
_KEY = re.compile(r":(?=[A-Za-z_][\w-]*=)")
"""Where a key begins in the text of a transform, which is the name of its value unless it was given another."""
_FUNCTIONS = {"sum": "sum", "mean": "mean", "min": "smallest value", "max": "largest value"}
_JUNCTIONS = {
    "acceptor": "the acceptor (3' splice site) of an exon",
    "donor": "the donor (5' splice site) of an exon",
    "both": "the acceptor and the donor of an exon",
}


def statistic_words(params: Params, tracks: Sequence[str] = ()) -> str:
    """What a run attributes where it is not a track as it is; empty where it is.

    Parameters
    ----------
    tracks : names of the model's tracks, empty where the model is not at hand
    """
    genes, target = params.get("genes"), params.get("target")
    if isinstance(genes, Mapping):
        return _gene_words(genes)
    if not isinstance(target, Mapping):
        return ""
    kind = str(target.get("kind", "tracks"))
    if kind == "tracks":
        return ""
    makers = {"groups": _groups, "aggregate": _aggregate, "specificity": _specificity, "profile-shape": _shape}
    if kind in makers:
        return makers[kind](target, tracks)
    if kind == "user":
        return _user(target)
    return f"a statistic of the tracks ({kind})"


def scale_of(params: Params) -> str:
    """``link`` or ``output``, of the tracks that a run reads; ``output`` for statistics of genes, ``link`` where
    nothing is recorded."""
    if "genes" in params:
        return "output"
    target = params.get("target")
    return str(target.get("scale", "link")) if isinstance(target, Mapping) else str(params.get("scale", "link"))


def enumerated(names: Sequence[str]) -> str:
    """``A``, ``A and B``, ``A, B and C``; of many the first four and how many more."""
    if len(names) > _LISTED:
        return f"{', '.join(names[:_LISTED])} and {len(names) - _LISTED} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _gene_words(genes: Params) -> str:
    statistic, junction = genes.get("statistic"), genes.get("junction")
    if statistic == "expression":
        over = "the whole gene" if genes.get("span") else "exons"
        if genes.get("compat") and genes.get("order") == "none":  # the statistic itself has no log then
            return f"the plain sum of the coverage over {over}, not its log"
        return f"the log of the coverage summed over {over}"
    if statistic == "polya":
        return "the log ratio of the coverage before and behind a polyadenylation site"
    if statistic != "splice":
        return f"the statistic {statistic}"
    if junction in _JUNCTIONS:
        place = _JUNCTIONS[junction]
        sides = (
            "exon's sides to that on the introns' sides"
            if junction == "both"
            else "exon's side to that on the intron's"
        )
        return f"the log ratio of the coverage on the {sides} of {place}"
    return "the log ratio of the coverage of an exon to that of its introns"


def _groups(target: Params, _: Sequence[str]) -> str:
    names = enumerated([str(name) for name in target.get("names", ())])
    return f"means of groups of tracks ({names})" if names else "means of groups of tracks"


def _aggregate(target: Params, known: Sequence[str]) -> str:
    names, over = _tracks(target, "tracks", known), target.get("over_tracks")
    alone = over is None and len(target.get("tracks", ())) > 1
    text = f"the {_FUNCTIONS[over]} of {names}" if over in _FUNCTIONS else f"{names}{' one by one' if alone else ''}"
    return f"{_times(target.get('weight'))}{text}{_bins(target)}"


def _specificity(target: Params, known: Sequence[str]) -> str:
    on, off = (
        f"the {_FUNCTIONS.get(target.get(f'{side}_fn', 'mean'), 'mean')} of {_tracks(target, side, known)}"
        if len(target.get(side, ())) > 1
        else _tracks(target, side, known)
        for side in ("on", "off")
    )
    weight, threshold = target.get("off_weight"), target.get("off_threshold")
    if threshold is None:
        off = f"{_times(weight)}{off}"
    elif _times(weight):
        off = f"{off} (times {weight:g} where it is above {threshold:g})"
    compare = target.get("compare")
    between = {"subtract": "the difference between {} and {}", "log2fc": "the log2 ratio of {} to {}"}
    return between.get(str(compare), "the ratio of {} to {}").format(on, off) + _bins(target)


def _shape(target: Params, known: Sequence[str]) -> str:
    bins = target.get("bins")
    over = f" over {_bin_words(bins)}" if bins else ""
    joint = ", taken together" if target.get("joint") else ""
    names = _tracks(target, "tracks", known)
    return f"the shape of the profile of {names}{over}{joint} (log rates less their mean, weighted by their softmax)"


def _user(target: Params) -> str:
    given = target.get("kwargs")
    keys = ", ".join(f"{key} = {value}" for key, value in given.items()) if isinstance(given, Mapping) else ""
    own = enumerated([str(name) for name in target.get("names", ()) if name != target.get("factory")])
    text = f"{own} of " if own else ""
    return f"{text}the user's transform {target.get('factory', '')} of all tracks{f' ({keys})' if keys else ''}"


def _times(weight: Any) -> str:
    return f"{weight:g} times " if isinstance(weight, int | float) and weight != 1 else ""


def _tracks(target: Params, key: str, known: Sequence[str]) -> str:
    """Names of tracks: the model's where it is at hand, else those in the name of the value, else their numbers."""
    numbers = [int(number) for number in target.get(key, ())]
    if numbers and max(numbers) < len(known):
        return enumerated([known[number] for number in numbers])
    names = [str(name) for name in target.get("names", ())]
    kind, *parts = _KEY.split(names[0]) if names else [""]
    if names and (kind == target.get("kind") or names[0].startswith(f"{target.get('kind')}:")):
        first = [kind.partition(":")[2]] if ":" in kind else []
        given = dict(part.partition("=")[::2] for part in [*first, *parts])
        but = f" but {_spaced(given['except'])}" if "except" in given else ""
        return _spaced(given[key]) if key in given else "all other tracks" if key == "off" else f"all tracks{but}"
    if key == "tracks" and len(names) == len(numbers) > 1:
        return enumerated(names)
    return f"{counted(len(numbers), 'track')} (number {enumerated([str(number) for number in numbers])})"


def _spaced(text: str) -> str:
    return enumerated([item.strip() for item in text.split(",")])


def _bins(target: Params) -> str:
    """What is done with bins; nothing where a track stands for its total, as it does anywhere else."""
    over, bins = target.get("over_bins", "sum"), target.get("bins")
    if over is None:
        return f" (each of {_bin_words(bins)} by itself)"
    if over == "sum" and not bins:
        return ""
    return f" (by the {_FUNCTIONS.get(over, over)} over {_bin_words(bins)})"


def _bin_words(bins: Sequence[int] | None) -> str:
    """``all bins``, ``bin 3``, ``bins 3 to 9``, ``bins 1, 4 and 6``."""
    if not bins:
        return "all bins"
    if len(bins) == 1:
        return f"bin {bins[0]}"
    if list(bins) == list(range(bins[0], bins[-1] + 1)) and len(bins) > 2:
        return f"bins {bins[0]} to {bins[-1]}"
    return f"bins {enumerated([str(number) for number in bins])}"
