"""What readers say about a folder of the wrong kind, a run that is not merged, and one that lost its output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drg_hpc.errors import CorruptError, IncompleteError, InputError
from drg_hpc.files import sha256_file
from drg_hpc.runs import outputs
from drg_hpc.runs.outputs import check_files, check_recorded, resolve_output


def folder(path: Path, *, plan: bool, done: dict[str, Any] | None) -> Path:
    path.mkdir()
    if plan:
        (path / "plan.json").write_text("{}")
    if done is not None:
        (path / "done.json").write_text(json.dumps(done))
    return path


def record(command: str, *outputs: str) -> dict[str, Any]:
    return {"command": command, "plan": "x", "outputs": {name: {} for name in outputs}, "summary": {}}


def test_a_run_and_its_output_are_found(tmp_path: Path) -> None:
    run = folder(tmp_path / "r", plan=True, done=record("attr", "out.h5"))
    with pytest.raises(CorruptError, match=r"lists out\.h5, but it is missing"):
        resolve_output(run, "out.h5")
    (run / "out.h5").touch()
    assert resolve_output(run, "out.h5") == resolve_output(run / "out.h5", "out.h5") == run / "out.h5"


def test_not_merged(tmp_path: Path) -> None:
    with pytest.raises(IncompleteError, match="not merged"):
        resolve_output(folder(tmp_path / "r", plan=True, done=None), "out.h5")


@pytest.mark.parametrize(
    ("plan", "done", "name", "expected"),
    [
        (False, record("train", "model.json"), "out.zarr", r"made by drg-train and holds model files; a store"),
        (True, record("predict", "out.h5"), "out.zarr", r"made by drg-predict and holds out.h5; a store"),
        (True, record("shard-genome", "out.zarr"), "out.h5", r"drg-shard genome and holds out.zarr; a run with"),
        (False, {"command": "evaluate"}, "out.h5", r"made by drg-evaluate and holds no run's output"),
        (False, {}, "out.zarr", r"made by another program"),
    ],
)
def test_wrong_kind_is_no_damage(tmp_path: Path, plan: bool, done: dict[str, Any], name: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        resolve_output(folder(tmp_path / "r", plan=plan, done=done), name)


def test_a_file_is_compared_with_done_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lone.h5").write_bytes(b"anything")
    check_recorded(tmp_path / "lone.h5")
    done = record("attr", "out.h5")
    run = folder(tmp_path / "r", plan=True, done=done)
    file = run / "out.h5"
    file.write_bytes(b"result")
    done["outputs"]["out.h5"] = {"bytes": 6, "sha256": sha256_file(file)}
    (run / "done.json").write_text(json.dumps(done))
    check_recorded(file)
    check_files(run, done["outputs"])
    with pytest.raises(CorruptError, match=rf"out\.h5 is not the file that {run}/done\.json lists: another sha256"):
        check_recorded(file, sha256="0" * 64)
    file.write_bytes(b"resulT")
    for check in (lambda: check_recorded(file), lambda: check_files(run, done["outputs"])):
        with pytest.raises(CorruptError, match="another sha256"):
            check()
    monkeypatch.setattr(outputs, "HASHED_BYTES", 5)  # a large file is not hashed
    check_recorded(file)
    file.write_bytes(b"results")
    with pytest.raises(CorruptError, match=r"7 bytes, not 6; restore it, or drg-merge .*/r writes it again"):
        check_recorded(file)
    file.unlink()
    with pytest.raises(CorruptError, match="it is missing"):
        check_files(run, done["outputs"])
