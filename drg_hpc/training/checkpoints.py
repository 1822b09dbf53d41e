"""Checkpoints: folders that appear by one rename, with a receipt; safetensors and JSON, no pickle."""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.files import describe_files, disk_full, publish_dir, read_json, remove_tree, write_atomic, write_json
from drg_hpc.models.io import state_bytes

log = logging.getLogger(__name__)
FORMAT = "drg-checkpoint/1"
_NAME = re.compile(r"^step-(\d{8,})$")
Tensors = Mapping[str, Mapping[str, torch.Tensor]]


def _listed(folder: Path) -> list[Path]:
    """Checkpoints below ``folder``, newest first, by step; nothing else that lies there."""
    if not folder.is_dir():
        return []
    names = [name for name in os.listdir(folder) if _NAME.match(name) and not (folder / name).is_symlink()]
    return [folder / name for name in sorted(names, key=lambda name: int(name[5:]), reverse=True)]


def save_checkpoint(folder: Path, *, step: int, tensors: Tensors, state: Mapping[str, Any], keep: int) -> Path:
    """Publish ``folder/step-00000123`` and remove all but the newest ``keep``.

    Parameters
    ----------
    tensors : file stem -> name -> tensor
    state : plain JSON values

    Raises
    ------
    InputError : no space left; earlier checkpoints are untouched
    """
    target = folder / f"step-{step:08d}"
    try:
        with publish_dir(target) as staging:
            for stem, group in tensors.items():
                write_atomic(staging / f"{stem}.safetensors", state_bytes(group))
            write_json(staging / "state.json", state)
            files = describe_files(staging)
            write_json(staging / "receipt.json", {"format": FORMAT, "step": step, "files": files})
    except OSError as error:
        raise disk_full(error, target) or error from None
    for old in _listed(folder)[keep:]:
        remove_tree(old)
    return target


def find_fault(path: Path) -> str | None:
    """Why a checkpoint cannot be used; None when every byte is as its receipt says."""
    try:
        receipt = read_json(path / "receipt.json")
    except InputError as error:
        return str(error)
    if not isinstance(receipt, dict) or receipt.get("format") != FORMAT:
        return "receipt of another format"
    found = describe_files(path)
    found.pop("receipt.json")
    if found != receipt["files"]:
        wrong = sorted({*found, *receipt["files"]} - {k for k in found if found[k] == receipt["files"].get(k)})
        return f"{', '.join(wrong)} differs from its receipt"
    return None


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that is whole; damaged ones on the way are set aside with a warning."""
    for path in _listed(folder):
        fault = find_fault(path)
        if fault is None:
            return path
        aside = folder.parent / "damaged" / f"{path.name}.{uuid.uuid4().hex[:8]}"
        aside.parent.mkdir(exist_ok=True)
        os.rename(path, aside)
        log.warning("checkpoint %s is damaged (%s): moved to %s", path.name, fault, aside)
    return None


def read_checkpoint(path: Path) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
    """Tensors by file stem, and the state.

    Raises
    ------
    InputError, CorruptError : it went away or changed since it was checked
    """
    try:
        tensors = {file.stem: load_tensors(file.read_bytes()) for file in sorted(path.glob("*.safetensors"))}
    except OSError as error:
        raise CorruptError(f"cannot read checkpoint {path}: {error}", fix="run the same command again") from None
    state: dict[str, Any] = read_json(path / "state.json")
    return tensors, state


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimizer's state as named tensors and plain values."""
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for number, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{number}.{key}"] = value
            else:
                plain.setdefault(str(number), {})[key] = value
    return tensors, {"groups": state["param_groups"], "values": plain}


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], plain: Mapping[str, Any]
) -> None:
    """Put back what :func:`pack_optimizer` took."""
    state: dict[int, dict[str, Any]] = {int(number): dict(values) for number, values in plain["values"].items()}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": plain["groups"]})
