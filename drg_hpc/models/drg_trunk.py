"""The stages of a DRG network of one sequence, as one chain of named layers."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from drg_hpc.errors import UsageError
from drg_hpc.models.blocks import KeyedDropout, StrandMax, StrandMean, StrandScan, StrandWeighted
from drg_hpc.models.blocks_activations import activation, activation_minimum
from drg_hpc.models.blocks_layout import Add, Pad, in_order
from drg_hpc.models.blocks_pooling import pooled_length, pooling
from drg_hpc.models.config_drg import TrunkTable
from drg_hpc.models.config_drg_tables import FcTable
from drg_hpc.models.drg_long_range import attention_stage, gapped_stage, transformer_stage
from drg_hpc.models.drg_tower import TowerBuilder

Named = tuple[str, nn.Module]
BACKGROUND = 0.25
"""What a padded position has in each of the four channels."""


@dataclass
class Chain:
    """Layers so far, and what comes out of them.

    Parameters
    ----------
    channels : of ``(batch, channels, length)``, or width of ``(batch, width)`` once flat
    length : positions; 0 once flat
    """

    channels: int
    length: int
    layers: list[Named] = field(default_factory=list)

    def add(self, layers: list[Named], channels: int, length: int) -> None:
        """Append layers that give ``channels`` and ``length``."""
        self.layers += layers
        self.channels, self.length = channels, length


def convolutional_trunk(config: TrunkTable, length: int) -> Chain:
    """All stages before the fully connected ones.

    Raises
    ------
    UsageError : a kernel or a window is wider than what reaches it, or weighted pooling has no minimum to pad with
    """
    chain = Chain(4, length + 2 * config.pad)
    if config.pad:
        chain.layers.append(("pad", Pad(config.pad, config.pad, BACKGROUND)))
    _first_layer(chain, config)
    _plain_convolutions(chain, config)
    _tower(chain, config, "dilated")
    if config.embedding_channels:
        embedding = nn.Conv1d(chain.channels, config.embedding_channels, 1, bias=False)
        chain.add([("embedding", embedding)], config.embedding_channels, chain.length)
    if config.attention is not None:
        chain.add(*attention_stage(config, channels=chain.channels, length=chain.length))
    if config.transformer is not None:
        chain.add(*transformer_stage(config, channels=chain.channels), chain.length)
    _tower(chain, config, "tower")
    if config.gapped:
        chain.add(*gapped_stage(config, channels=chain.channels, length=chain.length))
    _tower(chain, config, "final")
    return chain


def _first_layer(chain: Chain, config: TrunkTable) -> None:
    """Kernels on one or both strands, activation, pooling."""
    if config.pool_size > chain.length:
        raise UsageError(f"model.pool_size = {config.pool_size} is wider than the sequences ({chain.length} bases)")
    if config.strands == "off":
        conv = nn.Conv1d(4, config.kernels, config.kernel_size, padding="same", bias=config.kernel_bias)
        chain.layers.append(("scan", conv))
    else:
        join = {"max": StrandMax, "mean": StrandMean, "weighted": StrandWeighted}[config.strands]
        scan = StrandScan(config.kernels, config.kernel_size, bias=config.kernel_bias)
        chain.layers += [("scan", scan), ("strands", join())]
    chain.layers.append(("kernel_activation", activation(config.kernel_activation)))
    chain.channels = config.kernels
    if config.pool_size > 1:
        pool = pooling(
            config.pooling, config.pool_size, length=chain.length, step=config.pool_step, pad_with=config.pool_pad,
            floor=activation_minimum(config.kernel_activation), what=f"the activation {config.kernel_activation!r} has",
        )  # fmt: skip
        channels = chain.channels * (2 if config.pooling == "max+mean" else 1)
        chain.add([("pool", pool)], channels, pooled_length(chain.length, config.pool_size, config.pool_step))


def _plain_convolutions(chain: Chain, config: TrunkTable) -> None:
    """Convolution, activation, pooling, for each of ``conv_channels``."""
    size = config.conv_pool_size
    for i, width in enumerate(config.conv_channels):
        conv = nn.Conv1d(chain.channels, width, config.conv_size, padding=config.conv_size // 2)
        layers: list[Named] = [(f"conv{i}", conv), (f"conv{i}_activation", activation(config.activation))]
        length = chain.length
        if size > 1:
            pool = pooling(
                config.conv_pooling, size, length=length, floor=activation_minimum(config.activation),
                pad_with=config.pool_pad, what=f"the activation {config.activation!r} has",
            )  # fmt: skip
            layers.append((f"conv{i}_pool", pool))
            length = pooled_length(length, size)
        chain.add(layers, width, length)


def _tower(chain: Chain, config: TrunkTable, name: str) -> None:
    table = getattr(config, name)
    if table is not None:
        builder = TowerBuilder(table, config, name=name, channels=chain.channels, length=chain.length)
        tower, channels, length = builder.build()
        chain.add([(name, tower)], channels, length)


@dataclass(frozen=True)
class FcStyle:
    """What the layers of a fully connected stack have in common."""

    activation: str
    dropout: float
    batch_norm: bool


def fc_widths(table: FcTable, width: int) -> list[int]:
    """Widths of the fully connected layers of a table, given the width that comes in.

    By DRG's rule, n layers on w inputs: n // 2 times ``int(widening * w)``, once unchanged where n is odd, n // 2 times
    ``int(w / widening)``, the last one as wide as the input.
    """
    if not table.fc_layers:
        return list(table.hidden)
    half, middle = divmod(table.fc_layers, 2)
    widths, now = [], width
    for step in ["up"] * half + ["same"] * middle + ["down"] * half:
        now = {"up": int(table.fc_widening * now), "same": now, "down": int(now / table.fc_widening)}[step]
        widths.append(now)
    return [*widths[:-1], width]


def fc_stack(chain: Chain, table: FcTable, style: FcStyle) -> None:
    """Append a linear layer without activation, then fully connected ones, to a flat chain."""
    if table.fc_size:
        chain.add([("fc_embedding", nn.Linear(chain.channels, table.fc_size))], table.fc_size, 0)
    widths = fc_widths(table, chain.channels)
    if not table.fc_residual:
        for i, units in enumerate(widths):
            chain.add(_fc_layer(i, chain.channels, units, style), units, 0)
        return
    for first in range(0, len(widths), table.fc_residual):
        group = widths[first : first + table.fc_residual]
        inner, width = Chain(chain.channels, 0), chain.channels
        for i, units in enumerate(group, start=first):
            inner.add(_fc_layer(i, inner.channels, units, style), units, 0)
        if len(group) == table.fc_residual:
            past = nn.Linear(width, inner.channels, bias=False)
            chain.add([(f"fc_block{first}", Add([in_order(inner.layers), past]))], inner.channels, 0)
        else:
            chain.add(inner.layers, inner.channels, 0)


def _fc_layer(number: int, width: int, units: int, style: FcStyle) -> list[Named]:
    layers: list[Named] = [(f"fc{number}_norm", nn.BatchNorm1d(width))] if style.batch_norm else []
    layers.append((f"fc{number}", nn.Linear(width, units)))
    layers.append((f"fc{number}_activation", activation(style.activation)))
    if style.dropout > 0:
        layers.append((f"fc{number}_dropout", KeyedDropout(style.dropout)))
    return layers


def flat_trunk(config: TrunkTable, length: int) -> Chain:
    """All stages to the end of the fully connected ones, ``(batch, 4, length) -> (batch, width)``.

    Raises
    ------
    UsageError : see :func:`convolutional_trunk`
    """
    chain = convolutional_trunk(config, length)
    chain.add([("flatten", nn.Flatten())], chain.channels * chain.length, 0)
    fc_stack(chain, config, fc_style(config))
    return chain


def fc_style(config: TrunkTable) -> FcStyle:
    """What a network's table says of its fully connected layers."""
    return FcStyle(config.of_fc, config.dropout, config.fc_batch_norm)
