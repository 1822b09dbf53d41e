"""DRG's names of tensors and ours, and which of its tensors hold nothing that is learnt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from drg_hpc.errors import InputError
from drg_hpc.models.config_drg import TrunkTable
from drg_hpc.models.config_drg_tables import TowerTable
from drg_hpc.models.drg_long_range import DistanceAttention
from drg_hpc.models.importers.common import Tensors, matches

_ATTENTION = {
    "embed_queries": "queries", "embed_keys": "keys", "embed_values": "values", "combine_layer": "combine",
    "reslayer": "project", "layer_norm": "attention_norm", "feedforward.0": "feedforward.inner.wide",
    "feedforward.2": "feedforward.inner.narrow", "feedforward_layer_norm": "feedforward_norm",
}  # fmt: skip
_TRANSFORMER = {
    "self_attn.out_proj": "attend.inner.attention.combine", "linear1": "feed.inner.wide",
    "linear2": "feed.inner.narrow", "norm1": "attend_norm", "norm2": "feed_norm",
}  # fmt: skip
_NOT_LEARNT = {
    "modelstart.Pooling.pool.weight": "the identity kernel of an earlier form of the pooling",
    "*convlayers.ResiduallayerConv*.rconv.pool*.weight": "constants of a mean over positions, computed anew",
    "*convlayers.ResiduallayerConv*.rconv.pool*.norm": "constants of a mean over positions, computed anew",
    "distattention.Mheadattention*.pos_queries": "the positional code, computed anew and compared",
}
_DUPLICATES = {
    "encoder_layer.*": "a copy from which the transformer's layers were made, not used",
    "layer_norm.*": "a copy from which the transformer's norm was made, not used",
}


@dataclass
class Names:
    """Which tensor goes where.

    Attributes
    ----------
    modules : our module for each of DRG's
    tensors : our tensor for each of DRG's whose last part differs
    ignored : patterns of DRG's tensors that are left out, with the reason
    """

    modules: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)

    def ours(self, name: str) -> str | None:
        """Our name of one of DRG's tensors, None where no rule has one."""
        module, _, leaf = name.rpartition(".")
        if name in self.tensors:
            return self.tensors[name]
        return f"{self.modules[module]}.{leaf}" if module in self.modules else None

    def theirs(self, name: str) -> str:
        """DRG's name of one of our tensors; ours where no rule has one."""
        for there, here in self.tensors.items():
            if here == name:
                return there
        module, _, leaf = name.rpartition(".")
        for there, here in self.modules.items():
            if here == module:
                return f"{there}.{leaf}"
        return name

    def reason_to_ignore(self, name: str) -> str | None:
        """Why a tensor is left out, None where it is not."""
        return next((reason for pattern, reason in self.ignored.items() if fnmatchcase(name, pattern)), None)


def trunk_names(names: Names, config: TrunkTable, *, theirs: str, ours: str, tensors: Tensors) -> None:
    """Add the names of all stages before the fully connected ones.

    Parameters
    ----------
    theirs, ours : prefixes, ``cnns.CNN0.`` and ``networks.0.``
    tensors : of the file
    """
    names.ignored |= {theirs + pattern: reason for pattern, reason in _NOT_LEARNT.items()}
    names.modules[f"{theirs}convolutions.conv1d"] = f"{ours}scan"
    for table, there, here in (
        (config.dilated, "convolution_layers", "dilated"), (config.tower, "trconvolution_layers", "tower")
    ):  # fmt: skip
        if table is not None:
            _tower_names(names, table, theirs=f"{theirs}{there}.convlayers.", ours=f"{ours}{here}.layers.")
    if config.embedding_channels:
        names.modules[f"{theirs}embedding_convolutions"] = f"{ours}embedding"
    for i in range(config.attention.blocks if config.attention else 0):
        there, here = f"{theirs}distattention.Mheadattention{i}.", f"{ours}attention{i}."
        names.modules |= {there + key: here + value for key, value in _ATTENTION.items()}
        for key in tensors:  # its batch norm, however it is called
            if key.startswith(there) and key.endswith(".running_mean"):
                names.modules[key.removesuffix(".running_mean")] = f"{here}norm"
    if config.transformer:
        names.ignored |= {theirs + pattern: reason for pattern, reason in _DUPLICATES.items()}
        names.modules[f"{theirs}transformer.norm"] = f"{ours}transformer.norm"
        for i in range(config.transformer.layers):
            there, here = f"{theirs}transformer.layers.{i}.", f"{ours}transformer.layer{i}."
            names.modules |= {there + key: here + value for key, value in _TRANSFORMER.items()}
            for leaf in ("weight", "bias"):
                names.tensors[f"{there}self_attn.in_proj_{leaf}"] = f"{here}attend.inner.attention.split.{leaf}"


