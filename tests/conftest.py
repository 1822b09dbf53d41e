"""Settings for all tests."""

from __future__ import annotations

import os

# Before numpy or torch is imported: tests run side by side, one thread each.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.pop("DRG_FAILPOINTS", None)
