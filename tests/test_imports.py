"""The house rules of docs/design.md: imports run downhill, heavy libraries stay in their rooms, modules are small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

PACKAGE = ROOT / "drg_hpc"
GROUND = {"errors", "files", "digests", "log", "config", "rng", "compiled"}

# room -> rooms it may import (besides itself and the ground floor)
DOWNHILL: dict[str, set[str]] = {
    **{name: set() for name in GROUND},
    "runs": {"bodies"},  # only runs/bodies.py, by its fixed table
    "genome": set(),
    "store": {"genome", "runs"},
    "results": {"runs", "genome"},
    "models": {"runs"},
    "training": {"models", "store", "genome"},
    "prediction": {"models", "store", "genome", "results", "runs"},
    "attribution": {"models", "store", "genome", "results", "runs"},
    "interpretation": {"results", "genome", "runs"},
    "experiments": {"genome", "store", "results", "runs"},
    "report": {"results", "genome", "store", "models", "runs"},
    "bodies": {
        "runs",
        "genome",
        "store",
        "results",
        "models",
        "training",
        "prediction",
        "attribution",
        "interpretation",
        "experiments",
    },
    "api": {"models", "store", "results", "attribution", "interpretation", "report"},
    "cli": {
        "runs",
        "bodies",
        "genome",
        "store",
        "results",
        "models",
        "training",
        "prediction",
        "interpretation",
        "report",
        "api",
    },
}
RUN_FACTS = ("drg_hpc.runs.spec", "drg_hpc.runs.outputs", "drg_hpc.runs.devices", "drg_hpc.runs.here")
ONLY_IN = {
    "zarr": {"store"},
    "numcodecs": {"store"},
    "mpi4py": {"runs/launch"},
    "submitit": {"runs/launch"},
    "distributed": {"runs/launch"},
    # models/importers/keras.py reads weights of Keras, which are HDF5
    "h5py": {"results", "bodies/seqlets_plan.py", "models/importers/keras.py"},
    "dask": {"interpretation", "bodies", "runs/launch"},
    "pickle": set(),
}
HEAVY = {
    "numpy",
    "torch",
    "zarr",
    "h5py",
    "pandas",
    "scipy",
    "numba",
    "matplotlib",
    "dask",
    "captum",
    "pyBigWig",
    "pyfaidx",
    "deflate",
    "numcodecs",
}
LIGHT = [
    "errors.py",
    "files.py",
    "digests.py",
    "log.py",
    "config.py",
    "rng.py",
    "runs/**/*.py",
    "bodies/*_plan.py",
    "cli/*.py",
]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(path: Path, *, top_level: bool = False) -> Iterator[str]:
    """Names of imported modules; with ``top_level`` only what is imported when the module is."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "drg_hpc" else (module,)


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downhill(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return
    allowed = DOWNHILL[here] | {here} | GROUND
    for name in imported(path):
        if name.startswith("drg_hpc."):
            other = name.split(".")[1]
            assert other in allowed, f"{path.relative_to(ROOT)} imports {name}: {here} may not import {other}"
    if here in ("models", "store", "results", "prediction", "attribution", "interpretation", "experiments", "report"):
        # of runs these see only plain facts (blocks, outputs, devices), never the machinery
        for name in imported(path):
            if name.startswith("drg_hpc.runs"):
                assert name in RUN_FACTS, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    where = path.relative_to(PACKAGE).as_posix()
    for name in imported(path):
        places = ONLY_IN.get(name.split(".")[0])
        if places is not None:
            assert any(where.startswith(place) for place in places), f"{where} imports {name}"


@pytest.mark.parametrize(
    "path", sorted(p for g in LIGHT for p in PACKAGE.glob(g)), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_control_plane_modules_import_nothing_heavy(path: Path) -> None:
    assert not HEAVY & {name.split(".")[0] for name in imported(path, top_level=True)}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_are_small_and_package_files_empty(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350
    if path.name == "__init__.py" and path.parent != PACKAGE:
        assert all(isinstance(n, ast.Expr) for n in ast.parse(path.read_text()).body)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_cli_prints(path: Path) -> None:
    calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    prints = [n for n in calls if isinstance(n.func, ast.Name) and n.func.id == "print"]
    assert room(path) == "cli" or not prints


def test_nothing_imports_cli() -> None:
    for path in modules():
        if room(path) != "cli":
            assert not any(name.startswith("drg_hpc.cli") for name in imported(path)), path
