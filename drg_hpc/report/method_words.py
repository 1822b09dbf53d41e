"""Attribution methods and forms in words."""

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
    "deeplift": "DeepLIFT", "deepshap": "DeepSHAP", "attention": "attention", "ism": "in-silico mutagenesis",
}  # fmt: skip
_COMPARED = {
    "subtract": "change of the prediction",
    "divide": "ratio to the prediction",
    "log2fc": "log2 ratio to the prediction",
    "none": "prediction of the mutant",
}
_PROJECTED = {
    "mean-effect": "minus the mean {} over the three other bases",
    "centred": "minus the mean {} over all four bases",
    "hypothetical": "minus the mean {} over all four bases, weighted by how frequent they are",
}
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


def params_words(params: Params) -> str:
    """The method of a run, with its form."""
    method, output = (str(params.get(name, "")) for name in ("method", "output"))
    words = _METHODS.get(method, method or "a method not recorded")
    if method == "ism":
        compared = _COMPARED.get(str(params.get("compare")), f"value of {params.get('compare')}")
        return f"{words} ({_PROJECTED[str(params.get('projection', 'mean-effect'))].format(compared)})"
    if output not in _FORMS or method == "inputxgradient":
        return words
    if output == "hypothetical" and params.get("base_freqs") is None and params.get("references"):
        return f"{words}, less its mean over the references"
    return f"{words}, {_FORMS[output]}"


def short_words(params: Params) -> str:
    """The method of a run in a word or two."""
    method = str(params.get("method", ""))
    return _METHODS.get(method, method).partition(" (")[0]


def references_words(params: Params) -> str:
    """The references of a run, empty where it has none."""
    text = params.get("references")
    if not isinstance(text, str):
        return ""
    kind, _, count = text.partition(":")
    if kind in _SHUFFLES:
        return f"{count or 'some'} dinucleotide {'shuffle' if count == '1' else 'shuffles'} of each sequence"
    return _REFERENCES.get(kind, "sequences from a file")
