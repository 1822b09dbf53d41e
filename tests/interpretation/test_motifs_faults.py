"""drg-motifs on damaged seqlets, unusable places and full disks: one line, the right exit code, nothing left behind."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from interpretation.planted import named, plant
from interpretation.test_motifs import write_seqlets
from support import error_line, here

from drg_hpc import files
from drg_hpc.errors import CorruptError, DiskFullError, DrgError, InputError, UsageError
from drg_hpc.files import sha256_file, walk_files, write_json
from drg_hpc.interpretation import motif_folder, motifs
from drg_hpc.interpretation.config import MotifsOptions
from drg_hpc.interpretation.modisco_export import read_modisco_motifs
from drg_hpc.interpretation.motif_input import why_nothing
from drg_hpc.interpretation.motifs import find_motifs
from drg_hpc.results import h5
from drg_hpc.results.modisco_file import Pattern, Windows, write_patterns
from drg_hpc.results.seqlets import read_seqlets, read_table


@pytest.fixture(scope="module")
def seqlets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "seqlets.h5"
    write_seqlets(path, plant(named("CTCF"), [1], rows=60, length=60, noise=0.05, seed=0))
    return path


@pytest.fixture(scope="module")
def made(seqlets: Path) -> Path:
    return find_motifs(MotifsOptions(seqlets=seqlets, out=seqlets.parent / "made"))


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where windows are compared."""

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("windows were compared")

    monkeypatch.setattr(motifs, "motifs_of", never)


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "private")


def test_full_disk(seqlets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h5, "write_new", full)
    with pytest.raises(DiskFullError, match=f"^out of space while writing {tmp_path}/m: ") as caught:
        find_motifs(MotifsOptions(seqlets=seqlets, out=tmp_path / "m"))
    assert "parts" not in str(caught.value) and list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setattr(motif_folder, "_LEAST_BYTES", 1 << 60)
    with pytest.raises(InputError, match="not enough space"):
        find_motifs(MotifsOptions(seqlets=seqlets, out=tmp_path / "m"))
    assert list(tmp_path.iterdir()) == []


def test_patterns_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    eye = np.tile(np.eye(4), 3)
    own = np.tile(eye, (2, 1, 1)).astype(np.float32)
    number = np.arange(2)
    pattern = Pattern(1, eye, eye, eye, number, number, number + 12, number > 5, Windows(own, own, own))
    write_patterns(tmp_path / "p.h5", [pattern], window=60)
    monkeypatch.setattr(h5, "write_new", full)
    with pytest.raises(DiskFullError) as caught:
        read_modisco_motifs(tmp_path / "p.h5", tmp_path / "m")
    assert "parts" not in str(caught.value) and [path.name for path in tmp_path.iterdir()] == ["p.h5"]
    monkeypatch.undo()
    monkeypatch.setattr(files.os, "statvfs", lambda _: os.statvfs_result((1, 1, 9, 9, 9, 9, 9, 9, 0, 255)))
    with pytest.raises(InputError, match="not enough space"):
        read_modisco_motifs(tmp_path / "p.h5", tmp_path / "m")
    monkeypatch.undo()
    assert read_modisco_motifs(tmp_path / "p.h5", tmp_path / "m").counts == {"motifs": 1, "seqlets": 2}


def test_files_made_in_memory_are_those_made_on_disk(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(300, 4, 30))
    for name, make in (("disk", h5.create), ("memory", h5.create_whole)):
        with make(tmp_path / name) as out:
            h5.set_attributes(out, {"a": [1, "b"]})
            h5.write_array(out, "values", values)
            h5.write_text(out, "text", ["x", "yy"])
    assert (tmp_path / "disk").read_bytes() == (tmp_path / "memory").read_bytes()
    with pytest.raises(FileExistsError), h5.create_whole(tmp_path / "memory"):
        pass


