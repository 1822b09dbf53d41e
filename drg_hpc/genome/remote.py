"""Asking for a file, or the rest of one, by http, https or file."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from drg_hpc.digests import package_version
from drg_hpc.errors import InputError, UsageError

OFFLINE = "compute nodes often have no internet: run it on a login node, or set https_proxy"
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True)
class Version:
    """What tells one version of a remote file from another; ``length`` is -1 when the server does not say it."""

    url: str
    etag: str = ""
    modified: str = ""
    length: int = -1

    @property
    def validator(self) -> str:
        """For If-Range: a strong entity tag, else the date; empty when a part cannot be trusted to fit."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class TryAgain(Exception):
    """A fault that may pass; ``after`` seconds when the server names a time."""

    def __init__(self, what: str, after: float = 0.0) -> None:
        super().__init__(what)
        self.after = after


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects within a scheme, and from http to https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new != old and (old, new) != ("http", "https"):
            raise InputError(
                f"{req.full_url} redirects from {old} to {new}: {newurl}", fix="refused; fetch that address"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass
class Reply:
    """An answer: the body from byte ``start`` on, of which version."""

    body: IO[bytes]
    start: int
    version: Version


def open_remote(url: str, known: Version | None, start: int, timeout: float) -> Reply:
    """Ask for the bytes from ``start`` on if the file is still the ``known`` version, else for all.

    Proxies are those of the environment (``https_proxy`` and so on).

    Raises
    ------
    TryAgain : a fault that may pass
    InputError : not there, not allowed, a redirect to another scheme
    UsageError : no address, or one of another scheme
    """
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme in ("", "file"):
        return _open_local(url, known, start)
    if scheme not in ("http", "https"):
        raise UsageError(f"cannot fetch {url}: {scheme} is not supported", fix="http, https and file are")
    headers = {"User-Agent": f"drg-fetch/{package_version()}", "Accept-Encoding": "identity"}
    if known and start:
        headers |= {"Range": f"bytes={start}-", "If-Range": known.validator}
    opener = urllib.request.build_opener(_Redirects())
    try:
        answer = opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and start:
                return open_remote(url, None, 0, timeout)  # the part is longer than the file
            if error.code in _PASSING:
                raise TryAgain(f"{error.code} {error.reason}", _retry_after(error.headers)) from None
            raise InputError(f"cannot fetch {url}: {error.code} {error.reason}", fix="check the address") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise InputError(f"cannot fetch {url}: {words(error.reason)}", fix="check the certificates") from None
        if isinstance(error.reason, socket.gaierror) and error.reason.errno == socket.EAI_NONAME:
            raise InputError(f"cannot fetch {url}: {words(error.reason)}", fix=OFFLINE) from None
        raise TryAgain(words(error.reason)) from None
    except (http.client.InvalidURL, ValueError) as error:
        raise UsageError(f"cannot fetch {url}: {words(error)}") from None
    except (http.client.HTTPException, OSError) as error:
        raise TryAgain(words(error)) from None
    return _reply(url, answer, known, start, timeout)


def _reply(url: str, answer: http.client.HTTPResponse, known: Version | None, start: int, timeout: float) -> Reply:
    headers = answer.headers
    length = headers.get("Content-Length", "")
    version = Version(url, headers.get("ETag", ""), headers.get("Last-Modified", ""))
    if answer.status == 200:
        return Reply(answer, 0, replace(version, length=int(length) if length.isdigit() else -1))
    found = _RANGE.fullmatch(headers.get("Content-Range", "")) if answer.status == 206 else None
    if known is None:
        answer.close()
        raise InputError(f"cannot fetch {url}: unexpected answer {answer.status} {answer.reason}")
    same = not version.etag or version.etag == known.etag
    if not found or int(found[1]) != start or not same or found[2] not in ("*", str(known.length)):
        answer.close()
        return open_remote(url, None, 0, timeout)  # not the bytes that were asked for
    return Reply(answer, start, known)


def _open_local(url: str, known: Version | None, start: int) -> Reply:
    parts = urlsplit(url)
    if "://" in url and parts.netloc not in ("", "localhost"):
        raise UsageError(f"cannot fetch {url}: a file address has no host", fix="file:///path, or the path")
    path = Path(urllib.request.url2pathname(parts.path)) if "://" in url else Path(url)
    try:
        body = open(path, "rb")  # noqa: SIM115 - closed with the reply
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", fix="check the path") from None
    stat = os.fstat(body.fileno())
    version = Version(url, f"{stat.st_size}-{stat.st_mtime_ns}", "", stat.st_size)
    start = start if known == version else 0
    body.seek(start)
    return Reply(body, start, version)


def _retry_after(headers: Message | Mapping[str, str]) -> float:
    text = str(headers.get("Retry-After", ""))
    return float(text) if text.isdigit() else 0.0


def words(error: object) -> str:
    """An error's text on one line."""
    return " ".join(str(error).split()) or type(error).__name__
