"""Attribution methods, forms and statistics in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Params = Mapping[str, Any]

_TISM = "TISM (Taylor in-silico mutagenesis: how the prediction would change with the base, by its gradient)"
_METHODS = {
    "gradient": "the gradient", "inputxgradient": "input times gradient", "tism": _TISM,
    "integrated-gradients": "integrated gradients", "expected-gradients": "expected gradients",
    "smoothgrad": "SmoothGrad (the mean gradient of randomly mutated copies)",
    "smoothgrad-gaussian": "SmoothGrad (the mean gradient of copies with Gaussian noise)",
    "deeplift": "DeepLIFT", "deepshap": "DeepSHAP", "attention": "attention",
}  # fmt: skip
_FORMS = {
    "corrected": "less its mean over the four bases",
    "hypothetical": "less its mean over the four bases weighted by how frequent they are",
    "global": "times the difference from a reference sequence",
}  # the raw form is the method's own value: no more words
_SHUFFLES = ("dinuc", "dinuc-compat", "euler")
_REFERENCES = {
    "zero": "a sequence without bases", "uniform": "a sequence of all four bases alike",
    "freq": "a sequence of given base frequencies",
}  # fmt: skip
_STATISTICS = {
    "expression": "the log of the coverage summed over {over}",
    "polya": "the log ratio of the coverage before and behind a polyadenylation site",
    "splice": "the log ratio of the coverage of an exon to that of its introns",
}


def params_words(params: Params) -> str:
    """The method of a run, with its form."""
    method, output = (str(params.get(name, "")) for name in ("method", "output"))
    words = _METHODS.get(method, method or "a method not recorded")
    if output not in _FORMS or method == "inputxgradient":
        return words
    if output == "hypothetical" and params.get("base_freqs") is None and params.get("references"):
        return f"{words}, less its mean over the references"
    return f"{words}, {_FORMS[output]}"


def references_words(params: Params) -> str:
    """The references of a run, empty where it has none."""
    text = params.get("references")
    if not isinstance(text, str):
        return ""
    kind, _, count = text.partition(":")
    if kind in _SHUFFLES:
        return f"{count or 'some'} dinucleotide shuffles of each sequence"
    return _REFERENCES.get(kind, "sequences from a file")


def statistic_words(params: Params) -> str:
    """What a run attributes where it is not a track as it is; empty where it is."""
    genes, target = params.get("genes"), params.get("target")
    if isinstance(genes, Mapping):
        words = _STATISTICS.get(str(genes.get("statistic")), f"the statistic {genes.get('statistic')}")
        return words.format(over="the whole gene" if genes.get("span") else "exons")
    kind = str(target.get("kind", "tracks")) if isinstance(target, Mapping) else "tracks"
    if kind == "groups":
        return "means of groups of tracks"
    return "" if kind == "tracks" else f"a statistic of the tracks ({kind})"


def scale_of(params: Params) -> str:
    """``link`` or ``output``, of the tracks that a run reads; ``output`` for statistics of genes, ``link`` where
    nothing is recorded."""
    if "genes" in params:
        return "output"
    target = params.get("target")
    return str(target.get("scale", "link")) if isinstance(target, Mapping) else str(params.get("scale", "link"))
