"""A method with its form and options, checked: what goes together. Light: plans read it on login nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from drg_hpc.attribution.catalogue import OUTPUTS, SPECS, MethodSpec, Output
from drg_hpc.attribution.reference_spec import parse_frequencies, parse_references
from drg_hpc.config import nearest
from drg_hpc.errors import UsageError


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
        raise UsageError(f"--references has no effect on --method {method} --output {output}",
                         fix="leave it out; it belongs to deepshap, deeplift and the global form")  # fmt: skip
    if spec.fixed_reference and references != spec.reference:
        raise UsageError(f"--method {method} is defined with reference {spec.reference}, not {references!r}",
                         fix="take --method gradient --output global")  # fmt: skip
    require_one_reference(method, parse_references(references).count)


def require_one_reference(method: str, count: int) -> None:
    """Refuse several references (0: not yet known) for DeepLIFT, which is against one.

    Raises
    ------
    UsageError : with their number
    """
    if method == "deeplift" and count > 1:
        raise UsageError(
            f"--method deeplift is against one reference, not {count}", fix="--method deepshap: their mean"
        )


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
