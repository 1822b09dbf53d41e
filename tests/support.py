"""Helpers for tests: the commands as a user would type them, in a fresh process."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SCRIPTS: dict[str, str] = PROJECT["scripts"]
Once = Callable[[str, Callable[[Path], object]], Path]
"""Makes a folder once for all test processes (fixture ``once``)."""


def argv(command: str, *arguments: object) -> list[str]:
    """Command line of a console script, run from this checkout whether or not it is installed."""
    module, function = SCRIPTS[command].split(":")
    code = f"import sys; sys.argv[0] = {command!r}; from {module} import {function}; {function}()"
    return [sys.executable, "-c", code, *map(str, arguments)]


def environment(**changes: str) -> dict[str, str]:
    """The environment of a command."""
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | changes


def drg(command: str, *arguments: object, exit_code: int = 0, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a command; its exit code must be the expected one."""
    done = subprocess.run(
        argv(command, *arguments), capture_output=True, text=True, env=environment(**changes), timeout=600, check=False
    )
    assert done.returncode == exit_code, f"{command} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def here(command: str, *arguments: object, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
    """The same in this process, which has the libraries already: for what does not depend on how a command starts."""
    module, function = SCRIPTS[command].split(":")
    words, code = [command, *map(str, arguments)], None
    with (
        mock.patch.object(sys, "argv", words),
        contextlib.redirect_stdout(io.StringIO()) as stdout,
        contextlib.redirect_stderr(io.StringIO()) as stderr,
    ):
        try:
            getattr(importlib.import_module(module), function)()
        except SystemExit as ended:
            code = ended.code
    done = subprocess.CompletedProcess(words, code, stdout.getvalue(), stderr.getvalue())  # type: ignore[arg-type]
    assert code == exit_code, f"{words}: {code}\n{done.stdout}\n{done.stderr}"
    return done


def drg_json(command: str, *arguments: object, exit_code: int = 0) -> dict[str, Any]:
    """Run a command with ``--json``."""
    result: dict[str, Any] = json.loads(drg(command, *arguments, "--json", exit_code=exit_code).stdout)
    return result


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one error line of a failed command; there must be exactly one."""
    lines = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return lines[0]
