"""Options of drg-attr."""

from __future__ import annotations

from typing import Literal

from drg_hpc.attribution.catalogue import Output
from drg_hpc.bodies.row_options import RowOptions
from drg_hpc.bodies.value_options import ValueOptions
from drg_hpc.config import flag

Method = Literal[
    "gradient", "inputxgradient", "tism", "integrated-gradients", "expected-gradients", "smoothgrad",
    "smoothgrad-gaussian", "deeplift", "deepshap", "attention",
]  # fmt: skip


class MethodOptions(RowOptions):
    """How importance is computed."""

    group = "method"

    method: Method = flag(
        "gradient",
        help="gradient; inputxgradient; tism (Taylor estimate of mutagenesis); integrated-gradients; "
        "expected-gradients; smoothgrad (mean gradient over copies with random substitutions), smoothgrad-gaussian "
        "(over copies with noise, which are no sequences); deeplift (one reference), deepshap (many); attention (the "
        "weights of attention layers)",
    )
    output: Output | None = flag(
        None,
        help="form (default: corrected for gradients, raw for tism, hypothetical for deeplift, deepshap and "
        "expected-gradients, global for the others)",
    )
    references: str | None = flag(
        None,
        help="references (default: dinuc:20 for deepshap and expected-gradients, zero for integrated-gradients, else "
        "uniform); euler is another name of dinuc, shuffles drawn uniformly; dinuc-compat draws tangermeme's",
        metavar="zero|uniform|freq:a,c,g,t|dinuc:N|dinuc-compat:N|euler:N|FILE",
    )
    base_freqs: str | None = flag(
        None,
        help="base frequencies of the hypothetical form (default: relative to the references, or uniform where there "
        "are none)",
        metavar="a,c,g,t",
    )
    samples: int | None = flag(None, help="copies of each sequence for smoothgrad (default: 16)", metavar="N", ge=1)
    sample_level: float | None = flag(
        None,
        help="smoothgrad: share of bases that a copy keeps (default: 0.9); smoothgrad-gaussian: standard deviation "
        "(default: 0.1)",
        metavar="X",
    )
    block: str | None = flag(None, help="attention layer, by number from 0 (default: all)", metavar="N|all")
    max_size: float | None = flag(
        None, help="refuse attention weights beyond this many GB before compression (default: 100)", metavar="GB", gt=0
    )


class Options(ValueOptions, MethodOptions):  # the last one comes first
    """Options of drg-attr."""

    keep: Literal["projected", "hypothetical"] = flag(
        "projected", help="store the attribution of the bases that are there, or also the form of all four bases"
    )
    top: int = flag(0, help="store only the K strongest positions of each row and track", metavar="K", ge=0)
