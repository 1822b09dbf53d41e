"""Every loss against a NumPy float64 formula with missing targets, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from drg_hpc.errors import InputError, UsageError
from drg_hpc.training.losses import Loss, TargetFacts, choose_loss

SHAPE = (7, 3, 5)
BINARY = TargetFacts(binary=True, unit_interval=True, non_negative=True)
REAL = TargetFacts(binary=False, unit_interval=False, non_negative=False)
COUNTS = TargetFacts(binary=False, unit_interval=False, non_negative=True)


def _log_sum_exp(x: np.ndarray) -> float:
    return float(np.log(np.exp(x - x.max()).sum()) + x.max())


def expected(name: str, link: str, p: np.ndarray, y: np.ndarray, valid: np.ndarray) -> float:
    if name == "multinomial":
        total = 0.0
        for row, track in np.ndindex(SHAPE[:2]):
            seen = valid[row, track]
            if seen.any():
                logits, counts = p[row, track][seen], y[row, track][seen]
                whole = _log_sum_exp(logits)
                error = np.log1p(np.exp(whole)) - np.log1p(counts.sum())
                total += float(-(counts * (logits - whole)).sum() + 0.7 * error**2)
        return total
    p, y = p[valid], y[valid]
    if name == "bce":
        s = 1 / (1 + np.exp(-p))
        return float(-(y * np.log(s) + (1 - y) * np.log(1 - s)).sum())
    if name == "mse":
        return float((((np.exp(p) if link == "log" else p) - y) ** 2).sum())
    return float((np.exp(p) - y * p).sum())


@pytest.mark.parametrize(
    ("name", "link"),
    [("bce", "logit"), ("mse", "identity"), ("mse", "log"), ("poisson", "log"), ("multinomial", "log")],
)
def test_losses_equal_their_formula(name: str, link: str) -> None:
    generator = np.random.default_rng(3)
    p = generator.normal(size=SHAPE)
    y = generator.integers(0, 2, SHAPE).astype(float) if name == "bce" else generator.poisson(3, SHAPE).astype(float)
    valid = generator.random(SHAPE) < 0.6
    valid[2, 1] = False  # a row and track with nothing measured
    y[~valid] = np.nan
    loss = Loss(name=name, link=link, count_weight=0.7)  # type: ignore[arg-type]
    prediction = torch.tensor(p, requires_grad=True)
    total = loss.total(prediction, torch.tensor(y), torch.tensor(valid))
    assert total.item() == pytest.approx(expected(name, link, p, y, valid), rel=1e-12)
    total.backward()
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()
    assert (prediction.grad[~torch.tensor(valid)] == 0).all()
    units = valid.any(-1).sum(-1) if name == "multinomial" else valid.sum((1, 2))
    assert np.array_equal(loss.units(valid), units)


def test_auto_looks_at_targets_and_architecture() -> None:
    def chosen(architecture: str, facts: TargetFacts, bins: int = 0) -> tuple[str, str]:
        loss = choose_loss("auto", architecture=architecture, bins=bins, facts=facts, count_weight=1.0)
        return loss.name, loss.link

    assert chosen("drg-cnn", BINARY) == ("bce", "logit")
    assert chosen("drg-cnn", REAL) == ("mse", "identity")
    assert chosen("dilated-residual", COUNTS, 8) == ("multinomial", "log")


@pytest.mark.parametrize(
    ("name", "architecture", "bins", "facts", "error"),
    [
        ("bce", "drg-cnn", 0, COUNTS, InputError),
        ("poisson", "drg-cnn", 0, REAL, InputError),
        ("multinomial", "drg-cnn", 0, COUNTS, UsageError),
        ("bce", "dilated-residual", 8, BINARY, UsageError),
        ("mse", "dilated-residual", 8, REAL, InputError),
    ],
)
def test_losses_that_do_not_fit(
    name: str, architecture: str, bins: int, facts: TargetFacts, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"train\.loss"):
        choose_loss(name, architecture=architecture, bins=bins, facts=facts, count_weight=1.0)
