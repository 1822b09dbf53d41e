"""drg-fetch's transfers against a server that misbehaves as told; no test leaves this machine."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from drg_hpc.errors import CorruptError, DiskFullError, InputError, UsageError
from drg_hpc.genome import download as transfers
from drg_hpc.genome.fetch import RECORD, Fetched, fetch, resolve
from drg_hpc.genome.fetch_table import TABLE, Source

CONTENT = b"".join(hashlib.sha256(bytes([i])).digest() for i in range(256)) * 20


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Site:
    """What the server does.

    Attributes
    ----------
    ranges : answers Range requests
    etag : its entity tag
    cuts : after how many bytes of the body the connection ends, one per request
    statuses : what it answers instead, one per request
    length : what it says the length is
    asked : (Range, If-Range) of every request
    """

    content: bytes = CONTENT
    ranges: bool = True
    if_range: bool = True
    etag: str = '"v1"'
    modified: str = ""
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    location: str = ""
    length: int | None = None
    send_length: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        site = self.site
        wanted, condition = self.headers.get("Range", ""), self.headers.get("If-Range", "")
        site.asked.append((wanted, condition))
        if site.statuses:
            self.send_response(site.statuses.pop(0))
            if site.location:
                self.send_header("Location", site.location)
                site.location = ""
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0  # type: ignore[index]
        current = not site.if_range or condition in (site.etag, site.modified)
        partial = bool(wanted) and site.ranges and current
        if partial and start >= len(site.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(site.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = site.content[start:] if partial else site.content
        self.send_response(206 if partial else 200)
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        if site.send_length:
            self.send_header("Content-Length", str(site.length if site.length is not None else len(body)))
        for name, value in (("ETag", site.etag), ("Last-Modified", site.modified)):
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: site.cuts.pop(0)] if site.cuts else body)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transfers, "_PAUSES", (0.0, 0.0))
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Told", (Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_port}/data/genome.fa.gz"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


def get(url: str, dest: Path, *, sha256: str = "", first_use: bool = False, name: str = "") -> Fetched:
    (source,) = resolve(url, sha256=sha256, name=name)
    return fetch(source, dest, first_use=first_use, timeout=5)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def half_done(site: Site, dest: Path, count: int) -> None:
    """Leave a part of ``count`` bytes behind, as a killed process would."""
    site.cuts, site.statuses = [count], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfers, "_PAUSES", ())
        with pytest.raises(InputError, match=f"connection closed after {count} of {len(site.content)} bytes"):
            get(site.url, dest, sha256=sha(CONTENT))
    assert names(dest) == ["genome.fa.gz.part", "genome.fa.gz.part.json"]
    assert (dest / "genome.fa.gz.part").stat().st_size == count
    site.asked.clear()


def test_fetch_and_fetch_again(site: Site, tmp_path: Path) -> None:
    done = get(site.url, tmp_path / "new" / "d", sha256=sha(CONTENT).upper())
    assert done == Fetched(tmp_path / "new/d/genome.fa.gz", sha(CONTENT), "fetched", "--sha256")
    assert done.path.read_bytes() == CONTENT and names(done.path.parent) == [RECORD, "genome.fa.gz"]
    record = json.loads((done.path.parent / RECORD).read_text())["files"]["genome.fa.gz"]
    assert record == {"bytes": len(CONTENT), "sha256": sha(CONTENT), "trust": "--sha256", "url": site.url}
    assert get(site.url, done.path.parent, sha256=f"sha256:{sha(CONTENT)}").status == "present"
    assert get(site.url, done.path.parent).trust == RECORD  # what was noted needs no flag
    assert site.asked == [("", "")]


def test_resumed_where_it_stopped(site: Site, tmp_path: Path) -> None:
    half_done(site, tmp_path, 70_000)
    assert get(site.url, tmp_path, sha256=sha(CONTENT)).path.read_bytes() == CONTENT
    assert site.asked == [("bytes=70000-", '"v1"')]
    assert names(tmp_path) == [RECORD, "genome.fa.gz"]


def test_connections_that_break_are_resumed_at_once(site: Site, tmp_path: Path) -> None:
    site.cuts = [10, 20_000, 1, 30_000, 5, 40_000, 10]  # more than there are pauses: what moves on is tried on
    assert get(site.url, tmp_path, sha256=sha(CONTENT)).status == "fetched"
    assert [wanted for wanted, _ in site.asked[:4]] == ["", "bytes=10-", "bytes=20010-", "bytes=20011-"]


def test_without_ranges_it_begins_again(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    half_done(site, tmp_path, 70_000)
    site.cuts = [80_000]
    assert get(site.url, tmp_path, sha256=sha(CONTENT)).path.read_bytes() == CONTENT
    assert [wanted for wanted, _ in site.asked] == ["bytes=70000-", "bytes=80000-"]


def test_without_a_validator_it_begins_again(site: Site, tmp_path: Path) -> None:
    for site.etag in ("", 'W/"v1"'):
        half_done(site, tmp_path, 70_000)
        assert get(site.url, tmp_path, sha256=sha(CONTENT)).path.read_bytes() == CONTENT
        assert site.asked == [("", "")]
        (tmp_path / "genome.fa.gz").unlink()
        (tmp_path / RECORD).unlink()
    site.modified = "Sat, 21 Nov 2026 10:00:00 GMT"
    half_done(site, tmp_path, 70_000)
    get(site.url, tmp_path, sha256=sha(CONTENT))
    assert site.asked == [("bytes=70000-", site.modified)]


@pytest.mark.parametrize("if_range", [True, False])
def test_another_version_is_not_mixed_in(site: Site, tmp_path: Path, if_range: bool) -> None:
    half_done(site, tmp_path, 70_000)
    site.content, site.etag, site.if_range = (
        CONTENT[::-1],
        '"v2"',
        if_range,
    )  # one server honours If-Range, one does not
    assert get(site.url, tmp_path, sha256=sha(CONTENT[::-1])).path.read_bytes() == CONTENT[::-1]


def test_another_length_is_not_mixed_in(site: Site, tmp_path: Path) -> None:
    half_done(site, tmp_path, 70_000)
    site.content = CONTENT[:60_000]  # shorter than the part: 416
    assert get(site.url, tmp_path, sha256=sha(site.content)).path.read_bytes() == site.content
    (tmp_path / "genome.fa.gz").unlink()
    (tmp_path / RECORD).unlink()
    site.content = CONTENT
    half_done(site, tmp_path, 70_000)
    site.content = CONTENT + b"x"
    assert get(site.url, tmp_path, sha256=sha(site.content)).path.read_bytes() == site.content


def test_a_part_that_rotted_is_fetched_anew(site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    half_done(site, tmp_path, 70_000)
    (tmp_path / "genome.fa.gz.part").write_bytes(b"?" * 70_000)
    assert get(site.url, tmp_path, sha256=sha(CONTENT)).path.read_bytes() == CONTENT
    assert [wanted for wanted, _ in site.asked] == ["bytes=70000-", ""]


@pytest.mark.parametrize(
    "note", ["", "{", "[]", '{"url": 1}', '{"url": "", "etag": "x", "modified": "", "length": "y"}']
)
def test_a_part_without_a_note_is_fetched_anew(site: Site, tmp_path: Path, note: str) -> None:
    half_done(site, tmp_path, 70_000)
    (tmp_path / "genome.fa.gz.part.json").write_text(note)
    assert get(site.url, tmp_path, sha256=sha(CONTENT)).path.read_bytes() == CONTENT
    assert site.asked == [("", "")]


def test_a_part_of_another_address(site: Site, tmp_path: Path) -> None:
    half_done(site, tmp_path, 70_000)
    other = site.url.replace("/data/", "/mirror/")
    assert get(other, tmp_path, sha256=sha(CONTENT)).path.read_bytes() == CONTENT
    assert site.asked == [("", "")]


def test_wrong_bytes_are_not_kept(site: Site, tmp_path: Path) -> None:
    site.content = CONTENT[:-1] + b"!"
    with pytest.raises(CorruptError, match=f"sha256 is {sha(site.content)}, not {sha(CONTENT)}; nothing was kept"):
        get(site.url, tmp_path, sha256=sha(CONTENT))
    assert names(tmp_path) == []


def test_wrong_lengths(site: Site, tmp_path: Path) -> None:
    site.length = len(CONTENT) + 9
    with pytest.raises(InputError, match=r"cannot fetch .*: connection closed after \d+ of \d+ bytes; compute nodes"):
        get(site.url, tmp_path, sha256=sha(CONTENT))
    site.length = len(CONTENT) - 9
    with pytest.raises(CorruptError, match="sha256 is"):
        get(site.url, tmp_path, sha256=sha(CONTENT))
    site.length, site.send_length = None, False
    assert get(site.url, tmp_path, sha256=sha(CONTENT)).status == "fetched"


def test_faults_that_pass_and_those_that_do_not(site: Site, tmp_path: Path) -> None:
    site.statuses = [503, 429]
    assert get(site.url, tmp_path, sha256=sha(CONTENT)).status == "fetched" and len(site.asked) == 3
    site.statuses, site.asked[:] = [503] * 9, []
    with pytest.raises(InputError, match=r"cannot fetch .*: 503 Service Unavailable"):
        get(site.url, tmp_path / "b", sha256=sha(CONTENT))
    assert len(site.asked) == 3
    for status in (403, 404, 204):
        site.statuses, site.asked[:] = [status], []
        with pytest.raises(InputError, match=str(status)):
            get(site.url, tmp_path / "c", sha256=sha(CONTENT))
        assert len(site.asked) == 1 and names(tmp_path / "c") == []
    with pytest.raises(InputError, match="refused"):
        get("http://127.0.0.1:1/x", tmp_path / "d", sha256=sha(CONTENT))


def test_without_internet_it_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(transfers.time, "sleep", unknown)
    with pytest.raises(InputError, match=r"Name or service not known; compute nodes often have no internet"):
        get("http://nowhere.invalid/x", tmp_path / "d", sha256=sha(CONTENT))
    assert names(tmp_path / "d") == []


def test_redirects(site: Site, tmp_path: Path) -> None:
    site.statuses, site.location = [302], "/elsewhere"
    assert get(site.url, tmp_path, sha256=sha(CONTENT)).path.name == "genome.fa.gz"
    secret = tmp_path / "secret"
    secret.write_text("s")
    for location in (secret.as_uri(), "ftp://127.0.0.1/x", "data:,x"):
        site.statuses, site.location = [302], location
        with pytest.raises(InputError, match=r"302|redirects from http to ftp"):
            get(site.url, tmp_path / "b", sha256=sha(b"s"))
    site.statuses = [302] * 50
    site.location = site.url
    with pytest.raises(InputError, match="cannot fetch"):
        get(site.url, tmp_path / "b", sha256=sha(CONTENT))


def test_proxies_of_the_environment(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", site.url.rpartition("/data")[0])
    monkeypatch.setenv("no_proxy", "")
    assert get("http://nowhere.invalid/f.gz", tmp_path, sha256=sha(CONTENT)).path.read_bytes() == CONTENT


def test_trust_on_first_use(site: Site, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no sha256 of http.* is known; give it with --sha256, or --first-use"):
        get(site.url, tmp_path)
    assert names(tmp_path) == [] and not site.asked
    assert get(site.url, tmp_path, first_use=True) == Fetched(
        tmp_path / "genome.fa.gz", sha(CONTENT), "fetched", "first use"
    )
    (tmp_path / "genome.fa.gz").unlink()
    site.content = CONTENT + b"changed"
    with pytest.raises(CorruptError, match="sha256 is"):
        get(site.url, tmp_path, first_use=True)
    site.content = CONTENT
    assert get(site.url, tmp_path).trust == RECORD
    with pytest.raises(InputError, match=f"fetched.json has sha256 {sha(CONTENT)} of genome.fa.gz, not {'0' * 64}"):
        get(site.url, tmp_path, sha256="0" * 64)


def test_nothing_is_overwritten(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "genome.fa.gz"
    target.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists with other content: sha256 is"):
        get(site.url, tmp_path, sha256=sha(CONTENT))
    with pytest.raises(InputError, match="exists, and no sha256 says what it should be"):
        get(site.url, tmp_path, first_use=True)
    assert target.read_bytes() == b"mine" and not site.asked
    target.unlink()
    target.mkdir()
    with pytest.raises(InputError, match="exists and is no file"):
        get(site.url, tmp_path, sha256=sha(CONTENT))
    with pytest.raises(InputError, match="is no folder"):
        (tmp_path / "file").write_text("")
        get(site.url, tmp_path / "file", sha256=sha(CONTENT))


def test_pinned_by_what_a_gzip_file_holds(site: Site, tmp_path: Path) -> None:
    site.content = gzip.compress(CONTENT, 1, mtime=1)
    source = Source(site.url, "g.fa.gz", unpacked=sha(CONTENT), records="a record")
    assert fetch(source, tmp_path, first_use=False, timeout=5).trust == "published"
    assert fetch(source, tmp_path, first_use=False, timeout=5).status == "present"
    repacked = Source(site.url, "g.fa.gz", sha256="0" * 64, unpacked=sha(CONTENT), records="a record")
    assert fetch(repacked, tmp_path / "b", first_use=False, timeout=5).status == "fetched"
    for wrong in (gzip.compress(CONTENT[:-1]), site.content[:-5], b"plain"):
        site.content = wrong
        with pytest.raises(CorruptError, match="sha256 of what it holds is"):
            fetch(source, tmp_path / "c", first_use=True, timeout=5)
        assert names(tmp_path / "c") == []


def test_files_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a b#?.gz"
    source.write_bytes(CONTENT)
    for i, what in enumerate((source.as_uri(), str(source), f"file://localhost{source.as_uri()[7:]}")):
        done = get(what, tmp_path / str(i), sha256=sha(CONTENT))
        assert done.path == tmp_path / str(i) / "a b#?.gz" and done.path.read_bytes() == CONTENT
    part = tmp_path / "r" / "a b#?.gz.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[:1000])
    stat = source.stat()
    note = {"url": str(source), "etag": f"{stat.st_size}-{stat.st_mtime_ns}", "modified": "", "length": stat.st_size}
    part.with_name(f"{part.name}.json").write_text(json.dumps(note))
    asked: list[int] = []
    real = transfers.open_remote

    def spy(url: str, known: Any, start: int, timeout: float) -> Any:
        asked.append(start)
        return real(url, known, start, timeout)

    monkeypatch.setattr(transfers, "open_remote", spy)
    assert get(str(source), part.parent, sha256=sha(CONTENT)).path.read_bytes() == CONTENT
    assert asked == [1000]
    with pytest.raises(UsageError, match="a file address has no host"):
        get("file://host/x", tmp_path, sha256=sha(CONTENT))
    with pytest.raises(InputError, match=r"cannot read .*: No such file"):
        get("file:///nowhere/x", tmp_path, sha256=sha(CONTENT))


def test_disk_full(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(out: Any, block: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    real = transfers._State.add

    def add(state: transfers._State, block: bytes) -> None:
        class Full:
            write = full
            flush = seek = truncate = None

        state.out = Full()  # type: ignore[assignment]
        real(state, block)

    monkeypatch.setattr(transfers._State, "add", add)
    with pytest.raises(DiskFullError, match=r"out of space while writing .*genome.fa.gz.part"):
        get(site.url, tmp_path, sha256=sha(CONTENT))


def test_too_little_space_is_said_before(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.length = 1 << 60
    with pytest.raises(InputError, match="not enough space for"):
        get(site.url, tmp_path, sha256=sha(CONTENT))


def test_one_process_at_a_time(site: Site, tmp_path: Path) -> None:
    with transfers.locked(tmp_path / "genome.fa.gz"), pytest.raises(InputError, match="another process is fetching"):
        get(site.url, tmp_path, sha256=sha(CONTENT))


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("hg83", {}, "'hg83' is no known name, address or file; did you mean 'hg38'"),
        ("hg38", {"sha256": "12"}, "is not 64 hexadecimal digits"),
        ("hg38", {"sha256": "1" * 64}, "is not the published one of hg38"),
        ("calderon-shallow", {"sha256": "1" * 64}, "calderon-shallow is 2 files"),
        ("ftp://x.org/f", {"sha256": "1" * 64}, "ftp is not supported; http, https and file are"),
        ("http://x.org/", {"sha256": "1" * 64}, "'' cannot be a file name; choose one with --name"),
        ("http://x.org/a%2Fb", {"sha256": "1" * 64}, "'a/b' cannot be a file name"),
        ("http://x.org/..", {"sha256": "1" * 64}, "'..' cannot be a file name"),
        ("http://x y/z", {"sha256": "1" * 64}, "cannot fetch http://x y/z"),
    ],
)
def test_usage(tmp_path: Path, what: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        get(what, tmp_path, **options)


def test_table() -> None:
    assert {"hg38", "hg19", "mm10", "mm39", "sacCer3", "calderon-shallow"} <= set(TABLE)
    files = [file for entry in TABLE.values() for file in entry.files]
    assert len({file.file for file in files}) == len({file.url for file in files}) == len(files)
    for file in files:
        assert file.url.startswith("https://")
        assert file.pinned == bool(file.records)
        for digest in filter(None, (file.sha256, file.unpacked)):
            assert re.fullmatch("[0-9a-f]{64}", digest)
        assert not file.unpacked or file.file.endswith(".gz")
