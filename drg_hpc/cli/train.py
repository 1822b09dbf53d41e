"""drg-train."""

from __future__ import annotations

import json
import os
import sys
import time
import typing
from typing import NoReturn

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefinedType

from drg_hpc.bodies.train_plan import Options, is_sweep
from drg_hpc.cli.common import Result, run_command
from drg_hpc.errors import Stopped, UsageError
from drg_hpc.models.config import AnyConfig, DrgCnnConfig
from drg_hpc.models.config_drg_tables import (
    AttentionTable,
    GappedTable,
    HeadTable,
    ProfileTable,
    TowerTable,
    TransformerTable,
)
from drg_hpc.models.config_multi import CombinedHeadTable
from drg_hpc.training.config import (
    CheckpointTable,
    DataTable,
    LogTable,
    MixTable,
    ModalityTable,
    OptimTable,
    TrainOptions,
    TrainTable,
)
from drg_hpc.training.config_init import InitTable

# torchrun ends every rank as soon as one has failed: rank 0 needs a moment to say why all of them did.
_GRACE_S = 0.5
_STOPS = (
    "exit codes: 0 the model is finished; 143 stopped with a checkpoint, by --max-time, --max-steps, a file STOP in\n"
    "MODEL, or a signal: run the same command again to go on; 2 usage; 3 bad input; 5 damaged; 6 diverged.\n"
    "torchrun turns every code but 0 into 1; MODEL/done.json says that a training is finished"
)


def _architecture(config: type[BaseModel]) -> str:
    default = " (the default)" if config is DrgCnnConfig else ""
    return f'architecture = "{config.model_fields["architecture"].default}"{default}'


_TABLES: dict[str, type[BaseModel]] = {
    **{f"model, {_architecture(config)}": config for config in typing.get_args(AnyConfig)},
    "model.dilated, also [model.tower] and [model.final]": TowerTable,
    "model.attention": AttentionTable,
    "model.transformer": TransformerTable,
    "[model.gapped], once for each": GappedTable,
    "model.profile": ProfileTable,
    "model.heads.NAME, of drg-cnn": HeadTable,
    "model.heads.NAME, of multi-input": CombinedHeadTable,
    "modality.NAME, once for each modality that differs from [train]": ModalityTable,
    "data": DataTable,
    "[data.mix], once for each further store": MixTable,
    "optim": OptimTable,
    "train": TrainTable,
    "init": InitTable,
    "checkpoints": CheckpointTable,
    "log": LogTable,
}


def _setting(key: str, info: FieldInfo) -> str:
    """``key = default``, as in the file; a key without a default stands alone."""
    default = info.get_default()
    plain = default is not None and default != {} and not isinstance(default, BaseModel | PydanticUndefinedType)
    return f"{key} = {json.dumps(default)}" if plain else key


def _choices(info: FieldInfo) -> str:
    if typing.get_origin(info.annotation) is not typing.Literal:
        return ""
    return f" ({' | '.join(map(str, typing.get_args(info.annotation)))})"


def _table_help() -> str:
    """The keys of the configuration file's tables, with defaults."""
    lines = ["tables of the configuration file (--config, or --set table.key=value):"]
    for title, model in _TABLES.items():
        name, _, note = title.partition(", ")
        lines.append(f"\n[{name}]" + (f"  {note}" if note else ""))
        for key, info in model.model_fields.items():
            if key not in ("architecture", "mix"):
                lines.append(f"  {_setting(key, info):<30} {info.description}{_choices(info)}")
    return "\n".join(lines)


def _train(options: TrainOptions) -> Result:
    # DDP looks for unused parameters (training/step.py says why) and would warn, on every rank, that there are none.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from drg_hpc.training.distributed import Relayed
    from drg_hpc.training.loop import Diverged
    from drg_hpc.training.run import train
    from drg_hpc.training.stop import LimitReached

    complete = (options.out / "done.json").is_file()
    main_rank = os.environ.get("RANK", "0") == "0"
    try:
        result = train(options)
    except (Stopped, Relayed, Diverged) as error:
        if main_rank and isinstance(error, LimitReached):  # as asked for: a result, not an error
            message = f"stopped: {error}: {options.out}"
            return {"message": message, "model": str(options.out), "skipped": False, "exit_code": error.exit_code}
        if main_rank:
            raise
        time.sleep(_GRACE_S)
        sys.exit(error.exit_code)
    if not main_rank:
        sys.exit(0)
    word = "already complete" if complete else "wrote"
    return {"message": f"{word}: {result}", "model": str(result), "skipped": complete}


def _action(options: Options) -> Result:
    if not is_sweep(options):
        return _train(options)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError(
            "--folds and --grid train each model in one process, and start their own: not under torchrun",
            fix="--launch and --workers say where; one training on several GPUs has neither --folds nor --grid",
        )
    from drg_hpc.cli.fanout import run_fanout

    return run_fanout("train", options)


def main() -> NoReturn:
    """Entry point."""
    try:
        run_command(
            prog="drg-train",
            summary="Train a model on a dataset store, under torchrun on any number of processes and nodes; or, with "
            "--folds or --grid, many models, each in one process.",
            options=Options,
            action=_action,
            epilog=f"{_STOPS}\n\n{_table_help()}",
        )
    except SystemExit as done:
        if os.environ.get("WORLD_SIZE", "1") == "1":
            raise
        # The interpreter's shutdown would destroy the process group with its lock held (see training/distributed.py).
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(done.code if isinstance(done.code, int) else 1)


if __name__ == "__main__":
    main()
