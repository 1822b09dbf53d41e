"""The dilated residual network with profile and count heads."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from drg_hpc.errors import CorruptError, UsageError
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.blocks import PositionMean, Residual, activation
from drg_hpc.models.blocks_layout import Crop
from drg_hpc.models.config_profile import BiasModel, DilatedResidualConfig
from drg_hpc.models.header import read_model_header
from drg_hpc.models.profile_blocks import AddBias, Frozen, LogRate, NarrowConv1d, ValidResidual
from drg_hpc.models.profile_layout import Layout, bias_shape, bin_width, dilations, lay_out, place_bias


def _convolution(config: DilatedResidualConfig, inputs: int, size: int, *, dilation: int = 1) -> list[nn.Module]:
    pad = dilation * (size // 2) if config.padding == "same" else 0
    conv = nn.Conv1d(inputs, config.channels, size, padding=pad, dilation=dilation)
    return [conv, nn.BatchNorm1d(config.channels)] if config.batch_norm else [conv]


def _residual(config: DilatedResidualConfig, dilation: int) -> nn.Module:
    conv = _convolution(config, config.channels, config.kernel_size, dilation=dilation)
    act = activation(config.activation)
    inner = nn.Sequential(*([*conv, act] if config.residual == "conv-activation" else [act, *conv]))
    if config.padding == "same":
        return Residual(inner)
    return ValidResidual(inner, reach=dilation * (config.kernel_size // 2))


def _trunk(config: DilatedResidualConfig) -> nn.Sequential:
    layers = _convolution(config, 4, config.stem_size)
    if config.residual == "conv-activation":
        layers.append(activation(config.activation))
    layers += [_residual(config, dilation) for dilation in dilations(config)]
    if config.residual == "activation-conv":
        layers.append(activation(config.activation))
    return nn.Sequential(*layers)


def _cropped(left: int, right: int) -> list[nn.Module]:
    return [Crop(left, right)] if left or right else []


class DilatedResidual(SequenceModel):
    """BPNet-like network (Avsec et al. 2021, 10.1038/s41588-021-00782-6) for binned and base-pair targets.

    The profile head's base-pair values are averaged in each bin. With ``output = "log-rate"`` they are logits, and the
    output is the log rate of each bin, log softmax(profile) + log counts. With ``"values"`` they are the output.

    Raises
    ------
    UsageError : the targets have no bins, the bins do not divide the output, the sequences are too short, or
        loss or bias model do not fit
    CorruptError : the bias model is not the one of the config
    """

    def __init__(self, config: DilatedResidualConfig, shape: ModelShape) -> None:
        super().__init__(shape)
        layout = lay_out(config, shape)
        width = bin_width(layout.output, shape.bins)
        self.trunk = _trunk(config)
        pad = config.profile_size // 2 if config.padding == "same" else 0
        head = NarrowConv1d(config.channels, shape.n_tracks, config.profile_size, padding=pad, bias=config.profile_bias)
        pool: list[nn.Module] = [nn.AvgPool1d(width)] if width > 1 else []
        self.profile = nn.Sequential(head, *_cropped(*layout.profile.crop_to(layout.output)), *pool)
        self.counts: nn.Sequential | None = None
        self.bias_model: Frozen | None = None
        if config.output == "values":
            return
        if shape.link != "log":
            raise UsageError(
                f"model dilated-residual gives log rates, which loss with link {shape.link!r} does not fit",
                fix='use train.loss = "multinomial", "poisson" or "mse", or model.output = "values"',
            )
        self.counts = _counts(config, layout, shape.n_tracks)
        self.log_rate = LogRate(shared=config.counts == "shared")
        if config.bias_model is not None:
            crop = place_bias(config.bias_model, config, shape)
            self.bias_model = Frozen(_network(config.bias_model))
            self.add_bias = AddBias(*crop)

    def own_heads(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Both heads without the bias model."""
        shared = self.trunk(x)
        found = {"profile": self.profile(shared)}
        return found if self.counts is None else found | {"counts": self.counts(shared)}

    def heads(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """``profile``, logits (batch, tracks, bins), and ``counts``, log of the total, (batch, tracks), or (batch, 1)
        where it is shared; with ``output = "values"`` the profile alone, which is the prediction."""
        own = self.own_heads(x)
        if self.bias_model is None:
            return own
        both: dict[str, torch.Tensor] = self.add_bias(own, self.bias_model(x))
        return both

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = self.heads(x)
        if self.counts is None:
            return heads["profile"]
        out: torch.Tensor = self.log_rate(heads["profile"], heads["counts"])
        return out


def _counts(config: DilatedResidualConfig, layout: Layout, tracks: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if crop := _cropped(*layout.trunk.crop_to(layout.counts)):
        layers["crop"] = crop[0]
    layers["0"] = PositionMean()
    outputs = 1 if config.counts == "shared" else tracks
    layers["1"] = nn.Linear(config.channels, outputs, bias=config.counts_bias)
    return nn.Sequential(layers)


def _network(bias: BiasModel) -> DilatedResidual:
    """A bias model's network, with its weights where the config says from which folder; else those of the network
    that it is part of are still to be loaded."""
    if bias.folder is None:
        return DilatedResidual(bias.config, bias_shape(bias))
    from drg_hpc.models.io import load_model  # which imports this module

    found = read_model_header(bias.folder)["weights"]["sha256"]
    if found != bias.weights:
        raise CorruptError(f"{bias.folder} has weights {found[:12]}…, the config names {bias.weights[:12]}…",
                           fix="restore the bias model, or train under a new name")  # fmt: skip
    network = load_model(bias.folder)
    assert isinstance(network, DilatedResidual)
    return network


def without_bias(
    model: DilatedResidual, config: DilatedResidualConfig
) -> tuple[DilatedResidual, DilatedResidualConfig]:
    """The same network without its bias model: what a sequence does apart from the enzyme's preference.

    Parameters
    ----------
    model, config : a network and its description; both are left as they are
    """
    bare = config.model_copy(update={"bias_model": None})
    network = DilatedResidual(bare, model.shape)
    own = {name: value for name, value in model.state_dict().items() if not name.startswith("bias_model.")}
    network.load_state_dict(own)
    network.tracks, network.strand_partners = list(model.tracks), list(model.strand_partners)
    return network.train(model.training), bare
