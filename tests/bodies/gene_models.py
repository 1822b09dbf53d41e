"""A small Borzoi on the hand-made genes of examples/genes_tiny, without training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from support import EXAMPLES

from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import BorzoiConfig
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build

GENES = EXAMPLES / "genes_tiny"
GTF = GENES / "genes.gtf"
CONTIGS = {f"w{number:02d}": 131_072 for number in range(4)}
TRACKS = ["CNhs12184+", "CNhs12184-", "ENCFF136DBS"]
CONFIG: Mapping[str, Any] = {
    "stem_channels": 6, "stem_size": 7, "tower_channels": (8, 8, 8, 12, 12), "depth": 1, "heads": 2, "key_size": 4,
    "position_features": 8, "unet": 1, "final_channels": 16,
}  # fmt: skip


def header(*, length: int = 8192, bins: int = 192, tracks: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    """What the plan sees of a model with 32-base bins."""
    names = TRACKS if tracks is None else tracks
    found: dict[str, Any] = {
        "inputs": [{"name": "seq", "length": length}], "bins": bins, "span": 32 * bins, "tracks": names,
        "strand_partners": [1, 0, 2][: len(names)],
    }  # fmt: skip
    return found | changes


def borzoi(path: Path, *, length: int = 8192, bins: int = 192, seed: int = 0) -> Path:
    """A MODEL folder with random weights."""
    torch.manual_seed(seed)
    config = BorzoiConfig(**CONFIG)
    module = build(config, ModelShape.single(length, 3, bins=bins, link="softplus", span=32 * bins)).eval()
    module.tracks, module.strand_partners = list(TRACKS), [1, 0, 2]
    return save_model(module, path, config, TRACKS)
