"""Towers of convolutions with residuals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from drg_hpc.errors import UsageError
from drg_hpc.models.blocks import KeyedDropout
from drg_hpc.models.blocks_activations import activation
from drg_hpc.models.blocks_layout import in_order, same_conv, same_length
from drg_hpc.models.blocks_pooling import DilatedMean, pooled_length, pooling, shortcut_pooling
from drg_hpc.models.config_drg import TrunkTable
from drg_hpc.models.config_drg_tables import TowerTable

Named = tuple[str, nn.Module]


class TowerLayer(nn.Module):
    """One layer of a :class:`Tower`.

    Attributes
    ----------
    main : batch norm, activation, pad, convolution
    shortcut : what is done to the tensor that is added; None where nothing is
    after : dropout, pooling
    """

    def __init__(self, *, main: nn.Sequential, shortcut: nn.Sequential | None, after: nn.Sequential) -> None:
        super().__init__()
        self.main, self.shortcut, self.after = main, shortcut, after


class Tower(nn.Module):
    """Convolutions with residuals.

    With ``residual = "standard"`` the shortcut starts at the input of the layers since the last sum. DRG's rule
    (``"drg"``) is another: it starts at the output of the convolution at the last sum, before anything was added to it
    and before it was pooled, so that poolings since then are repeated on the shortcut.
    """

    def __init__(self, layers: list[TowerLayer], *, residual: str, concatenate: bool) -> None:
        super().__init__()
        self.residual, self.concatenate = residual, concatenate
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = x
        for layer in self.layers:
            assert isinstance(layer, TowerLayer)
            out = layer.main(x)
            x = out
            if layer.shortcut is not None:
                past = layer.shortcut(kept)
                x = torch.cat([out, past], dim=1) if self.concatenate else out + past
            x = layer.after(x)
            if layer.shortcut is not None:
                kept = out if self.residual == "drg" else x
        return x


@dataclass
class _State:
    """Where the building of a tower stands.

    Attributes
    ----------
    channels, length : of what the next layer takes
    width : channels of the last convolution
    kept : channels of what the next shortcut starts from
    past : layers that were passed since then, as they are on the shortcut
    """

    channels: int
    length: int
    width: int
    kept: int
    past: list[nn.Module]


class TowerBuilder:
    """Builds the tower that a table describes.

    Parameters
    ----------
    name : of the table, for messages
    channels, length : of what comes in
    """

    def __init__(self, table: TowerTable, trunk: TrunkTable, *, name: str, channels: int, length: int) -> None:
        self._table, self._trunk, self._name = table, trunk, name
        self._state = _State(channels, length, width=channels, kept=channels, past=[])

    def build(self) -> tuple[Tower, int, int]:
        """The tower, and channels and positions that come out.

        Raises
        ------
        UsageError : the sequence becomes shorter than a kernel or a window
        """
        table = self._table
        layers = [self._layer(number) for number in range(table.layers)]
        tower = Tower(layers, residual=table.residual, concatenate=table.concatenate)
        return tower, self._state.channels, self._state.length

    def _layer(self, number: int) -> TowerLayer:
        table, state = self._table, self._state
        size, dilation, stride = table.sizes_of(number)
        out = table.channels_of(number) or state.width
        self._require(number, size, "kernel")
        main: list[Named] = []
        if self._trunk.conv_batch_norm:
            main.append(("norm", nn.BatchNorm1d(state.channels)))
        main.append(("activation", activation(self._trunk.activation)))
        main += same_conv(state.channels, out, size, dilation=dilation, stride=stride, bias=table.bias)
        if stride > 1:
            state.past.append(DilatedMean(size, stride=stride, dilation=dilation, length=state.length))
        state.length = same_length(state.length, size, dilation=dilation, stride=stride)
        state.channels = state.width = out
        shortcut = self._shortcut(number, out)
        after = self._after(number, joined=shortcut is not None)
        return TowerLayer(main=in_order(main), shortcut=shortcut, after=after)

    def _shortcut(self, number: int, out: int) -> nn.Sequential | None:
        table, state = self._table, self._state
        if table.residual == "none" or (number + 1) % table.residual_every:
            return None
        layers: list[Named] = []
        if state.kept != out and not table.concatenate:
            layers.append(("project", nn.Conv1d(state.kept, out, 1, bias=False)))
        layers += [(f"pool{i}", pool) for i, pool in enumerate(state.past)]
        if table.concatenate:
            state.channels = out + state.kept
        state.past = []
        state.kept = out if table.residual == "drg" else state.channels
        return in_order(layers)

    def _after(self, number: int, *, joined: bool) -> nn.Sequential:
        table, state = self._table, self._state
        layers: list[Named] = []
        if self._trunk.conv_dropout > 0:
            layers.append(("dropout", KeyedDropout(self._trunk.conv_dropout)))
        if table.pool_size > 1 and (number + 1) % table.pool_every == 0:
            self._require(number, table.pool_size, "pooling window")
            length, pad_with = state.length, self._trunk.pool_pad
            pool = pooling(
                table.pooling, table.pool_size, length=length, floor=None, pad_with=pad_with,
                what=f"the output of a convolution ([model.{self._name}]) has",
            )  # fmt: skip
            layers.append(("pool", pool))
            if table.residual != "none" and not (joined and table.residual == "standard"):
                state.past.append(shortcut_pooling(table.pooling, table.pool_size, length=length, pad_with=pad_with))
            state.length = pooled_length(length, table.pool_size)
        return in_order(layers)

    def _require(self, number: int, width: int, what: str) -> None:
        if width > self._state.length:
            raise UsageError(
                f"model.{self._name}: layer {number} has {self._state.length} positions left, fewer than its {what} "
                f"({width})",
                fix="use fewer layers or smaller windows",
            )
