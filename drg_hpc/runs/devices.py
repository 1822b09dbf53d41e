"""CPUs and GPUs a process may use, found without importing torch."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from pathlib import Path

from drg_hpc.errors import InputError, UsageError

IO_THREADS = "DRG_IO_THREADS"
"""Set by a launcher that runs several workers on a node."""


def cpu_count() -> int:
    """CPUs this process may use: affinity, capped by the cgroup's quota (v2 and v1)."""
    count = len(os.sched_getaffinity(0))
    for quota in (_quota_v2(), _quota_v1()):
        if quota is not None:
            count = min(count, max(1, math.ceil(quota)))
    return count


def _quota_v2() -> float | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1() -> float | None:
    folder = Path("/sys/fs/cgroup/cpu")
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return None if quota <= 0 else quota / period


def io_threads() -> int:
    """Threads a worker may read and decode files with: its share of the node's CPUs. No result depends on it."""
    given = os.environ.get(IO_THREADS, "")
    return int(given) if given.isdigit() and int(given) else cpu_count()


def visible_gpus() -> list[str]:
    """Ids of the GPUs this process may use: CUDA_VISIBLE_DEVICES where set, else what nvidia-smi lists."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [item.strip() for item in chosen.split(",") if item.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    return re.findall(r"^GPU (\d+):", listed.stdout, re.MULTILINE)


def choose_gpus(device: str, *, uses_gpu: bool) -> list[str]:
    """GPUs for workers, by id; an empty list means CPU.

    Parameters
    ----------
    device : ``auto`` (GPUs when there are any), ``cpu``, ``cuda`` (all visible), ``cuda:I`` (the I-th visible)
    uses_gpu : whether the command has anything to do on a GPU

    Raises
    ------
    UsageError : not a device
    InputError : a GPU was asked for and is not there; there is no fall-back
    """
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", device)
    if match is None:
        raise UsageError(f"--device {device!r} is not a device", fix="auto, cpu, cuda or cuda:0")
    if device == "cpu" or (device == "auto" and not uses_gpu):
        return []
    gpus = visible_gpus()
    if device == "auto":
        return gpus
    if not uses_gpu:
        raise UsageError(f"--device {device}: this command runs on CPUs only", fix="leave --device out")
    index = match[1]
    if not gpus or (index is not None and int(index) >= len(gpus)):
        raise InputError(
            f"--device {device}: {len(gpus)} GPUs are visible here", fix="check nvidia-smi, or --device cpu"
        )
    return gpus if index is None else [gpus[int(index)]]
