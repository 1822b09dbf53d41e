"""The algebra of attribution forms, in one place.

``m`` are the multipliers of a linear method (the gradient g for gradient methods), ``x`` is the one-hot sequence,
both ``(n, 4, length)``. A column of zeros in ``x`` is an unknown base.
"""

from __future__ import annotations

import torch

from drg_hpc.attribution.catalogue import Recipe

BASES = -2


def known_bases(x: torch.Tensor) -> torch.Tensor:
    """1 where a position has a base, 0 where its column is all zero: ``(n, 1, length)``."""
    return (x != 0).any(dim=BASES, keepdim=True).to(x.dtype)


def corrected(m: torch.Tensor) -> torch.Tensor:
    """m minus its mean over bases (Majdandzic et al. 2023, 10.1186/s13059-023-02956-3): sums to 0 in each column."""
    return m - m.mean(dim=BASES, keepdim=True)


def hypothetical(m: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """m(b) - sum_i p_i m(i) with base frequencies p, shape ``(4, 1)`` or that of ``m`` (TISM package)."""
    return m - (frequencies * m).sum(dim=BASES, keepdim=True)


def global_form(m: torch.Tensor, x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """m * (x - reference): with integrated gradients it sums to f(x) - f(reference) (Sundararajan et al. 2017)."""
    return m * (x - reference)


def tism(g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """g(b) - sum_i g(i) x(i): first-order Taylor estimate of putting base b in (TISM package); 0 at the base itself."""
    return g - projected(g, x)


def projected(form: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Sum over bases of form * x, ``(n, 1, length)``: the attribution of the bases that are there."""
    return (form * x).sum(dim=BASES, keepdim=True)


def contribution(m: torch.Tensor, recipe: Recipe, *, reference: torch.Tensor) -> torch.Tensor:
    """The four-base form whose product with the sequence, summed over bases, is the recipe's projection.

    raw, corrected and hypothetical are such forms themselves. ``global`` already holds the sequence; since
    sum_b m(b) (x(b) - r(b)) = sum_b x(b) (m(b) - sum_i r(i) m(i)), its companion is the hypothetical form with the
    reference as frequencies. TISM is 0 at every base that is there, so its companion is the corrected form:
    minus the mean effect of changing the base (the unchanged base counted as 0).
    """
    if recipe.form == "global":
        return hypothetical(m, reference)
    if recipe.form in ("corrected", "tism"):
        return corrected(m)
    if recipe.form == "hypothetical":
        return hypothetical(m, m.new_tensor(recipe.base_freqs)[:, None])
    return m


def output_form(m: torch.Tensor, x: torch.Tensor, recipe: Recipe, *, reference: torch.Tensor) -> torch.Tensor:
    """Multipliers in the recipe's output form."""
    if recipe.form == "global":
        return global_form(m, x, reference)
    if recipe.form == "tism":
        return tism(m, x)
    return contribution(m, recipe, reference=reference)
