"""Validated descriptions of the DRG networks of one sequence. Light: no torch here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator, model_validator

from drg_hpc.config import Options, flag
from drg_hpc.models.config_drg_tables import (
    Activation,
    AttentionTable,
    FcTable,
    GappedTable,
    HeadTable,
    KernelActivation,
    KernelPooling,
    Pooling,
    PoolPad,
    ProfileTable,
    Strands,
    TowerTable,
    TransformerTable,
)
from drg_hpc.models.config_fields import Size, odd


class ConvolutionTable(Options):
    """The stages of a DRG network of one sequence before the fully connected ones."""

    pad: int = flag(0, help="positions of 0.25 in each channel put at both ends of the sequence", ge=0)
    kernels: int = flag(128, help="kernels of the first convolution", ge=1)
    kernel_size: int = flag(15, help="their width in bases", ge=1)
    kernel_bias: bool = flag(True, help="a bias per kernel")
    kernel_activation: KernelActivation = flag(
        "gelu", help="activation after the first convolution; exp is exp(min(x, ln 2^32)), exp128 exp(min(x, ln 128))"
    )
    strands: Strands = flag("max", help="how the scans of both strands are joined; weighted: by their softmax")
    pooling: KernelPooling = flag(
        "max", help="pooling after the kernels; weighted: by the softmax inside each window; max+mean: both, side by "
        "side",
    )  # fmt: skip
    pool_size: int = flag(10, help="window of that pooling; 1: none", ge=1)
    pool_step: int = flag(0, help="its step; 0: the window (the only one for weighted)", ge=0)
    pool_pad: PoolPad = flag(
        "activation-minimum",
        help="what weighted poolings see beyond the ends: the least value of the activation before them, nothing "
        "(mask), or the least value of the row's own tensor (batch-minimum: what DRG does with a batch of one)",
    )
    conv_channels: tuple[Size, ...] = flag((), help="channels of each further convolution")
    conv_size: int = flag(5, help="their width (odd)", ge=1)
    conv_pooling: Pooling = flag("max", help="pooling after each of them")
    conv_pool_size: int = flag(1, help="window and step of that pooling; 1: none", ge=1)
    dilated: TowerTable | None = flag(None, help="[model.dilated]: a tower after them (default: none)")
    embedding_channels: int = flag(
        0, help="channels of a convolution of width 1 after the dilated tower; 0: none", ge=0
    )
    attention: AttentionTable | None = flag(None, help="[model.attention]: attention after that (default: none)")
    transformer: TransformerTable | None = flag(
        None, help="[model.transformer]: a transformer instead of it (default: none)"
    )
    tower: TowerTable | None = flag(None, help="[model.tower]: a second tower (default: none)")
    gapped: tuple[GappedTable, ...] = flag(
        (), help="[[model.gapped]], one table each: convolutions with a gap, side by side, then an activation, plus a "
        "linear map of their input",
    )  # fmt: skip
    final: TowerTable | None = flag(None, help="[model.final]: a last tower (default: none)")
    activation: Activation = flag("gelu", help="activation of all layers but the first")


class TrunkTable(FcTable, ConvolutionTable):
    """A DRG network of one sequence, up to its heads."""

    hidden: tuple[Size, ...] = flag((128,), help="widths of the fully connected layers")
    fc_activation: Activation | None = flag(None, help="activation of the fully connected layers (default: activation)")
    dropout: float = flag(0.0, help="share of units dropped before the head and between hidden layers", ge=0, lt=1)
    conv_dropout: float = flag(0.0, help="share of units dropped after each convolution of a tower", ge=0, lt=1)
    attention_dropout: float = flag(0.0, help="share of units dropped in attention and transformer", ge=0, lt=1)
    conv_batch_norm: bool = flag(False, help="batch norm at the start of each layer of a tower")
    attention_batch_norm: bool = flag(False, help="batch norm at the start of each attention block")
    fc_batch_norm: bool = flag(False, help="batch norm before each fully connected layer and the head")

    _check_size = field_validator("conv_size")(odd)

    @model_validator(mode="after")
    def _check_trunk(self) -> TrunkTable:
        if self.attention is not None and self.transformer is not None:
            raise ValueError("attention and transformer exclude each other")
        if self.pooling == "weighted" and self.pool_step not in (0, self.pool_size):
            raise ValueError("pool_step must be the window where pooling is weighted")
        if self.pool_step > self.pool_size:
            raise ValueError("pool_step is wider than pool_size, so positions would be skipped")
        if self.attention_dropout and not (self.attention or self.transformer):
            raise ValueError("attention_dropout needs [model.attention] or [model.transformer]")
        if self.attention_batch_norm and not self.attention:
            raise ValueError("attention_batch_norm needs [model.attention]")
        towers = any((self.dilated, self.tower, self.final))
        for key in ("conv_dropout", "conv_batch_norm"):
            if getattr(self, key) and not towers:
                raise ValueError(f"{key} needs [model.dilated], [model.tower] or [model.final]")
        return self

    @property
    def of_fc(self) -> Activation:
        """Activation of the fully connected layers."""
        return self.fc_activation or self.activation


class DrgCnnConfig(TrunkTable):
    """DRG-like network: strand-aware kernels, activation, pooling, more convolutions, fully connected stack, head."""

    architecture: Literal["drg-cnn"] = flag("drg-cnn", help="name of the architecture")
    heads: dict[str, HeadTable] = flag({}, help="[model.heads.NAME]: what a modality has of its own (default: nothing)")
    profile: ProfileTable | None = flag(
        None, help="[model.profile]: a convolutional head, for targets in bins (default: a fully connected one)"
    )

    @model_validator(mode="before")
    @classmethod
    def _no_hidden_below_profiles(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("profile") is not None and "hidden" not in values:
            return {**values, "hidden": ()}
        return values

    @model_validator(mode="after")
    def _check_profile(self) -> DrgCnnConfig:
        if self.profile is None:
            return self
        for where, table in (("model", self), *((f"heads.{name}", head) for name, head in self.heads.items())):
            if table.hidden or table.fc_layers or table.fc_size:
                raise ValueError(f"{where}: a profile head has no fully connected layers before it; hidden = []")
        if self.fc_batch_norm or self.dropout or self.fc_activation:
            raise ValueError("a profile head has no use for fc_batch_norm, dropout and fc_activation")
        return self
