"""Import a user's own network: a state_dict, and the factory that makes the module it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from drg_hpc.errors import UsageError
from drg_hpc.models.base import HeadShape, ModelShape, Sequences
from drg_hpc.models.config import Link
from drg_hpc.models.config_user import UserConfig
from drg_hpc.models.importers.common import Imported, describe_sources, fill, read_tensors
from drg_hpc.models.importers.tracks import name_tracks
from drg_hpc.models.user import UserModel, call_factory, find_factory, takes_shape


def _inputs(lengths: Sequence[int], names: Sequence[str] | None) -> dict[str, int]:
    """Length of each input by name.

    Raises
    ------
    UsageError : another number of names than lengths, or a name twice
    """
    if names is None:
        names = ["seq"] if len(lengths) == 1 else [f"seq{i}" for i in range(len(lengths))]
    if len(names) != len(lengths) or len(set(names)) < len(names):
        raise UsageError(f"--inputs {' '.join(names)}: a name of its own for each of {len(lengths)} lengths is needed")
    return dict(zip(names, lengths, strict=True))


def _probe(config: UserConfig, inputs: dict[str, int]) -> tuple[int, int]:
    """Tracks and bins of what the factory's module gives for zeros.

    Raises
    ------
    UsageError : it cannot take them, or gives something else than ``(1, tracks[, bins])``
    """
    module = call_factory(config, None).eval()
    zeros: Sequences = ModelShape(inputs, ()).zeros(1)
    try:
        with torch.no_grad():
            output = module(zeros)
    except Exception as error:  # the user's code can raise anything
        shown = ", ".join(f"(1, 4, {length})" for length in inputs.values())
        raise UsageError(f"the module of {config.factory!r} cannot take {shown}: {type(error).__name__}: {error}",
                         fix="check --length and --kwargs") from error  # fmt: skip
    if not isinstance(output, torch.Tensor) or output.ndim not in (2, 3) or len(output) != 1:
        found = tuple(output.shape) if isinstance(output, torch.Tensor) else f"a {type(output).__name__}"
        raise UsageError(f"the module of {config.factory!r} gives {found}, (batch, tracks[, bins]) is needed")
    return int(output.shape[1]), int(output.shape[2]) if output.ndim == 3 else 0


def import_torch(
    files: Sequence[Path],
    *,
    factory: UserConfig,
    lengths: Sequence[int],
    inputs: Sequence[str] | None = None,
    bins: int | None = None,
    link: Link = "identity",
    tracks: Sequence[str] | None = None,
    allow: Sequence[str] = (),
) -> Imported:
    """A user's network with the weights of one file.

    Parameters
    ----------
    files : one ``.safetensors``, ``.pt`` or ``.pth`` with a state_dict
    factory : what makes the module
    lengths : bases of each input
    inputs : their names
    bins : positions per track, 0 for one value; needed only where the factory takes ``shape``, else looked at
    link : how the output scale is reached from what the module returns
    tracks : names; needed where the factory takes ``shape``
    allow : patterns of names of tensors that may be missing or unused

    Raises
    ------
    UsageError : several files, a factory that does not work, an output that is not as said
    InputError : no file of tensors, or tensors that do not fit, all named
    """
    if len(files) != 1:
        raise UsageError(f"format torch takes one file of weights, not {len(files)}")
    tensors, named = read_tensors(files[0]), _inputs(lengths, inputs)
    if takes_shape(find_factory(factory.factory)):
        if tracks is None:
            raise UsageError(
                f"{factory.factory!r} takes a shape, which needs the tracks", fix="name them with --tracks"
            )
        count, found_bins = len(tracks), bins or 0
    else:
        count, found_bins = _probe(factory, named)
    if bins is not None and bins != found_bins:
        raise UsageError(f"--bins {bins}: the module of {factory.factory!r} gives {found_bins}")
    shape = ModelShape(named, (HeadShape("main", count, link),), found_bins)
    module = UserModel(factory, shape).eval()
    notes = fill(module.module, tensors, source=files[0], allow=allow)
    with torch.no_grad():
        module(shape.zeros(1))
    module.tracks = name_tracks(tracks, {"track": count})
    provenance = {"format": "torch", "files": describe_sources(files), "notes": notes}
    return Imported(module, factory, provenance, notes)
