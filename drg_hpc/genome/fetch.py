"""Fetch published files: resumable, and never kept unless their sha256 is the expected one.

``DEST/fetched.json`` keeps the sha256 of every file that was fetched there, for files without a published one too.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from drg_hpc.config import nearest
from drg_hpc.errors import CorruptError, DrgError, InputError, UsageError
from drg_hpc.files import fsync_dir, read_json, sha256_file, write_json
from drg_hpc.genome.download import download, forget, locked, part_of
from drg_hpc.genome.fetch_table import TABLE, Source

log = logging.getLogger(__name__)

RECORD = "fetched.json"
_BLOCK = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Fetched:
    """A file that is there now.

    Attributes
    ----------
    status : ``fetched``, or ``present`` when it had been there
    trust : what its digest was compared with: ``--sha256``, ``published``, ``first use`` or ``fetched.json``
    """

    path: Path
    sha256: str
    status: str
    trust: str


def resolve(what: str, *, sha256: str = "", name: str = "") -> tuple[Source, ...]:
    """Files of a known name, or the one that an address or path means.

    Parameters
    ----------
    sha256 : expected digest of the file
    name : what to call it

    Raises
    ------
    UsageError : no such name; a digest that is none, contradicts the published one, or is one for several files
    """
    digest = sha256.lower().removeprefix("sha256:")
    if digest and not _SHA256.fullmatch(digest):
        raise UsageError(f"--sha256 {sha256!r} is not 64 hexadecimal digits")
    if what in TABLE:
        files = TABLE[what].files
        if (digest or name) and len(files) > 1:
            raise UsageError(f"{what} is {len(files)} files", fix="leave out --sha256 and --name")
        if digest and files[0].sha256 not in ("", digest):
            raise UsageError(f"--sha256 {digest} is not the published one of {what}: {files[0].sha256}")
        named = (replace(f, file=name or f.file) for f in files)
        return tuple(replace(f, sha256=digest, unpacked="", records="") if digest else f for f in named)
    if "://" not in what and not os.path.lexists(what):
        raise UsageError(f"{what!r} is no known name, address or file", fix=nearest(what, TABLE))
    path = urlsplit(what).path if "://" in what else what
    return (Source(what, name or unquote(path.rstrip("/").rpartition("/")[2]), digest),)


def fetch(source: Source, dest: Path, *, first_use: bool, timeout: float) -> Fetched:
    """Fetch one file into ``dest``, or verify that it is there.

    Parameters
    ----------
    first_use : without a known digest, trust the bytes that arrive, and hold them against that ever after
    timeout : seconds without any byte

    Raises
    ------
    UsageError : no digest is known and ``first_use`` is false
    InputError : not there, no connection, no space; a file of that name with another digest exists
    CorruptError : the bytes are not what they should be
    """
    name = source.file
    if not name or name.startswith(".") or name != Path(name).name or name in (RECORD, f"{RECORD}.part"):
        raise UsageError(f"{source.url}: {name!r} cannot be a file name", fix="choose one with --name")
    target = dest / name
    known = _recorded(dest, name)
    if known and source.sha256 not in ("", known) and not source.unpacked:
        raise InputError(f"{dest / RECORD} has sha256 {known} of {name}, not {source.sha256}", fix="another --dest")
    if not (known or source.pinned or first_use):
        raise UsageError(
            f"no sha256 of {source.url} is known", fix="give it with --sha256, or --first-use to trust what arrives now"
        )
    if os.path.lexists(target):
        return _present(source, target, known)
    if dest.exists() and not dest.is_dir():
        raise InputError(f"--dest {dest} is no folder")
    dest.mkdir(parents=True, exist_ok=True)
    with locked(target):
        if target.exists():  # another process was faster
            forget(target)
            return _present(source, target, _recorded(dest, name))
        try:
            digest = _download(source, target, known, timeout)
        except DrgError:
            if not part_of(target).stat().st_size:
                forget(target)
            raise
        _remember(dest, source, digest, part_of(target).stat().st_size)
        os.replace(part_of(target), target)
        forget(target)
        fsync_dir(dest)
    return Fetched(target, digest, "fetched", _trust(source, known))


def _download(source: Source, target: Path, known: str, timeout: float) -> str:
    """The sha256 of the whole part, which is as expected; a part that went on from rotten bytes is fetched anew."""
    part = part_of(target)
    digest, resumed = download(source.url, target, timeout=timeout)
    fault = _fault(part, digest, source, known)
    if fault and resumed:
        log.warning("%s: %s; beginning again with its first byte", source.url, fault)
        os.truncate(part, 0)
        digest, _ = download(source.url, target, timeout=timeout)
        fault = _fault(part, digest, source, known)
    if fault:
        os.truncate(part, 0)
        raise CorruptError(f"{source.url}: {fault}", fix="nothing was kept; the published file may have changed")
    return digest


def _present(source: Source, target: Path, known: str) -> Fetched:
    """A file that was there before: nothing to do if it is the right one."""
    if not target.is_file():
        raise InputError(f"{target} exists and is no file", fix="choose another --dest or --name")
    if not (known or source.pinned):
        raise InputError(
            f"{target} exists, and no sha256 says what it should be", fix="give --sha256, or move it away to fetch it"
        )
    digest = sha256_file(target)
    if fault := _fault(target, digest, source, known):
        raise InputError(f"{target} exists with other content: {fault}", fix="move it away, or another --dest")
    if not known:
        _remember(target.parent, source, digest, target.stat().st_size)
    return Fetched(target, digest, "present", _trust(source, known))


def _trust(source: Source, known: str) -> str:
    if source.records:
        return "published"
    if source.sha256:
        return "--sha256"
    return RECORD if known else "first use"


def _fault(path: Path, digest: str, source: Source, known: str) -> str:
    """What is wrong with a file, in words. What a gzip file holds may be packed anew: its own sha256 is enough."""
    expected = known or source.sha256
    if digest == expected or not (expected or source.unpacked):
        return ""
    if known or not source.unpacked:
        return f"sha256 is {digest}, not {expected}"
    found = _unpacked_sha256(path)
    return "" if found == source.unpacked else f"sha256 of what it holds is {found}, not {source.unpacked}"


def _unpacked_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with gzip.open(path, "rb") as handle:
            while block := handle.read(_BLOCK):
                digest.update(block)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return f"none ({error})"
    return digest.hexdigest()


def _recorded(dest: Path, name: str) -> str:
    """The sha256 that ``fetched.json`` has of a file; empty without."""
    if not (dest / RECORD).is_file():
        return ""
    record = read_json(dest / RECORD)
    try:
        found = record["files"].get(name, {}).get("sha256", "")
    except (TypeError, KeyError, AttributeError):
        raise InputError(f"{dest / RECORD} was not written by drg-fetch", fix="move it away") from None
    return str(found)


def _remember(dest: Path, source: Source, digest: str, size: int) -> None:
    record: dict[str, Any] = read_json(dest / RECORD) if (dest / RECORD).is_file() else {"files": {}}
    parts = urlsplit(source.url)
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")) if "://" in source.url else source.url
    record["files"][source.file] = {"bytes": size, "sha256": digest, "trust": _trust(source, ""), "url": url}
    write_json(dest / RECORD, record)
