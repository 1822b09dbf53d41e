"""Small models, sequences and plain loops for tests of in-silico mutagenesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

LENGTH = 24


def text_onehot(text: str) -> np.ndarray:
    """(4, L) float64."""
    return np.eye(5, 4)[["ACGTN".index(base) for base in text]].T.copy()


def random_text(length: int = LENGTH, *, seed: int = 0, unknown: float = 0.1) -> str:
    rng = np.random.default_rng(seed)
    return "".join(rng.choice(list("ACGTN"), length, p=[(1 - unknown) / 4] * 4 + [unknown]))


def mutants_of(text: str, position: int) -> list[tuple[str, str]]:
    """Every other base at a position, with the sequence that has it."""
    return [(base, text[:position] + base + text[position + 1 :]) for base in "ACGT" if base != text[position]]


class Net(nn.Module):
    """Two positive tracks, ``log`` of the output scale, that know their place on the sequence and their strand."""

    def __init__(self, inputs: Sequence[int] = (LENGTH,), *, seed: int = 1) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.bodies = nn.ModuleList(nn.Conv1d(4, 5, 5, padding=2) for _ in inputs)
        self.head = nn.Linear(5 * sum(inputs), 2)
        self.double().eval()
        self.links = ["log", "log"]
        self.tracks = ["up", "down"]

    def forward(self, x: Any) -> torch.Tensor:
        """(n, 2)."""
        xs = [x] if isinstance(x, torch.Tensor) else x
        found = [nn.functional.gelu(body(each)).flatten(1) for body, each in zip(self.bodies, xs, strict=True)]
        return self.head(torch.cat(found, dim=1))


def predict(net: nn.Module, *texts: str) -> np.ndarray:
    """(2,) of one row."""
    xs = [torch.from_numpy(text_onehot(text))[None] for text in texts]
    with torch.no_grad():
        found: np.ndarray = net(xs if len(xs) > 1 else xs[0])[0].numpy()
    return found
