"""Stop signals: an attempt ends cleanly, leaves nothing behind, and the process exits with 143."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from drg_hpc.errors import Stopped

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
GO_ON = "run the same command again to go on"
START_AGAIN = "nothing was written; the same command starts from the beginning"
_received: list[str] = []
_advice = [GO_ON]


def _stopped() -> Stopped:
    return Stopped(f"stopped by {_received[0]}", fix=_advice[-1])


def _stop(number: int, frame: FrameType | None) -> None:
    _received.append(signal.Signals(number).name)
    if len(_received) == 1:  # later ones would interrupt the cleaning up after the first
        raise _stopped()


def check_stop() -> None:
    """Raise if a stop signal came while its exception could not be delivered (inside a callback from C)."""
    if _received:
        raise _stopped()


@contextmanager
def stop_on_signals(*, advice: str = GO_ON) -> Iterator[None]:
    """Turn the first SIGTERM, SIGINT, SIGUSR1 or SIGUSR2 into :class:`Stopped`; later ones are noted only.

    Parameters
    ----------
    advice : what to do after a stop, for the message
    """
    hook = sys.unraisablehook

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        if not isinstance(args.exc_value, Stopped):  # one that landed in a callback is raised by check_stop
            hook(args)

    previous = {number: signal.signal(number, _stop) for number in _SIGNALS}
    sys.unraisablehook = unraisable
    _advice.append(advice)
    try:
        yield
    finally:
        _advice.pop()
        sys.unraisablehook = hook
        for number, handler in previous.items():
            signal.signal(number, handler)
        _received.clear()


@contextmanager
def signals_held() -> Iterator[None]:
    """Deliver stop signals after the block: for cleaning up, which must not be cut short."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
