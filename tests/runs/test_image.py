"""The argument list that runs a worker in an image, and what is bound for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import drg, environment

from drg_hpc.errors import IncompleteError, InputError, UsageError
from drg_hpc.runs import image
from drg_hpc.runs.plan import Plan, read_plan


@pytest.fixture
def run(tmp_path: Path) -> Plan:
    drg("drg-selftest", "-o", tmp_path / "run", "--plan-only")
    return read_plan(tmp_path / "run")


def with_inputs(plan: Plan, **paths: tuple[Path, list[str]]) -> Plan:
    records = {name: {"path": str(path), "members": members} for name, (path, members) in paths.items()}
    return Plan(**{**vars(plan), "inputs": records})


def test_wrap_is_a_plain_list(tmp_path: Path) -> None:
    made = image.wrap(
        ["drg-work", "/runs/a b", "--shards", "0-3"],
        image=tmp_path / "x.sif", binds=[Path("/data"), "/a:/b:ro"], gpu=True,
        folder=Path("/runs"), container="apptainer",
    )  # fmt: skip
    assert made == [
        "apptainer", "--quiet", "exec", "--nv", "--bind", "/data", "--bind", "/a:/b:ro", "--pwd", "/runs",
        str(tmp_path / "x.sif"), "drg-work", "/runs/a b", "--shards", "0-3",
    ]  # fmt: skip


def test_nothing_is_forced(tmp_path: Path) -> None:
    made = image.wrap(["true"], image=tmp_path / "x.sif", container="apptainer")
    assert made == ["apptainer", "--quiet", "exec", str(tmp_path / "x.sif"), "true"]


def test_paths_that_bind_cannot_say_use_mount() -> None:
    made = image.wrap(["true"], image=Path("/x.sif"), binds=[Path('/d/a:b,c"d')], container="apptainer")
    assert made[3:5] == ["--mount", '"type=bind","source=/d/a:b,c""d","destination=/d/a:b,c""d"']


@pytest.mark.parametrize("bind", ["--nv", "-B", "/a\n/b", Path("/a\nb")])
def test_binds_that_are_none(bind: Path | str) -> None:
    with pytest.raises(UsageError):
        image.wrap(["true"], image=Path("/x.sif"), binds=[bind], container="apptainer")


def test_apptainer_is_preferred_and_singularity_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="neither apptainer nor singularity"):
        image.program()
    for name in ("singularity", "apptainer"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert image.program() == str(tmp_path / name)


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such image: .*x\.sif"):
        image.check_image(tmp_path / "x.sif")
    with pytest.raises(InputError):
        image.check_image(tmp_path)
    (tmp_path / ".singularity.d").mkdir()
    assert image.check_image(tmp_path) == tmp_path


def test_binds_of_a_run(run: Plan, tmp_path: Path) -> None:
    data, store, scratch = (tmp_path / name for name in ("data", "store", "scratch"))
    for folder in (data, store, scratch):
        folder.mkdir()
    (data / "x.fa").write_text("")
    (store / "manifest.json").write_text("")
    plan = with_inputs(run, fasta=(data / "x.fa", []), store=(store, ["manifest.json"]))
    assert image.run_binds(plan, scratch=scratch) == tuple(sorted([data, run.folder, scratch, store]))
    assert image.run_binds(plan, scratch=tmp_path / "elsewhere") == tuple(sorted([data, run.folder, store]))


def test_targets_of_links_are_bound_too(run: Plan, tmp_path: Path) -> None:
    real, shown, model = (tmp_path / name for name in ("real", "shown", "model"))
    for folder in (real, shown, model):
        folder.mkdir()
    (real / "x.fa").write_text("")
    (real / "weights").write_text("")
    (shown / "x.fa").symlink_to(real / "x.fa")
    (model / "weights").symlink_to(real / "weights")
    plan = with_inputs(run, fasta=(shown / "x.fa", []), model=(model, ["weights"]))
    assert image.run_binds(plan) == tuple(sorted([model, real, run.folder, shown]))


def test_folders_below_others_are_left_out(run: Plan, tmp_path: Path) -> None:
    plan = with_inputs(run, a=(tmp_path / "x.fa", []), b=(run.folder / "out.h5", []))
    assert image.run_binds(plan) == (tmp_path,)
    with pytest.raises(InputError, match="root folder"):
        image.run_binds(with_inputs(run, a=(Path("/x.fa"), [])))


def test_what_crosses_into_a_clean_environment() -> None:
    crossing = image.forwarded({"CUDA_VISIBLE_DEVICES": "0,1", "DRG_IO_THREADS": "2", "HOME": "/x", "PATH": "/y"})
    assert crossing == {
        "APPTAINERENV_CUDA_VISIBLE_DEVICES": "0,1", "APPTAINERENV_DRG_IO_THREADS": "2",
        "SINGULARITYENV_CUDA_VISIBLE_DEVICES": "0,1", "SINGULARITYENV_DRG_IO_THREADS": "2",
    }  # fmt: skip


def test_a_command_with_quotes_reaches_the_program_as_it_is(tmp_path: Path) -> None:
    fake = tmp_path / "apptainer"
    fake.write_text('#!/bin/sh\nfor a in "$@"; do printf "%s\\n" "$a"; done\n')
    fake.chmod(0o755)
    hostile = ["drg-work", "a; $(touch x) 'q\" `b`"]
    made = image.wrap(hostile, image=tmp_path / "i $(x).sif", binds=[tmp_path], container=str(fake))
    said = subprocess.run(made, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.splitlines()
    assert said == ["--quiet", "exec", "--bind", str(tmp_path), str(tmp_path / "i $(x).sif"), *hostile]
    assert os.listdir(tmp_path) == ["apptainer"]


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image, and an apptainer that runs its commands outside."""
    folder, file = tmp_path / "bin", tmp_path / "x.sif"
    folder.mkdir()
    file.write_text("")
    script = '#!/bin/sh\nwhile [ "$1" != "' + str(file) + '" ]; do shift; done\nshift\nexec "$@"\n'
    (folder / "apptainer").write_text(script)
    (folder / "apptainer").chmod(0o755)
    (folder / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "python").chmod(0o755)
    for name, value in environment(PATH=f"{folder}:{os.environ['PATH']}").items():
        monkeypatch.setenv(name, value)
    return file


def test_merge_in_the_image(run: Plan, container: Path) -> None:
    inside = image.Inside.of(run, image=container, binds=["/data"])
    assert inside.wrap(["true"])[1:] == [
        "--quiet", "exec", "--bind", str(run.folder), "--bind", "/data", "--pwd", str(run.folder), str(container),
        "true",
    ]  # fmt: skip
    with pytest.raises(IncompleteError, match=r"the merge in x\.sif ended with 4"):
        image.merge_inside(run, inside)
    drg("drg-work", run.folder, "--stage", "total")
    assert image.merge_inside(run, inside, run.stages[0]) == {}
    drg("drg-work", run.folder)
    assert "out.h5" in image.merge_inside(run, inside)["outputs"]


def test_faults_are_said_before_anything_runs(run: Plan, container: Path) -> None:
    with pytest.raises(InputError, match="no such image"):
        image.Inside.of(run, image=container.with_name("no.sif"))
    with pytest.raises(UsageError, match="--bind"):
        image.Inside.of(run, image=container, binds=["--nv"])


def test_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"):
        monkeypatch.delenv(name, raising=False)
    assert image.inside() is None
    monkeypatch.setenv("SINGULARITY_CONTAINER", "/x.sif")
    assert image.inside() == Path("/x.sif")
