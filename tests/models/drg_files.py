"""The files of tests/data/drg and examples/calderon, and DRG's files written for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from support import ROOT

DATA = ROOT / "tests" / "data" / "drg"
CALDERON = ROOT / "examples" / "calderon"
CASES = ("1a_conv_maxpool_dilated", "1c_attention", "1d_two_heads", "1e_combined_difference", "1x_transformer")


def files(case: str) -> tuple[Path, Path]:
    """Settings and weights."""
    folder, stem = (CALDERON, "calderon_shallow") if case == "calderon" else (DATA / case, "model")
    return folder / f"{stem}_model_params.dat", folder / f"{stem}_parameter.pth"


def inputs(case: str) -> list[torch.Tensor]:
    """One-hot (rows, 4, length) of each input."""
    arrays = [np.load(path)["seqfeatures"] for path in sorted((DATA / case).glob("*onehot*.npz"))]
    return [torch.from_numpy(array).permute(0, 2, 1).float() for array in arrays]


def onehot(sequences: list[str]) -> torch.Tensor:
    """One-hot (rows, 4, length) of sequences of A, C, G, T in any case."""
    rows = [[[letter == base for letter in sequence.upper()] for base in "ACGT"] for sequence in sequences]
    return torch.tensor(rows).float()


def write(folder: Path, settings: dict[str, Any], tensors: dict[str, torch.Tensor]) -> tuple[Path, Path]:
    """DRG's two files."""
    dat, pth = folder / "m_model_params.dat", folder / "m_parameter.pth"
    dat.write_text("".join(f"{key} : {value}\n" for key, value in settings.items()))
    torch.save(tensors, pth)
    return dat, pth


def drawn(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Tensors of given shapes; running variances are positive."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            found[name] = torch.tensor(7)
            continue
        values = torch.randn(shape, generator=generator) * (0.5 if len(shape) > 1 else 0.3)
        found[name] = values.abs() + 0.5 if name.endswith("running_var") else values
    return found
