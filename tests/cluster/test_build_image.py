"""bin/build-image's refusals, and what is in its definitions; the builds themselves are in test_apptainer.py."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from support import ROOT


def build(tmp_path: Path, *arguments: object, fake: bool = True) -> subprocess.CompletedProcess[str]:
    """bin/build-image with an apptainer that can only fail."""
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    for name in ("sh", "dirname", "readlink", "python3", "git"):
        if not (programs / name).exists():
            found = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
            (programs / name).symlink_to(found)
    if fake:
        (programs / "singularity").write_text("#!/bin/sh\nexit 9\n")
        (programs / "singularity").chmod(0o755)
    command = [str(ROOT / "bin" / "build-image"), "--cache", str(tmp_path / "cache"), *map(str, arguments)]
    return subprocess.run(
        command, env=os.environ | {"PATH": str(programs)}, capture_output=True, text=True, timeout=60, check=False,
        cwd=tmp_path,
    )  # fmt: skip


def test_without_a_container_program(tmp_path: Path) -> None:
    done = build(tmp_path, fake=False)
    assert done.returncode == 3 and "neither apptainer nor singularity" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--base", "nonsense"], 2, "'nonsense' is no file, folder or docker://IMAGE"),
        (["--base", "docker://x", "--offline"], 2, "--offline with --base docker://x"),
        (["--base", "debootstrap", "--offline"], 3, "run once without --offline"),
        (["--cpu", "--gpu"], 2, "not allowed with"),
        (["--mpi", "mvapich"], 2, "invalid choice"),
    ],
)
def test_refusals(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    done = build(tmp_path, *arguments)
    assert done.returncode == code and said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_image_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.sif").write_text("precious")
    done = build(tmp_path, "--out", "mine.sif")
    assert done.returncode == 2 and "is no image of drg_hpc" in done.stderr
    assert (tmp_path / "mine.sif").read_text() == "precious"


def test_a_step_that_fails_ends_the_build(tmp_path: Path) -> None:
    done = build(tmp_path, "--base", "debootstrap")
    assert done.returncode == 3 and "singularity build ended with 9" in done.stderr
    assert not list((tmp_path / "cache").glob("*"))


def test_definitions_leave_the_hosts_folders_alone() -> None:
    """/tmp, /var/tmp and the home folder may be the host's while %post runs."""
    for file in (ROOT / "containers").glob("*.def"):
        removed = re.findall(r"rm -rf ([^\n|&;]+)", file.read_text())
        targets = [word.strip('"') for words in removed for word in words.split()]
        assert not [t for t in targets if t.startswith(("/tmp", "/var/tmp", "/root", "/home", "/*", "$HOME"))], file


def test_every_build_argument_has_a_default() -> None:
    for file in (ROOT / "containers").glob("*.def"):
        text = file.read_text()
        defaults = set(re.findall(r"^    (\w+)=", text.partition("%arguments")[2].partition("\n%")[0], re.MULTILINE))
        assert set(re.findall(r"{{ (\w+) }}", text)) == defaults, file
