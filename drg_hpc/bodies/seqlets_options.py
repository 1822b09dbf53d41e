"""Options of drg-seqlets, and which of them go with which method. Light."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from drg_hpc.config import FanoutOptions, flag, positional
from drg_hpc.errors import UsageError

_BY_METHOD: dict[str, tuple[str, ...]] = {
    "recursive": ("threshold", "min_length", "max_length", "flank", "bins", "clip"),
    "tfmodisco": ("core", "flank", "fdr", "min_passing", "max_passing", "weak"),
    "zscore": ("cut", "max_gap", "min_size", "norm", "std"),
}
_FLANK = {"recursive": 0, "tfmodisco": 10}


class Options(FanoutOptions):
    """Options of drg-seqlets."""

    out: Path = flag(
        help="run folder to create or continue; it gets out.h5 and seqlets.bed, whose columns are chrom, start, end, "
        "track|row name, score (-10 log10 p, at most 1000; 0 without p-values), strand (.), attribution, p-value (. "
        "without), row of ATTR; a shuffled negative or a sequence without coordinates has its own name as chrom, and "
        "coordinates within itself",
        metavar="RUN", short="-o",
    )  # fmt: skip
    attributions: Path = positional(help="attribution run, or its out.h5", metavar="ATTR")
    method: Literal["recursive", "tfmodisco", "zscore"] = flag(
        "recursive",
        help="recursive: all parts of a seqlet are significant; tfmodisco: windows beyond thresholds at a false "
        "discovery rate, as modisco-lite extracts them; zscore: runs of positions beyond a cut-off, as DRG has them",
    )
    threshold: float = flag(
        0.01, help="recursive: a span is significant when its p-value is below this", gt=0, lt=1, metavar="P"
    )
    min_length: int = flag(4, help="recursive: shortest seqlet in bases", ge=1, metavar="N")
    max_length: int = flag(25, help="recursive: longest seqlet in bases", ge=1, metavar="N")
    flank: int | None = flag(
        None, help="recursive, tfmodisco: bases added at both ends of a call (default: 0; tfmodisco: 10)", ge=0,
        metavar="N",
    )  # fmt: skip
    bins: int = flag(1000, help="recursive: bins of the null's histogram", ge=2, le=100_000, metavar="N")
    clip: float = flag(
        0.9999, help="recursive: values beyond this quantile, or below one minus it, count as it", gt=0.5, le=1,
        metavar="Q",
    )  # fmt: skip
    compat: bool = flag(
        False, help="recursive: exactly what tangermeme 1.6 calls; positive seqlets only, nothing is clipped"
    )
    null: Path | None = flag(
        None,
        help="recursive: attributions of shuffles of the same sequences (run or out.h5; rows named as those of ATTR, "
        "or as drg-shard --negatives dinuc:R names them); each sequence gets its own cut-offs from its shuffles",
        metavar="ATTR",
    )
    core: int = flag(21, help="tfmodisco: bases of the windows that are summed", ge=1, metavar="N")
    fdr: float = flag(0.2, help="tfmodisco: false discovery rate", gt=0, lt=1, metavar="Q")
    min_passing: float = flag(0.03, help="tfmodisco: share of windows that pass, at least", ge=0, le=1, metavar="F")
    max_passing: float = flag(0.2, help="tfmodisco: share of windows that pass, at most", ge=0, le=1, metavar="F")
    weak: float = flag(
        0.8, help="tfmodisco: a seqlet has a sign when its core is beyond this quantile of absolute window sums, or "
        "beyond the weaker threshold if that is less", ge=0, lt=1, metavar="Q",
    )  # fmt: skip
    cut: float = flag(1.96, help="zscore: a base stands out when its |z| is above this", gt=0, metavar="Z")
    max_gap: int = flag(1, help="zscore: bases in a row that a seqlet may skip", ge=0, metavar="N")
    min_size: int = flag(4, help="zscore: bases of a seqlet that stand out, at least", ge=1, metavar="N")
    norm: Literal["global", "seq", "condition", "std"] = flag(
        "global",
        help="zscore: what attributions are divided by: the root mean square over bases and positions, averaged over "
        "all rows and tracks, over the tracks of a row (seq) or over the rows of a track (condition), or --std",
    )
    std: float = flag(1.0, help="zscore: the divisor of --norm std", gt=0, metavar="V")
    window: int = flag(30, help="width of the stored window around each seqlet", ge=4, le=1000, metavar="W")
    track: str | None = flag(None, help="only this track (default: all)", metavar="NAME")
    input: str | None = flag(None, help="which of several inputs of the model", metavar="NAME")


def _refuse_others(options: Options) -> None:
    """Name a flag that goes with another method.

    Raises
    ------
    UsageError : there is one
    """
    own = {*_BY_METHOD[options.method], *(("compat", "null") if options.method == "recursive" else ())}
    for method, names in _BY_METHOD.items():
        for name in (*names, *(("compat", "null") if method == "recursive" else ())):
            if name in options.model_fields_set and name not in own:
                which = f"--{name.replace('_', '-')} goes with --method {method}, not with {options.method}"
                raise UsageError(which, fix="leave it out, or give the other method")
    given = options.model_fields_set
    clash = [
        ("--clip", "clip" in given and options.compat, "--compat, which clips nothing"),
        ("--null", options.null is not None and options.compat, "--compat"),
        ("--bins", "bins" in given and options.null is not None, "--null, which has no bins"),
        ("--clip", "clip" in given and options.null is not None, "--null, which clips nothing"),
        ("--std", "std" in given and options.norm != "std", f"--norm {options.norm}"),
    ]
    for name, wrong, other in clash:
        if wrong:
            raise UsageError(f"{name} does not go with {other}", fix=f"leave {name} out")


def method_params(options: Options) -> dict[str, Any]:
    """What determines the result.

    Raises
    ------
    UsageError : flags of another method, or values that make no range
    """
    _refuse_others(options)
    if options.method == "recursive" and options.min_length > options.max_length:
        raise UsageError(f"--min-length {options.min_length} is above --max-length {options.max_length}")
    if options.method == "tfmodisco" and options.min_passing > options.max_passing:
        raise UsageError(f"--min-passing {options.min_passing:g} is above --max-passing {options.max_passing:g}")
    unused = ("clip",) if options.compat else ("clip", "bins") if options.null is not None else ()
    if options.method == "zscore" and options.norm != "std":
        unused = ("std",)
    names = [name for name in _BY_METHOD[options.method] if name not in unused]
    params: dict[str, Any] = {"method": options.method} | {name: getattr(options, name) for name in names}
    if params.get("flank", 0) is None:
        params["flank"] = _FLANK[options.method]
    params |= {"window": options.window, "track": options.track}
    if options.compat:
        params["compat"] = True
    if options.input is not None:
        params["input"] = options.input
    return params
