"""Where the time of the incremental engine goes: ``bench/ism SECTION --profile``."""

from __future__ import annotations

import cProfile
import pstats
import time
from pathlib import Path

from common import show
from ism_nets import SECTIONS, Net
from ism_sides import Ours
from torch.profiler import ProfilerActivity, profile

from drg_hpc.models.compute import prepare_torch

SHOWN = 16


def _functions(ours: Ours) -> tuple[float, list[tuple[str, ...]]]:
    """Seconds in all, and functions by their own share, calls into libraries among them."""
    profiler = cProfile.Profile()
    started = time.perf_counter()
    profiler.runcall(ours.incremental)
    seconds = time.perf_counter() - started
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    rows = sorted(((own, calls, place) for place, (_, calls, own, _, _) in stats.items()), reverse=True)
    return seconds, [
        (f"{100 * own / seconds:.1f} %", str(calls), f"{Path(file).name}:{line} {name}" if line else name)
        for own, calls, (file, line, name) in rows[:SHOWN]
    ]


def _operations(ours: Ours) -> list[tuple[str, ...]]:
    """torch's operations by their own share of the time in torch."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        ours.incremental()
    averages = sorted(profiler.key_averages(), key=lambda each: -each.self_cpu_time_total)
    total = sum(each.self_cpu_time_total for each in averages)
    return [(f"{100 * each.self_cpu_time_total / total:.1f} %", str(each.count), each.key) for each in averages[:SHOWN]]


def _one(net: Net) -> None:
    ours = Ours(net)
    ours.incremental()
    plain = min(ours.incremental()[0] for _ in range(2)) * len(ours.everything)
    seconds, functions = _functions(ours)
    print(f"\n{net.name}: {len(ours.everything)} mutants in {plain:.2f} s, under the profiler {seconds:.2f} s")
    show("functions, by their own time", [("share", "calls", "function"), *functions])
    show("operations of torch, by their own time", [("share", "calls", "operation"), *_operations(ours)])


def run(section: str, *, small: bool, threads: int) -> None:
    """Print the profile of each network of a section."""
    prepare_torch(threads)
    for net in SECTIONS[section](small):
        _one(net)
