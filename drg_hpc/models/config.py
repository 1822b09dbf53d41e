"""Validated descriptions of the architectures; what stands in a config's ``[model]`` table and in model.json."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator

from drg_hpc.config import Options, flag
from drg_hpc.errors import InputError

KernelActivation = Literal["gelu", "relu", "exp"]
Activation = Literal["gelu", "relu"]
Pooling = Literal["max", "mean", "weighted"]
Link = Literal["identity", "logit", "log"]
LINKS: tuple[Link, ...] = ("identity", "logit", "log")


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd, so that the layer keeps positions centred")
    return value


class DrgCnnConfig(Options):
    """DRG-like network: strand-aware kernels, activation, pooling, more convolutions, fully connected stack, head."""

    architecture: Literal["drg-cnn"] = flag("drg-cnn", help="name of the architecture")
    kernels: int = flag(128, help="kernels of the first convolution", ge=1)
    kernel_size: int = flag(15, help="their width in bases", ge=1)
    kernel_bias: bool = flag(True, help="a bias per kernel")
    kernel_activation: KernelActivation = flag("gelu", help="activation after the first convolution")
    strands: Literal["max", "mean", "off"] = flag("max", help="how the scans of both strands are joined")
    pooling: Pooling = flag("max", help="pooling after the kernels; weighted: by the softmax inside each window")
    pool_size: int = flag(10, help="window and step of that pooling", ge=1)
    conv_channels: tuple[Annotated[int, Field(ge=1)], ...] = flag((), help="channels of each further convolution")
    conv_size: int = flag(5, help="their width (odd)", ge=1)
    conv_pooling: Pooling = flag("max", help="pooling after each of them")
    conv_pool_size: int = flag(1, help="window and step of that pooling; 1: none", ge=1)
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = flag((128,), help="widths of the fully connected layers")
    activation: Activation = flag("gelu", help="activation of all layers but the first")
    dropout: float = flag(0.0, help="share of units dropped before the head and between hidden layers", ge=0, lt=1)

    _check_size = field_validator("conv_size")(_odd)


class DilatedResidualConfig(Options):
    """BPNet-like network (Avsec et al. 2021): wide stem, dilated residual convolutions, profile and count heads."""

    architecture: Literal["dilated-residual"] = flag("dilated-residual", help="name of the architecture")
    channels: int = flag(64, help="channels of the trunk", ge=1)
    stem_size: int = flag(21, help="width of the first convolution (odd)", ge=1)
    layers: int = flag(8, help="residual layers; layer i has dilation 2^i", ge=1, le=20)
    kernel_size: int = flag(3, help="width of their kernels (odd)", ge=1)
    profile_size: int = flag(25, help="width of the profile head's convolution (odd)", ge=1)
    activation: Activation = flag("relu", help="activation of the trunk")

    _check_sizes = field_validator("stem_size", "kernel_size", "profile_size")(_odd)


AnyConfig = DrgCnnConfig | DilatedResidualConfig
ModelConfig = Annotated[AnyConfig, Field(discriminator="architecture")]
_ADAPTER: TypeAdapter[AnyConfig] = TypeAdapter(ModelConfig)


def config_from_json(values: dict[str, Any], *, source: str) -> AnyConfig:
    """The config that ``model_dump(mode="json")`` wrote.

    Raises
    ------
    InputError : unknown architecture, or a key or value that it does not know
    """
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"]) or "architecture"
        value = values.get("architecture") if key == "architecture" else fault.get("input")
        raise InputError(
            f"{source}: {key} = {value!r}: {fault['msg']}", fix="it may come from a newer version of drg_hpc"
        ) from None
