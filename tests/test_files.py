"""Atomic files, published folders, safe paths, free space."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drg_hpc import files
from drg_hpc.errors import InputError


def test_published_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(RuntimeError), files.publish_dir(target) as staging:
        (staging / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with files.publish_dir(target) as staging:
        (staging / "a").write_text("1")
        assert not target.exists()
    with files.publish_dir(target) as staging:
        (staging / "b").write_text("2")
    assert [p.name for p in target.iterdir()] == ["b"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.json"
    files.write_json(path, {"a": 1})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        files.write_json(path, {"a": 2})
    assert "out of space" in str(files.disk_full(caught.value, path))
    assert files.read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"]


@pytest.mark.parametrize("bad", ["../x", "/etc/passwd", "a/../../x", "link/x"])
def test_safe_join_refuses_to_leave(tmp_path: Path, bad: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to("/etc")
    with pytest.raises(InputError, match="leaves its folder"):
        files.safe_join(root, bad)
    assert files.safe_join(root, "a", "b") == root / "a" / "b"


@given(st.binary(max_size=3000))
def test_sha256_is_that_of_the_bytes(data: bytes) -> None:
    import hashlib
    import tempfile

    with tempfile.NamedTemporaryFile() as handle:
        handle.write(data)
        handle.flush()
        assert files.sha256_file(Path(handle.name)) == hashlib.sha256(data).hexdigest()


def test_space_is_asked_for_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not enough space"):
        files.require_space(tmp_path / "a" / "b", need_bytes=1 << 60, need_files=1)
    with pytest.raises(InputError, match="not enough inodes"):
        files.require_space(tmp_path, need_bytes=1, need_files=1 << 60)
    files.require_space(tmp_path, need_bytes=1, need_files=1)


def test_links_fall_back_to_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a"
    source.write_text("data")
    files.link_or_copy(source, tmp_path / "b" / "linked")
    assert (tmp_path / "b" / "linked").stat().st_ino == source.stat().st_ino

    def across(*_: object) -> None:
        raise OSError(errno.EXDEV, "cross-device")

    monkeypatch.setattr(files.os, "link", across)
    files.link_or_copy(source, tmp_path / "c")
    assert (tmp_path / "c").read_text() == "data"
    assert (tmp_path / "c").stat().st_ino != source.stat().st_ino


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")])
def test_human_bytes(count: int, text: str) -> None:
    assert files.human_bytes(count) == text
