"""Options of drg-ablate that files give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drg_hpc.bodies.ablate_options import Options
from drg_hpc.config import apply_set, build
from drg_hpc.errors import UsageError


def options(assignment: str) -> Options:
    values: dict[str, Any] = {"model": Path("m"), "input": Path("x.fa"), "out": Path("r")}
    apply_set(values, assignment)
    return build(Options, values, source="file")


def test_windows_may_be_a_whole_number() -> None:
    """As TOML has it; with a step it is text."""
    assert options("windows=20").windows == "20" and options("windows='20:5'").windows == "20:5"
    for other in ("windows=2.5", "windows=true", "windows=[20]"):
        with pytest.raises(UsageError, match=r"windows = .* must be a string"):
            options(other)
