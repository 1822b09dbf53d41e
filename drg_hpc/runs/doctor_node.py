"""drg-doctor on a node: CPUs, memory, libraries, GPUs, collectives, MPI, the container program and the image."""

from __future__ import annotations

import os
import re
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from drg_hpc.digests import package_version
from drg_hpc.errors import InputError
from drg_hpc.files import human_bytes
from drg_hpc.runs import image as images
from drg_hpc.runs.devices import cpu_count, visible_gpus
from drg_hpc.runs.doctor import Finding, Place, ask, probe, read_answer

_FEW_FILES = 1024
_LITTLE_MEMORY = 4 << 30
_FAMILIES = (
    ("Open MPI", r"open ?mpi|open-mpi|orterun|prte"),
    ("Intel MPI", r"intel"),
    ("MPICH", r"mpich|hydra|mvapich|cray"),
)
_LIBRARIES = ("torch", "numpy", "h5py", "zarr")


def check_cpus() -> Iterator[Finding]:
    """CPUs this process may use, memory it may use, open files."""
    usable, online = cpu_count(), os.cpu_count() or 1
    facts: dict[str, object] = {"usable": usable, "online": online}
    why = "" if usable == online else f" of {online} (affinity or a cgroup holds the others back)"
    yield Finding("CPU", "ok", f"{usable} CPUs to use{why}", facts=facts)
    free, limit = memory_available(), memory_limit()
    facts = {"available": free, "limit": limit}
    text = f"{human_bytes(free)} available" + (
        "" if limit is None else f", limited to {human_bytes(limit)} by a cgroup"
    )
    if min(free, limit or free) < _LITTLE_MEMORY:
        yield Finding("memory", "warn", text, "ask for more (--mem); --dry-run says what a worker needs", facts)
    else:
        yield Finding("memory", "ok", text, facts=facts)
    files, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < _FEW_FILES:
        text = f"only {files} files may be open at once"
        yield Finding("limits", "warn", text, f"ulimit -n {hard if hard > 0 else 4096}")


def memory_available() -> int:
    """Bytes that programs can still get, by the kernel's own estimate."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def memory_limit(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> int | None:
    """The lowest memory limit of this process's cgroups (v2 and v1), or None."""
    found: list[int] = []
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, name = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        place = top / path.lstrip("/")
        for folder in (place, *place.parents):
            try:
                text = (folder / name).read_text().strip()
            except OSError:
                text = ""
            if text.isdigit() and int(text) < 1 << 60:  # v1 writes a huge number for "no limit"
                found.append(int(text))
            if folder == top:
                break
    return min(found, default=None)


def check_libraries(place: Place) -> Iterator[Finding]:
    """Versions here, and in the image; workers need the libraries in one of the two."""
    values, why = probe("libraries", place=Place())
    here = values["versions"] if values else {}
    missing = [name for name in _LIBRARIES if name not in here]
    shown = ", ".join(f"{name} {here[name]}" for name in ("python", "drg_hpc", *_LIBRARIES) if name in here)
    if values is None:
        yield Finding("libraries", "fail", f"a Python of this environment does not start: {why}", "reinstall drg_hpc")
    elif missing and place.image is None:
        advice = "pip install 'drg_hpc[run]', or give the image that workers run in with --image"
        yield Finding("libraries", "fail", f"{shown}; without {', '.join(missing)}", advice, here)
    elif missing:
        yield Finding("libraries", "ok", f"{shown}: the control plane; workers run in the image", facts=here)
    else:
        yield Finding("libraries", "ok", shown, facts=here)
    if place.image is not None:
        yield from _image(place)


def _image(place: Place) -> Iterator[Finding]:
    assert place.image is not None
    try:
        images.check_image(place.image)
        name = Path(images.program()).name
    except InputError as error:
        yield Finding("image", "fail", error.what, error.fix)
        return
    values, why = probe("libraries", place=place)
    if values is None:
        advice = "see whether it runs by itself: apptainer exec IMAGE true"
        if "capability" in why or "namespace" in why:
            advice = "this root lacks capabilities: export APPTAINER_USERNS=1"
        elif "fuse" in why:
            advice = "/dev/fuse is closed to you: ask for it, or unpack the image (apptainer build --sandbox)"
        yield Finding("image", "fail", f"{place.image} does not run under {name}: {why}", advice)
        return
    inner = values["versions"]
    missing = [library for library in _LIBRARIES if library not in inner]
    facts = {"image": str(place.image), "program": name, **inner}
    text = f"{place.image.name} runs under {name}, drg_hpc {inner.get('drg_hpc')}, torch {inner.get('torch')}"
    if missing:
        yield Finding("image", "fail", f"{text}; without {', '.join(missing)}", "build it with bin/build-image", facts)
    elif inner.get("drg_hpc") != package_version():
        advice = "use the same version outside and inside"
        yield Finding("image", "warn", f"{text}; outside is drg_hpc {package_version()}", advice, facts)
    else:
        yield Finding("image", "ok", text, facts=facts)


