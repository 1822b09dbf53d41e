"""The workers of a Dask scheduler compute a reduction: tasks and results as in :mod:`drg_hpc.runs.here`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import Any

from drg_hpc.digests import versions
from drg_hpc.errors import IncompleteError, ShardsFailedError
from drg_hpc.log import Progress
from drg_hpc.runs.signals import check_stop

log = logging.getLogger(__name__)

ALLOWED_FAILURES = 3
"""Workers that may die at one task before the task is blamed."""
_COUNTED = ("drg_hpc", "numpy", "h5py")
_POLL_S, _LOOK_S = 0.05, 1.0


class Workers:
    """Computes on the workers of a Dask scheduler.

    Parameters
    ----------
    client : a connected ``distributed.Client``
    wait_s : how long no worker may be there while tasks wait
    """

    progress: Progress | None = None

    def __init__(self, client: Any, *, wait_s: float) -> None:
        self._client, self._wait_s = client, wait_s
        self._rows: dict[Any, int] = {}
        self._seen, self._alone_since = 0, time.monotonic()
        self._looked = 0.0

    def compare_versions(self) -> None:
        """Warn where a worker that is there has other versions than this process: the last bit may differ."""
        own = versions()
        for address, found in sorted(self._client.run(versions).items()):
            names = [name for name in _COUNTED if found.get(name) != own.get(name)]
            differing = [f"{name} {found.get(name)}, here {own.get(name)}" for name in names]
            if differing:
                log.warning("worker %s has %s", address, "; ".join(differing))

    def submit(self, function: Callable[..., Any], *arguments: Any, rows: int = 0) -> Any:
        """A future; dropping it lets the workers forget what nobody needs."""
        # never "pure": a scheduler that others use may still hold the result of a file that has changed since
        future = self._client.submit(function, *arguments, pure=False)
        if rows:
            self._rows[future] = rows
        return future

    def collect(self, tasks: Sequence[Any]) -> list[Any]:
        """Wait for all of ``tasks``; their results, in order.

        Raises
        ------
        DrgError : what a task raised, wherever it ran
        IncompleteError : the scheduler is gone, or no worker has been there for too long
        ShardsFailedError : a task ended every worker that tried it
        """
        results: dict[int, Any] = {}
        while len(results) < len(tasks):
            check_stop()
            before = len(results), len(self._rows)
            self._count()
            for index, future in enumerate(tasks):
                if index not in results and self._ready(future):
                    try:
                        results[index] = future.result(timeout=_LOOK_S)
                    except (TimeoutError, CancelledError):
                        continue  # whoever held it died this moment: it is being done again
            if before == (len(results), len(self._rows)):
                self._look()
                time.sleep(_POLL_S)
        self._count()
        return [results[index] for index in range(len(tasks))]

    def _count(self) -> None:
        for future in [f for f in self._rows if self._ready(f)]:
            rows = self._rows.pop(future)
            if self.progress:
                self.progress.add(rows)

    def _ready(self, future: Any) -> bool:
        """Whether a result is there; raises what makes it impossible."""
        if future.status == "cancelled":
            raise IncompleteError("the Dask scheduler is gone, and with it all results", fix="run the command again")
        if future.status != "error":
            return bool(future.status == "finished")
        error = future.exception(timeout=self._wait_s)
        if type(error).__name__ == "KilledWorker":
            raise ShardsFailedError(
                f"a task ended {ALLOWED_FAILURES + 1} workers", fix="their logs say why; more memory, or fewer workers"
            )
        raise error

    def _look(self) -> None:
        """Count the workers, now and then; say when one is lost, and give up when there is none for too long."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        count = len(self._client.scheduler_info(n_workers=-1)["workers"])
        if count < self._seen:
            log.warning("%d of %d workers left; the others do again what is lost", count, self._seen)
        self._seen = count
        if count:
            self._alone_since = now
        elif now - self._alone_since > self._wait_s:
            raise IncompleteError(
                f"no worker has been there for {self._wait_s:.0f} s",
                fix="see how they ended, and run the command again",
            )