def _tower_names(names: Names, table: TowerTable, *, theirs: str, ours: str) -> None:
    for i in range(table.layers):
        names.modules |= {
            f"{theirs}Bnorm{i}": f"{ours}{i}.main.norm",
            f"{theirs}Conv{i}.conv1d": f"{ours}{i}.main.conv",
            f"{theirs}ResiduallayerConv{i}.rconv.conv": f"{ours}{i}.shortcut.project",
        }


def fc_names(names: Names, layers: int, *, theirs: str, ours: str) -> None:
    """Add the names of a fully connected stack, ``nfcs.nfcs.`` there."""
    names.modules[f"{theirs}EmbeddtoFully"] = f"{ours}fc_embedding"
    for i in range(layers):
        names.modules[f"{theirs}Fullyconnected{i}"] = f"{ours}fc{i}"
        names.modules[f"{theirs}Bnorm_fullyconnected{i}"] = f"{ours}fc{i}_norm"


def head_names(names: Names, *, theirs: str, ours: str, head: str = "head", norm: str = "head_norm") -> None:
    """Add the names of a head, ``classifier.classifier.`` there."""
    names.modules[f"{theirs}Linear"] = f"{ours}{head}"
    names.modules[f"{theirs}ClassBnorm"] = f"{ours}{norm}"


def numbered(tensors: Mapping[str, torch.Tensor], stem: str, number: int, *, several: bool) -> str:
    """``stem.0.`` where there are several, or the file says so; else ``stem.``."""
    own = f"{stem}.{number}."
    return own if several or any(name.startswith(own) for name in tensors) else f"{stem}."


def place(
    module: torch.nn.Module, tensors: Tensors, names: Names, *, source: Path, allow: tuple[str, ...]
) -> tuple[Tensors, list[str], list[tuple[str, str]]]:  # fmt: skip
    """The file's tensors by our names, the names of those that no rule places, and those left out with the reason.

    Raises
    ------
    InputError : tensors are missing or ill-shaped, all named as in the file; or one left out holds what it should not
    """
    wanted = module.state_dict()
    placed: Tensors = {}
    unused, ignored, faults = [], [], []
    for name, tensor in tensors.items():
        ours = names.ours(name)
        if ours in wanted:
            target = wanted[ours]
            fits = tensor.reshape(target.shape) if (*tensor.shape, 1) == target.shape else tensor
            if fits.shape != target.shape:
                faults.append(f"{name} is {tuple(tensor.shape)} instead of {tuple(target.shape)}")
            placed[ours] = fits
        elif reason := names.reason_to_ignore(name):
            ignored.append((name, reason))
        else:
            unused.append(name)
    for name in wanted:
        there = names.theirs(name)
        if name not in placed and not (matches(name, allow) or matches(there, allow)):
            faults.append(f"{there} is missing")
    faults += [f"{name} is unused" for name in unused if not matches(name, allow)]
    faults += _changed_constants(module, tensors, names)
    if faults:
        shown = ", ".join(faults[:12]) + (f", … ({len(faults)} in all)" if len(faults) > 12 else "")
        raise InputError(
            f"tensors of {source} do not fit the settings: {shown}",
            fix="give the .dat and .pth of one model; --allow PATTERN accepts missing and unused tensors by name",
        )
    return placed, unused, ignored


def _changed_constants(module: torch.nn.Module, tensors: Tensors, names: Names) -> Iterator[str]:
    """Faults of tensors that are left out because their content is known, where it is another."""
    blocks = {name: block for name, block in module.named_modules() if isinstance(block, DistanceAttention)}
    for name, tensor in tensors.items():
        there, _, leaf = name.rpartition(".")
        if leaf == "pos_queries":
            ours = names.modules.get(f"{there}.embed_queries", "").rpartition(".")[0]
            if ours in blocks:
                code = blocks[ours].position.code
                if code.shape != tensor.shape or not torch.allclose(code, tensor, atol=1e-3):
                    yield f"{name} is another positional code"
        if name.endswith("modelstart.Pooling.pool.weight") and tensor.ndim == 4:
            identity = torch.eye(tensor.shape[0], dtype=tensor.dtype)
            if tensor.shape[0] != tensor.shape[-1] or not torch.equal(tensor[:, 0, 0], identity):
                yield f"{name} is not an identity"
