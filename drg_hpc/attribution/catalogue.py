"""Which attribution methods and output forms there are. Light: plans read it on login nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Output = Literal["raw", "corrected", "hypothetical", "global"]
OUTPUTS: tuple[Output, ...] = ("raw", "corrected", "hypothetical", "global")
ATTENTION = "attention"
"""The method that has no attributions but the weights of attention layers."""


@dataclass(frozen=True)
class MethodSpec:
    """What a method is and what may be asked of it.

    Parameters
    ----------
    summary : one line for people
    outputs : forms that mean something for it, the default first
    reference : references used when none are given (for its own computation and for the ``global`` form)
    needs_reference : the method computes with references, whatever the form
    fixed_reference : another reference would make it another method
    by_references : without base frequencies, the hypothetical form is relative to the references
    points : places per reference where the model is differentiated
    samples : variants of a sequence when none are asked for; 0: the method has none
    level : SmoothGrad's share of bases kept, or standard deviation of the noise; None where the method has neither
    """

    summary: str
    outputs: tuple[Output, ...]
    reference: str = "uniform"
    needs_reference: bool = False
    fixed_reference: bool = False
    by_references: bool = False
    points: int = 1
    samples: int = 0
    level: float | None = None


_FOUR: tuple[Output, ...] = ("corrected", "raw", "hypothetical", "global")
_BY_REFERENCE: tuple[Output, ...] = ("hypothetical", "raw", "corrected", "global")

SPECS: dict[str, MethodSpec] = {
    "gradient": MethodSpec("gradient by the one-hot sequence", _FOUR),
    "inputxgradient": MethodSpec("gradient times sequence", ("global",), reference="zero", fixed_reference=True),
    "tism": MethodSpec("first-order Taylor estimate of in-silico mutagenesis", ("raw", "corrected", "hypothetical")),
    "integrated-gradients": MethodSpec(
        "mean gradient on the straight path from the reference (50 Gauss-Legendre points)",
        ("global", "raw", "corrected", "hypothetical"),
        reference="zero",
        needs_reference=True,
        points=50,
    ),
    "expected-gradients": MethodSpec(
        "mean gradient at one random point of the path from each of many references",
        _BY_REFERENCE,
        reference="dinuc:20",
        needs_reference=True,
        by_references=True,
    ),
    "smoothgrad": MethodSpec(
        "mean gradient over copies of the sequence with random substitutions", _FOUR, samples=16, level=0.9
    ),
    "smoothgrad-gaussian": MethodSpec(
        "mean gradient over copies of the sequence with Gaussian noise, which are no sequences",
        _FOUR,
        samples=16,
        level=0.1,
    ),
    "deeplift": MethodSpec(
        "DeepLIFT multipliers against one reference",
        _BY_REFERENCE,
        reference="uniform",
        needs_reference=True,
        by_references=True,
    ),
    "deepshap": MethodSpec(
        "DeepLIFT multipliers, mean over a set of references",
        _BY_REFERENCE,
        reference="dinuc:20",
        needs_reference=True,
        by_references=True,
    ),
}
"""One entry per method here, and one function per method in :data:`drg_hpc.attribution.methods.METHODS`."""


CONVENTIONS = {
    "bases": "ACGT",
    "coordinates": "0-based, half-open",
    "raw": "m: gradient, or multipliers of the method, mean over references, copies, strands and shifts",
    "corrected": "m minus its mean over the four bases",
    "hypothetical": "m minus its mean over bases weighted by base_freqs; without them: m minus the mean over "
    "references r of the sum over bases of m_r * r",
    "global": "mean over references r of m_r * (sequence - r)",
    "tism": "g minus the sum over bases of g * sequence",
    "projected": "sum over bases of (form * sequence); for global: sum of the form over bases; for tism: of corrected",
    "delta": "convergence error of the worst reference: |sum of the global form - (f(sequence) - f(reference))|",
    "statistic": "one track; with bins its total over them: link scale of a log link: log of the summed rates",
    "unknown bases": "all-zero columns; their references are zero and their projection is 0",
}
