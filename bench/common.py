"""What every benchmark needs: the machine in words, repeated timing, results as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import argv, environment  # noqa: E402

from drg_hpc.digests import versions  # noqa: E402
from drg_hpc.files import write_json  # noqa: E402
from drg_hpc.runs.devices import cpu_count  # noqa: E402


def hardware() -> dict[str, Any]:
    """CPU model and count, memory, operating system."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": model, "cpus": cpu_count(), "memory_gib": round(memory / 2**30, 1), "os": platform.platform()}


def timed(command: str, *arguments: object) -> float:
    """Wall seconds of one command in a fresh process; it must succeed."""
    started = time.perf_counter()
    done = subprocess.run(argv(command, *arguments), env=environment(), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(f"{command} failed with {done.returncode}:\n{done.stderr}")
    return seconds


def median_of(repeats: int, command: str, *arguments: object) -> float:
    """Median wall seconds after one warm-up."""
    timed(command, *arguments)
    return statistics.median(timed(command, *arguments) for _ in range(repeats))


def save(name: str, results: dict[str, Any]) -> Path:
    """Write ``bench/results/NAME.json`` with hardware, versions and date."""
    path = ROOT / "bench" / "results" / f"{name}.json"
    date = time.strftime("%Y-%m-%d", time.gmtime())
    write_json(path, {"date": date, "hardware": hardware(), "versions": versions(), "results": results})
    return path


def show(title: str, rows: list[tuple[str, ...]]) -> None:
    """Print a small table."""
    print(f"\n{title}")
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text())
