"""Models on disk: model.json, weights.safetensors, tracks.tsv. No pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import publish_dir, sha256_file, write_atomic, write_json
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel
from drg_hpc.models.config import LINKS, AnyConfig, config_from_json
from drg_hpc.models.header import FORMAT, model_inputs, read_model_header
from drg_hpc.models.operations import describe_operations
from drg_hpc.models.registry import ARCHITECTURES, build

WEIGHTS = "weights.safetensors"
_PLAIN_NAME = {"\t", "\n", "\r"}


def state_bytes(state: Mapping[str, torch.Tensor]) -> bytes:
    """Tensors as the bytes of a safetensors file, names sorted, so that equal tensors give equal bytes."""
    tensors, seen = {}, set[int]()
    for name in sorted(state):
        tensor = state[name].detach().to("cpu").contiguous()
        place = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if place in seen else tensor  # tied weights of a user's network, which both read
        seen.add(place)
    return save_tensors(tensors)


def write_model_files(
    folder: Path,
    *,
    module: SequenceModel,
    config: AnyConfig,
    tracks: Sequence[str],
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the three files of a model into a folder, model.json last: with it the model is there.

    Parameters
    ----------
    folder : exists
    provenance : what determined the weights (options, digest of the store); no times, no hosts

    Raises
    ------
    UsageError : a track name holds a tab or a line break
    """
    for name in tracks:
        if _PLAIN_NAME & set(name):
            raise UsageError(f"track name {name!r} holds a tab or a line break")
    write_atomic(folder / WEIGHTS, state_bytes(module.state_dict()))
    lines = ["index\tname", *(f"{i}\t{name}" for i, name in enumerate(tracks))]
    write_atomic(folder / "tracks.tsv", "\n".join(lines) + "\n")
    weights = folder / WEIGHTS
    header = {
        "format": FORMAT,
        "architecture": config.architecture,
        "config": config.model_dump(mode="json"),
        "inputs": [{"name": name, "length": length} for name, length in module.shape.inputs.items()],
        "heads": [asdict(head) for head in module.shape.heads],
        "tracks": list(tracks),
        "strand_partners": module.strand_partners,
        "bins": module.bins,
        "span": module.shape.span,
        "link": module.link,
        "operations": describe_operations(module, module.shape),
        "parameters": sum(p.numel() for p in module.parameters()),
        "weights": {"bytes": weights.stat().st_size, "sha256": sha256_file(weights)},
        "provenance": dict(provenance or {}),
    }
    write_json(folder / "model.json", header)


def _architecture(module: torch.nn.Module) -> str:
    """Name of a module's architecture.

    Raises
    ------
    UsageError : it is none of the registry's
    """
    for name, kind in ARCHITECTURES.items():
        if isinstance(module, kind):
            return name
    raise UsageError(
        f"cannot save a {type(module).__name__}: only drg_hpc architectures can be saved ({', '.join(ARCHITECTURES)})",
        fix="a module of your own can be given to drg_hpc.attribute as it is",
    )


def save_model(
    module: SequenceModel,
    path: str | Path,
    config: AnyConfig | Mapping[str, Any],
    tracks: Sequence[str],
) -> Path:
    """Save a network of the registry as a new model folder, which appears by one rename.

    Parameters
    ----------
    module : built by the registry from ``config``
    path : folder to make
    config : validated config, or its plain values
    tracks : a name per output track

    Raises
    ------
    UsageError : the module is none of the registry's, or not the config's; the folder exists, or the number of names
        is not the number of tracks
    """
    path = Path(path)
    architecture = _architecture(module)
    if path.exists():
        raise UsageError(f"{path} exists; nothing is overwritten", fix="choose another folder")
    if len(tracks) != len(module.tracks):
        raise UsageError(f"{len(tracks)} track names for a model with {len(module.tracks)} tracks")
    if isinstance(config, Mapping):
        config = config_from_json(dict(config), source="config")
    if config.architecture != architecture:
        raise UsageError(f"the config describes a {config.architecture!r}, the module is a {architecture!r}")
    with publish_dir(path) as staging:
        write_model_files(staging, module=module, config=config, tracks=tracks)
    return path


def read_tensors(path: Path, record: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights of a MODEL folder, as ``weights`` of its model.json describes them.

    Raises
    ------
    CorruptError : missing, or others
    """
    weights = path / WEIGHTS
    fix = "restore the file from a copy, or train the model again"
    if not weights.is_file():
        raise CorruptError(f"{weights} is missing", fix=fix)
    size = weights.stat().st_size
    if size != record["bytes"]:
        raise CorruptError(f"{weights} has {size} bytes, model.json says {record['bytes']}", fix=fix)
    if (found := sha256_file(weights)) != record["sha256"]:
        raise CorruptError(f"{weights} has sha256 {found[:12]}…, model.json says {record['sha256'][:12]}…", fix=fix)
    try:
        return load_tensors(weights.read_bytes())
    except (SafetensorError, ValueError) as error:
        raise CorruptError(f"{weights} is not a safetensors file: {error}", fix=fix) from None


def load_into(module: torch.nn.Module, state: Mapping[str, torch.Tensor], *, source: Path) -> None:
    """Copy tensors into a module; names and shapes must fit exactly.

    Raises
    ------
    CorruptError : missing, unknown or ill-shaped tensors, all named
    """
    wanted = module.state_dict()
    faults = [f"{name} is missing" for name in wanted if name not in state]
    faults += [f"{name} is unknown" for name in state if name not in wanted]
    faults += [
        f"{name} is {tuple(state[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    if faults:
        raise CorruptError(f"tensors of {source} do not fit the architecture: {', '.join(faults)}")
    module.load_state_dict(dict(state))


def header_shape(header: Mapping[str, Any], *, source: str) -> ModelShape:
    """The shape that a model.json describes.

    Raises
    ------
    InputError : unknown link
    """
    heads = tuple(HeadShape(**head) for head in header["heads"])
    if unknown := [head.link for head in heads if head.link not in LINKS]:
        raise InputError(f"{source}: unknown link {unknown[0]!r}")
    return ModelShape(model_inputs(header), heads, header["bins"], header["span"])


def load_model(path: str | Path, device: str = "cpu") -> SequenceModel:
    """Load a model folder as an eval-mode module.

    Parameters
    ----------
    path : MODEL folder
    device : ``cpu``, ``cuda`` or ``cuda:I``

    Returns
    -------
    ``(batch, 4, length) -> (batch, tracks[, bins])`` on the link scale, with ``.tracks``, ``.link`` (``.links`` of each
    track), ``.length`` and ``.bins``; a model of several inputs takes a list of tensors

    Raises
    ------
    InputError : no model, or a format or architecture this version does not know
    CorruptError : the weights are not those that model.json describes
    """
    path = Path(path)
    header = read_model_header(path)
    config = config_from_json(header["config"], source=f"{path}/model.json")
    module = build(config, header_shape(header, source=f"{path}/model.json"))
    load_into(module, read_tensors(path, header["weights"]), source=path / WEIGHTS)
    module.tracks = list(header["tracks"])
    module.strand_partners = list(header["strand_partners"])
    return module.to(device).eval()
