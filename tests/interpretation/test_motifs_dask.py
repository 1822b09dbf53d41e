"""drg-motifs by Dask: the bytes of one process, also when workers are killed with windows that only they held."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bodies.seqlet_runs import two_motifs

from drg_hpc.files import describe_files
from drg_hpc.interpretation.config import MotifsOptions
from drg_hpc.interpretation.membership import nearest_block
from drg_hpc.interpretation.motifs import find_motifs
from drg_hpc.interpretation.products import distance_rows
from drg_hpc.runs.launch.dask import Cluster, connect


@pytest.fixture(scope="module")
def seqlets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seqlets of two motifs, one of either sign."""
    return two_motifs(tmp_path_factory.mktemp("seqlets"))


def written(folder: Path) -> dict[str, Any]:
    """Sizes and sha256 of all that does not tell when and where it was made."""
    return {name: facts for name, facts in describe_files(folder).items() if name != "done.json"}


@pytest.fixture(scope="module")
def whole(seqlets: Path) -> dict[str, Any]:
    """What this process alone writes."""
    made = written(find_motifs(MotifsOptions(seqlets=seqlets, out=seqlets.with_name("whole"))))
    assert {"motifs.json", "motifs.meme", "out.h5"} <= set(made)
    return made


def die_at_first(mark: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    """Do a task, unless it is the first one: that kills its worker."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        os.kill(os.getpid(), signal.SIGKILL)
    except FileExistsError:
        pass
    return function(*arguments)


class Killing:
    """A pool whose tasks of some kinds kill a worker, the first of each kind."""

    progress = None

    def __init__(self, pool: Any, kinds: tuple[Callable[..., Any], ...], folder: Path) -> None:
        self.pool, self.kinds, self.folder = pool, kinds, folder

    def submit(self, function: Callable[..., Any], *arguments: Any, rows: int = 0) -> Any:
        if function not in self.kinds:
            return self.pool.submit(function, *arguments, rows=rows)
        return self.pool.submit(die_at_first, self.folder / function.__name__, function, *arguments, rows=rows)

    def collect(self, tasks: Any) -> list[Any]:
        return self.pool.collect(tasks)  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [(), (distance_rows, nearest_block)], ids=["nobody dies", "two die"])
def test_same_bytes_by_workers(
    kinds: tuple[Callable[..., Any], ...], seqlets: Path, whole: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "motifs"
    with connect(Cluster("local", out, workers=2)) as pool:
        find_motifs(MotifsOptions(seqlets=seqlets, out=out), Killing(pool, kinds, tmp_path))
    assert written(out) == whole
    assert all((tmp_path / kind.__name__).exists() for kind in kinds)
