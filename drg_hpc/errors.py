"""Errors that a user can meet, each with the exit code that scripts rely on.

Every message is one line: what is wrong, the value, and what to do about it.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_INCOMPLETE = 4
EXIT_CORRUPT = 5
EXIT_FAILED = 6
EXIT_STOPPED = 143


class DrgError(Exception):
    """Base of all errors reported to the user as one line.

    Parameters
    ----------
    what : the fault, in words, with the offending value
    fix : what the user can do about it
    """

    exit_code = EXIT_BUG

    def __init__(self, what: str, *, fix: str = "") -> None:
        self.what = " ".join(str(what).split())
        self.fix = " ".join(fix.split())
        super().__init__(self.what)

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}" if self.fix else self.what


class UsageError(DrgError):
    """The command line or configuration asks for something impossible."""

    exit_code = EXIT_USAGE


class InputError(DrgError):
    """An input file, or the place to write to, is not fit for use."""

    exit_code = EXIT_INPUT


class TakenError(UsageError):
    """Something appeared, while it was made, where the result should go."""


class DiskFullError(InputError):
    """No space or quota is left. HDF5 crashes when it cleans up after this, so a process should end without ado."""


class IncompleteError(DrgError):
    """Shards, or a merged output, are missing."""

    exit_code = EXIT_INCOMPLETE


class CorruptError(DrgError):
    """Data on disk is not what its receipt or manifest says."""

    exit_code = EXIT_CORRUPT


class ShardsFailedError(DrgError):
    """Shards raised errors on every try."""

    exit_code = EXIT_FAILED


class Stopped(DrgError):
    """A stop signal or a time limit ended the work cleanly; run again to go on."""

    exit_code = EXIT_STOPPED


def from_exit_code(code: int, what: str) -> DrgError:
    """The error of a worker process, rebuilt in its parent from exit code and message."""
    for kind in (UsageError, InputError, IncompleteError, CorruptError, ShardsFailedError, Stopped):
        if kind.exit_code == code:
            return kind(what)
    return DrgError(what)
