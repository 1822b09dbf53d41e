"""Commands on MPI ranks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support import argv

MPIRUN_OPENMPI = ["mpirun", "--oversubscribe", "--allow-run-as-root"]
ON_RANKS = {"UCX_NET_DEVICES": "lo"}
"""For MPICH on virtual nodes that are all this host."""
needs_openmpi = pytest.mark.skipif(
    shutil.which("mpirun") is None and os.environ.get("DRG_TEST_CLUSTER") != "required",
    reason="no Open MPI here (apt-get install openmpi-bin)",
)


def under_mpi(start: list[str], python: Path | str, command: str, *arguments: object) -> list[str]:
    """Command line of a console script on ranks."""
    _, flag, code = argv(command)
    return [*start, str(python), flag, code, *map(str, arguments), "--launch", "mpi"]
