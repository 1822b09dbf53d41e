"""Stop signals that arrive where an exception cannot be raised."""

from __future__ import annotations

import os
import signal
import sys
import weakref

import pytest

from drg_hpc.errors import Stopped
from drg_hpc.runs.signals import check_stop, stop_on_signals


class Thing:
    """Something to refer to."""


def test_a_stop_within_a_callback_is_raised_later_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    thing = Thing()
    reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped, match="stopped by SIGTERM"), stop_on_signals():
        del thing
        assert reference() is None
        check_stop()
    assert capfd.readouterr().err == ""


def test_other_errors_of_callbacks_are_still_shown() -> None:
    thing = Thing()
    reference = weakref.ref(thing, lambda _: 1 / 0)
    shown: list[sys.UnraisableHookArgs] = []
    before, sys.unraisablehook = sys.unraisablehook, shown.append
    try:
        with stop_on_signals():
            del thing
    finally:
        sys.unraisablehook = before
    assert reference() is None
    assert [each.exc_type for each in shown] == [ZeroDivisionError]
