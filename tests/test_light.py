"""The control plane runs where only pydantic and submitit are installed, and starts fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import EXAMPLES, ROOT, SCRIPTS, argv, drg, environment

HEAVY = ("numpy", "torch", "zarr", "h5py", "pandas", "scipy", "numba", "matplotlib", "dask", "captum")

# Put before everything else on sys.path: importing one of these is then an error, as where it is not installed.
BLOCKER = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (blocked by the test)", name=name)
sys.meta_path.insert(0, Absent())
"""


def bare(command: str, *arguments: object, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command in a process where the heavy libraries cannot be imported."""
    python, flag, code, *rest = argv(command, *arguments)
    code = BLOCKER.format(heavy=set(HEAVY)) + code
    done = subprocess.run(
        [python, flag, code, *rest], capture_output=True, text=True, env=environment(), timeout=120, check=False
    )
    assert done.returncode == exit_code, done.stderr
    return done


KINDS = [("drg-shard", kind) for kind in ("genome", "regions", "sequences")]


@pytest.mark.parametrize("command", [(name,) for name in SCRIPTS] + KINDS, ids=" ".join)
def test_help_and_version_need_no_heavy_library(command: tuple[str, ...]) -> None:
    text = bare(*command, "--help").stdout
    assert "usage: " in text
    assert bare(*command, "--version").stdout.startswith("drg-")


@pytest.mark.parametrize("command", [name for name in SCRIPTS if name != "drg-shard"])
def test_every_flag_has_help(command: str) -> None:
    lines = drg(command, "--help").stdout.splitlines()
    flags = [i for i, line in enumerate(lines) if line.startswith("  -")]
    for index in flags:
        words = lines[index].strip().split("  ")
        described = len(words) > 1 or (index + 1 < len(lines) and lines[index + 1].startswith("      "))
        assert described, lines[index]


def test_planning_and_status_need_no_heavy_library(tmp_path: Path) -> None:
    peaks = EXAMPLES / "ctcf" / "peaks.fa.gz"
    planned = [
        "sequences",
        peaks,
        "--negatives",
        "dinuc:1",
        "--valid",
        "chr8",
        "--test",
        "chr9",
        "-o",
        tmp_path / "store",
    ]
    bare("drg-shard", *planned, "--plan-only")
    status = json.loads(bare("drg-status", tmp_path / "store", "--json", exit_code=4).stdout)
    assert status["stages"][0]["missing_count"] > 1
    bare("drg-clean", tmp_path / "store")


def test_planning_a_simulation_needs_no_heavy_library(tmp_path: Path) -> None:
    peaks, motifs = EXAMPLES / "ctcf" / "peaks.fa.gz", EXAMPLES / "motifs" / "encode_motifs.txt"
    named = ("--motif-db", motifs, "--pos-motifs", "CTCF_known1", "STAT_known2", "--gen-type", "distance")
    bare("drg-simulate", *named, "--background-dist", f"dinuc:{peaks}", "-o", tmp_path / "run", "--plan-only")
    assert json.loads(bare("drg-status", tmp_path / "run", "--json", exit_code=4).stdout)


def test_working_without_the_libraries_says_so(tmp_path: Path) -> None:
    bare("drg-selftest", "-o", tmp_path / "run", "--plan-only")
    done = bare("drg-work", tmp_path / "run", exit_code=3)
    assert "numpy is not installed" in done.stderr


def test_sys_modules_after_help() -> None:
    module, function = SCRIPTS["drg-attr"].split(":")
    code = (
        f"import sys\nsys.argv = ['drg-attr', '--help']\nfrom {module} import {function}\n"
        f"try:\n    {function}()\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stderr.strip() == "[]"


def test_launchers_in_bin_match_the_console_scripts() -> None:
    launchers = {p.name for p in (ROOT / "bin").glob("drg-*")}
    assert launchers == set(SCRIPTS)
    for name in launchers:
        assert (ROOT / "bin" / name).read_text().splitlines()[-1].endswith(f'_launch" {name} "$@"')
