"""Plan of drg-seqlets: stages over the rows of an attribution file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drg_hpc.bodies.seqlets_options import Options, method_params
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.runs.outputs import read_done, resolve_output
from drg_hpc.runs.spec import BLOCK_ROWS, Estimate, RunSpec, Shard, Stage, block_shards

__all__ = ["SUMMARY", "Options", "plan_shards"]

SUMMARY = "Call seqlets: the stretches of an attribution track that stand out from its background."
_BASES = 80  # for one seqlet more in a row
_SEQLET_BYTES = 200  # of one in memory, without its window
_ROWS, _VALUES, _SEQLETS = 16_384, 1 << 24, 256 << 20  # rows, values and bytes of seqlets of a shard, at most
_BLOCK_VALUES = 4 << 20  # of the rows that are read at a time, at least those of 64 rows
_SAMPLE = 1_000_000  # windows that the thresholds of tfmodisco are found from


def plan_shards(options: Options) -> RunSpec:
    """What the method needs of all rows, then the calls that use it.

    Raises
    ------
    UsageError : flags of another method, lengths that are no range or longer than the sequences, no such track or
        input, or several inputs and none chosen
    InputError : no attributions there, or shuffles of another length or without the tracks
    """
    params = method_params(options)
    source = resolve_output(options.attributions, "out.h5")
    sizes, notes = _sizes(source, options.input)
    rows, length, tracks = int(sizes["rows"]), int(sizes["length"]), [str(name) for name in sizes["tracks"]]
    if options.track is not None and options.track not in tracks:
        raise UsageError(f"no track {options.track!r} in {source}", fix=f"tracks: {', '.join(tracks[:20])}")
    if rows == 0:
        raise InputError(f"no rows in {source}", fix="attribute a split that has rows")
    _check_fit(params, source, length)
    used = [options.track] if options.track is not None else tracks
    inputs = {"attributions": describe_input(source)}
    if options.null is not None:
        inputs["null"] = describe_input(_shuffles(options, length, used))
    calls = len(used) * (1 + length // _BASES)
    size = min(_ROWS, _VALUES // max(length, 1), _SEQLETS // (calls * _SEQLET_BYTES))
    shards = block_shards(rows, shards=options.shards, shard_size=options.shard_size, default_size=max(size, 1))
    stages = tuple(Stage(name, (Shard(0, 0, rows),) if name == "draw" else shards) for name in _stages(options, params))
    return RunSpec(
        command="seqlets",
        params=params,
        inputs=inputs,
        stages=stages,
        threads=options.threads,
        estimate=_estimate(params, stages, length=length, tracks=len(used), calls=calls),
        notes=notes,
    )


def _check_fit(params: dict[str, Any], source: Path, length: int) -> None:
    """Raise :class:`UsageError` where no seqlet can lie in ``length`` bases."""
    if "min_length" in params and params["min_length"] > length:
        which = f"--min-length {params['min_length']}"
    elif "core" in params and params["core"] + 2 * params["flank"] > length:
        which = f"--core {params['core']} with --flank {params['flank']} at both ends"
    elif "min_size" in params and params["min_size"] > length:
        which = f"--min-size {params['min_size']}"
    else:
        return
    raise UsageError(f"{which} is longer than the sequences of {source}, {length} bases", fix="give a smaller one")


def _estimate(params: dict[str, Any], stages: tuple[Stage, ...], *, length: int, tracks: int, calls: int) -> Estimate:
    """Bytes, files and memory; ``calls``: seqlets of a row in all tracks."""
    shards = stages[-1].shards
    rows, largest = shards[-1].stop, max(shard.rows for shard in shards)
    block = min(max(_BLOCK_VALUES, BLOCK_ROWS * length), largest * length)
    more, memory = _windows(params, shards, length, tracks)
    return Estimate(
        bytes=2 * rows * calls * (8 * params["window"] + 64) + more,
        files=3 * sum(len(stage.shards) for stage in stages) + 12,
        memory=(384 << 20) + 48 * block + largest * calls * _SEQLET_BYTES + memory,
    )


def _stages(options: Options, params: dict[str, Any]) -> tuple[str, ...]:
    """What has to be known of all rows before the calls."""
    if options.null is not None:
        return ("calls",)
    if options.method == "tfmodisco":
        return ("draw", "windows", "calls")
    if options.method == "zscore":
        return ("scales", "calls") if params["norm"] in ("global", "condition") else ("calls",)
    return ("range", "histogram", "calls")


def _windows(params: dict[str, Any], shards: tuple[Shard, ...], length: int, tracks: int) -> tuple[int, int]:
    """Bytes on disk and in memory for the window sums of tfmodisco."""
    if params["method"] != "tfmodisco":
        return 0, 0
    width, rows = length + 1 - params["core"], shards[-1].stop
    return 8 * rows * width * tracks, max(16 * max(shard.rows for shard in shards) * width, 200 * _SAMPLE)


def _shuffles(options: Options, length: int, used: list[str]) -> Path:
    """The attributions of shuffles, looked at."""
    assert options.null is not None
    source = resolve_output(options.null, "out.h5")
    sizes, _ = _sizes(source, options.input)
    if int(sizes["length"]) != length:
        raise InputError(
            f"sequences of --null {source} have {sizes['length']} bases, those of ATTR {length}",
            fix="attribute shuffles of the same sequences",
        )
    missing = [name for name in used if name not in sizes["tracks"]]
    if missing:
        raise InputError(
            f"--null {source} has no track {missing[0]!r}", fix="attribute the shuffles to the same tracks"
        )
    return source


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
