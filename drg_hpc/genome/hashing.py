"""sha256 beside the reading of a file: hashlib lets go of the interpreter, so a second core can do it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from queue import Queue
from types import TracebackType
from typing import Any

_WAITING = 8


class Aside:
    """Calls done in order by one thread; a few may wait. Leaving the block waits for all of them."""

    def __init__(self) -> None:
        self._calls: Queue[tuple[Callable[..., object], tuple[Any, ...]] | None] = Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Aside:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._calls.put(None)
        self._thread.join()

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have ``function(*arguments)`` called; it must not fail."""
        self._calls.put((function, arguments))

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            item[0](*item[1])


class LettersDigest:
    """sha256 of the letters of one sequence that come in pieces.

    Parameters
    ----------
    done : gets the hex digest
    """

    def __init__(self, aside: Aside, done: Callable[[str], object]) -> None:
        self._aside, self._done = aside, done
        self._first: bytes | bytearray | None = None
        self._digest: Any = None

    def update(self, letters: bytes | bytearray) -> None:
        """Add letters."""
        if self._first is None:
            self._first = letters
            return
        if self._digest is None:
            self._digest = hashlib.sha256()
            self._aside.call(self._digest.update, self._first)
        self._aside.call(self._digest.update, letters)

    def finish(self) -> None:
        """No more letters come. A sequence in one piece, as of many scaffolds, is not worth a thread's time."""
        if self._digest is None:
            self._done(hashlib.sha256(self._first or b"").hexdigest())
        else:
            self._aside.call(lambda digest: self._done(digest.hexdigest()), self._digest)
