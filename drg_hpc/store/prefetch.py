"""Work ahead on a background thread: results in order, a bounded number of them, errors where they are awaited."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Failed:
    error: BaseException


class _End:
    pass


@contextmanager
def prefetched(jobs: Iterable[Job], load: Callable[[Job], Result], *, depth: int = 2) -> Iterator[Iterator[Result]]:
    """Results of ``load`` for each job, in order; at most ``depth`` of them wait to be taken.

    Leaving the block ends the thread, after the job it is at. An error of ``load``, or of ``jobs``, is raised where its
    result would have come.
    """
    results: queue.SimpleQueue[Result | _Failed | _End] = queue.SimpleQueue()
    free, stop = threading.Semaphore(depth), threading.Event()

    def work() -> None:
        try:
            for job in jobs:
                free.acquire()
                if stop.is_set():
                    return
                results.put(load(job))
            results.put(_End())
        except BaseException as error:
            results.put(_Failed(error))

    def taken() -> Iterator[Result]:
        while not isinstance(item := results.get(), _End):
            if isinstance(item, _Failed):
                raise item.error
            free.release()
            yield item

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        stop.set()
        free.release()
        thread.join()
