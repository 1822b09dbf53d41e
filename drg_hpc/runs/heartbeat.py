"""Private folders under work: a heartbeat file says that somebody is at it, and that the folder is still theirs."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

HEARTBEAT = ".heartbeat"
HEARTBEAT_S = 5.0
STALE_S = 60.0


@contextmanager
def beating(folder: Path) -> Iterator[None]:
    """Touch ``folder``'s heartbeat until the block ends, then remove it.

    Raises
    ------
    OSError : at the end, when the folder was removed meanwhile. What a body wrote after that may stand in a folder
        that a library made anew: incomplete, and not to be published.
    """
    beat = folder / HEARTBEAT
    beat.write_text(f"{socket.gethostname()} {os.getpid()}\n")
    mine = beat.stat().st_ino
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(HEARTBEAT_S):
            try:
                os.utime(beat)  # never makes the file: a removed folder must stay without one
            except OSError as error:
                log.debug("heartbeat of %s: %s", folder.name, error)

    thread = threading.Thread(target=touch, daemon=True)
    thread.start()
    try:
        yield
        if not beat.exists() or beat.stat().st_ino != mine:
            raise OSError(errno.ENOENT, "folder was removed while it was worked in", str(folder))
    finally:
        ended.set()
        thread.join()
        beat.unlink(missing_ok=True)


def clock(folder: Path) -> float:
    """The time by the file system's own clock (a file touched now), so that clocks of nodes do not matter."""
    folder.mkdir(exist_ok=True)
    probe = folder / f".clock.{uuid.uuid4().hex}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def last_beat(folder: Path) -> float:
    """When a private folder was last alive: its heartbeat, or, without one, its own change.

    Raises
    ------
    FileNotFoundError : it is gone
    """
    beat = folder / HEARTBEAT
    try:
        return beat.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return folder.lstat().st_mtime
