"""Plan of drg-seqlets: three stages over the rows of an attribution file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from drg_hpc.config import FanoutOptions, flag, positional
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.runs.outputs import read_done, resolve_output
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards

SUMMARY = "Call seqlets: the stretches of an attribution track that stand out from its background."

_PARAMS = ("method", "threshold", "min_length", "max_length", "flank", "bins", "clip", "window")
_SEQLETS_PER_ROW = 4  # for the estimate only


class Options(FanoutOptions):
    """Options of drg-seqlets."""

    out: Path = flag(
        help="run folder to create or continue; it gets out.h5 and seqlets.bed, whose columns are chrom, start, end, "
        "track|row name, score (-10 log10 p, at most 1000), strand (.), attribution, p-value, row of ATTR; a shuffled "
        "negative or a sequence without coordinates has its own name as chrom, and coordinates within itself",
        metavar="RUN", short="-o",
    )  # fmt: skip
    attributions: Path = positional(help="attribution run, or its out.h5", metavar="ATTR")
    method: Literal["recursive"] = flag("recursive", help="recursive: all parts of a seqlet are significant")
    threshold: float = flag(0.01, help="a span is significant when its p-value is below this", gt=0, lt=1, metavar="P")
    min_length: int = flag(4, help="shortest seqlet in bases", ge=1, metavar="N")
    max_length: int = flag(25, help="longest seqlet in bases", ge=1, metavar="N")
    flank: int = flag(0, help="bases added at both ends of a call", ge=0, metavar="N")
    bins: int = flag(1000, help="bins of the null's histogram", ge=2, le=100_000, metavar="N")
    clip: float = flag(
        0.9999, help="values beyond this quantile, or below one minus it, count as it", gt=0.5, le=1, metavar="Q"
    )
    window: int = flag(30, help="width of the stored window around each seqlet", ge=4, le=1000, metavar="W")
    track: str | None = flag(None, help="only this track (default: all)", metavar="NAME")
    input: str | None = flag(None, help="which of several inputs of the model", metavar="NAME")


def plan_shards(options: Options) -> RunSpec:
    """Range and histogram of all rows, then the calls that use them.

    Raises
    ------
    UsageError : lengths that are no range, no such track or input, or several inputs and none chosen
    InputError : no attributions there
    """
    if options.min_length > options.max_length:
        raise UsageError(f"--min-length {options.min_length} is above --max-length {options.max_length}")
    source = resolve_output(options.attributions, "out.h5")
    sizes, notes = _sizes(source, options.input)
    rows, length, tracks = int(sizes["rows"]), int(sizes["length"]), [str(name) for name in sizes["tracks"]]
    if options.track is not None and options.track not in tracks:
        raise UsageError(f"no track {options.track!r} in {source}", fix=f"tracks: {', '.join(tracks[:20])}")
    if rows == 0:
        raise InputError(f"no rows in {source}", fix="attribute a split that has rows")
    shards = block_shards(rows, shards=options.shards, shard_size=options.shard_size, default_size=16_384)
    used = 1 if options.track is not None else len(tracks)
    params = {name: getattr(options, name) for name in _PARAMS} | {"track": options.track}
    if options.input is not None:
        params["input"] = options.input
    size = rows * used * _SEQLETS_PER_ROW * (options.window * 8 + 64)
    return RunSpec(
        command="seqlets",
        params=params,
        inputs={"attributions": describe_input(source)},
        stages=tuple(Stage(name, shards) for name in ("range", "histogram", "calls")),
        threads=options.threads,
        estimate=Estimate(bytes=2 * size, files=9 * len(shards) + 12, memory=(256 << 20) + 16 * 4096 * length),
        notes=notes,
    )


def _sizes(source: Path, chosen: str | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Rows, length and tracks from done.json, else from the file itself (which needs h5py)."""
    done = read_done(source)
    if done is not None:
        return _from_summary(source, done, chosen), ()
    try:
        from drg_hpc.results.seqlet_source import source_sizes
    except ImportError:
        raise InputError(
            f"{source} lies in no run, so its sizes must be read from the file, which needs h5py",
            fix="plan in the worker environment or image, or give the run folder",
        ) from None
    return source_sizes(source, chosen), (f"sizes read from {source.name} itself: it lies in no run",)


def _from_summary(source: Path, done: dict[str, Any], chosen: str | None) -> dict[str, Any]:
    """What done.json says of an attribution run.

    Raises
    ------
    InputError : another run, sparse attributions, or none by base
    UsageError : several inputs and none chosen, or no such input
    """
    summary = dict(done["summary"])
    inputs: dict[str, int] = dict(summary.get("inputs", []))
    whole = {"rows", "tracks"} <= summary.keys() and ("length" in summary or bool(inputs))
    if done.get("command") not in ("attr", "ism") or not whole:
        made = f"{source.parent} is a run of drg-{done.get('command')}"
        raise InputError(f"{made}, attributions are wanted", fix="give a run of drg-attr or drg-ism, or its out.h5")
    if summary.get("top"):
        raise InputError(
            f"{source} keeps the {summary['top']} strongest positions only, seqlets need all of them",
            fix="run drg-attr without --top",
        )
    if not summary["tracks"]:
        raise InputError(f"{source} holds no attributions by base", fix="give a run of another --method than attention")
    if not summary.get("by_base", True):
        raise InputError(f"{source} holds no attributions by base", fix="run drg-ism with --edits substitutions")
    if inputs and chosen is None:
        raise UsageError(f"{source} has attributions to {len(inputs)} inputs", fix=f"--input {' or '.join(inputs)}")
    if chosen is not None and chosen not in inputs:
        listed = f"it has {', '.join(inputs)}" if inputs else "it has one, without a name: leave --input out"
        raise UsageError(f"no input {chosen!r} in {source}", fix=listed)
    return summary | ({"length": inputs[chosen]} if chosen is not None else {})
