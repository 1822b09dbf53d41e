"""How every forward pass outside training runs: fixed-shape blocks, reproducible kernels."""

from __future__ import annotations

import os

import torch

from drg_hpc.runs.spec import BLOCK_ROWS


def prepare_torch(threads: int) -> None:
    """Make this process compute the same bits every time on one device model and thread setting."""
    # cuBLAS reads this when its first handle is made; without it deterministic mode raises on a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


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
