"""Run by torchrun: one training after the other in the same processes, since starting those costs more than training.

``several_trainings.py OPTIONS.json RESULTS``: OPTIONS are lists of options by name; each rank writes what became of them
to RESULTS.RANK.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from drg_hpc.errors import DrgError
from drg_hpc.training.config import TrainOptions
from drg_hpc.training.run import train


def main() -> None:
    found: dict[str, Any] = {}
    for name, values in json.loads(Path(sys.argv[1]).read_text()).items():
        try:
            train(TrainOptions.model_validate(values))
            found[name] = "done"
        except DrgError as error:
            found[name] = f"{type(error).__name__}: {error}"
    Path(f"{sys.argv[2]}.{os.environ['RANK']}.json").write_text(json.dumps(found))
    os._exit(0)  # as drg-train does: see training/distributed.py


if __name__ == "__main__":
    main()
