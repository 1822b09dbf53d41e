"""``[optim]``: optimizer, learning rate, fine-tuning phase. Light: no torch here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from drg_hpc.config import Options, flag

_Beta = Annotated[float, Field(ge=0, lt=1)]
_BETAS = {"betas": (0.9, 0.999)}
_SINKING = {"min_lr": 0.0}
# What each choice uses besides what all do, with defaults: those of optimizers are DRG's.
_OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.0, "weight_decay": 0.0},
    "nag": {"momentum": 0.7, "weight_decay": 0.0},
    "adagrad": {"weight_decay": 0.0},
    "adadelta": {"rho": 0.9, "weight_decay": 0.0},
    "adam": {**_BETAS, "weight_decay": 0.0},
    "nadam": {**_BETAS, "weight_decay": 0.0},
    "adamw": {**_BETAS, "weight_decay": 0.01},
    "amsgrad": {**_BETAS, "weight_decay": 0.01},
}
_SCHEDULES: dict[str, dict[str, Any]] = {
    "none": {},
    "cosine": _SINKING,
    "linear": _SINKING,
    "plateau": {"plateau_patience": 2, "plateau_factor": 0.5, **_SINKING},
}


def _choices(values: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], set[str]]]:
    """The choices made: in words, what they use with its default, and the options among which that is."""

    def all_of(table: dict[str, dict[str, Any]]) -> set[str]:
        return {option for uses in table.values() for option in uses}

    name, schedule = values.get("name", "adamw"), values.get("schedule", "none")
    yield f"optim.name = {name!r}", _OPTIMIZERS.get(str(name), {}), all_of(_OPTIMIZERS)
    yield f"optim.schedule = {schedule!r}", _SCHEDULES.get(str(schedule), {}), all_of(_SCHEDULES)
    warms = bool(values.get("warmup_steps", 0) or values.get("warmup_epochs", 0))
    yield "no warm-up", {"warmup": "linear"} if warms else {}, {"warmup"}
    exponential = warms and values.get("warmup") == "exponential"
    yield "a linear warm-up, or none", {"warmup_start": 4.0**-7} if exponential else {}, {"warmup_start"}
    layered = values.get("kernel_lr") is not None
    yield "no optim.kernel_lr", {"kernel_lr_reach": "first"} if layered else {}, {"kernel_lr_reach"}
    tuned = {"finetune_patience": 3, "finetune_factor": 0.2}
    yield "optim.finetune_rounds = 0", tuned if values.get("finetune_rounds", 0) else {}, set(tuned)


class OptimTable(Options):
    """``[optim]``: optimizer and learning rate. An option that the choices made do not use is an error."""

    name: Literal["sgd", "nag", "adagrad", "adadelta", "adam", "nadam", "adamw", "amsgrad"] = flag(
        "adamw", help="optimizer; nag: sgd with Nesterov's momentum, amsgrad: adamw that keeps the largest variance"
    )
    lr: float = flag(1e-3, help="learning rate", gt=0)
    weight_decay: float | None = flag(None, help="weight decay (default: 0.01 for adamw and amsgrad, else 0)", ge=0)
    momentum: float | None = flag(None, help="momentum (default: 0 for sgd, 0.7 for nag)", ge=0, lt=1)
    betas: tuple[_Beta, _Beta] | None = flag(
        None, help="adam, nadam, adamw, amsgrad: decay of both means (default: [0.9, 0.999])"
    )
    rho: float | None = flag(None, help="adadelta: decay of the means (default: 0.9)", ge=0, lt=1)
    kernel_lr: float | None = flag(
        None, help="learning rate of the convolutions that see the sequence (default: lr)", ge=0
    )
    kernel_lr_reach: Literal["first", "gradual", "log-gradual"] | None = flag(
        None, help="first: they alone have it (the default); gradual, log-gradual: it goes over into lr from layer to "
        "layer, by equal differences or by equal factors",
    )  # fmt: skip
    schedule: Literal["none", "cosine", "linear", "plateau"] = flag("none", help="how the learning rate falls")
    min_lr: float | None = flag(
        None, help="cosine and linear: learning rate at the end; plateau: least (default: 0)", ge=0
    )
    warmup_steps: int = flag(0, help="steps over which the learning rate rises to lr", ge=0)
    warmup_epochs: int = flag(0, help="epochs over which it does, from one to the next", ge=0)
    warmup: Literal["linear", "exponential"] | None = flag(
        None, help="linear or exponential: how it rises (default: linear)"
    )
    warmup_start: float | None = flag(
        None, help="exponential: it starts at lr times this (default: 4^-7, which is DRG's with warmup_epochs = 7)",
        gt=0, lt=1,
    )  # fmt: skip
    plateau_patience: int | None = flag(
        None, help="plateau: epochs without improvement before lr falls (default: 2)", ge=0
    )
    plateau_factor: float | None = flag(None, help="plateau: what lr is multiplied with (default: 0.5)", gt=0, lt=1)
    clip_norm: float = flag(0.0, help="largest norm of the gradient; 0: not clipped", ge=0)
    finetune_rounds: int = flag(
        0, help="after an early stop go on from the best weights with a smaller learning rate, so many times at most "
        "(DRG: 5)",
        ge=0,
    )  # fmt: skip
    finetune_patience: int | None = flag(
        None, help="epochs of a round without a better validation loss, more of which end it (default: 3)", ge=0
    )
    finetune_factor: float | None = flag(
        None, help="what the learning rate is multiplied with in each round (default: 0.2)", gt=0, lt=1
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        """Defaults of what the choices use, so that a recipe has every number."""
        if not isinstance(values, dict):
            return values
        for _ in range(2):  # one choice may be the default of another's option
            for _, uses, _ in _choices(values):
                values = {**uses, **values}
        return values

    @model_validator(mode="after")
    def _check(self) -> OptimTable:
        values = self.__dict__
        for what, uses, options in _choices(values):
            for option in sorted(options - set(uses)):
                if values[option] is not None:
                    raise ValueError(f"optim.{option} = {values[option]!r} has no use with {what}")
        if self.warmup_steps and self.warmup_epochs:
            raise ValueError("optim.warmup_steps and optim.warmup_epochs exclude each other")
        if self.name == "nag" and not self.momentum:
            raise ValueError("optim.momentum must be above 0 with nag")
        if self.min_lr is not None and self.min_lr >= self.lr:
            raise ValueError(f"optim.min_lr = {self.min_lr:g} is not below lr = {self.lr:g}")
        if self.kernel_lr == 0 and self.kernel_lr_reach == "log-gradual":
            raise ValueError("optim.kernel_lr must be above 0 with log-gradual")
        return self
