"""drg-doctor on folders: what the protocol of runs needs of a file system, its speed, space and clock."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drg_hpc.files import fsync_dir, fsync_file, human_bytes
from drg_hpc.runs.doctor import Finding, Place, probe
from drg_hpc.runs.heartbeat import clock

SPEED_BYTES = 64 << 20
_SMALL_FILES = 20
_LITTLE_SPACE = 20 << 30
_FEW_INODES = 100_000
_SLOW_FSYNC_S = 0.1
_SLOW_SCRATCH = 100e6


def check_folder(topic: str, folder: Path, *, scratch: bool, place: Place) -> Iterator[Finding]:
    """Everything about one folder; a folder below it is made and removed again.

    Parameters
    ----------
    scratch : it holds caches of one node (speed counts) rather than runs (semantics count too)
    place : where HDF5 is asked
    """
    if not folder.is_dir():
        yield Finding(topic, "fail", f"no such folder: {folder}", "make it, or name another one")
        return
    try:
        with _corner(folder) as corner:
            yield _kind(topic, folder)
            yield from _space(topic, folder)
            yield _speed(topic, corner, scratch=scratch)
            yield from _locks(topic, corner, scratch=scratch)
            if not scratch:
                yield from _semantics(topic, folder, corner)
                yield _clock(topic, corner)
                yield _hdf5(topic, corner, place)
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        yield Finding(topic, "fail", f"cannot write in {folder}: {why}", "choose a folder you may write to")


@contextmanager
def _corner(folder: Path) -> Iterator[Path]:
    corner = folder / f".drg-doctor.{uuid.uuid4().hex[:12]}"
    corner.mkdir()
    try:
        yield corner
    finally:
        shutil.rmtree(corner, ignore_errors=True)


def file_system(folder: Path) -> tuple[str, str]:
    """(type, mount point) of the file system that ``folder`` lies on, as the kernel lists it."""
    found = ("unknown", "/")
    path = folder.resolve()
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split(" ")
        point = Path(where.encode().decode("unicode_escape"))
        if (point == path or point in path.parents) and len(str(point)) >= len(found[1]):
            found = (kind, str(point))
    return found


def _kind(topic: str, folder: Path) -> Finding:
    kind, point = file_system(folder)
    facts = {"folder": str(folder), "type": kind, "mount": point}
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        advice = "a run made here is private, but anybody may rename it; work in a folder of your own"
        return Finding(topic, "warn", f"{folder} ({kind}) is writable by everybody", advice, facts)
    return Finding(topic, "ok", f"{folder} is on {kind}, mounted at {point}", facts=facts)


def _space(topic: str, folder: Path) -> Iterator[Finding]:
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    inodes = status.f_favail if status.f_files else None
    facts = {"free_bytes": free, "free_inodes": inodes}
    if free < _LITTLE_SPACE:
        advice = "free some space, or use another folder; --dry-run says what a run needs"
        yield Finding(topic, "warn", f"only {human_bytes(free)} free", advice, facts)
    elif inodes is not None and inodes < _FEW_INODES:
        yield Finding(topic, "warn", f"only {inodes} inodes free", "use few, large shards; remove old files", facts)
    else:
        counted = "inodes not counted" if inodes is None else f"{inodes} inodes free"
        yield Finding(topic, "ok", f"{human_bytes(free)} and {counted} (a quota may be lower)", facts=facts)


def _speed(topic: str, corner: Path, *, scratch: bool) -> Finding:
    """Write + fsync, then read after the pages were dropped where the kernel does that on request."""
    path, block = corner / "speed", os.urandom(4 << 20)
    started = time.perf_counter()
    with open(path, "xb") as handle:
        for _ in range(SPEED_BYTES // len(block)):
            handle.write(block)
        handle.flush()
        os.fsync(handle.fileno())
        written = SPEED_BYTES / (time.perf_counter() - started)
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    started = time.perf_counter()
    with open(path, "rb", buffering=0) as handle:
        while handle.read(len(block)):
            pass
    read = SPEED_BYTES / (time.perf_counter() - started)
    started = time.perf_counter()
    for number in range(_SMALL_FILES):
        (corner / f"small.{number}").write_bytes(b"x")
        fsync_file(corner / f"small.{number}")
        fsync_dir(corner)
    small = (time.perf_counter() - started) / _SMALL_FILES
    facts = {"write_bytes_s": written, "read_bytes_s": read, "small_file_s": small}
    text = f"write {written / 1e6:.0f} MB/s, read {read / 1e6:.0f} MB/s, {small * 1e3:.1f} ms to make a file last"
    if scratch and min(written, read) < _SLOW_SCRATCH:
        return Finding(topic, "warn", text, "use a node-local disk or /dev/shm as scratch, if the node has one", facts)
    if small > _SLOW_FSYNC_S:
        return Finding(topic, "warn", text, "use larger shards (--shard-size): each one syncs about ten files", facts)
    return Finding(topic, "ok", text, facts=facts)


def _locks(topic: str, corner: Path, *, scratch: bool) -> Iterator[Finding]:
    """flock on two descriptors of one file: a training's lease and the node's cache rely on it."""
    path = corner / "lock"
    with open(path, "w") as first, open(path, "w") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            advice = "train in another folder; on Lustre, mount with -o flock"
            yield Finding(topic, "warn", f"flock is not possible here: {error.strerror}", advice)
            return
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not scratch:
                yield Finding(topic, "ok", "flock works on one node")
            return
    advice = "do not start one training twice at once; on Lustre, mount with -o flock"
    yield Finding(topic, "warn", "flock does not exclude a second holder", advice)


def _semantics(topic: str, folder: Path, corner: Path) -> Iterator[Finding]:
    """Rename of a folder onto a non-empty one must fail: it decides which of two attempts wins."""
    for name in ("mine", "theirs"):
        (corner / name).mkdir()
        (corner / name / "data").write_text(name)
    try:
        os.rename(corner / "mine", corner / "theirs")
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            yield Finding(topic, "ok", "rename onto a full folder is refused, so the first attempt at a shard wins")
        else:
            text = f"rename onto a full folder fails with {errno.errorcode.get(error.errno or 0, error.errno)}"
            yield Finding(topic, "warn", text, "please report this file system; ENOTEMPTY is expected")
    else:
        text = f"rename onto a full folder succeeds on {file_system(folder)[0]}"
        yield Finding(topic, "fail", text, "keep runs on another file system: finished shards could be replaced")
    try:
        os.link(corner / "theirs" / "data", corner / "linked")
    except OSError as error:
        text = f"no hard links ({error.strerror.lower() if error.strerror else error})"
        yield Finding(topic, "note", text, "merged stores are copied: they need their space twice until drg-clean")
    else:
        yield Finding(topic, "ok", "hard links work")


def _clock(topic: str, corner: Path) -> Finding:
    """This node's clock against the file server's."""
    before = time.time()
    skew = clock(corner) - (before + time.time()) / 2
    facts = {"skew_s": skew}
    if abs(skew) < 1.0:
        return Finding(topic, "ok", f"clock agrees with the file server's to {abs(skew):.2f} s", facts=facts)
    text = f"clock is {abs(skew):.1f} s {'behind' if skew > 0 else 'ahead of'} the file server's"
    advice = "nothing in a run depends on it; drg-stats over nodes wants clocks that agree (NTP)"
    return Finding(topic, "note", text, advice, facts)


def _hdf5(topic: str, corner: Path, place: Place) -> Finding:
    """HDF5 as other programs open it, with locks; drg_hpc itself opens without."""
    values, why = probe("hdf5", str(corner), place=place)
    if values is None and "ModuleNotFoundError" in why:
        return Finding(topic, "note", "HDF5 was not tried: h5py is not installed here")
    if values is None or not values["right"]:
        advice = "set HDF5_USE_FILE_LOCKING=FALSE for other programs; drg_hpc does not lock HDF5 files"
        return Finding(topic, "warn", f"HDF5 with its default locks fails: {why or 'wrong values read'}", advice)
    return Finding(topic, "ok", f"HDF5 {values['hdf5']} writes, locks and reads", facts=values)
