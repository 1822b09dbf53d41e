"""The validated description of Borzoi-like networks. Light: no torch here."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator, model_validator

from drg_hpc.config import Options, flag
from drg_hpc.models.config_fields import Size, odd

POOL = 2
"""Window and step of every pooling, and the factor of every upsampling step."""


class BorzoiConfig(Options):
    """Borzoi-like network (Linder et al. 2025): convolutions and poolings, a transformer, upsampling with skips, heads.

    The defaults are the published full size.
    """

    architecture: Literal["borzoi"] = flag("borzoi", help="name of the architecture")
    stem_channels: int = flag(512, help="kernels of the first convolution", ge=1)
    stem_size: int = flag(15, help="their width in bases (odd)", ge=1)
    tower_channels: tuple[Size, ...] = flag(
        (608, 736, 896, 1056, 1280, 1536),
        help="channels of each convolution of the tower; the last one is the width of the transformer",
        min_length=1,
    )
    tower_size: int = flag(5, help="their width (odd)", ge=1)
    depth: int = flag(8, help="transformer blocks", ge=0)
    heads: int = flag(8, help="attention heads", ge=1)
    key_size: int = flag(64, help="size of a head's queries and keys", ge=1)
    value_size: int | None = flag(
        None, help="size of a head's values (default: width of the transformer over heads)", ge=1
    )
    position_features: int = flag(32, help="features of the distance between two tokens (even)", ge=2)
    mask_tokens: int | None = flag(
        None, help="tokens that the widths of these features are made for (default: those of the input)", ge=1
    )
    expansion: float = flag(2.0, help="width of the transformer's hidden layers, relative to its own", gt=0)
    unet: int = flag(2, help="upsampling steps after the transformer, each with a skip connection", ge=0)
    upsample_conv: bool = flag(True, help="a width-1 convolution before each upsampling")
    separable_size: int = flag(3, help="width of the convolution after each upsampling (odd)", ge=1)
    crop: int | None = flag(None, help="bins left out at each side (default: as many as the targets leave out)", ge=0)
    final_channels: int = flag(1920, help="channels of the convolution before the heads; 0: none", ge=0)
    dropout: float = flag(0.2, help="share dropped in the transformer's residual branches", ge=0, lt=1)
    attention_dropout: float = flag(0.05, help="share of attention weights dropped", ge=0, lt=1)
    position_dropout: float = flag(0.01, help="share of position features dropped", ge=0, lt=1)
    final_dropout: float = flag(0.1, help="share dropped before the heads", ge=0, lt=1)
    norm_momentum: float = flag(
        0.1, help="weight of a batch in the running statistics of batch normalisation", gt=0, le=1
    )

    _check_sizes = field_validator("stem_size", "tower_size", "separable_size")(odd)

    @field_validator("position_features")
    @classmethod
    def _check_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even: half of the features see the sign of the distance")
        return value

    @model_validator(mode="after")
    def _check(self) -> BorzoiConfig:
        if self.value_size is None and self.channels % self.heads:
            raise ValueError(f"heads = {self.heads} does not divide the transformer's width {self.channels}")
        if self.unet > len(self.tower_channels):
            raise ValueError(
                f"unet = {self.unet}: there are skip connections for {len(self.tower_channels)} steps at most"
            )
        return self

    @property
    def channels(self) -> int:
        """Width of the transformer and of everything after it."""
        return self.tower_channels[-1]

    @property
    def token_size(self) -> int:
        """Bases of a token."""
        return int(POOL ** (1 + len(self.tower_channels)))

    @property
    def bin_size(self) -> int:
        """Bases of an output bin."""
        return self.token_size // int(POOL**self.unet)
