"""How the arithmetic of a step is done: precision, and the compiler."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

from drg_hpc.errors import InputError
from drg_hpc.training.config import Precision

log = logging.getLogger(__name__)


def require_precision(precision: Precision, device: torch.device) -> None:
    """Refuse a precision that a device does not have.

    Raises
    ------
    InputError : it is tf32 and the device no GPU that has it
    """
    if precision != "tf32":
        return
    if device.type != "cuda":
        raise InputError("train.precision = 'tf32' is arithmetic of GPUs, this is a CPU", fix="fp32 or bf16")
    if torch.cuda.get_device_capability(device) < (8, 0):
        raise InputError(
            f"train.precision = 'tf32' needs compute capability 8.0 (Ampere), {torch.cuda.get_device_name(device)} "
            "has less",
            fix="fp32",
        )


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """Within it, a GPU's products of float32 are as ``precision`` says; forward and backward belong inside."""
    wanted = precision == "tf32"
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = wanted
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The forward pass in bfloat16, where that is asked for."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def compiled(model: nn.Module) -> nn.Module:
    """The network as torch.compile makes it at its first call; it shares the weights, whose names stay.

    Every batch size is compiled for itself: which code runs then depends on the batch alone, not on the batches before,
    and a resumed training gets the same bits as an undisturbed one wherever the compiler makes the same code.
    """
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(True)  # told to the compiler too, which models.compute does not load
    made: nn.Module = torch.compile(model, dynamic=False)  # type: ignore[assignment]
    return made


@contextmanager
def compiler_errors() -> Iterator[None]:
    """Turn what the compiler raises into one line.

    Raises
    ------
    InputError : it is missing, or cannot compile the network
    """
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        yield
    except (TorchDynamoException, InvalidCxxCompiler, FailOnRecompileLimitHit) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise InputError(
            f"train.compile: {lines[0]}",
            fix="install a C++ compiler (on a GPU, Triton too), or set train.compile = false",
        ) from None
