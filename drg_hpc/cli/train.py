"""drg-train."""

from __future__ import annotations

import json
import os
import sys
import typing
from typing import NoReturn

from pydantic import BaseModel

from drg_hpc.cli.common import Result, run_command
from drg_hpc.errors import DrgError
from drg_hpc.models.config import DilatedResidualConfig, DrgCnnConfig
from drg_hpc.training.config import CheckpointTable, DataTable, OptimTable, TrainOptions, TrainTable

_TABLES: dict[str, type[BaseModel]] = {
    'model, architecture = "drg-cnn" (the default)': DrgCnnConfig,
    'model, architecture = "dilated-residual"': DilatedResidualConfig,
    "data": DataTable,
    "optim": OptimTable,
    "train": TrainTable,
    "checkpoints": CheckpointTable,
}


def _table_help() -> str:
    """The keys of the configuration file's tables, with defaults."""
    lines = ["tables of the configuration file (--config, or --set table.key=value):"]
    for title, model in _TABLES.items():
        name, _, note = title.partition(", ")
        lines.append(f"\n[{name}]" + (f"  {note}" if note else ""))
        for key, info in model.model_fields.items():
            if key == "architecture":
                continue
            choices = typing.get_args(info.annotation) if typing.get_origin(info.annotation) is typing.Literal else ()
            kinds = f" ({' | '.join(map(str, choices))})" if choices else ""
            lines.append(f"  {key + ' = ' + json.dumps(info.default):<30} {info.description}{kinds}")
    return "\n".join(lines)


def _train(options: TrainOptions) -> Result:
    from drg_hpc.training.distributed import Relayed
    from drg_hpc.training.loop import Diverged
    from drg_hpc.training.run import train

    main_rank = os.environ.get("RANK", "0") == "0"
    try:
        result = train(options)
    except DrgError as error:
        if not main_rank and isinstance(error, (Relayed, Diverged)):
            sys.exit(error.exit_code)  # all ranks fail with it, rank 0 says so
        raise
    if not main_rank:
        sys.exit(0)
    return {"message": f"wrote model: {result}", "model": str(result)}


def main() -> NoReturn:
    """Entry point."""
    run_command(
        prog="drg-train",
        summary="Train a model on a dataset store; under torchrun on any number of processes and nodes.",
        options=TrainOptions,
        action=_train,
        epilog=_table_help(),
    )


if __name__ == "__main__":
    main()
