from __future__ import annotations

from pathlib import Path

import pytest

from drg_hpc.errors import CorruptError
from drg_hpc.files import describe_files
from drg_hpc.store.manifest import Files, check_files, check_hashes, check_sizes, read_manifest, write_manifest


@pytest.fixture
def files(tmp_path: Path) -> Files:
    for number in range(6):
        (tmp_path / f"f{number}").write_bytes(bytes([number]) * 100)
    return describe_files(tmp_path)


def test_whole(tmp_path: Path, files: Files) -> None:
    write_manifest(tmp_path, files)
    assert read_manifest(tmp_path) == files
    check_sizes(tmp_path, files)
    check_hashes(tmp_path, files)
    check_files(tmp_path, files)


def test_every_kind_of_damage_is_in_one_line(tmp_path: Path, files: Files) -> None:
    (tmp_path / "f0").unlink()
    (tmp_path / "f2").write_bytes(b"short")
    (tmp_path / "f5").write_bytes(bytes(100))
    with pytest.raises(CorruptError) as error:
        check_files(tmp_path, files)
    text = str(error.value)
    assert f"store file is missing: {tmp_path / 'f0'}" in text
    assert f"{tmp_path / 'f2'} has 5 bytes, not 100" in text
    assert f"{tmp_path / 'f5'} does not match its sha256" in text
    assert "\n" not in text and "more" not in text
    with pytest.raises(CorruptError, match=r"missing: .*f0; .*f2 has 5 bytes, not 100"):
        check_sizes(tmp_path, files)
    with pytest.raises(CorruptError, match=r"f0 cannot be read .*; .*f2 does not match .*; .*f5 does not match"):
        check_hashes(tmp_path, files)
    check_hashes(tmp_path, files, ["f1", "f3", "f4"])


def test_more_than_three_are_counted(tmp_path: Path, files: Files) -> None:
    for name in ("f1", "f2", "f3", "f4", "f5"):
        (tmp_path / name).write_bytes(bytes(99))
    for check in (check_sizes, check_hashes, check_files):
        with pytest.raises(CorruptError, match=r"f1.*f2.*f3.*; and 2 more files") as error:
            check(tmp_path, files)
        assert "f4" not in str(error.value)
