"""Descriptions of the profile networks and of the Basset-like one. Light: no torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from drg_hpc.config import Options, flag
from drg_hpc.models.config_fields import Size, odd
from drg_hpc.models.header import model_length, read_model_header

Padding = Literal["same", "valid"]
Rectifier = Literal["gelu", "relu"]


class BiasModel(Options):
    """A finished network that is frozen inside another one. A configuration file names its MODEL folder instead."""

    config: DilatedResidualConfig = flag(help="its description")
    length: int = flag(help="its input in bases", ge=1)
    tracks: int = flag(help="its tracks", ge=1)
    bins: int = flag(help="its bins", ge=1)
    span: int = flag(help="bases in the middle that they are of; 0: all", ge=0)
    weights: str = flag(help="sha256 of its weights when they were taken")
    folder: Path | None = Field(default=None, exclude=True, description="where to take them from; not recorded")

    @model_validator(mode="before")
    @classmethod
    def _from_folder(cls, value: Any) -> Any:
        if not isinstance(value, str | Path):
            return value
        header = read_model_header(Path(value))
        if header["architecture"] != "dilated-residual":
            raise ValueError(f"a bias model must be a dilated-residual, this is a {header['architecture']}")
        return {
            "config": header["config"],
            "length": model_length(header),
            "tracks": len(header["tracks"]),
            "bins": header["bins"],
            "span": header["span"],
            "weights": header["weights"]["sha256"],
            "folder": Path(value),
        }


class DilatedResidualConfig(Options):
    """BPNet-like network (Avsec et al. 2021): wide stem, dilated residual convolutions, profile and count heads.

    BPNet as in ChromBPNet: ``first_dilation = 2, profile_size = 75``, and targets for the middle 1,000 of 2,114 bases.
    """

    architecture: Literal["dilated-residual"] = flag("dilated-residual", help="name of the architecture")
    channels: int = flag(64, help="channels of the trunk", ge=1)
    stem_size: int = flag(21, help="width of the first convolution (odd)", ge=1)
    layers: int = flag(8, help="residual layers; layer i = 0, 1, … has dilation first_dilation * 2^i", ge=1, le=20)
    first_dilation: int = flag(1, help="dilation of the first of them", ge=1)
    kernel_size: int = flag(3, help="width of their kernels (odd)", ge=1)
    activation: Rectifier = flag("relu", help="activation of the trunk")
    residual: Literal["conv-activation", "activation-conv"] = flag(
        "conv-activation",
        help="what a layer adds to its input: the activated convolution, or the convolution of the activated input "
        "(the stem is then not activated, the trunk's end is)",
    )
    batch_norm: bool = flag(False, help="batch norm after every convolution of the trunk")
    padding: Padding = flag("same", help="same: zeros beyond the ends; valid: layers get shorter instead")
    profile_size: int = flag(25, help="width of the profile head's convolution (odd)", ge=1)
    profile_bias: bool = flag(True, help="a bias per track in it")
    output: Literal["log-rate", "values"] = flag(
        "log-rate",
        help="log-rate: shape and total of counts, each by its head; values: the profile head's value of a bin is the "
        "prediction, on the scale of the loss (for transformed or signed targets)",
    )
    counts: Literal["per-track", "shared"] = flag(
        "per-track", help="shared: one total, spread by one softmax over the bins of all tracks (both strands, say)"
    )
    counts_bias: bool = flag(True, help="a bias in the counts head")
    counts_margin: int | None = flag(
        None, help="bases beyond each end of the output that the counts head sees too (default: profile_size / 2)", ge=0
    )
    bias_model: BiasModel | None = flag(
        None, help="MODEL of an enzyme's preference, frozen; its profile and counts are added (ChromBPNet)"
    )

    _check_sizes = field_validator("stem_size", "kernel_size", "profile_size")(odd)

    @model_validator(mode="after")
    def _check(self) -> DilatedResidualConfig:
        if self.output == "values":
            for key in ("counts", "counts_bias", "counts_margin", "bias_model"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f'model.{key} has no meaning with output = "values", which has no counts head')
        if self.bias_model is not None and self.bias_model.config.output != "log-rate":
            raise ValueError('model.bias_model must have output = "log-rate"')
        return self


class BassetConfig(Options):
    """Basset-like network (Kelley et al. 2016, 10.1101/gr.200535.115): convolutions and pooling, dense layers, one
    value per track."""

    architecture: Literal["basset"] = flag("basset", help="name of the architecture")
    channels: tuple[Size, ...] = flag((300, 200, 200), help="channels of each convolution", min_length=1)
    sizes: tuple[Size, ...] = flag((19, 11, 7), help="their widths")
    pools: tuple[Size, ...] = flag((3, 4, 4), help="window and step of the max-pooling after each; 1: none")
    padding: Padding = flag("valid", help="same: zeros beyond the ends (odd widths); valid: layers get shorter")
    batch_norm: bool = flag(True, help="batch norm before every activation")
    activation: Rectifier = flag("relu", help="activation of all layers")
    hidden: tuple[Size, ...] = flag((1000, 1000), help="widths of the fully connected layers")
    dropout: float = flag(0.3, help="share of units dropped after each of them", ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> BassetConfig:
        for key in ("sizes", "pools"):
            if len(getattr(self, key)) != len(self.channels):
                raise ValueError(f"model.{key} must have one value for each of model.channels ({len(self.channels)})")
        if self.padding == "same" and any(size % 2 == 0 for size in self.sizes):
            raise ValueError('model.sizes must be odd with padding = "same", so that layers keep positions centred')
        if self.dropout and not self.hidden:
            raise ValueError("model.dropout has no meaning without fully connected layers")
        return self
