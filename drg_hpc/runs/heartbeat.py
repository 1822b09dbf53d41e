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


def owner() -> str:
    """This process, so that others can tell whether it is still there: host, boot, namespace of process ids, id."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot = namespace = "-"
    return f"{socket.gethostname()} {boot} {namespace} {os.getpid()}"


def has_ended(text: str) -> bool:
    """Whether the process that :func:`owner` named has ended; False where that cannot be told from here."""
    words = text.split()
    if len(words) != 4 or words[1] == "-" or words[1:3] != owner().split()[1:3]:
        return False
    try:
        state = Path(f"/proc/{words[3]}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in ("Z", "X")  # killed, and nobody has asked how it ended


@contextmanager
def touched(beat: Path) -> Iterator[None]:
    """Touch a heartbeat that is there until the block ends."""
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(HEARTBEAT_S):
            try:
                os.utime(beat)  # never makes the file: a removed folder must stay without one
            except OSError as error:
                log.debug("heartbeat of %s: %s", beat.parent.name, error)

    thread = threading.Thread(target=touch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


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
    try:
        with touched(beat):
            yield
        if not beat.exists() or beat.stat().st_ino != mine:
            raise OSError(errno.ENOENT, "folder was removed while it was worked in", str(folder))
    finally:
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
