"""Settings for all tests."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from support import Once

# Before numpy or torch is imported: tests run side by side, one thread each.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.pop("DRG_FAILPOINTS", None)
os.environ["DRG_FILL_MEMORY"] = "1"  # NaN in new memory: see drg_hpc.models.compute.prepare_torch
# Hundreds of commands are started: where containers set this, each would compile the whole package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Spread the files with slow tests over the workers of pytest-xdist, at the head of what each of them is given.

    ``--dist worksteal`` gives every worker an equal part of the list, in order, and moves tests from the ends of long
    queues later: what takes minutes must not come last. Tests on real schedulers, which mostly wait, are one worker's
    to begin with: the others compute meanwhile.
    """
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    if workers == 1:
        return
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    slow = {path: sum(item.get_closest_marker("slow") is not None for item in found) for path, found in files.items()}
    heads: list[list[pytest.Item]] = [[] for _ in range(workers)]
    load = [0] * workers
    for path in sorted((path for path in files if slow[path]), key=lambda path: -slow[path]):
        waits = any(item.get_closest_marker("cluster") for item in files[path])
        worker = 0 if waits else min(range(1, workers), key=lambda w: load[w])
        heads[worker].extend(files[path])
        load[worker] += slow[path]
    rest = (item for path, found in files.items() if not slow[path] for item in found)
    given: list[pytest.Item] = []
    for worker, head in enumerate(heads):
        size = len(items) * (worker + 1) // workers - len(items) * worker // workers
        given += [*head, *islice(rest, max(0, size - len(head)))]
    items[:] = [*given, *rest]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """``once(name, make)``: a folder that ``make(folder)`` fills once for all workers of a test session.

    It belongs to all of them: a test that changes something takes a copy.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"

    def get(name: str, make: Callable[[Path], object]) -> Path:
        folder, made = shared / name, shared / f"{name}.made"
        shared.mkdir(exist_ok=True)
        with open(shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of one that failed
                folder.mkdir()
                make(folder)
                made.touch()
        return folder

    return get


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Commands called within a test set up the package's log; the next test finds it untouched."""
    logger = logging.getLogger("drg_hpc")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before
