"""What libraries say about themselves: run by drg-doctor in processes of their own, here or in an image.

``python -m drg_hpc.runs.doctor_probe NAME [ARGUMENTS]`` prints one JSON object. Libraries are imported by name: this
module asks whether they are there, and nothing depends on it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from drg_hpc.digests import versions

_MEGA = 1 << 20


def libraries() -> dict[str, Any]:
    """Versions of what is installed."""
    return {"versions": versions(), "executable": sys.executable}


def torch_devices() -> dict[str, Any]:
    """What torch sees, and whether it can compute there."""
    torch: Any = importlib.import_module("torch")
    devices = []
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        ones = torch.ones(1024, device=device)
        devices.append(
            {
                "name": torch.cuda.get_device_name(device),
                "memory": torch.cuda.get_device_properties(device).total_memory,
                "computes": float((ones @ ones).cpu()) == 1024.0,
            }
        )
    return {
        "version": torch.__version__,
        "built_for": torch.version.cuda,
        "nccl": torch.cuda.is_available() and torch.distributed.is_nccl_available(),
        "devices": devices,
    }


def all_reduce(backend: str) -> dict[str, Any]:
    """A sum over all ranks, under torchrun; rank 0 answers with the time of one over 64 MiB."""
    torch: Any = importlib.import_module("torch")
    distributed: Any = importlib.import_module("torch.distributed")
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if backend == "nccl" else torch.device("cpu")
    if backend == "nccl":
        torch.cuda.set_device(device)
    distributed.init_process_group(backend)
    values = torch.full((16 * _MEGA,), float(rank + 1), device=device)
    distributed.all_reduce(values)  # also sets connections up
    right = bool((values == world * (world + 1) / 2).all().cpu())
    started = time.perf_counter()
    distributed.all_reduce(values)
    total = float(values[0].cpu())  # waits for the device
    seconds = time.perf_counter() - started
    distributed.barrier()
    distributed.destroy_process_group()
    if rank != 0:
        return {}
    right = right and total == world * world * (world + 1) / 2
    return {"backend": backend, "ranks": world, "right": right, "seconds": seconds, "bytes": 64 * _MEGA}


def mpi() -> dict[str, Any]:
    """Which MPI library mpi4py finds."""
    mpi4py: Any = importlib.import_module("mpi4py")
    mpi4py.rc.initialize = False  # asking must not need a launcher
    library: Any = importlib.import_module("mpi4py.MPI")
    return {"mpi4py": mpi4py.__version__, "library": library.Get_library_version().strip("\x00\n ").splitlines()[0]}


def hdf5(folder: str) -> dict[str, Any]:
    """Whether HDF5 can lock, write and read a file in a folder."""
    h5py: Any = importlib.import_module("h5py")
    path = Path(folder, f".drg-doctor.{os.getpid()}.h5")
    try:
        with h5py.File(path, "w", libver="v110") as handle:
            handle["x"] = list(range(1000))
        with h5py.File(path, "r") as handle:
            right = int(handle["x"][-1]) == 999
    finally:
        path.unlink(missing_ok=True)
    return {"right": right, "hdf5": h5py.version.hdf5_version}


PROBES = {"libraries": libraries, "torch": torch_devices, "allreduce": all_reduce, "mpi": mpi, "hdf5": hdf5}


def main() -> None:
    """Print one probe's values; an error is ``{"error": …}`` and exit code 3."""
    name, *arguments = sys.argv[1:]
    try:
        values: dict[str, Any] = PROBES[name](*arguments)  # type: ignore[operator]
    except Exception as error:
        values = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:500]}
    if values:
        sys.stdout.write("\n" + json.dumps(values) + "\n")
        sys.stdout.flush()
    sys.exit(3 if "error" in values else 0)


if __name__ == "__main__":
    main()
