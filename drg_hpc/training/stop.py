"""Reasons to end a training early, and the agreement of all ranks on the step."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from drg_hpc.errors import Stopped
from drg_hpc.training.distributed import Group

log = logging.getLogger(__name__)
STOP_FILE = "STOP"
MAX_TIME, MAX_STEPS = "--max-time reached", "--max-steps reached"
POLL_STEPS = 5
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
_MAX_TIME, _FILE = 1, 2  # larger codes are signals: code = _FILE + signal number


class LimitReached(Stopped):
    """The job ended where ``--max-time`` or ``--max-steps`` asked it to."""


class StopRequests:
    """Collects stop signals, the STOP file and the limits of one job.

    Parameters
    ----------
    folder : MODEL; rank 0 looks for ``STOP`` in it
    max_seconds : since ``started`` (``time.monotonic``)
    max_steps : steps of this job
    """

    def __init__(self, folder: Path, *, started: float, max_seconds: float | None, max_steps: int | None) -> None:
        self._file = folder / STOP_FILE
        self._deadline = None if max_seconds is None else started + max_seconds
        self._max_steps = max_steps
        self._signal = 0
        self._obeyed = False

    @contextmanager
    def listening(self, *, pass_on: bool = False) -> Iterator[None]:
        """Note SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 instead of dying; only a main thread can.

        Parameters
        ----------
        pass_on : send a signal that came too late to stop anything to whoever listened before
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            if pass_on and self._signal and not self._obeyed:
                signal.raise_signal(self._signal)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = number

    def clear_file(self) -> None:
        """Remove a STOP file of an earlier job; its work is done."""
        if self._file.exists():
            self._file.unlink()
            log.info("removed %s of an earlier stop", self._file)

    def _mine(self, group: Group) -> int:
        if self._signal:
            return _FILE + self._signal
        if group.main and self._file.exists():
            return _FILE
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return _MAX_TIME
        return 0

    def agreed(self, group: Group, *, job_steps: int, poll: bool = False) -> str | None:
        """Why all ranks stop after this step, or None. Every rank must ask at the same steps.

        Parameters
        ----------
        job_steps : steps this job has done
        poll : ask the other ranks now, not only at every 5th step
        """
        if poll or job_steps % POLL_STEPS == 0:
            code = group.max(self._mine(group))
            if code == _MAX_TIME:
                return MAX_TIME
            if code == _FILE:
                return "STOP file found"
            if code > _FILE:
                self._obeyed = True
                return f"stopped by {signal.Signals(code - _FILE).name}"
        if self._max_steps is not None and job_steps >= self._max_steps:
            return MAX_STEPS
        return None