@pytest.mark.parametrize("same", [True, False])
def test_two_at_once(
    same: bool, seqlets: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    options = MotifsOptions(seqlets=seqlets, out=tmp_path / "m", min_seqlets=20 if same else 21)
    write = motifs.write_motif_files

    def other_comes_first(*arguments: Any, **named: Any) -> Any:
        rows = write(*arguments, **named)
        shutil.copytree(made, tmp_path / "m")
        return rows

    monkeypatch.setattr(motifs, "write_motif_files", other_comes_first)
    if same:
        assert find_motifs(options) == options.out
    else:
        with pytest.raises(UsageError, match="min_seqlets: 20 there, 21 now"):
            find_motifs(options)
    assert hidden(tmp_path) == []
    assert {n: sha256_file(options.out / n) for n in walk_files(options.out)} == {
        n: sha256_file(made / n) for n in walk_files(made)
    }


@pytest.mark.usefixtures("idle")
def test_a_run_whose_file_is_another(seqlets: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(seqlets, run / "out.h5")
    write_json(run / "plan.json", {})
    outputs = {"out.h5": {"bytes": (run / "out.h5").stat().st_size, "sha256": "0" * 64}}
    write_json(run / "done.json", {"command": "seqlets", "plan": "x", "outputs": outputs, "summary": {}})
    for path in (run, run / "out.h5"):
        with pytest.raises(CorruptError, match=r"done\.json lists"):
            find_motifs(MotifsOptions(seqlets=path, out=tmp_path / "m"))
    outputs["out.h5"]["sha256"] = sha256_file(run / "out.h5")
    write_json(run / "done.json", {"command": "seqlets", "plan": "x", "outputs": outputs, "summary": {}})
    with pytest.raises(AssertionError, match="were compared"):
        find_motifs(MotifsOptions(seqlets=run, out=tmp_path / "m"))


@pytest.mark.parametrize("name", ["contribution", "sequence", "attribution", "name"])
def test_flipped_bytes(name: str, seqlets: Path, tmp_path: Path) -> None:
    with h5py.File(seqlets) as handle:
        chunk = handle[f"seqlets/{name}"].id.get_chunk_info(0)
    raw = bytearray(seqlets.read_bytes())
    raw[chunk.byte_offset + chunk.size // 2] ^= 0x55
    (tmp_path / "bad.h5").write_bytes(raw)
    done = here("drg-motifs", tmp_path / "bad.h5", "-o", tmp_path / "m", exit_code=5)
    assert "bad.h5 cannot be read" in error_line(done)
    if name in ("attribution", "name"):
        with pytest.raises(CorruptError, match="cannot be read"):
            read_table(tmp_path / "bad.h5")


VALUES = [
    ("contribution", (7, 2, 3), np.nan, InputError, "seqlet 7 has a contribution that is not"),
    ("contribution", (7, 0, 3), np.inf, InputError, "seqlet 7 has a contribution that is not"),
    ("attribution", slice(3, None), np.nan, InputError, r"seqlet 3 \(the first of .*has an attribution that is not"),
    ("track", 5, 1, CorruptError, "seqlet 5 has a track that is not one of the 1 named"),
    ("track", 5, -1, CorruptError, "seqlet 5 has a track"),
    ("sign", slice(2, 4), 0, CorruptError, r"seqlet 2 \(the first of 2\) has a sign"),
    ("sequence", (4, 0, 0), 7, CorruptError, "seqlet 4 has bases"),
]


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(("name", "where", "value", "kind", "words"), VALUES)
def test_values(
    name: str, where: Any, value: Any, kind: type[DrgError], words: str, seqlets: Path, tmp_path: Path
) -> None:
    shutil.copy(seqlets, tmp_path / "bad.h5")
    with h5py.File(tmp_path / "bad.h5", "r+") as handle:
        handle[f"seqlets/{name}"][where] = value
    with pytest.raises(kind, match=rf"bad\.h5: {words}"):
        find_motifs(MotifsOptions(seqlets=tmp_path / "bad.h5", out=tmp_path / "m"))


@pytest.mark.usefixtures("idle")
def test_unusable_places_and_databases(seqlets: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "bad.meme").write_bytes(b"\xff\xfe\0")
    for out in (tmp_path / "file" / "m", tmp_path / "file" / "deep" / "m", Path("/proc/m"), tmp_path / ("m" * 250)):
        with pytest.raises(InputError, match=f"^cannot make {out}: "):
            find_motifs(MotifsOptions(seqlets=seqlets, out=out))
    for database in (tmp_path / "bad.meme", tmp_path / "none.meme", tmp_path):
        with pytest.raises(InputError):
            find_motifs(MotifsOptions(seqlets=seqlets, database=(database,), out=tmp_path / "m"))
    with pytest.raises(AssertionError, match="were compared"):
        find_motifs(MotifsOptions(seqlets=seqlets, out=tmp_path / "deep" / "er" / "m"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.meme", "file"]


def test_links(seqlets: Path, tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to("target")
    with pytest.raises(InputError, match=f"link is a link to {target}, which does not exist"):
        find_motifs(MotifsOptions(seqlets=seqlets, out=link))
    target.mkdir()
    assert find_motifs(MotifsOptions(seqlets=seqlets, out=link)) == link
    assert link.is_symlink() and (target / "motifs.json").is_file() and hidden(tmp_path) == []
    before = (target / "motifs.json").stat().st_mtime_ns
    find_motifs(MotifsOptions(seqlets=seqlets, out=link))
    assert (target / "motifs.json").stat().st_mtime_ns == before
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="a link to itself"):
        find_motifs(MotifsOptions(seqlets=seqlets, out=tmp_path / "loop"))


def test_why_there_is_nothing(seqlets: Path, tmp_path: Path) -> None:
    whole = read_seqlets(seqlets)
    options = MotifsOptions(seqlets=seqlets, out=tmp_path / "m")
    said: Callable[..., str] = lambda **given: why_nothing(whole, options.model_copy(update=given))  # noqa: E731
    assert "raise --by-chance" in said() and "lower --similarity" in said(similarity=0.7)
    assert "whole width: lower --min-overlap" in said(min_overlap=30)
    zero = why_nothing(replace(whole, contribution=np.zeros_like(whole.contribution)), options)
    assert "no base that is there contributes" in zero and "--similarity" not in zero


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    "text", ["[]", "{", "{}", '{"params": {}, "inputs": {}, "files": {"a": 1}, "digest": ""}', "\xff"]
)
def test_a_damaged_header(text: str, seqlets: Path, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "m")
    (tmp_path / "m" / "motifs.json").write_text(text, encoding="latin-1")
    with pytest.raises(CorruptError, match=r"motifs\.json"):
        find_motifs(MotifsOptions(seqlets=seqlets, out=tmp_path / "m"))
