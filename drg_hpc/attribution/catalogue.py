"""Which methods and output forms there are, and which go together. Light: plans read it on login nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from drg_hpc.attribution.reference_spec import parse_frequencies, parse_references
from drg_hpc.config import nearest
from drg_hpc.errors import UsageError

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


@dataclass(frozen=True)
class Recipe:
    """A method with everything that determines its numbers, checked.

    Parameters
    ----------
    method, output : keys of :data:`SPECS` and one of its ``outputs``
    references : see :mod:`drg_hpc.attribution.reference_spec`; None where the method has no use for them
    base_freqs : base frequencies of the hypothetical form; None for the other forms, and where it is relative to the
        references
    samples, level : of SmoothGrad: copies of each sequence; share of bases kept, or standard deviation of the noise
    """

    method: str
    output: Output
    references: str | None
    base_freqs: tuple[float, ...] | None
    samples: int = 0
    level: float | None = None

    @property
    def form(self) -> str:
        """Name of the four-base form in files: the output, but ``tism`` for TISM itself."""
        return "tism" if (self.method, self.output) == ("tism", "raw") else self.output

    @property
    def form_is_contribution(self) -> bool:
        """Whether the projection is the sum over bases of the form times the sequence."""
        return self.form in ("raw", "corrected", "hypothetical")

    @property
    def spec(self) -> MethodSpec:
        """What the method is."""
        return SPECS[self.method]

    @property
    def uses_products(self) -> bool:
        """Whether the form needs the product of multipliers and references."""
        return self.form == "global" or (self.form == "hypothetical" and self.base_freqs is None)

    def params(self) -> dict[str, Any]:
        """Plain values for a plan, read back by :meth:`from_params`."""
        return asdict(self)

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Recipe:
        """What :meth:`params` wrote."""
        values = {name: params[name] for name in cls.__dataclass_fields__}
        frequencies = values["base_freqs"]
        return cls(**values | {"base_freqs": None if frequencies is None else tuple(frequencies)})


def make_recipe(
    method: str,
    output: str | None = None,
    *,
    references: str | None = None,
    base_freqs: str | None = None,
    samples: int | None = None,
    level: float | None = None,
) -> Recipe:
    """Check a choice of method and form, and fill in what was left open.

    Parameters
    ----------
    method : key of :data:`SPECS`
    output : form, None for the method's default
    references : see :mod:`drg_hpc.attribution.reference_spec`; None for the method's default
    base_freqs : four frequencies for the hypothetical form; None for the references, or uniform where there are none
    samples, level : of SmoothGrad; None for the method's default

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
    _check_references(method, output, references, uses_reference=uses_reference)
    if base_freqs is not None and output != "hypothetical":
        raise UsageError(f"--base-freqs has no effect on --output {output}", fix="it belongs to --output hypothetical")
    frequencies = None
    if output == "hypothetical" and (base_freqs is not None or not spec.by_references):
        frequencies = parse_frequencies(base_freqs or "0.25,0.25,0.25,0.25", option="--base-freqs")
    _check_samples(method, samples=samples, level=level)
    return Recipe(
        method=method,
        output=output,
        references=(references or spec.reference) if uses_reference else None,
        base_freqs=frequencies,
        samples=samples or spec.samples,
        level=spec.level if level is None else level,
    )


def parse_shifts(text: str | None, *, length: int) -> tuple[int, ...]:
    """Shifts in bases of ``--shifts``; (0,) for None.

    Raises
    ------
    UsageError : no numbers, or as :func:`check_shifts`
    """
    try:
        shifts = (0,) if text is None else tuple(int(item) for item in text.split(","))
    except ValueError:
        raise UsageError(
            f"--shifts {text!r}: whole numbers separated by commas are needed", fix="--shifts 0,-3,3"
        ) from None
    check_shifts(shifts, length=length)
    return shifts


def check_shifts(shifts: Sequence[int], *, length: int) -> None:
    """Refuse shifts that no mean can be taken over.

    Parameters
    ----------
    length : of the shortest input

    Raises
    ------
    UsageError : a shift twice, or as long as the sequence
    """
    if len(set(shifts)) < len(shifts):
        raise UsageError(f"--shifts {','.join(map(str, shifts))}: one shift twice")
    if too_far := [shift for shift in shifts if abs(shift) >= length]:
        raise UsageError(f"--shifts: {too_far[0]} moves all of a sequence of {length} bases out")


def _check_references(method: str, output: str, references: str | None, *, uses_reference: bool) -> None:
    """Refuse references that have no effect or mean another method."""
    if references is None:
        return
    spec = SPECS[method]
    if not uses_reference:
        raise UsageError(f"--references has no effect on --method {method} --output {output}", fix="leave it out")
    if spec.fixed_reference and references != spec.reference:
        raise UsageError(f"--method {method} is defined with reference {spec.reference}, not {references!r}",
                         fix="take --method gradient --output global")  # fmt: skip
    parse_references(references)


def _check_samples(method: str, *, samples: int | None, level: float | None) -> None:
    """Refuse numbers of SmoothGrad for other methods, and those that mean nothing."""
    spec = SPECS[method]
    if spec.level is None:
        if samples is not None or level is not None:
            option = "--samples" if samples is not None else "--sample-level"
            raise UsageError(f"{option} has no effect on --method {method}", fix="it belongs to --method smoothgrad")
        return
    if samples is not None and samples < 1:
        raise UsageError(f"--samples {samples}: at least one copy is needed")
    if level is None:
        return
    if method == "smoothgrad" and not 0.25 <= level < 1:
        raise UsageError(f"--sample-level {level:g}: the share of bases kept lies in 0.25 (all drawn anew) to 1")
    if method == "smoothgrad-gaussian" and not (level > 0 and math.isfinite(level)):
        raise UsageError(f"--sample-level {level:g}: the standard deviation of the noise is above 0")


def _why_not(method: str) -> str:
    if method == "inputxgradient":
        return "it is the gradient in the global form with reference zero (other forms: --method gradient)"
    return "its values already are differences to the sequence"


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
