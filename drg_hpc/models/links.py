"""From a model's link scale (logits, log counts, what comes before a softplus) to its output scale."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from drg_hpc.errors import InputError
from drg_hpc.models.config import LINKS


def apply_link(values: torch.Tensor, link: str) -> torch.Tensor:
    """Output scale of link-scale values: identity, sigmoid for ``logit``, exp for ``log``, or ``softplus``.

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
    if link == "softplus":
        return functional.softplus(values)
    raise InputError(f"unknown link {link!r}", fix=f"known: {', '.join(LINKS)}")


def _each_run(
    values: torch.Tensor, links: Sequence[str], convert: Callable[[torch.Tensor, str], torch.Tensor]
) -> torch.Tensor:
    """``convert`` on neighbouring tracks of one link at a time."""
    parts, first = [], 0
    for link, run in itertools.groupby(links):
        last = first + len(list(run))
        parts.append(convert(values[:, first:last], link))
        first = last
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def apply_links(values: torch.Tensor, links: Sequence[str]) -> torch.Tensor:
    """Output scale of ``(n, tracks[, bins])``, with the link of each track.

    Raises
    ------
    InputError : unknown link
    """
    return _each_run(values, links, apply_link)


def log_rates(values: torch.Tensor, link: str) -> torch.Tensor:
    """Logarithm of the outputs of a model of rates, whose link is ``log`` or ``softplus``; finite where they underflow.

    Raises
    ------
    InputError : another link
    """
    if link == "log":
        return values
    if link != "softplus":
        raise InputError(f"outputs with link {link!r} are no rates", fix="log and softplus give rates")
    # log(softplus(x)) = x - e^x / 2 + O(e^2x); e^-30 is below the resolution of float64 there.
    usual = torch.log(functional.softplus(torch.clamp(values, min=-15.0)))
    return torch.where(values < -15.0, values - 0.5 * torch.exp(torch.clamp(values, max=-15.0)), usual)


def _before_softplus(log_total: torch.Tensor) -> torch.Tensor:
    """``log(exp(T) - 1)`` of log T: ``T + log T + log((1 - exp(-T)) / T)``, in which nothing over- or underflows."""
    total = torch.exp(log_total)
    kept = torch.clamp(total, min=1e-30)
    return total + log_total + torch.log(-torch.expm1(-kept) / kept)


def total_over_bins(values: torch.Tensor, link: str) -> torch.Tensor:
    """One number per track on the link scale, ``(n, tracks, bins) -> (n, tracks)``: the link of the track's total.

    For ``log`` that is the log of the summed rates, ``logsumexp``; a sum of log rates would *fall* when one bin rises,
    since the others' share of the total falls with it. For ``softplus`` it is what a softplus turns into the summed
    outputs. For ``identity`` it is the sum. Bins of a ``logit`` model are separate yes-or-no answers, whose logits are
    summed.
    """
    if link == "log":
        return torch.logsumexp(values, dim=-1)
    if link == "softplus":
        return _before_softplus(torch.logsumexp(log_rates(values, link), dim=-1))
    return values.sum(dim=-1)


def totals_over_bins(values: torch.Tensor, links: Sequence[str]) -> torch.Tensor:
    """:func:`total_over_bins` with the link of each track."""
    return _each_run(values, links, total_over_bins)
