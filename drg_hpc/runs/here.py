"""This process computes a reduction: tasks and results as those of the workers of :mod:`.launch.dask_pools`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from drg_hpc.log import Progress
from drg_hpc.runs.signals import check_stop


class Here:
    """Computes in this process, task by task."""

    progress: Progress | None = None

    def submit(self, function: Callable[..., Any], *arguments: Any, rows: int = 0) -> Any:
        """The result itself; ``rows`` count as progress."""
        check_stop()
        result = function(*arguments)
        if self.progress and rows:
            self.progress.add(rows)
        return result

    def collect(self, tasks: Sequence[Any]) -> list[Any]:
        """``tasks``, which are results already."""
        return list(tasks)
