"""How every forward pass outside training runs: fixed-shape blocks, reproducible kernels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.models.base import SequenceModel, Sequences, take_part
from drg_hpc.models.header import other_strand
from drg_hpc.models.links import apply_links
from drg_hpc.runs.spec import BLOCK_ROWS

Scale = Literal["link", "output"]


def prepare_torch(threads: int) -> None:
    """Make this process compute the same bits every time on one device model and thread setting."""
    # cuBLAS reads this when its first handle is made; without it deterministic mode raises on a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    # the same as use_deterministic_algorithms(True), which also loads the compiler for more than a second
    torch.set_deterministic_debug_mode("error")
    # which also fills new memory with NaN, a quarter of the time of small networks; nothing here reads what it has not
    # written, as the tests see, which do fill it
    filled = os.environ.get("DRG_FILL_MEMORY") == "1"
    torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    # torch says so of kernels of even width at every start; it computes the same
    warnings.filterwarnings("ignore", message="Using padding='same' with even kernel")


def array_tensor(values: NDArray[Any]) -> torch.Tensor:
    """A tensor of its own from any array, also one that is read-only or runs backwards."""
    return torch.tensor(np.ascontiguousarray(values))


def pad_block(x: torch.Tensor, rows: int = BLOCK_ROWS) -> torch.Tensor:
    """Add rows of zeros to a block (n, …) with n <= ``rows``: sums depend on the batch's shape in the last bit."""
    assert 0 < len(x) <= rows
    if len(x) == rows:
        return x
    return torch.cat([x, x.new_zeros((rows - len(x), *x.shape[1:]))])


def device_model(device: str | torch.device) -> str:
    """What kind of device results were computed on, for receipts: the GPU's name, or ``cpu``."""
    kind = torch.device(device)
    return torch.cuda.get_device_name(kind) if kind.type == "cuda" else "cpu"


def module_place(module: torch.nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and floating-point type of a module's parameters; CPU and float32 when it has none."""
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return parameter.device, parameter.dtype
    return torch.device("cpu"), torch.float32


def model_output(module: torch.nn.Module, x: Sequences) -> torch.Tensor:
    """Output ``(n, tracks[, bins])``; a plain ``(n,)`` counts as one track.

    Raises
    ------
    InputError : the module returns something else
    """
    output = module(x)
    rows = len(x) if isinstance(x, torch.Tensor) else len(x[0])
    if not isinstance(output, torch.Tensor) or output.ndim not in (1, 2, 3) or len(output) != rows:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise InputError(f"model output is {shape}, expected (batch, tracks) or (batch, tracks, bins)")
    return output[:, None] if output.ndim == 1 else output


def model_part(
    module: torch.nn.Module, x: Sequences, *, tracks: Sequence[int], bins: torch.Tensor | None = None
) -> torch.Tensor:
    """Some tracks, and of each row some bins, of a module's output: ``(n, len(tracks)[, m])``.

    A network whose last layers can be computed in part computes no more than it must; any other computes all.

    Parameters
    ----------
    bins : int64 ``(n, m)``; None: all

    Raises
    ------
    InputError : the module's output has no bins
    """
    if isinstance(module, SequenceModel) and type(module).part is not SequenceModel.part:
        return module.part(x, tracks=tracks, bins=bins)
    output = model_output(module, x)
    if bins is not None and output.ndim != 3:
        raise InputError(f"model output is {tuple(output.shape)}, expected (batch, tracks, bins)")
    return take_part(output, tracks, bins)


def module_links(module: torch.nn.Module, tracks: Iterable[int]) -> list[str]:
    """Link of each of some tracks of a module: of its ``.links``, else ``.link`` for all, else identity."""
    links = getattr(module, "links", None)
    alone = str(getattr(module, "link", "identity"))
    return [str(links[track]) if links else alone for track in tracks]


def on_scale(values: torch.Tensor, module: torch.nn.Module, scale: Scale) -> torch.Tensor:
    """A module's output on the scale asked for; a module without ``.link`` gives its output scale already."""
    if scale == "link":
        return values
    return apply_links(values, module_links(module, range(values.shape[1])))


def partner_tracks(module: torch.nn.Module, tracks: Sequence[int]) -> list[int]:
    """The tracks that take the place of ``tracks`` on the other strand; a module that names none has unstranded ones.

    Raises
    ------
    UsageError : a partner is not among the module's tracks
    """
    partners: list[int | None] | None = getattr(module, "strand_partners", None)
    return list(tracks) if partners is None else other_strand(partners, tracks, module.tracks)  # type: ignore[arg-type]
