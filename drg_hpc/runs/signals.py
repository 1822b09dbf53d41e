"""Stop signals: an attempt ends cleanly, leaves nothing behind, and the process exits with 143."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from drg_hpc.errors import Stopped

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
_received: list[str] = []


def _stop(number: int, frame: FrameType | None) -> None:
    _received.append(signal.Signals(number).name)
    raise Stopped(f"stopped by {_received[-1]}", fix="run the same command again to go on")


def check_stop() -> None:
    """Raise if a stop signal came while its exception could not be delivered (inside a C callback)."""
    if _received:
        raise Stopped(f"stopped by {_received[-1]}", fix="run the same command again to go on")


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turn SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 into :class:`Stopped`; ignored once one has been received."""
    previous = {number: signal.signal(number, _stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _received.clear()
