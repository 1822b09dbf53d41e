"""What a reduction asks of whoever computes it: this process, or the workers of a Dask scheduler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from drg_hpc.log import Progress


class Pool(Protocol):
    """Who computes; :mod:`drg_hpc.runs.launch.dask` has them."""

    progress: Progress | None

    def submit(self, function: Callable[..., Any], *arguments: Any, rows: int = 0) -> Any:
        """Have a task done; the handle may be an argument of another one. ``rows`` count as progress."""
        ...

    def collect(self, tasks: Sequence[Any]) -> list[Any]:
        """Results, in order."""
        ...
