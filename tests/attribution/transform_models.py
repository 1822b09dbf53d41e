"""A model with a stranded pair and bins that treats both strands alike, for tests of statistics."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

BINS, LENGTH = 8, 40


class Mirrored(nn.Module):
    """Tracks ``plus`` and ``minus`` (each other's partner), ``both`` and ``other`` (their own), 8 bins of 5 bases.

    What ``plus`` is of a sequence, ``minus`` is of its reverse complement, with the bins turned round.
    """

    def __init__(self, links: tuple[str, ...] = ("log",) * 4) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv1d(4, 6, 9, padding=4)
        self.last = nn.Conv1d(6, 3, 5, stride=5)
        self.double()
        self.tracks = ["plus", "minus", "both", "other"]
        self.strand_partners: list[int | None] = [1, 0, 2, 3]
        self.links = list(links)
        self.bins, self.length = BINS, LENGTH
        self.eval()

    def one_strand(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, bins) of this strand."""
        return 3.0 * self.last(functional.gelu(self.first(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 4, bins)."""
        there, back = self.one_strand(x), self.one_strand(x.flip(1, 2)).flip(-1)
        shared = there[:, 1:] + back[:, 1:]
        return torch.cat([there[:, :1], back[:, :1], shared], dim=1)


class Alone(nn.Module):
    """The totals over bins of :class:`Mirrored` as single values (on the link scale, plain sums)."""

    def __init__(self, inner: Mirrored) -> None:
        super().__init__()
        self.inner = inner
        self.tracks, self.strand_partners, self.links, self.bins = inner.tracks, inner.strand_partners, inner.links, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 4)."""
        totals: torch.Tensor = self.inner(x).sum(dim=-1)
        return totals


def header(module: Any) -> dict[str, Any]:
    """What model.json would say of the tracks of a module."""
    heads = [{"name": f"head{i}", "tracks": 1, "link": link} for i, link in enumerate(module.links)]
    return {"tracks": module.tracks, "bins": module.bins, "heads": heads, "strand_partners": module.strand_partners}


def sequences(rows: int = 5) -> torch.Tensor:
    """One-hot (rows, 4, 40) float64."""
    codes = torch.randint(0, 4, (rows, LENGTH), generator=torch.Generator().manual_seed(1))
    return functional.one_hot(codes, 4).transpose(1, 2).double()
