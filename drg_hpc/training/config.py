"""Options of drg-train, and the part of them that determines the weights. Light: no torch here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from drg_hpc.config import Options, flag, positional
from drg_hpc.errors import UsageError
from drg_hpc.models.config import AnyConfig, DrgCnnConfig, ModelConfig
from drg_hpc.models.config_user import as_table
from drg_hpc.training.config_init import InitTable, LoadMap, settle_init
from drg_hpc.training.config_optim import OptimTable as OptimTable
from drg_hpc.training.loss_names import LossName, ValidLossName

Precision = Literal["fp32", "tf32", "bf16"]
LogTo = Literal["none", "jsonl", "tensorboard"]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``30m``, ``4h``, ``2d``, or Slurm's ``[D-]HH:MM:SS``."""
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text):
        return float(match[1]) * _UNITS[match[2]]
    if match := re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)", text):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    raise ValueError("not a duration; write 90s, 30m, 4h or 3:50:00")


def parse_size(text: str) -> int:
    """Bytes of ``500M``, ``50G``, ``2T`` (powers of 1024, also written GiB), or of a plain number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError("not a size; write 500M, 50G or 2T")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


class MixTable(Options):
    """``[[data.mix]]``: one more store to train on."""

    store: Path = flag(help="dataset store, or the run that made it, with the inputs and tracks of STORE")
    weight: float = flag(1.0, help="its part of the samples, relative to the other stores", gt=0)


class DataTable(Options):
    """``[data]``: which rows, how often, and how they are varied."""

    train: str = flag("train", help="split to train on, of every store")
    valid: str = flag("valid", help="split of STORE for early stopping and the choice of weights")
    reverse_complement: float = flag(
        0.0, help="probability of training on a row's reverse complement, its bins reversed", ge=0, le=1
    )
    jitter: int = flag(
        0, help="move each window by up to so many bases either way; needs a store made with drg-shard --flank", ge=0
    )
    jitter_pad: bool = flag(False, help="where the flank is smaller than jitter, take N for the bases beyond it")
    balance: str | None = flag(
        None, help="name of a track of 0 and 1: draw rows of both equally often, with replacement"
    )
    weights: Path | None = flag(
        None, help="file of two columns, name and weight: draw rows in these proportions, with replacement"
    )
    samples: int = flag(
        0, help="samples of an epoch; 0: as many as all stores have training rows",
        ge=0,
    )  # fmt: skip
    weight: float = flag(1.0, help="part of STORE in the samples, relative to the stores of [[data.mix]]", gt=0)
    mix: tuple[MixTable, ...] = flag(
        (), help="[[data.mix]], one table a store: store = its path, weight = its part of the samples (default 1)"
    )

    @model_validator(mode="after")
    def _check(self) -> DataTable:
        if self.balance is not None and self.weights is not None:
            raise ValueError("data.balance and data.weights exclude each other")
        return self


class TrainTable(Options):
    """``[train]``: how long, and towards what."""

    epochs: int = flag(10, help="passes over the training rows", ge=1)
    batch_size: int = flag(256, help="rows of a global batch, over all ranks", ge=1)
    accumulate: int = flag(
        1, help="compute the gradient of a batch in so many pieces, one after the other, to need less memory", ge=1
    )
    loss: LossName = flag(
        "auto",
        help="auto: bce for targets of 0 and 1, multinomial for profile heads, else mse; or any name of docs/losses.md",
    )
    valid_loss: ValidLossName | None = flag(
        None, help="loss on the validation rows, for early stopping and the choice of weights (default: loss)"
    )
    count_weight: float | None = flag(
        None, help="weight of the error of the totals (default: 1 for multinomial, 0.2 for poisson-multinomial)", ge=0
    )
    precision: Precision = flag(
        "fp32",
        help="arithmetic of the steps; tf32: products of 10-bit mantissas, on GPUs; bf16: autocast; weights stay "
        "float32, and validation is computed in it",
    )
    ema: float = flag(
        0.0,
        help="validate and keep a moving average of the weights: the part of it that a step leaves, such as 0.999 "
        "(early on (1 + step) / (10 + step) where that is less); 0: off",
        ge=0, lt=1,
    )  # fmt: skip
    checkpoint_activations: bool = flag(False, help="compute activations again for the gradient, to need less memory")
    compile: bool = flag(False, help="compile the network with torch.compile; needs a C++ compiler, on GPUs Triton")
    sync_batch_norm: bool = flag(
        True,
        help="batch norm of several ranks takes its statistics over the rows of all; with accumulate, of each piece",
    )
    patience: int = flag(5, help="stop after this many epochs without a better validation loss; 0: never", ge=0)

    @model_validator(mode="after")
    def _check(self) -> TrainTable:
        if self.compile and self.checkpoint_activations:
            raise ValueError("train.compile and train.checkpoint_activations exclude each other: the compiler chooses "
                             "by itself what to compute again")  # fmt: skip
        return self


class LogTable(Options):
    """``[log]``: what is written down about the steps; no effect on the weights."""

    to: LogTo = flag("none", help="jsonl: MODEL/log.jsonl; tensorboard: MODEL/tensorboard, by that package")
    every: int = flag(50, help="steps between entries", ge=1)
    measure: bool = flag(
        True, help="time matrix products for a moment at the start, to say what share of their rate the steps reach"
    )


class ModalityTable(Options):
    """``[modality.NAME]``: the loss of one modality, where it is not that of ``[train]``."""

    loss: LossName | None = flag(None, help="loss on its tracks (default: train.loss)")
    valid_loss: ValidLossName | None = flag(
        None, help="loss for the choice of weights; none: it does not count there (default: loss)"
    )
    weight: float = flag(1.0, help="factor of its loss; 0: it does not count", ge=0)
    valid_weight: float | None = flag(None, help="factor in the choice of weights (default: weight)", ge=0)


class CheckpointTable(Options):
    """``[checkpoints]``: when, and how many are kept; no effect on the weights."""

    every: int = flag(0, help="steps between checkpoints; one is written after every epoch in any case", ge=0)
    keep: int = flag(2, help="checkpoints to keep", ge=2)


class TrainOptions(Options):
    """Everything drg-train takes: flags, and the tables of a configuration file."""

    store: Path = positional(help="dataset store, or the run that made it", metavar="STORE")
    out: Path = flag(help="model folder to create, or to go on with", metavar="MODEL", short="-o")
    resume: Literal["auto", "never"] = flag(
        "auto", help="auto: go on from the newest checkpoint in MODEL; never: MODEL must be new or empty"
    )
    tracks: str = flag("all", help="train on these tracks only, by name", metavar="A,B")
    epochs: int | None = flag(None, help="overrides train.epochs", metavar="N", ge=1)
    batch_size: int | None = flag(None, help="overrides train.batch_size (global)", metavar="N", ge=1)
    lr: float | None = flag(None, help="overrides optim.lr", metavar="X", gt=0)
    precision: Precision | None = flag(None, help="overrides train.precision")
    init_model: Path | None = flag(
        None, name="init", help="MODEL to start from; overrides init.model, as the next four do theirs", metavar="MODEL"
    )
    load_map: tuple[LoadMap, ...] = flag(
        (), help="a tensor whose name begins with OURS is called THEIRS in it", metavar="OURS:THEIRS"
    )
    include: tuple[str, ...] = flag((), help="load only tensors with such names", metavar="GLOB")
    exclude: tuple[str, ...] = flag((), help="do not load tensors with such names", metavar="GLOB")
    freeze: tuple[str, ...] = flag((), help="leave tensors with such names as they are", metavar="GLOB")
    max_time: str | None = flag(None, help="stop with a checkpoint after 90s, 30m, 4h or 3:50:00", metavar="TIME")
    max_steps: int | None = flag(None, help="stop with a checkpoint after N steps of this job", metavar="N", ge=1)
    log_to: LogTo | None = flag(None, name="log", help="overrides log.to")
    seed: int = flag(0, help="seed of initial weights, sample order, dropout and augmentation", metavar="N", ge=0)
    device: str = flag("auto", help="auto, cpu, cuda or cuda:I", metavar="DEVICE")
    threads: int | None = flag(None, help="threads per rank (default: OMP_NUM_THREADS, else 1)", metavar="N", ge=1)
    cache_dir: Path | None = flag(
        None, help="node-local folder for the training cache (default: DRG_CACHE_DIR, else scratch)", metavar="DIR"
    )
    cache_size: str | None = flag(
        None,
        help="largest size of all training caches there, such as 50G (default: DRG_CACHE_SIZE, else no limit); "
        "those used least recently are removed",
        metavar="SIZE",
    )
    model: Annotated[AnyConfig | None, BeforeValidator(as_table)] = Field(
        default=None,
        discriminator="architecture",
        description="architecture and its parameters (default: that of --init, else drg-cnn)",
    )
    init: InitTable = Field(default_factory=InitTable, description="weights to start from, and what stays")
    data: DataTable = Field(default_factory=DataTable, description="rows and augmentation")
    optim: OptimTable = Field(default_factory=OptimTable, description="optimizer and learning rate")
    train: TrainTable = Field(default_factory=TrainTable, description="length and loss")
    modality: dict[str, ModalityTable] = Field(
        default_factory=dict, description="[modality.NAME]: losses of single modalities"
    )
    checkpoints: CheckpointTable = Field(default_factory=CheckpointTable, description="checkpoints")
    log: LogTable = Field(default_factory=LogTable, description="what is written down about the steps")

    @field_validator("model", mode="before")
    @classmethod
    def _default_architecture(cls, value: Any) -> Any:
        own = isinstance(value, dict) and "factory" not in value
        return {"architecture": "drg-cnn", **value} if own else value

    @field_validator("max_time")
    @classmethod
    def _check_max_time(cls, value: str | None) -> str | None:
        if value is not None:
            parse_duration(value)
        return value

    @field_validator("cache_size")
    @classmethod
    def _check_cache_size(cls, value: str | None) -> str | None:
        if value is not None:
            parse_size(value)
        return value


class Recipe(Options):
    """What determines the weights, with the store and the arithmetic of the device."""

    model: ModelConfig
    init: InitTable
    data: DataTable
    optim: OptimTable
    train: TrainTable
    modality: dict[str, ModalityTable]
    tracks: str
    seed: int


def initial_table(options: TrainOptions) -> InitTable:
    """``[init]``, flags before the table.

    Raises
    ------
    UsageError : a setting without the file that it is about
    """
    flags = {key: getattr(options, key) for key in ("load_map", "include", "exclude", "freeze")}
    return settle_init(options.init, {"model": options.init_model, **flags})


def log_table(options: TrainOptions) -> LogTable:
    """``[log]``, the flag before the table."""
    return options.log if options.log_to is None else options.log.model_copy(update={"to": options.log_to})


def settle(options: TrainOptions, *, model: AnyConfig | None = None) -> Recipe:
    """The recipe of the options, flags before tables.

    Parameters
    ----------
    model : the architecture where the options have none: that of ``init.model``

    Raises
    ------
    UsageError : a setting without the file that it is about
    """
    flags = {"epochs": options.epochs, "batch_size": options.batch_size, "precision": options.precision}
    train = options.train.model_copy(update={key: value for key, value in flags.items() if value is not None})
    optim = options.optim if options.lr is None else options.optim.model_copy(update={"lr": options.lr})
    if (optim.min_lr or 0.0) > optim.lr:
        raise UsageError(f"optim.min_lr = {optim.min_lr:g} is above the learning rate {optim.lr:g}")
    if optim.finetune_rounds and not train.patience:
        fault = f"optim.finetune_rounds = {optim.finetune_rounds} with train.patience = 0"
        raise UsageError(f"{fault}: tuning begins where patience ends", fix="set train.patience")
    return Recipe(
        model=options.model or model or DrgCnnConfig(), init=initial_table(options), data=options.data, optim=optim,
        train=train, modality=options.modality, tracks=options.tracks, seed=options.seed,
    )  # fmt: skip


def recorded(recipe: Recipe, inputs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Plain values of a recipe, files and stores named by their content instead of by their place.

    Parameters
    ----------
    inputs : descriptions of ``weights``, ``init``, ``motifs`` and of ``mix.0``, ``mix.1``, … where the recipe has them
    """
    values = recipe.model_dump(mode="json")
    for key, name in (("model", "init"), ("motifs", "motifs")):
        if name in inputs:
            values["init"][key] = inputs[name]["sha256"]
    if "weights" in inputs:
        values["data"]["weights"] = inputs["weights"]["sha256"]
    for number, table in enumerate(values["data"]["mix"]):
        table["store"] = inputs[f"mix.{number}"]["sha256"]
    return values


def flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``{"optim": {"lr": 1}}`` -> ``("optim.lr", 1)``."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
