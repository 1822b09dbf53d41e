"""The parts that DRG networks are described by, each a table of a configuration file. Light: no torch here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from drg_hpc.config import Options, flag
from drg_hpc.models.config_fields import Size

Activation = Literal[
    "gelu", "relu", "relu-offset", "sigmoid", "tanh", "sin", "identity", "clamp", "clamped-gelu", "clamped-relu"
]
KernelActivation = Literal[
    "gelu", "relu", "exp", "exp128", "relu-offset", "sigmoid", "tanh", "sin", "identity", "clamp", "squared", "cubed",
    "clamped-gelu", "clamped-relu",
]  # fmt: skip
OutputActivation = Literal[
    "none", "softmax", "position-softmax", "gelu", "relu", "exp", "exp128", "relu-offset", "sigmoid", "tanh", "sin",
    "clamp", "squared", "cubed", "clamped-gelu", "clamped-relu",
]  # fmt: skip
Pooling = Literal["max", "mean", "weighted"]
KernelPooling = Literal["max", "mean", "weighted", "max+mean"]
PoolPad = Literal["activation-minimum", "mask", "batch-minimum"]
Strands = Literal["max", "mean", "weighted", "off"]


class FcTable(Options):
    """A fully connected stack."""

    hidden: tuple[Size, ...] = flag((), help="widths of the fully connected layers")
    fc_layers: int = flag(
        0, help="instead of hidden: so many layers, the first half each wider by fc_widening than the one before, the "
        "second half narrower again, a middle one in between where the number is odd",
        ge=0,
    )  # fmt: skip
    fc_widening: float = flag(1.1, help="see fc_layers", ge=1)
    fc_size: int = flag(
        0, help="width of a linear layer without activation before the fully connected layers; 0: none", ge=0
    )
    fc_residual: int = flag(
        0, help="add to the output of every so many fully connected layers a linear map of their input; 0: never", ge=0
    )

    @model_validator(mode="before")
    @classmethod
    def _one_rule(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("fc_layers") and "hidden" not in values:
            return {**values, "hidden": ()}
        return values

    @model_validator(mode="after")
    def _check_rule(self) -> FcTable:
        if self.fc_layers and self.hidden:
            raise ValueError("hidden and fc_layers exclude each other")
        return self


class TowerTable(Options):
    """A tower of convolutions; each layer is batch norm, activation, convolution, residual, dropout, pooling."""

    layers: int = flag(help="number of convolutions", ge=1)
    channels: tuple[Size, ...] = flag((), help="their channels: one number for all, or one each (default: unchanged)")
    sizes: tuple[Size, ...] = flag((5,), help="width of their kernels: one for all, or one each")
    dilations: tuple[Size, ...] = flag((1,), help="dilation: one for all, or one each")
    strides: tuple[Size, ...] = flag((1,), help="stride: one for all, or one each")
    bias: bool = flag(True, help="a bias per channel")
    pooling: Pooling = flag("max", help="kind of pooling")
    pool_size: int = flag(1, help="window and step of the pooling; 1: none", ge=1)
    pool_every: int = flag(1, help="pool after every so many layers", ge=1)
    residual: Literal["standard", "drg", "none"] = flag(
        "standard",
        help="what is added to a convolution's output: the input of the layers since the last sum (standard), or the "
        "output of the convolution at the last sum, before anything was added to it (drg)",
    )
    residual_every: int = flag(1, help="add it after every so many layers", ge=1)
    concatenate: bool = flag(False, help="put it beside the output as more channels, instead of adding it")

    @model_validator(mode="after")
    def _check_lists(self) -> TowerTable:
        for key in ("channels", "sizes", "dilations", "strides"):
            count = len(getattr(self, key))
            if count not in ((0, 1, self.layers) if key == "channels" else (1, self.layers)):
                raise ValueError(f"{key} has {count} numbers for {self.layers} layers; give one, or one each")
        if self.residual == "none" and self.concatenate:
            raise ValueError('concatenate = true needs a residual, which residual = "none" leaves out')
        return self

    def sizes_of(self, layer: int) -> tuple[int, int, int]:
        """Width, dilation and stride of a layer's kernels."""
        return _of(self.sizes, layer), _of(self.dilations, layer), _of(self.strides, layer)

    def channels_of(self, layer: int) -> int:
        """Channels of a layer, 0 where they stay unchanged."""
        return _of(self.channels, layer) if self.channels else 0


def _of(values: tuple[int, ...], layer: int) -> int:
    return values[layer] if len(values) > 1 else values[0]


class AttentionTable(Options):
    """Blocks of attention over all pairs of positions, with a positional code of sines."""

    blocks: int = flag(1, help="number of blocks", ge=1)
    heads: int = flag(4, help="heads of each", ge=1)
    key_factor: float = flag(2.5, help="channels of a head's keys and queries, times the block's channels", gt=0)
    value_size: int = flag(0, help="channels of a head's values, and of the block's output; 0: as the keys", ge=0)
    sum_heads: bool = flag(False, help="add up the values of the heads, instead of putting them side by side")
    pooling: Literal["max", "weighted"] = flag("max", help="kind of pooling after each block")
    pool_size: int = flag(1, help="window and step of the pooling; 1: none", ge=1)


class TransformerTable(Options):
    """Transformer encoder layers (post-norm) on copies of the channels, one a head; without a positional code."""

    layers: int = flag(1, help="number of layers", ge=1)
    heads: int = flag(4, help="heads; the channels are repeated so many times", ge=1)
    width_factor: float = flag(2.5, help="width of the feed-forward layer, times the repeated channels", gt=0)
    sum_heads: bool = flag(False, help="add up the copies at the end")


class GappedTable(Options):
    """A convolution whose kernel is two halves with a gap between them."""

    channels: int = flag(help="channels", ge=1)
    size: int = flag(help="width of each half", ge=1)
    gap: int = flag(help="positions between the halves", ge=0)
    stride: int = flag(1, help="stride", ge=1)


class ProfileTable(Options):
    """A convolutional head for targets in bins."""

    size: int = flag(1, help="width of the head's convolution", ge=1)
    stride: int = flag(1, help="its stride", ge=1)
    counts: bool = flag(
        False,
        help="the shape, a softmax over the bins, times a total, the GELU of a linear map of the mean over positions",
    )


class HeadTable(FcTable):
    """What one modality has of its own, after the layers that all share."""

    output: OutputActivation = flag(
        "none", help="function of the head's output, for losses with the identity link; softmax is over its tracks"
    )
