"""Containerised HPC batch commands for regulatory genomics.

The public Python names are those of :mod:`drg_hpc.api`, imported when first used.
"""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    return importlib.import_module("drg_hpc.api").lookup(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *importlib.import_module("drg_hpc.api").NAMES})
