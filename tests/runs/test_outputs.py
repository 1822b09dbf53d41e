"""What readers say about a folder of the wrong kind, a run that is not merged, and one that lost its output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drg_hpc.errors import CorruptError, IncompleteError, InputError
from drg_hpc.runs.outputs import resolve_output


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
