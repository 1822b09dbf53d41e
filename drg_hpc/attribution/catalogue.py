"""Which methods and output forms there are, and which go together. Light: plans read it on login nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from drg_hpc.config import nearest
from drg_hpc.errors import UsageError

Output = Literal["raw", "corrected", "hypothetical", "global"]
OUTPUTS: tuple[Output, ...] = ("raw", "corrected", "hypothetical", "global")


@dataclass(frozen=True)
class MethodSpec:
    """What a method is and what may be asked of it.

    Parameters
    ----------
    summary : one line for people
    outputs : forms that mean something for it, the default first
    reference : reference used when none is given (for its own computation and for the ``global`` form)
    needs_reference : the method computes with the reference, whatever the form
    fixed_reference : another reference would make it another method
    passes : forward passes (each with its backward pass) for one track, for estimates
    """

    summary: str
    outputs: tuple[Output, ...]
    reference: str = "uniform"
    needs_reference: bool = False
    fixed_reference: bool = False
    passes: int = 1


SPECS: dict[str, MethodSpec] = {
    "gradient": MethodSpec("gradient by the one-hot sequence", ("corrected", "raw", "hypothetical", "global")),
    "inputxgradient": MethodSpec("gradient times sequence", ("global",), reference="zero", fixed_reference=True),
    "tism": MethodSpec("first-order Taylor estimate of in-silico mutagenesis", ("raw", "corrected", "hypothetical")),
    "integrated-gradients": MethodSpec(
        "mean gradient on the straight path from the reference (50 Gauss-Legendre points)",
        ("global", "raw", "corrected", "hypothetical"),
        reference="zero",
        needs_reference=True,
        passes=50,
    ),
}
"""One entry per method here, and one function per method in :data:`drg_hpc.attribution.methods.METHODS`."""


@dataclass(frozen=True)
class Recipe:
    """A method with everything that determines its numbers, checked.

    Parameters
    ----------
    method, output : keys of :data:`SPECS` and one of its ``outputs``
    references : base frequencies of the reference sequence at every position, None where the method has no use for it
    base_freqs : base frequencies of the hypothetical form, None for the other forms
    """

    method: str
    output: Output
    references: tuple[float, ...] | None
    base_freqs: tuple[float, ...] | None

    @property
    def form(self) -> str:
        """Name of the four-base form in files: the output, but ``tism`` for TISM itself."""
        return "tism" if (self.method, self.output) == ("tism", "raw") else self.output

    @property
    def form_is_contribution(self) -> bool:
        """Whether the projection is the sum over bases of the form times the sequence."""
        return self.form in ("raw", "corrected", "hypothetical")


def parse_frequencies(text: str, *, option: str) -> tuple[float, ...]:
    """``0.3,0.2,0.2,0.3`` (A, C, G, T) as four numbers that sum to 1.

    Raises
    ------
    UsageError : not four non-negative numbers, or their sum is not 1
    """
    try:
        values = tuple(float(item) for item in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 4 or not all(math.isfinite(value) and value >= 0 for value in values):
        raise UsageError(f"{option} {text!r} is not four frequencies a,c,g,t", fix="for example 0.3,0.2,0.2,0.3")
    if abs(sum(values) - 1) > 1e-3:
        raise UsageError(f"{option} {text!r} sums to {sum(values):g}, not 1")
    return values


def parse_references(text: str) -> tuple[float, ...]:
    """Base frequencies of the reference: ``zero``, ``uniform`` or ``freq:a,c,g,t``.

    Raises
    ------
    UsageError : none of these
    """
    if text == "zero":
        return (0.0, 0.0, 0.0, 0.0)
    if text == "uniform":
        return (0.25, 0.25, 0.25, 0.25)
    kind, colon, values = text.partition(":")
    if kind == "freq" and colon:
        return parse_frequencies(values, option="--references freq:")
    raise UsageError(f"--references {text!r} is not known", fix="zero, uniform or freq:a,c,g,t")


def make_recipe(
    method: str, output: str | None = None, *, references: str | None = None, base_freqs: str | None = None
) -> Recipe:
    """Check a choice of method and form, and fill in what was left open.

    Parameters
    ----------
    method : key of :data:`SPECS`
    output : form, None for the method's default
    references : see :func:`parse_references`; None for the method's default
    base_freqs : four frequencies for the hypothetical form; None for uniform

    Raises
    ------
    UsageError : unknown method or form, a form that means nothing for the method, or an option without effect
    """
    if method not in SPECS:
        raise UsageError(f"unknown attribution method {method!r}", fix=nearest(method, SPECS))
    spec = SPECS[method]
    output = output or spec.outputs[0]
    if output not in OUTPUTS:
        raise UsageError(f"unknown output {output!r}", fix=nearest(output, OUTPUTS))
    if output not in spec.outputs:
        raise UsageError(f"--output {output} means nothing for --method {method}: {_why_not(method)}",
                         fix=f"forms of {method}: {', '.join(spec.outputs)}")  # fmt: skip
    uses_reference = spec.needs_reference or output == "global"
    if references is not None and not uses_reference:
        raise UsageError(f"--references has no effect on --method {method} --output {output}", fix="leave it out")
    if references is not None and spec.fixed_reference and references != spec.reference:
        raise UsageError(f"--method {method} is defined with reference {spec.reference}, not {references!r}",
                         fix="take --method gradient --output global")  # fmt: skip
    if base_freqs is not None and output != "hypothetical":
        raise UsageError(f"--base-freqs has no effect on --output {output}", fix="it belongs to --output hypothetical")
    frequencies = parse_frequencies(base_freqs or "0.25,0.25,0.25,0.25", option="--base-freqs")
    return Recipe(
        method=method,
        output=output,
        references=parse_references(references or spec.reference) if uses_reference else None,
        base_freqs=frequencies if output == "hypothetical" else None,
    )


def _why_not(method: str) -> str:
    if method == "inputxgradient":
        return "it is the gradient in the global form with reference zero (other forms: --method gradient)"
    return "its values already are differences to the sequence"


CONVENTIONS = {
    "bases": "ACGT",
    "coordinates": "0-based, half-open",
    "raw": "m: gradient, or multipliers of the method",
    "corrected": "m minus its mean over the four bases",
    "hypothetical": "m minus its mean over bases weighted by base_freqs",
    "global": "m * (sequence - reference)",
    "tism": "g minus the sum over bases of g * sequence",
    "projected": "sum over bases of (form * sequence); for global: sum of the form over bases; for tism: of corrected",
    "statistic": "one track; with bins its total over them: link scale of a log link: log of the summed rates",
    "unknown bases": "all-zero columns; their reference is zero and their projection is 0",
}
