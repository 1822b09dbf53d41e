"""The algebra of attribution forms, in one place.

``m`` are the multipliers of a linear method (the gradient g for gradient methods), mean over references; ``q`` is the
mean over references r of ``m_r * r``, that of the multipliers of one reference with the reference; ``x`` is the
one-hot sequence. All are ``(n, 4, length)``. A column of zeros in ``x`` is an unknown base; references have none there.
"""

from __future__ import annotations

import torch

from drg_hpc.attribution.recipe import Recipe

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


def relative(m: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """m(b) - mean over references r of sum_i m_r(i) r(i): the hypothetical form of DeepSHAP (Shrikumar et al. 2020,
    arXiv:1811.00416v5), and :func:`hypothetical` with the reference as frequencies."""
    return m - q.sum(dim=BASES, keepdim=True)


def global_form(m: torch.Tensor, x: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """m * x - q, the mean of m_r * (x - r): it sums to f(x) minus the mean of f(r) with a method that is complete
    (Sundararajan et al. 2017)."""
    return m * x - q


def tism(g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """g(b) - sum_i g(i) x(i): first-order Taylor estimate of putting base b in (TISM package); 0 at the base itself."""
    return g - projected(g, x)


def projected(form: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Sum over bases of form * x, ``(n, 1, length)``: the attribution of the bases that are there."""
    return (form * x).sum(dim=BASES, keepdim=True)


def contribution(m: torch.Tensor, q: torch.Tensor | None, recipe: Recipe) -> torch.Tensor:
    """The four-base form whose product with the sequence, summed over bases, is the recipe's projection.

    raw, corrected and hypothetical are such forms themselves. ``global`` already holds the sequence; since
    sum_b m(b) (x(b) - r(b)) = sum_b x(b) (m(b) - sum_i r(i) m(i)), its companion is the hypothetical form relative to
    the references. TISM is 0 at every base that is there, so its companion is the corrected form: minus the mean
    effect of changing the base (the unchanged base counted as 0).

    Parameters
    ----------
    q : needed where ``recipe.uses_products``
    """
    if recipe.uses_products:
        assert q is not None
        return relative(m, q)
    if recipe.form in ("corrected", "tism"):
        return corrected(m)
    if recipe.base_freqs is not None:
        return hypothetical(m, m.new_tensor(recipe.base_freqs)[:, None])
    return m


def output_form(m: torch.Tensor, q: torch.Tensor | None, x: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Multipliers in the recipe's output form."""
    if recipe.form == "global":
        assert q is not None
        return global_form(m, x, q)
    if recipe.form == "tism":
        return tism(m, x)
    return contribution(m, q, recipe)
