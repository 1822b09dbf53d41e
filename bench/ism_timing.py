"""Timings and bounds of bench/ism."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from common import show
from ism_nets import SECTIONS, Net
from ism_sides import BATCHES, SOME, Ours, Theirs

from drg_hpc.models.compute import prepare_torch
from drg_hpc.models.operations import macs_per_row

ROUNDS = 4
COMPARED = 96
TOLERANCE = 1e-5  # of the largest |prediction|, in single precision


def _tuned(ours: Ours, theirs: Theirs, *, threads: int, batches: Sequence[int]) -> dict[str, dict[int, float]]:
    """Seconds per mutant of every batch size; a first pass at each size is not counted."""
    sides: dict[str, Callable[[int, int], float]] = {
        "full": lambda batch, mutants: ours.full(batch, mutants)[0],
        "slow": lambda batch, mutants: theirs.seconds("slow", threads, ours.clock, batch, mutants),
        "fast": lambda batch, mutants: theirs.seconds("fast", threads, ours.clock, batch, 2 * mutants),
    }
    found: dict[str, dict[int, float]] = {side: {} for side in sides}
    for batch in batches:
        for name, side in sides.items():
            side(batch, batch)
            found[name][batch] = side(batch, SOME)
    return found


def _timed(net: Net, ours: Ours, theirs: Theirs, *, threads: int, small: bool) -> dict[str, Any]:
    """All sides in turn."""
    torch.set_num_threads(threads)
    ours.clock = "cpu" if threads == 1 else "wall"
    tuned = _tuned(ours, theirs, threads=threads, batches=BATCHES[2:3] if small else BATCHES)
    batch = {side: min(by_batch, key=by_batch.__getitem__) for side, by_batch in tuned.items()}
    rounds: dict[str, list[float]] = {side: [] for side in (*batch, "incremental")}
    ours.incremental()  # prepares, and warms up
    for _ in range(1 if small else ROUNDS):
        rounds["full"].append(ours.full(batch["full"], SOME)[0])
        rounds["incremental"].append(ours.incremental()[0])
        for side, mutants in (("slow", SOME), ("fast", 2 * SOME)):
            rounds[side].append(
                theirs.seconds(side, threads=threads, clock=ours.clock, batch=batch[side], mutants=mutants)
            )

    def ratio(above: str, below: str) -> float:
        return statistics.median(a / b for a, b in zip(rounds[above], rounds[below], strict=True))

    return {
        "threads": threads, "clock": ours.clock, "batch": batch,
        "seconds_per_mutant": {k: statistics.median(v) for k, v in rounds.items()},
        "by_batch": {side: {str(b): v for b, v in found.items()} for side, found in tuned.items()},
        "rounds": rounds, "over_full": ratio("full", "incremental"), "over_fast": ratio("fast", "incremental"),
        "full_over_slow": ratio("slow", "full"), "fast_over_slow": ratio("slow", "fast"),
        "per_sequence_s": 3 * net.length * statistics.median(rounds["incremental"]),
    }  # fmt: skip


def _errors(net: Net) -> tuple[Ours, dict[str, float]]:
    """Both our ways in single precision against double precision, of some mutants in the middle: largest differences
    relative to the largest |prediction|. A profile's statistic is a small difference of large numbers, which whole
    passes give no better."""
    double = Ours(net, torch.float64)
    exact = double.full(BATCHES[2], COMPARED)[1]
    of_double = double.evaluator.values([double.x], [], double.middle(COMPARED - 1))[1]
    ours = Ours(net)
    found = {
        "incremental, double": of_double,
        "full": ours.full(BATCHES[2], COMPARED)[1],
        "incremental": ours.evaluator.values([ours.x], [], ours.middle(COMPARED - 1))[1],
    }
    errors = {name: float((values - exact).abs().max() / exact.abs().max()) for name, values in found.items()}
    assert errors["incremental"] <= max(TOLERANCE, 2 * errors["full"]), errors
    assert errors["incremental, double"] <= 1e-10, errors
    return ours, errors


def measure(net: Net, scratch: Path, *, small: bool, threads: Sequence[int]) -> dict[str, Any]:
    """One network."""
    operations = net.tally().operations()
    assert operations["full"] == macs_per_row(net.module, net.module.shape), net.name
    ours, errors = _errors(net)
    theirs = Theirs(net, scratch)
    timed = [_timed(net, ours, theirs, threads=count, small=small) for count in threads]
    theirs.close()
    bounds = {kind: operations["full"] / operations[kind] for kind in ("window", "delta")}
    for each in timed:
        each["shares"] = {kind: each["over_full"] / bound for kind, bound in bounds.items()}
    return {
        "length": net.length, "asked": net.asked, "operations": operations, "bounds": bounds, "timed": timed,
        "errors": errors, "capture_s": {"ours": ours.capture, "tangermeme": theirs.about["capture"]},
        "their_versions": theirs.about["versions"], "engine_macs": ours.evaluator.macs, "chunk": ours.evaluator.chunk,
    }  # fmt: skip


def _asked(value: float, asked: float | None) -> str:
    return f"{value:.2f}" + ("" if asked is None else f" (asked {asked:g})")


def _lines(name: str, found: dict[str, Any]) -> list[tuple[str, ...]]:
    lines = []
    for each in found["timed"]:
        ms = {side: 1e3 * seconds for side, seconds in each["seconds_per_mutant"].items()}
        lines.append((
            name, str(each["threads"]), *(f"{ms[k]:.3f} ({each['batch'][k]})" for k in ("full", "slow", "fast")),
            f"{ms['incremental']:.3f}", _asked(each["over_full"], found["asked"][0]),
            _asked(each["over_fast"], found["asked"][1]), f"{each['full_over_slow']:.2f}",
            *(f"{found['bounds'][kind]:.1f} ({100 * share:.0f} %)" for kind, share in each["shares"].items()),
        ))  # fmt: skip
    return lines


HEAD = (
    "network", "threads", "full", "tangermeme", "its fast", "incremental", "x full", "x its fast", "full x tangermeme",
    "window bound", "delta bound",
)  # fmt: skip


def run(section: str, scratch: Path, *, small: bool, threads: Sequence[int]) -> dict[str, Any]:
    """Measure the networks of a section."""
    prepare_torch(1)  # as drg-ism does
    results = {}
    for net in SECTIONS[section](small):
        folder = scratch / net.name
        folder.mkdir()
        results[net.name] = measure(net, folder, small=small, threads=threads)
    lines = [line for name, found in results.items() for line in _lines(name, found)]
    show("milliseconds per mutant (batch), times the speed, bounds (share reached)", [HEAD, *lines])
    for name, found in results.items():
        errors = found["errors"]
        print(f"  {name}: differs from double precision by {errors['incremental']:.1e} of the largest prediction "
              f"(whole passes {errors['full']:.1e}); model taken apart in {found['capture_s']['ours']:.1f} s, by "
              f"tangermeme in {found['capture_s']['tangermeme']:.1f} s")  # fmt: skip
    return results
