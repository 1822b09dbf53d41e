"""The commands of the task pages in docs/ run as they stand, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, SCRIPTS, argv, environment

CLUSTER_PAGE = ROOT / "docs" / "cluster.md"
# That one needs a scheduler: tests/cluster/test_cluster_page.py runs it on a real Slurm.
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if path != CLUSTER_PAGE and "```sh\n" in path.read_text())
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def write_commands(folder: Path) -> None:
    """The console scripts of this checkout, as executables in ``folder``."""
    folder.mkdir()
    for name in SCRIPTS:
        python, flag, code = argv(name)
        script = folder / name
        script.write_text(f"#!{python}\n{code}\n")
        script.chmod(0o755)
        assert flag == "-c"
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')  # a link would lose the virtual environment
    python.chmod(0o755)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path, tmp_path: Path) -> None:
    write_commands(tmp_path / "bin")
    work = tmp_path / "work"
    work.mkdir()
    changes = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "DRG": str(ROOT), "DRG_CACHE_DIR": str(tmp_path)}
    for kind, text in _BLOCK.findall(page.read_text()):
        shell = ["bash", "-euo", "pipefail", "-c", text] if kind == "sh" else ["python", "-c", text]
        done = subprocess.run(
            shell, cwd=work, env=environment(**changes), capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
