"""Heads of the DRG family."""

from __future__ import annotations

import torch
from torch import nn

from drg_hpc.errors import UsageError
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.blocks import PositionMean
from drg_hpc.models.blocks_activations import activation
from drg_hpc.models.blocks_layout import Concatenate, Crop, in_order, same_conv, same_length
from drg_hpc.models.config_drg import DrgCnnConfig
from drg_hpc.models.config_drg_tables import HeadTable, ProfileTable
from drg_hpc.models.drg_trunk import Chain, FcStyle, Named, fc_stack, fc_style


def output_layers(name: str, *, head: HeadShape, bins: int) -> list[Named]:
    """The function of a head's output.

    Raises
    ------
    UsageError : the head's loss wants another scale, or a softmax over one track or over no bins
    """
    if name == "none":
        return []
    if head.link != "identity":
        raise UsageError(
            f"model: output = {name!r} of {head.name!r} with a loss on the {head.link} scale, which has a function of "
            "its own",
            fix='leave output at "none"',
        )
    if name == "softmax":
        if head.tracks < 2:
            raise UsageError(f"model: a softmax over the tracks of {head.name!r}, which has {head.tracks}")
        return [("output", nn.Softmax(dim=1))]
    if name == "position-softmax":
        if not bins:
            raise UsageError(f"model: output = {name!r} of {head.name!r}, whose targets have no bins")
        return [("output", nn.Softmax(dim=2))]
    return [("output", activation(name))]


def linear_head(chain: Chain, *, head: HeadShape, bins: int, output: str, batch_norm: bool) -> None:
    """Append the head of one modality to a flat chain: ``(batch, width) -> (batch, tracks[, bins])``."""
    if batch_norm:
        chain.layers.append(("head_norm", nn.BatchNorm1d(chain.channels)))
    chain.layers.append(("head", nn.Linear(chain.channels, head.tracks * max(bins, 1))))
    if bins:
        chain.layers.append(("bins", nn.Unflatten(1, (head.tracks, bins))))
    chain.layers += output_layers(output, head=head, bins=bins)


class ShapeTimesTotal(nn.Module):
    """Softmax over bins of ``shape(x)`` times ``total(x)``: ``(batch, channels, length) -> (batch, tracks, bins)``."""

    def __init__(self, shape: nn.Module, total: nn.Module) -> None:
        super().__init__()
        self.shape, self.total = shape, total

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.softmax(self.shape(x), dim=-1) * self.total(x)[..., None]
        return out


def profile_head(
    table: ProfileTable, chain: Chain, *, head: HeadShape, shape: ModelShape, bases: int, output: str
) -> nn.Module:
    """The convolutional head of one modality, ``(batch, channels, length) -> (batch, tracks, bins)``.

    Positions beyond the bins, as many on both sides (of an odd number one more on the right), are left out; where a bin
    has several positions it is their mean.

    Parameters
    ----------
    bases : that the chain takes, with their padding

    Raises
    ------
    UsageError : positions and bins do not fit, or do not begin at the same bases
    """
    if not shape.bins:
        raise UsageError("[model.profile] needs targets in bins, this store has one value per track",
                         fix="leave the table out, or shard with --bin")  # fmt: skip
    positions = same_length(chain.length, table.size, stride=table.stride)
    width = shape.covered / shape.bins * positions / bases  # positions of a bin
    if width < 1 or width != int(width):
        raise UsageError(
            f"[model.profile]: {shape.bins} bins of {shape.covered} bases are of {width:g} positions each, of the "
            f"{positions} that the network has for {bases} bases",
            fix="choose pool sizes and strides so that a bin is one position or several",
        )
    layers = same_conv(chain.channels, head.tracks, table.size, stride=table.stride)
    left = (positions - shape.bins * int(width)) // 2
    right = positions - shape.bins * int(width) - left
    if beside := abs(left * bases / positions - (bases - shape.covered) // 2):
        raise UsageError(
            f"[model.profile]: positions of {bases / positions:g} bases begin {beside:g} bases beside the {shape.bins} "
            f"bins in the middle of {shape.length} bases",
            fix="choose model.pad, pool sizes and strides so that positions and bins begin at the same bases",
        )
    if left or right:
        layers.append(("crop", Crop(left, right)))
    if width > 1:
        layers.append(("bins", nn.AvgPool1d(int(width))))
    main: nn.Module = in_order(layers)
    if table.counts:
        total = [("mean", PositionMean()), ("total", nn.Linear(chain.channels, head.tracks)), ("activation", nn.GELU())]
        main = ShapeTimesTotal(main, in_order(total))
    return in_order([("profile", main), *output_layers(output, head=head, bins=shape.bins)])


def add_heads(chain: Chain, config: DrgCnnConfig, shape: ModelShape) -> None:
    """Append the heads of all modalities: one goes on with the chain, several are branches side by side.

    Raises
    ------
    UsageError : a table for a modality that is not there, or a head that does not fit
    """
    known = [head.name for head in shape.heads]
    if unknown := [name for name in config.heads if name not in known]:
        raise UsageError(f"[model.heads.{unknown[0]}]: no such modality", fix=f"there is {', '.join(known)}")
    tables = [config.heads.get(name, HeadTable()) for name in known]
    branches = [
        _branch(chain, config, head=head, table=table, shape=shape)
        for head, table in zip(shape.heads, tables, strict=True)
    ]
    if len(branches) == 1:
        chain.layers += branches[0]
    else:
        chain.layers.append(("heads", Concatenate(in_order(branch) for branch in branches)))


def _branch(
    chain: Chain, config: DrgCnnConfig, *, head: HeadShape, table: HeadTable, shape: ModelShape
) -> list[Named]:  # fmt: skip
    if config.profile is not None:
        bases = shape.length + 2 * config.pad
        return list(
            profile_head(config.profile, chain, head=head, shape=shape, bases=bases, output=table.output)
            .named_children()
        )  # fmt: skip
    own = Chain(chain.channels, 0)
    style: FcStyle = fc_style(config)
    fc_stack(own, table, style)
    single = len(shape.heads) == 1
    if single:  # names go on after those of the shared layers
        own.layers = [(f"own_{name}", layer) for name, layer in own.layers]
    linear_head(own, head=head, bins=shape.bins, output=table.output, batch_norm=style.batch_norm)
    return own.layers
