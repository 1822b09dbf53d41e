"""Settings for all tests."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

# Before numpy or torch is imported: tests run side by side, one thread each.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.pop("DRG_FAILPOINTS", None)


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Commands called within a test set up the package's log; the next test finds it untouched."""
    logger = logging.getLogger("drg_hpc")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before
