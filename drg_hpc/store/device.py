"""One-hot and augmentation on the device: what is left to do once base codes and targets have been copied there.

The only module of this room that imports torch; training alone imports it.
"""

from __future__ import annotations

import torch


def one_hot(codes: torch.Tensor, turned: torch.Tensor | None = None) -> torch.Tensor:
    """One-hot float32 (rows, 4, length) of base codes.

    Parameters
    ----------
    codes : uint8 (rows, length), A, C, G, T = 0 to 3; others become zeros
    turned : bool (rows,): rows that become their reverse complement
    """
    if turned is not None:
        other = codes.flip(1)
        other = torch.where(other < 4, 3 - other, other)
        codes = torch.where(turned[:, None], other, codes)
    letters = torch.arange(4, dtype=torch.uint8, device=codes.device)[:, None]
    return (codes[:, None, :] == letters).to(torch.float32)


def turn_targets(values: torch.Tensor, turned: torch.Tensor, partners: torch.Tensor | None) -> torch.Tensor:
    """Targets of the reverse complement where ``turned``: bins reversed, tracks from the other strand.

    Parameters
    ----------
    values : (rows, tracks[, bins])
    turned : bool (rows,)
    partners : int64 (tracks,), for each track which one takes its place; None: each its own
    """
    other = values if partners is None else values[:, partners]
    if values.ndim == 3:
        other = other.flip(2)
    if other is values:
        return values
    return torch.where(turned.reshape(-1, *([1] * (values.ndim - 1))), other, values)


def present(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Where a target is there, bool like ``values``: by the store's mask (None: everywhere), and not NaN."""
    there = ~torch.isnan(values)
    return there if mask is None else mask & there
