"""Links: from what a model returns to its output, and the totals over bins."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from drg_hpc.errors import InputError
from drg_hpc.models.config import LINKS
from drg_hpc.models.links import apply_link, apply_links, log_rates, total_over_bins, totals_over_bins

VALUES = np.array([-80.0, -30.0, -15.1, -14.9, -5.0, -0.1, 0.0, 0.3, 4.0, 19.0, 21.0, 300.0])
RATES = np.where(VALUES > 30, VALUES, np.log1p(np.exp(np.minimum(VALUES, 30))))


def test_every_link_has_an_output() -> None:
    x = torch.tensor([[0.5, -2.0]], dtype=torch.float64)
    found = [apply_link(x, link).numpy() for link in LINKS]
    e = np.exp([[0.5, -2.0]])
    for value, wanted in zip(found, ([[0.5, -2.0]], e / (1 + e), e, np.log(1 + e)), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-12)
    with pytest.raises(InputError, match="probit"):
        apply_link(x, "probit")


def test_log_rates() -> None:
    x = torch.tensor(VALUES, dtype=torch.float64, requires_grad=True)
    rates = log_rates(x, "softplus")
    np.testing.assert_allclose(rates.detach().numpy(), np.log(RATES), rtol=1e-9, atol=1e-9)
    (gradient,) = torch.autograd.grad(rates.sum(), x)
    sigmoid = np.where(VALUES > -700, 1 / (1 + np.exp(-VALUES)), 0)
    np.testing.assert_allclose(gradient.numpy(), sigmoid / RATES, rtol=1e-6)
    assert log_rates(x, "log") is x
    assert log_rates(torch.tensor([-500.0]), "softplus").item() == -500.0
    for link in ("identity", "logit"):
        with pytest.raises(InputError, match="are no rates"):
            log_rates(x, link)


def test_total_of_a_softplus_is_what_a_softplus_turns_into_it() -> None:
    generator = np.random.default_rng(0)
    for low, high in ((-60, -40), (-20, -10), (-3, 3), (5, 40), (1000, 1001)):
        x = torch.tensor(generator.uniform(low, high, (2, 3, 50)), requires_grad=True)
        total = total_over_bins(x, "softplus")
        wanted = np.logaddexp(0, x.detach().numpy()).sum(-1)
        np.testing.assert_allclose(np.logaddexp(0, total.detach().numpy()), wanted, rtol=1e-9)
        (gradient,) = torch.autograd.grad(total.sum(), x)
        assert torch.isfinite(gradient).all() and (gradient > 0).all()


@pytest.mark.parametrize("value", [-300.0, -104.0, -60.0, 0.0, 60.0, 3e4])
def test_totals_are_finite_in_float32(value: float) -> None:
    x = torch.full((1, 1, 6144), value, requires_grad=True)
    total = total_over_bins(x, "softplus")
    expected = value + np.log(6144) if value < -50 else None
    assert torch.isfinite(total).all()
    if expected is not None:
        assert total.item() == pytest.approx(expected, rel=1e-4)
    (gradient,) = torch.autograd.grad(total.sum(), x)
    assert torch.isfinite(gradient).all()


def test_mixed_links() -> None:
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    links = ["log", "softplus", "softplus", "identity", "logit"]
    for i, link in enumerate(links):
        assert torch.equal(apply_links(x, links)[:, i], apply_link(x[:, i], link))
        torch.testing.assert_close(totals_over_bins(x, links)[:, i], total_over_bins(x[:, i], link))
