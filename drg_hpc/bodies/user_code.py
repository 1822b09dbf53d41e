"""Where a user's code is, without importing it. Light."""

from __future__ import annotations

import sys
from pathlib import Path


def source_of(factory: str) -> Path | None:
    """The file of the module in ``package.module:factory``, as Python would find it; None where it is not a plain file.

    Parents are not imported: a package may need libraries that a login node lacks.
    """
    parts = factory.partition(":")[0].split(".")
    for folder in [*sys.path, ""]:  # the current folder comes last, as in drg_hpc.models.user
        base = Path(folder or ".").joinpath(*parts)
        for found in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if found.is_file():
                return found.absolute()
    return None
