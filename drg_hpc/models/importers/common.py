"""What every importer shares: reading tensors without running anything, and accounting for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from drg_hpc.errors import InputError
from drg_hpc.files import sha256_file
from drg_hpc.models.base import SequenceModel
from drg_hpc.models.config import AnyConfig

Tensors = dict[str, torch.Tensor]
_DEEPEST = 4


@dataclass(frozen=True)
class Imported:
    """A foreign model as one of ours.

    Attributes
    ----------
    module : with its weights, in eval mode, ``tracks`` and ``strand_partners`` set
    config : what rebuilds it
    provenance : format, files with sha256, choices made; goes to model.json
    notes : lines for the user
    """

    module: SequenceModel
    config: AnyConfig
    provenance: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def read_tensors(path: Path) -> Tensors:
    """The tensors of a ``.safetensors``, ``.pt`` or ``.pth`` file; nothing in it is executed.

    Raises
    ------
    InputError : no such file, not a file of tensors, or one that holds code or other objects
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, ValueError) as error:
            raise InputError(f"{path} is not a safetensors file: {error}") from None
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        if type(error).__name__ != "UnpicklingError":
            raise InputError(f"{path} is not a file of tensors of PyTorch: {first}") from None
        raise InputError(
            f"{path} holds more than tensors and is not loaded, since that would run code from the file ({first})",
            fix="save it again as a plain state_dict: torch.save(model.state_dict(), FILE)",
        ) from None
    return plain_tensors(loaded, source=path)


def plain_tensors(loaded: Any, *, source: Path) -> Tensors:
    """The state_dict in what torch.load gave: itself, or below ``state_dict``, ``model_state_dict`` or ``model``.

    Raises
    ------
    InputError : it is none
    """
    found = loaded
    for _ in range(_DEEPEST):  # a dict may hold itself
        if not isinstance(found, Mapping):
            break
        if found and all(isinstance(value, torch.Tensor) for value in found.values()):
            return {str(name): value for name, value in found.items()}
        inner = (found.get(key) for key in ("state_dict", "model_state_dict", "model"))
        found = next((value for value in inner if isinstance(value, Mapping)), None)
    raise InputError(f"{source} holds a {type(loaded).__name__}, not a state_dict of tensors")


def describe_sources(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Name, bytes and sha256 of the files that a model is imported from."""
    return [{"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in paths]


def fill(
    module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], *, source: Path, allow: Sequence[str] = (),
    unused: Sequence[str] = (),
) -> list[str]:  # fmt: skip
    """Copy tensors, by our names, into a module, and account for every one of them.

    A module on the meta device takes the tensors themselves, without a copy; then none may be missing. Of names that
    are one tensor in the module (tied weights) one is enough.

    Parameters
    ----------
    tensors : for every parameter and buffer of the module
    allow : patterns of names that may be missing or unused
    unused : names of tensors of the file that no rule placed

    Returns
    -------
    what was allowed to be missing (keeps its initial value) or unused, a line each

    Raises
    ------
    InputError : tensors missing, unused, ill-shaped or of another kind of number, tied ones that differ, or weights
        that are not finite, all named
    """
    wanted, tied = module.state_dict(), _tied(module)
    missing = [name for name in wanted if not any(other in tensors for other in tied.get(name, [name]))]
    left = [*unused, *(name for name in tensors if name not in wanted)]
    faults = [f"{name} is missing" for name in missing if not matches(name, allow)]
    faults += [f"{name} is unused" for name in left if not matches(name, allow)]
    faults += [
        f"{name} is {tuple(tensors[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    faults += _unfit_values(module, wanted, tensors, tied) if not faults else []
    if faults:
        shown = ", ".join(faults[:12]) + (f", … ({len(faults)} in all)" if len(faults) > 12 else "")
        raise InputError(
            f"tensors of {source} do not fit: {shown}",
            fix="give the file that belongs to it; --allow PATTERN accepts missing and unused tensors by name",
        )
    known = {name: value.to(wanted[name].dtype) for name, value in tensors.items() if name in wanted}
    module.load_state_dict(known, strict=False, assign=any(value.is_meta for value in wanted.values()))
    return [f"{name}: missing, keeps its initial value" for name in missing] + [f"{name}: not used" for name in left]


def _tied(module: torch.nn.Module) -> dict[str, list[str]]:
    """For each parameter, all names that it has."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return {name: group for group in names.values() for name in group}


def _unfit_values(
    module: torch.nn.Module, wanted: Tensors, tensors: Mapping[str, torch.Tensor], tied: Mapping[str, list[str]]
) -> Iterator[str]:
    """Faults of tensors whose names and shapes fit."""
    weights = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    for name in (name for name in wanted if name in tensors):
        own, value = wanted[name], tensors[name]
        kinds = [(each.is_floating_point(), each.is_complex()) for each in (own, value)]
        if value.layout is not torch.strided or value.is_quantized or value.is_meta or kinds[0] != kinds[1]:
            yield f"{name} is a tensor of {value.dtype}, {value.layout} instead of {own.dtype}, {own.layout}"
        elif not (name in weights or name.endswith(("running_mean", "running_var"))):
            continue  # a buffer may hold infinities, to mask with
        elif not torch.isfinite(value.to(own.dtype)).all():
            yield f"{name} holds values that are not finite in {own.dtype}"
        elif name.endswith("running_var") and (value < 0).any():
            yield f"{name} holds negative variances"
        elif any(other in tensors and not torch.equal(tensors[other], value) for other in tied.get(name, ())):
            yield f"{name} differs from another name of the same tensor: {', '.join(tied[name])}"


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of some patterns fits a name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