def check_gpus(place: Place) -> Iterator[Finding]:
    """What the driver lists, what this process may use, what torch can use."""
    query = "--query-gpu=index,name,memory.total,driver_version"
    listed = ask(["nvidia-smi", query, "--format=csv,noheader,nounits"])
    if shutil.which("nvidia-smi") is None:
        yield Finding("GPU", "note", "no NVIDIA driver on this node: work runs on CPUs", facts={"gpus": 0})
        return
    if listed.code != 0:
        yield Finding("GPU", "fail", f"nvidia-smi fails: {listed.why()}", "ask the site: the driver is ill")
        return
    rows = [[cell.strip() for cell in line.split(",")] for line in listed.out.splitlines() if line.strip()]
    chosen = visible_gpus()
    facts = {"gpus": len(rows), "visible": chosen, "driver": rows[0][3] if rows else None}
    text = f"{len(rows)} x {rows[0][1]}, {rows[0][2]} MiB, driver {rows[0][3]}" if rows else "a driver without GPUs"
    if not rows or not chosen:
        advice = "ask the scheduler for one (--gpus 1)" if rows else ""
        yield Finding("GPU", "note", f"{text}; none is visible to this process", advice, facts)
        return
    yield Finding("GPU", "ok", f"{text}; visible: {','.join(chosen)}", facts=facts)
    yield _torch_gpus(place, len(chosen))


def _torch_gpus(place: Place, count: int) -> Finding:
    values, why = probe("torch", place=place)
    if values is None:
        return Finding("GPU", "fail", f"torch does not start: {why}", "reinstall torch, or use the image (--image)")
    seen = values["devices"]
    text = f"torch {values['version']} sees {len(seen)} of {count} visible GPUs"
    if values["built_for"] is None:
        advice = "install a CUDA build of torch, or an image of bin/build-image --gpu"
        return Finding("GPU", "fail", f"{text}: it is a CPU build", advice, values)
    if len(seen) < count or not all(device["computes"] for device in seen):
        advice = f"the driver may be too old for CUDA {values['built_for']}; update it, or use an older torch"
        return Finding("GPU", "fail", text, advice, values)
    return Finding("GPU", "ok", f"{text} and computes on them", facts=values)


def check_collectives(place: Place) -> Iterator[Finding]:
    """A sum over two or more ranks, as DistributedDataParallel does: NCCL between GPUs, gloo without them."""
    gpus = len(visible_gpus())
    backend, ranks = ("nccl", gpus) if gpus >= 2 else ("gloo", 2)
    inner = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command = place.command([*inner, "-m", "drg_hpc.runs.doctor_probe", "allreduce", backend])
    answer = ask(command, timeout=180.0, OMP_NUM_THREADS="1")
    values, why = read_answer(answer)
    why_gloo = "" if backend == "nccl" else f" ({gpus} GPUs visible, so gloo and not NCCL was tried)"
    if values is None and "No module named" in answer.err:
        yield Finding("collectives", "note", "not tried: torch is not installed here")
    elif values is None or not values["right"]:
        advice = "NCCL_DEBUG=INFO shows more; NCCL_SOCKET_IFNAME or GLOO_SOCKET_IFNAME chooses the interface"
        text = f"{backend} all-reduce over {ranks} ranks fails: {why or 'wrong sum'}"
        yield Finding("collectives", "fail" if backend == "nccl" else "warn", text + why_gloo, advice)
    else:
        rate = values["bytes"] / values["seconds"] / 1e9
        text = f"{backend} all-reduce over {ranks} ranks: {rate:.2f} GB/s{why_gloo}"
        yield Finding("collectives", "ok", text, facts=values)


def mpi_family(text: str) -> str:
    """``Open MPI``, ``MPICH``, ``Intel MPI`` or ``unknown``, from a version text; families cannot be mixed."""
    return next((name for name, pattern in _FAMILIES if re.search(pattern, text, re.IGNORECASE)), "unknown")


def check_mpi(place: Place) -> Iterator[Finding]:
    """mpirun outside, the library that mpi4py finds outside and inside, and whether they are of one family."""
    started = shutil.which("mpirun") or shutil.which("mpiexec")
    outside = mpi_family(ask([started, "--version"]).out) if started else None
    library, why = probe("mpi", place=Place())
    if library is not None:
        found = mpi_family(library["library"])
        text = f"mpi4py {library['mpi4py']} finds {found}" + (f", mpirun is {outside}" if outside else ", no mpirun")
        if outside and outside != found:
            yield Finding("MPI", "warn", text, "put the mpirun of the same family first on PATH", library)
        else:
            yield Finding("MPI", "ok", text, facts=library)
    elif outside:
        yield Finding("MPI", "note", f"mpirun is {outside}; mpi4py finds no library ({why})", "pip install mpi4py")
    else:
        yield Finding("MPI", "note", "no MPI here", "only --launch mpi needs it (pip install mpich mpi4py)")
    if place.image is None:
        return
    inner, why = probe("mpi", place=place)
    if inner is None:
        yield Finding("MPI", "note", f"none in the image: {why}", "--launch mpi is not possible in it")
        return
    family = mpi_family(inner["library"])
    if outside and outside != family:
        advice = "start mpirun inside the image (one node), or srun --mpi=pmi2 (MPICH) or pmix (Open MPI)"
        yield Finding("MPI", "warn", f"the image has {family}, this node's mpirun is {outside}", advice, inner)
    else:
        yield Finding("MPI", "ok", f"the image has {family}", facts=inner)
