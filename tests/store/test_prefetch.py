from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from drg_hpc.store.prefetch import prefetched


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_order_is_kept_and_work_ahead_is_bounded() -> None:
    started: list[int] = []

    def load(job: int) -> int:
        started.append(job)
        return job * job

    with prefetched(range(50), load, depth=3) as results:
        for i, found in enumerate(results):
            time.sleep(0.002)
            assert found == i * i
            assert len(started) <= i + 1 + 3
    assert started == list(range(50))
    assert not running()


def test_error_comes_where_its_result_would_have() -> None:
    def load(job: int) -> int:
        if job == 3:
            raise OSError("gone")
        return job

    with prefetched(range(9), load) as results:
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(OSError, match="gone"):
            next(results)
    assert not running()


def test_error_of_the_jobs() -> None:
    def jobs() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    with prefetched(jobs(), str) as results:
        assert next(results) == "1"
        with pytest.raises(ValueError, match="no more"):
            next(results)


def test_leaving_early_ends_the_thread() -> None:
    loads: list[int] = []
    with pytest.raises(KeyboardInterrupt), prefetched(iter(int, 1), loads.append, depth=2) as results:
        next(results)
        raise KeyboardInterrupt
    assert not running()
    assert len(loads) <= 4
