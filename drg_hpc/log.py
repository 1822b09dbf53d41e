"""Logging to stderr (text or JSON lines), log files of shards, and progress.

``DRG_LOG_FORMAT=json`` turns every line into one JSON object for log collectors.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

_ROOT = logging.getLogger("drg_hpc")
_PLAIN_INTERVAL_S = 15.0


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class _Brief(logging.Formatter):
    """One line a record: tracebacks stand in the logs of attempts."""

    def format(self, record: logging.LogRecord) -> str:
        brief = copy.copy(record)
        brief.exc_info = brief.exc_text = None
        return super().format(brief)


def _formatter(*, brief: bool = False) -> logging.Formatter:
    if os.environ.get("DRG_LOG_FORMAT") == "json":
        return _JsonFormatter()
    kind = _Brief if brief else logging.Formatter
    return kind("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")


def setup(verbosity: int = 0) -> None:
    """Send the package's log to stderr. ``verbosity``: -1 errors and warnings only, 0 progress, 1 details."""
    level = {-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(brief=verbosity < 1))
    _ROOT.handlers[:] = [handler]
    _ROOT.setLevel(level)
    _ROOT.propagate = False


@contextmanager
def shard_log(path: Path) -> Iterator[None]:
    """Also write the log of one attempt at a shard to ``path``; the file appears with its first line."""
    handler = logging.FileHandler(path, delay=True)
    handler.setFormatter(_formatter())
    _ROOT.addHandler(handler)
    try:
        yield
    finally:
        _ROOT.removeHandler(handler)
        handler.close()


class Progress:
    """Counts finished units: a bar with ETA on a terminal (tqdm when installed), plain lines elsewhere.

    Parameters
    ----------
    total : number of units
    what : name of the job, shown first
    unit : plural name of the unit
    """

    def __init__(self, total: int, what: str, unit: str = "rows") -> None:
        self.total, self.what, self.unit = total, what, unit
        self.done = 0
        self._start = self._last = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty() and _ROOT.isEnabledFor(logging.INFO):
            try:
                from tqdm import tqdm
            except ImportError:
                return self
            self._bar = tqdm(total=self.total, desc=self.what, unit=f" {self.unit}", file=sys.stderr)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
        elif kind is None and self.done:
            self._line(time.monotonic())

    def add(self, count: int) -> None:
        """Report ``count`` more finished units."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
            return
        now = time.monotonic()
        if now - self._last >= _PLAIN_INTERVAL_S and self.done < self.total:
            self._last = now
            self._line(now)

    def _line(self, now: float) -> None:
        seconds = max(now - self._start, 1e-9)
        rate = self.done / seconds
        left = (self.total - self.done) / rate if rate else 0.0
        eta = f", {left:.0f} s left" if self.done < self.total else f" in {seconds:.1f} s"
        _ROOT.info("%s: %d of %d %s (%.3g a second%s)", self.what, self.done, self.total, self.unit, rate, eta)
