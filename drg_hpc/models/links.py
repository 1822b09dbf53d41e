"""From a model's link scale (logits, log counts) to its output scale."""

from __future__ import annotations

import torch

from drg_hpc.errors import InputError
from drg_hpc.models.config import LINKS


def apply_link(values: torch.Tensor, link: str) -> torch.Tensor:
    """Output scale of link-scale values: identity, sigmoid for ``logit``, exp for ``log``.

    Raises
    ------
    InputError : unknown link
    """
    if link == "identity":
        return values
    if link == "logit":
        return torch.sigmoid(values)
    if link == "log":
        return torch.exp(values)
    raise InputError(f"unknown link {link!r}", fix=f"known: {', '.join(LINKS)}")
