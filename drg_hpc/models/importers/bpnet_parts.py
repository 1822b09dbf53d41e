"""Networks of bpnet-lite as tensors by our names: lengths, control tracks, descriptions."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from drg_hpc.config import build as validated
from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config_profile import BiasModel, DilatedResidualConfig
from drg_hpc.models.importers.common import Tensors, matches, read_tensors
from drg_hpc.models.io import state_bytes

Network = Literal["bpnet", "basepairnet"]
_MARGIN = 37  # half of the profile head's 75, whatever its width
# What the counts head is given for control tracks without a read: log(sum + 1), in BasePairNet log(sum + 2).
_NO_CONTROL = {"bpnet": 0.0, "basepairnet": math.log(2.0)}
_SAVE = (
    "where bpnet-lite is installed and the file is trusted: m = torch.load(FILE, weights_only=False); "
    "torch.save(m.state_dict(), NEW), and import NEW"
)


@dataclass
class Part:
    """One network of a file.

    Attributes
    ----------
    tensors : by our names
    config : what they are of
    outputs : tracks
    length, window : bases of its input and output
    unused : names that no rule places
    control : it had control tracks, which are taken as zeros
    """

    tensors: Tensors
    config: DilatedResidualConfig
    outputs: int
    length: int
    window: int
    unused: list[str] = field(default_factory=list)
    control: bool = False

    @property
    def span(self) -> int:
        """Bases of the output, 0 for all of the input."""
        return self.window % self.length

    @property
    def shape(self) -> ModelShape:
        """One bin a base."""
        return ModelShape.single(self.length, self.outputs, bins=self.window, link="log", span=self.span)

    def as_bias(self) -> BiasModel:
        """Its description inside another network; the digest is that of the weights as this package writes them."""
        plain = {name: value.to(torch.float32) for name, value in self.tensors.items()}
        digest = hashlib.sha256(state_bytes(plain)).hexdigest()
        return BiasModel(
            config=self.config,
            length=self.length,
            tracks=self.outputs,
            bins=self.window,
            span=self.span,
            weights=digest,
        )


def _read(path: Path) -> Tensors:
    try:
        return read_tensors(path)
    except InputError as error:
        if "state_dict" in error.fix:  # bpnet-lite saves whole modules
            raise InputError(error.what, fix=_SAVE) from None
        raise


def split(files: Sequence[Path]) -> list[Tensors]:
    """The networks of the files: the main one and, in ChromBPNet, the bias network."""
    if len(files) not in (1, 2):
        fix = "give one, or accessibility and bias of ChromBPNet, in this order"
        raise UsageError(f"{len(files)} files for a bpnet model", fix=fix)
    found = [_read(path) for path in files]
    if len(found) == 2 or not any(name.startswith("accessibility.") for name in found[0]):
        return found
    parts: list[Tensors] = [{}, {}]
    for name, value in found[0].items():
        part = parts[1] if name.startswith("bias.") else parts[0]
        part[name.removeprefix("accessibility.").removeprefix("bias.")] = value
    return parts


def _without_control(
    part: Tensors, *, network: Network, allow: Sequence[str], where: str, label: str
) -> tuple[Tensors, list[str]]:
    """The tensors for control tracks of zeros, and names of the columns that are then of no use.

    Raises
    ------
    InputError : there are such columns, and ``allow`` does not name them
    """
    filters = part["iconv.weight"].shape[0]
    controls, totals = (part[f"{layer}.weight"].shape[1] - filters for layer in ("fconv", "linear"))
    names = [f"{label}{layer}.control" for layer, count in (("fconv", controls), ("linear", totals)) if count > 0]
    if refused := [name for name in names if not matches(name, allow)]:
        raise InputError(
            f"{where} has weights for {controls} control tracks ({', '.join(refused)}: columns of fconv.weight and "
            f"linear.weight beyond the {filters} filters), and stores hold no input but sequences",
            fix="--allow '*.control' takes the control tracks as zeros",
        )
    left = dict(part)
    left["fconv.weight"] = part["fconv.weight"][:, :filters]
    left["linear.weight"] = part["linear.weight"][:, :filters]
    if totals > 0 and _NO_CONTROL[network]:
        weight = part["linear.weight"][:, filters:].double().sum(1)
        before = part["linear.bias"].double() if "linear.bias" in part else torch.zeros_like(weight)
        left["linear.bias"] = (before + _NO_CONTROL[network] * weight).float()
    return left, names


def _rename(tensors: Tensors, layers: int, *, early: bool) -> tuple[Tensors, list[str]]:
    """Tensors by our names, and names that no rule places; ``early``: activation before convolution."""
    places = {"iconv": "trunk.0", "fconv": "profile.0", "linear": "counts.1"}
    places |= {f"rconvs.{i}": f"trunk.{i + 1}.inner.1" if early else f"trunk.{i + 2}.inner.0" for i in range(layers)}
    ours, unused = {}, []
    for name, value in tensors.items():
        layer, _, kind = name.rpartition(".")
        if layer in places:
            ours[f"{places[layer]}.{kind}"] = value
        else:
            unused.append(name)
    return ours, unused


def describe(
    tensors: Tensors, *, network: Network, length: int, window: int | None, allow: Sequence[str], where: str,
    label: str = "",
) -> Part:  # fmt: skip
    """Our description and names of one network.

    Raises
    ------
    InputError : not a network of bpnet-lite, one with control tracks, or one for other lengths
    """
    layers = sum(re.fullmatch(r"rconvs\.\d+\.weight", name) is not None for name in tensors)
    needed = ["iconv.weight", "iconv.bias", "fconv.weight", "linear.weight"]
    needed += [f"rconvs.{i}.{kind}" for i in range(max(layers, 1)) for kind in ("weight", "bias")]
    if missing := [name for name in needed if name not in tensors]:
        raise InputError(f"{where} lacks {', '.join(missing)}: it is not a network of bpnet-lite")
    for name in needed:
        if name.endswith("weight") and tensors[name].ndim != (2 if name.startswith("linear") else 3):
            raise InputError(f"{where}: {name} is {tuple(tensors[name].shape)}: it is not a network of bpnet-lite")
    tensors, control = _without_control(tensors, network=network, allow=allow, where=where, label=label)
    early = network == "basepairnet"
    ours, unused = _rename(tensors, layers, early=early)
    if window is None:
        window = length - 2 * (2**layers if early else 10 + _MARGIN + 2 * (2**layers - 1))
    if not 0 < window <= length or (length - window) % 2:
        raise InputError(
            f"{where}: an output of {window} bases is not what trimming both ends of {length} leaves",
            fix="give the lengths that it was trained with",
        )
    values = {
        "channels": tensors["iconv.weight"].shape[0],
        "stem_size": tensors["iconv.weight"].shape[2],
        "layers": layers,
        "first_dilation": 2,
        "kernel_size": tensors["rconvs.0.weight"].shape[2],
        "residual": "activation-conv" if early else "conv-activation",
        "profile_size": tensors["fconv.weight"].shape[2],
        "profile_bias": "fconv.bias" in tensors,
        "counts": "shared",
        "counts_bias": "linear.bias" in tensors,
        "counts_margin": _MARGIN,
    }
    config = validated(DilatedResidualConfig, values, source=where)
    unused = control + [f"{label}{name}" for name in unused]
    return Part(ours, config, tensors["fconv.weight"].shape[0], length, window, unused, control=bool(control))
