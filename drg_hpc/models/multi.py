"""Networks of several sequences, whose outputs are combined by further layers or by formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from drg_hpc.errors import UsageError
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel, Sequences
from drg_hpc.models.blocks_activations import activation
from drg_hpc.models.blocks_layout import in_order
from drg_hpc.models.config_drg import TrunkTable
from drg_hpc.models.config_multi import CombinedHeadTable, MultiInputConfig
from drg_hpc.models.drg_heads import linear_head, output_layers
from drg_hpc.models.drg_trunk import Chain, FcStyle, fc_stack, flat_trunk

_LARGEST = 2048.0  # of exp-difference
_TINY = 1e-12  # keeps fraction from 0 / 0


class Formula(nn.Module):
    """A combination of tensors a, b of one shape; no weights.

    ``direct`` a; ``difference`` a - b; ``exp-difference`` exp(min(a - b, ln 2048)); ``fraction``
    (relu(a) + 1e-12) / (relu(b) + 1e-12); ``log-X`` log(offset + X) / log(base). ``log-direct`` is NaN where a is not
    above -offset.
    """

    def __init__(self, name: str, *, base: float, offset: float) -> None:
        super().__init__()
        self.name, self.base, self.offset = name, base, offset

    def forward(self, values: Sequence[torch.Tensor]) -> torch.Tensor:
        name = self.name.removeprefix("log-")
        if name == "direct":
            out = values[0]
        elif name == "fraction":
            out = (torch.relu(values[0]) + _TINY) / (torch.relu(values[1]) + _TINY)
        else:
            out = values[0] - values[1]
        if name == "exp-difference":
            out = torch.exp(torch.clamp(out, max=math.log(_LARGEST)))
        return torch.log(self.offset + out) / math.log(self.base) if name != self.name else out

    def extra_repr(self) -> str:
        return self.name


class NeuralHead(nn.Module):
    """Vectors of the chosen inputs side by side, fully connected layers, and a linear head."""

    def __init__(self, inputs: Sequence[int], layers: nn.Sequential) -> None:
        super().__init__()
        self.inputs, self.layers = tuple(inputs), layers

    def forward(self, vectors: Sequence[torch.Tensor]) -> torch.Tensor:
        out: torch.Tensor = self.layers(torch.cat([vectors[i] for i in self.inputs], dim=1))
        return out


class FormulaHead(nn.Module):
    """A number per track of each chosen input, and a :class:`Formula` of them.

    Attributes
    ----------
    values : what makes the numbers of each chosen input from its vector
    """

    def __init__(
        self, inputs: Sequence[int], *, values: nn.ModuleList, formula: Formula, output: nn.Sequential
    ) -> None:  # fmt: skip
        super().__init__()
        self.inputs, self.values, self.formula, self.output = tuple(inputs), values, formula, output

    def forward(self, vectors: Sequence[torch.Tensor]) -> torch.Tensor:
        numbers = [value(vectors[i]) for i, value in zip(self.inputs, self.values, strict=True)]
        out: torch.Tensor = self.output(self.formula(numbers))
        return out


class MultiInput(SequenceModel):
    """One DRG network per input, and a head per modality.

    Attributes
    ----------
    networks : the different networks, ``(batch, 4, length) -> (batch, width)``
    network_of : which of them each input uses
    shared_values : what makes the numbers that all formulas take, by network; empty where each has its own
    heads : in the order of the tracks

    Raises
    ------
    UsageError : names of inputs or modalities that are not there, a formula of a wrong number of inputs, or a network
        that does not fit its sequences
    """

    def __init__(self, config: MultiInputConfig, shape: ModelShape) -> None:
        super().__init__(shape)
        self._names = list(shape.inputs)
        _check_names(config, shape)
        chains = self._build_networks(config)
        widths = [chains[number].channels for number in self.network_of]
        self.shared_values = self._build_shared_values(config, chains)
        self.heads = nn.ModuleList(self._build_head(head, config, widths) for head in shape.heads)

    def _build_networks(self, config: MultiInputConfig) -> list[Chain]:
        keys: list[tuple[str, int]] = []
        chains: list[Chain] = []
        self.network_of: list[int] = []
        for name, length in self.shape.inputs.items():
            table = config.own.get(name, config.trunk)
            if name in config.strands:
                table = table.model_copy(update={"strands": config.strands[name]})
            key = (table.model_dump_json(), length)
            if config.shared and key in keys:
                self.network_of.append(keys.index(key))
                continue
            keys.append(key)
            chains.append(_network(table, config, length))
            self.network_of.append(len(chains) - 1)
        self.networks = nn.ModuleList(in_order(chain.layers) for chain in chains)
        return chains

    def _build_shared_values(self, config: MultiInputConfig, chains: list[Chain]) -> nn.ModuleList:
        if not config.share_values:
            return nn.ModuleList()
        if len({head.tracks for head in self.shape.heads}) > 1:
            raise UsageError("model.share_values needs modalities of equally many tracks",
                             fix="leave it out: then each has a layer of its own")  # fmt: skip
        head = self.shape.heads[0]
        return nn.ModuleList(_values(chain.channels, head, config, bins=self.bins) for chain in chains)

    def _build_head(self, head: HeadShape, config: MultiInputConfig, widths: list[int]) -> nn.Module:
        table = config.heads.get(head.name, CombinedHeadTable())
        inputs = [self._names.index(name) for name in table.inputs or self._names]
        if table.combine == "neural":
            chain = Chain(sum(widths[i] for i in inputs), 0)
            style = FcStyle(config.activation, config.dropout, config.fc_batch_norm)
            fc_stack(chain, table, style)
            linear_head(chain, head=head, bins=self.bins, output=table.output, batch_norm=style.batch_norm)
            return NeuralHead(inputs, in_order(chain.layers))
        wanted = table.formula_inputs
        if len(inputs) != wanted:
            raise UsageError(
                f"[model.heads.{head.name}]: combine = {table.combine!r} is of {wanted} inputs, not of {len(inputs)}",
                fix=f"name them: inputs = {self._names[:wanted]}",
            )
        values = nn.ModuleList(
            nn.Identity() if config.share_values else _values(widths[i], head, config, bins=self.bins) for i in inputs
        )
        formula = Formula(table.combine, base=table.log_base, offset=table.log_offset)
        output = in_order(output_layers(table.output, head=head, bins=self.bins))
        return FormulaHead(inputs, values=values, formula=formula, output=output)

    def vectors(self, x: Sequences) -> list[torch.Tensor]:
        """What each input's network gives, in the order of the inputs."""
        return [self.networks[number](part) for number, part in zip(self.network_of, x, strict=True)]

    def forward(self, x: Sequences) -> torch.Tensor:
        vectors = self.vectors(x)
        if len(self.shared_values):
            vectors = [self.shared_values[i](vector) for i, vector in zip(self.network_of, vectors, strict=True)]
        return torch.cat([head(vectors) for head in self.heads], dim=1)


