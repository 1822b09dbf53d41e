"""The networks of bench/ism: ours, what bench/peer_ism.py needs to build the same, and the sizes of their layers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attr_nets import network, sequences
from ism_bounds import Tally
from models.drg_files import files

from drg_hpc.attribution.targets import Statistic, TrackStatistic
from drg_hpc.attribution.targets_transform import ProfileShape
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.blocks import GELU_MINIMUM, StrandScan
from drg_hpc.models.config import BassetConfig
from drg_hpc.models.importers.drg import import_drg
from drg_hpc.models.registry import build


@dataclass(frozen=True)
class Net:
    """A network, what of it is measured, and its layers.

    Attributes
    ----------
    kind, sizes : for the other side
    value : tracks, counts or profile
    tally : counts operations, from the sizes of the layers alone
    asked : times the speed of the full passes, and of tangermeme's fast ones, that the engine should have
    """

    name: str
    module: SequenceModel
    kind: str
    sizes: dict[str, Any]
    tally: Callable[[], Tally]
    asked: tuple[float, float | None]
    value: str = "tracks"

    @property
    def length(self) -> int:
        """Bases."""
        return self.module.length

    def sequence(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """One-hot (1, 4, length), random."""
        return torch.from_numpy(sequences(1, self.length)).to(dtype)

    def statistic(self, module: torch.nn.Module | None = None) -> Statistic:
        """What is measured of the network, or of a copy of it."""
        module = self.module if module is None else module
        if self.value == "profile":
            return ProfileShape(module, [0], names=["profile"])
        return TrackStatistic(module, range(self.module.shape.n_tracks), "link")

    def save(self, path: Path) -> None:
        """For the other side: weights in the order of the layers, both strands of kernels written out."""
        scans = [name for name, layer in self.module.named_modules() if isinstance(layer, StrandScan)]
        arrays = []
        for name, value in self.module.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            if name.removesuffix(".weight") in scans:
                value = torch.cat([value, value.flip(1, 2)])
            arrays.append(value.numpy())
        wanted = json.dumps({"kind": self.kind, "sizes": self.sizes, "statistic": self.value})
        weights = {f"weight{number}": array for number, array in enumerate(arrays)}
        np.savez(path, x=self.sequence().numpy(), net=np.array(wanted), **weights)


def _trained_norms(module: SequenceModel) -> SequenceModel:
    """Batch norms with statistics, as training leaves them."""
    generator = torch.Generator().manual_seed(1)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.copy_(0.1 * torch.randn(layer.running_mean.shape, generator=generator))
            layer.running_var.copy_(0.5 + torch.rand(layer.running_var.shape, generator=generator))
    return module


def basset(name: str, channels: tuple[int, int, int], hidden: tuple[int, ...], *, length: int = 1000) -> Net:
    """Kelley et al. 2016 with 164 tracks."""
    config = BassetConfig(channels=channels, hidden=hidden)
    shape = ModelShape.single(length, 164)
    torch.manual_seed(0)
    module = _trained_norms(build(config, shape).eval().requires_grad_(False))
    sizes = {"length": length, "channels": list(channels), "sizes": list(config.sizes), "pools": list(config.pools),
             "dense": [*hidden, 164]}  # fmt: skip

    def tally() -> Tally:
        count = Tally(length)
        x, before = count.sequence, 4
        for width, size, pool in zip(channels, config.sizes, config.pools, strict=True):
            x = count.pool(count.conv(x, before, width, size), pool)
            before = width
        width = before * count.length(x)
        for units in sizes["dense"]:
            x, width = count.dense(x, width, units), units
        return count

    return Net(name, module, "basset", sizes, tally, (10.0, 1.5))


def calderon(*, small: bool = False) -> Net:
    """The published network of examples/calderon."""
    module = import_drg(*files("calderon"), reverse_complement=None).module.eval().requires_grad_(False)
    assert isinstance(module, SequenceModel)
    length, tracks = module.length, module.shape.n_tracks
    kernels, _, size = module.state_dict()["layers.scan.weight"].shape
    sizes = {"pad": 10, "kernels": kernels, "size": size, "window": 81, "side": 33, "floor": GELU_MINIMUM,
             "head": [6 * kernels, tracks]}  # fmt: skip

    def tally() -> Tally:
        count = Tally(length)
        x = count.conv(count.pad(count.sequence, 10, 10), 4, 2 * kernels, size, pad=size // 2)
        count.dense(count.pool(x, 81, pad=33), 6 * kernels, tracks)
        return count

    return Net("calderon", module, "calderon", sizes, tally, (8.0, None))


def deep(*, small: bool = False) -> Net:
    """configs/calderon-deep.toml with 45 tracks."""
    changes: dict[str, object] = {"kernels": 16, "fc_size": 16} if small else {}
    shape = ModelShape.single(401, 45)
    module = _trained_norms(network("calderon-deep", shape, **changes))
    linear = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)]
    widths = [linear[0].in_features, *(layer.out_features for layer in linear)]
    kernels, dilations, pads = (16 if small else 256), [1, 2, 4, 8, 16], [1, 1, 0, 0]
    sizes = {"kernels": kernels, "size": 15, "tower_size": 7, "dilations": dilations, "pads": pads, "widths": widths}

    def tally() -> Tally:
        count = Tally(401)
        x = kept = count.pool(count.conv(count.sequence, 4, 2 * kernels, 15, pad=7), 3, pad=pads[0])
        for dilation in dilations:
            out = count.conv(x, kernels, kernels, 7, dilation=dilation, pad=3 * dilation)
            x, kept = count.add(out, kept), out
        kept = x
        for i, pad in enumerate(pads[1:]):
            out = count.conv(x, kernels, kernels, 7, pad=3)
            if i:
                kept = count.pool(kept, 3, pad=pads[i])
            x, kept = count.pool(count.add(out, kept), 3, pad=pad), out
        for before, units in pairwise(widths):
            x = count.dense(x, before, units)
        return count

    return Net("deep", module, "deep", sizes, tally, (2.0, None))


def bpnet(value: str, *, small: bool = False) -> Net:
    """configs/bpnet.toml: 2,114 bases, log rates of 1,000 bins, both heads."""
    layers, channels = (4, 8) if small else (8, 64)
    shape = ModelShape.single(2114, 1, bins=1000, link="log", span=1000)
    module = network("bpnet", shape, channels=channels, layers=layers)
    dilations = [2 << i for i in range(layers)]
    sizes = {"channels": channels, "stem": 21, "dilations": dilations, "profile": 75, "bins": 1000, "length": 2114}

    def tally() -> Tally:
        count = Tally(2114)
        x = count.conv(count.sequence, 4, channels, 21, pad=10)
        for dilation in dilations:
            x = count.add(x, count.conv(x, channels, channels, 3, dilation=dilation, pad=dilation))
        count.crop(count.conv(x, channels, 1, 75, pad=37), 557, 557)
        count.dense(count.mean(count.crop(x, 520, 520)), channels, 1)
        return count

    return Net(f"bpnet-{value}", module, "bpnet", sizes, tally, (6.0, 1.5), value)


SECTIONS: dict[str, Callable[[bool], list[Net]]] = {
    "basset": lambda small: [
        basset("basset", (12, 8, 8) if small else (300, 200, 200), (16, 16) if small else (1000, 1000)),
        *([] if small else [basset("basset-100", (100, 100, 100), (1000, 1000))]),
    ],
    "calderon": lambda small: [calderon()],
    "deep": lambda small: [deep(small=small)],
    "bpnet": lambda small: [bpnet(value, small=small) for value in ("counts", "profile")],
}
