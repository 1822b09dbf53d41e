"""drg-fetch as a command."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from support import ROOT, environment

from drg_hpc.cli.fetch import FetchOptions, _action
from drg_hpc.genome.fetch_table import TABLE

CODE = "import sys; sys.argv[0] = 'drg-fetch'; from drg_hpc.cli.fetch import main; main()"


def run(*arguments: object, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert done.returncode == exit_code, done.stderr
    return done


def test_first_use_says_plainly_what_it_is(tmp_path: Path) -> None:
    source = tmp_path / "x.txt"
    source.write_text("content")
    digest = hashlib.sha256(b"content").hexdigest()
    error = run(source, "--dest", tmp_path / "d", exit_code=2).stderr
    assert error.count("\n") == 1 and "--first-use to trust what arrives now" in error
    lines = run(source, "--dest", tmp_path / "d", "--first-use").stdout.splitlines()
    assert lines == [
        f"{tmp_path}/d/x.txt: sha256 {digest} (fetched; held against first use)",
        f"trusted on first use: nothing vouches for this digest but {tmp_path}/d/fetched.json, made now",
        f"fetched: {tmp_path}/d/x.txt",
    ]
    again = json.loads(run(source.as_uri(), "--dest", tmp_path / "d", "--json").stdout)
    expected = {"path": f"{tmp_path}/d/x.txt", "sha256": digest, "status": "present", "trust": "fetched.json"}
    assert again == {"message": f"already there: {tmp_path}/d/x.txt", "files": [expected]}
    (tmp_path / "d/x.txt").write_text("damaged")
    assert "exists with other content" in run(source, "--dest", tmp_path / "d", exit_code=3).stderr


def test_wrong_digest_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("content")
    done = run(tmp_path / "x", "--dest", tmp_path / "d", "--sha256", "0" * 64, "--name", "y", exit_code=5)
    assert "nothing was kept" in done.stderr and list((tmp_path / "d").iterdir()) == []


def test_names_are_listed_without_anything_being_fetched() -> None:
    result = _action(FetchOptions())
    assert len(result["lines"]) == len(TABLE) == len(result["known"])
    assert any(line.startswith("hg38 ") and "more than three public records" in line for line in result["lines"])
    assert any("no sha256 is known: --sha256 or --first-use" in line for line in result["lines"])


def test_no_other_module_fetches() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "drg_hpc").rglob("*.py")
        if any(
            word in path.read_text() for word in ("genome.fetch ", "genome.download", "genome.remote", "urllib.request")
        )
    }
    assert users == {
        "drg_hpc/cli/fetch.py",
        "drg_hpc/genome/fetch.py",
        "drg_hpc/genome/download.py",
        "drg_hpc/genome/remote.py",
    }