def _network(table: TrunkTable, config: MultiInputConfig, length: int) -> Chain:
    chain = flat_trunk(table, length)
    if config.embedding:
        if table.fc_batch_norm:
            chain.layers.append(("embedding_norm", nn.BatchNorm1d(chain.channels)))
        linear = nn.Linear(chain.channels, config.embedding)
        layers = [("embedding_vector", linear), ("embedding_activation", activation(config.embedding_activation))]
        chain.add(layers, config.embedding, 0)
    return chain


def _values(width: int, head: HeadShape, config: MultiInputConfig, *, bins: int) -> nn.Sequential:
    """The numbers of one input for formulas: ``(batch, width) -> (batch, tracks[, bins])``."""
    chain = Chain(width, 0)
    linear_head(chain, head=head, bins=bins, output="none", batch_norm=config.fc_batch_norm)
    return in_order([*chain.layers, ("activation", activation(config.value_activation))])


def _check_names(config: MultiInputConfig, shape: ModelShape) -> None:
    inputs, heads = list(shape.inputs), [head.name for head in shape.heads]
    if len(inputs) < 2:
        raise UsageError(f"model multi-input needs several inputs, there is {', '.join(inputs)}",
                         fix='use architecture = "drg-cnn"')  # fmt: skip
    wanted = [("own", name, inputs) for name in config.own] + [("strands", name, inputs) for name in config.strands]
    wanted += [("heads", name, heads) for name in config.heads]
    wanted += [(f"heads.{head}: inputs", name, inputs) for head, table in config.heads.items() for name in table.inputs]
    for where, name, known in wanted:
        if name not in known:
            raise UsageError(f"model.{where}: no {name!r}", fix=f"there is {', '.join(known)}")
    if config.share_values:
        tables = [config.heads.get(name, CombinedHeadTable()) for name in heads]
        if any(table.combine == "neural" for table in tables):
            raise UsageError('model.share_values is for formulas, but a modality has combine = "neural"')
