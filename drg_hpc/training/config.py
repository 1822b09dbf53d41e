"""Options of drg-train, and the part of them that determines the weights. Light: no torch here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from drg_hpc.config import Options, flag, positional
from drg_hpc.models.config import DrgCnnConfig, ModelConfig

LossName = Literal["auto", "bce", "mse", "poisson", "multinomial"]
Precision = Literal["fp32", "bf16"]
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


class OptimTable(Options):
    """``[optim]``: optimizer and learning rate."""

    name: Literal["adamw", "sgd"] = flag("adamw", help="optimizer")
    lr: float = flag(1e-3, help="learning rate", gt=0)
    weight_decay: float = flag(0.01, help="weight decay", ge=0)
    momentum: float = flag(0.9, help="momentum of sgd", ge=0, lt=1)
    schedule: Literal["none", "cosine", "plateau"] = flag("none", help="how the learning rate falls")
    warmup_steps: int = flag(0, help="steps over which the learning rate rises to lr", ge=0)
    plateau_patience: int = flag(2, help="plateau: epochs without improvement before lr falls", ge=0)
    plateau_factor: float = flag(0.5, help="plateau: what lr is multiplied with", gt=0, lt=1)
    clip_norm: float = flag(0.0, help="largest norm of the gradient; 0: not clipped", ge=0)


class TrainTable(Options):
    """``[train]``: how long, and towards what."""

    epochs: int = flag(10, help="passes over the training rows", ge=1)
    batch_size: int = flag(256, help="rows of a global batch, over all ranks", ge=1)
    accumulate: int = flag(
        1, help="compute the gradient of a batch in so many pieces, one after the other, to need less memory", ge=1
    )
    loss: LossName = flag("auto", help="auto: bce for targets of 0 and 1, multinomial for profile heads, else mse")
    valid_loss: LossName | Literal["none"] | None = flag(
        None, help="loss on the validation rows, for early stopping and the choice of weights (default: loss)"
    )
    count_weight: float = flag(1.0, help="loss multinomial: weight of the error of the totals", ge=0)
    precision: Precision = flag("fp32", help="bf16: autocast forward and backward, weights stay float32")
    patience: int = flag(5, help="stop after this many epochs without a better validation loss; 0: never", ge=0)


class ModalityTable(Options):
    """``[modality.NAME]``: the loss of one modality, where it is not that of ``[train]``."""

    loss: LossName | None = flag(None, help="loss on its tracks (default: train.loss)")
    valid_loss: LossName | Literal["none"] | None = flag(
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
    resume: Literal["auto", "never"] = flag("auto", help="auto: go on from the newest checkpoint in MODEL")
    tracks: str = flag("all", help="train on these tracks only, by name", metavar="A,B")
    epochs: int | None = flag(None, help="overrides train.epochs", metavar="N", ge=1)
    batch_size: int | None = flag(None, help="overrides train.batch_size (global)", metavar="N", ge=1)
    lr: float | None = flag(None, help="overrides optim.lr", metavar="X", gt=0)
    precision: Precision | None = flag(None, help="overrides train.precision")
    max_time: str | None = flag(None, help="stop with a checkpoint after 90s, 30m, 4h or 3:50:00", metavar="TIME")
    max_steps: int | None = flag(None, help="stop with a checkpoint after N steps of this job", metavar="N", ge=1)
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
    model: ModelConfig = Field(default_factory=DrgCnnConfig, description="architecture and its parameters")
    data: DataTable = Field(default_factory=DataTable, description="rows and augmentation")
    optim: OptimTable = Field(default_factory=OptimTable, description="optimizer and learning rate")
    train: TrainTable = Field(default_factory=TrainTable, description="length and loss")
    modality: dict[str, ModalityTable] = Field(
        default_factory=dict, description="[modality.NAME]: losses of single modalities"
    )
    checkpoints: CheckpointTable = Field(default_factory=CheckpointTable, description="checkpoints")

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
    data: DataTable
    optim: OptimTable
    train: TrainTable
    modality: dict[str, ModalityTable]
    tracks: str
    seed: int


def settle(options: TrainOptions) -> Recipe:
    """The recipe of the options, flags before tables."""
    flags = {"epochs": options.epochs, "batch_size": options.batch_size, "precision": options.precision}
    train = options.train.model_copy(update={key: value for key, value in flags.items() if value is not None})
    optim = options.optim if options.lr is None else options.optim.model_copy(update={"lr": options.lr})
    return Recipe(
        model=options.model, data=options.data, optim=optim, train=train, modality=options.modality,
        tracks=options.tracks, seed=options.seed,
    )  # fmt: skip


def recorded(recipe: Recipe, inputs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Plain values of a recipe, files and stores named by their content instead of by their place.

    Parameters
    ----------
    inputs : descriptions of ``weights`` and of ``mix.0``, ``mix.1``, … where the recipe has them
    """
    values = recipe.model_dump(mode="json")
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
