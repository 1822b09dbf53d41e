"""One file, resumed where it stopped: ``NAME.part`` and, beside it, what it is part of."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from drg_hpc.errors import InputError
from drg_hpc.files import disk_full, require_space, write_json
from drg_hpc.genome.remote import OFFLINE, TryAgain, Version, open_remote, words
from drg_hpc.log import Progress

log = logging.getLogger(__name__)

_BLOCK = 1 << 20
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
_LONGEST_PAUSE = 60.0


def part_of(target: Path) -> Path:
    """The unfinished file."""
    return target.with_name(f"{target.name}.part")


def download(url: str, target: Path, *, timeout: float) -> tuple[str, bool]:
    """Fetch ``url`` into ``NAME.part`` beside ``target``, to its end; call it within :func:`locked`.

    Parameters
    ----------
    url : http, https or file address, or a path
    timeout : seconds without any byte

    Returns
    -------
    sha256 of the part, and whether it began with bytes of an earlier run.

    Raises
    ------
    InputError : not there, refused, no connection after several tries, no space
    UsageError : no such kind of address
    """
    part = part_of(target)
    with open(part, "r+b") as out:
        state = _State(part, out)
        resumed, tries, best = state.done > 0, 0, state.done
        while True:
            try:
                _transfer(url, state, timeout)
                break
            except TryAgain as fault:
                tries, best = (0, state.done) if state.done > best else (tries, best)
                if tries == len(_PAUSES):
                    raise InputError(f"cannot fetch {url}: {fault}", fix=OFFLINE) from None
                pause = min(max(_PAUSES[tries], fault.after), _LONGEST_PAUSE)
                tries += 1
                log.warning("%s: %s; trying again in %g s", url, fault, pause)
                time.sleep(pause)
        os.fsync(out.fileno())
    return state.digest.hexdigest(), resumed and not state.restarted


def forget(target: Path) -> None:
    """Remove the unfinished file and its note."""
    _note(part_of(target)).unlink(missing_ok=True)
    part_of(target).unlink(missing_ok=True)


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """One process at a time; on file systems without locks the digest has to notice.

    Raises
    ------
    InputError : another process fetches the file
    """
    part = part_of(target)
    with open(part, "ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another process is fetching {part}", fix="wait for it") from None
        except OSError as error:
            log.debug("no lock on %s: %s", part, error)
        yield


class _State:
    """The part as it is on disk: bytes done, their digest, and the version they belong to."""

    def __init__(self, part: Path, out: IO[bytes]) -> None:
        self.part, self.out = part, out
        self.digest = hashlib.sha256()
        self.done = 0
        self.restarted = False
        self.version = _read_note(part)
        if self.version is None or not self.version.validator:
            self.restart()
            return
        while block := out.read(_BLOCK):
            self.digest.update(block)
            self.done += len(block)

    def restart(self) -> None:
        """Begin with the first byte again."""
        self.out.seek(0)
        self.out.truncate()
        self.digest, self.done, self.restarted = hashlib.sha256(), 0, True

    def begin(self, version: Version) -> None:
        """Note which version the bytes belong to, before the first of them."""
        self.version = version
        write_json(_note(self.part), asdict(version))

    def add(self, block: bytes) -> None:
        """Append bytes."""
        try:
            self.out.write(block)
            self.out.flush()
        except OSError as error:
            raise disk_full(error, self.part) or error from None
        self.digest.update(block)
        self.done += len(block)


def _read_note(part: Path) -> Version | None:
    try:
        note = json.loads(_note(part).read_bytes())
        return Version(str(note["url"]), str(note["etag"]), str(note["modified"]), int(note["length"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _transfer(url: str, state: _State, timeout: float) -> None:
    """One try: the rest of the file, or all of it where the server has another version or does not do ranges."""
    if state.version and state.version.url == url and 0 <= state.version.length == state.done:
        return
    if state.version and state.version.url != url and state.done:
        state.restart()
    reply = open_remote(url, state.version if state.done else None, state.done, timeout)
    with reply.body:
        if not reply.start:
            if state.done:
                state.restart()
            state.begin(reply.version)
        length = reply.version.length
        left = max(length - state.done, 0)
        require_space(state.part.parent, need_bytes=left, need_files=2)
        with Progress(left, Path(urlsplit(url).path).name, "bytes") if left else nullcontext() as progress:
            while block := _read(reply.body, state.done):
                state.add(block)
                if progress:
                    progress.add(len(block))
    if length not in (-1, state.done):
        raise TryAgain(f"connection closed after {state.done} of {length} bytes")


def _read(body: IO[bytes], done: int) -> bytes:
    try:
        return body.read(_BLOCK)
    except (http.client.HTTPException, OSError) as error:
        raise TryAgain(f"connection lost after {done} bytes ({words(error)})") from None
