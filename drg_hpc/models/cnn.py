"""The DRG-like convolutional network."""

from __future__ import annotations

import torch

from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.blocks_layout import in_order
from drg_hpc.models.config_drg import DrgCnnConfig
from drg_hpc.models.drg_heads import add_heads
from drg_hpc.models.drg_trunk import convolutional_trunk, flat_trunk


class DrgCnn(SequenceModel):
    """Kernels on both strands, activation, pooling, towers, attention, fully connected stack, heads.

    One chain of small modules, ``layers``; each one's receptive field can be read from its attributes. Several heads
    are branches of its last one, ``layers.heads``.

    Raises
    ------
    UsageError : a kernel or window is wider than what reaches it, weighted pooling has no minimum to pad with, or a
        head does not fit
    """

    def __init__(self, config: DrgCnnConfig, shape: ModelShape) -> None:
        super().__init__(shape)
        build = convolutional_trunk if config.profile is not None else flat_trunk
        chain = build(config, shape.length)
        add_heads(chain, config, shape)
        self.layers = in_order(chain.layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return out
