"""Every loss of DRG's against the values and gradients that its own code gave (tests/data/drg_losses)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.config import DrgCnnConfig
from drg_hpc.training.loss_base import PerRow, PerValue
from drg_hpc.training.loss_batch import BatchCorrelation, ContrastRatio
from drg_hpc.training.loss_names import DRG_NAMES, canonical
from drg_hpc.training.loss_rows import TotalsCorrelation, WindowMeans
from drg_hpc.training.losses import Loss, TargetFacts, choose_loss, make_loss
from drg_hpc.training.terms import Alone, Term

FOLDER = Path(__file__).parents[1] / "data" / "drg_losses"
ARRAYS = np.load(FOLDER / "losses.npz")
FACTS: dict[str, dict[str, Any]] = json.loads((FOLDER / "losses.json").read_text())
PAIRS = ("A_real", "B_unit", "C_counts", "D_profile3d")
# What DRG's code takes for outputs: logarithms of rates here, the outputs themselves elsewhere.
LOG = {"poisson", "cross-entropy", "kl"}
Tensor = torch.Tensor


def spread(term: Term, p: Tensor, y: Tensor) -> Tensor:
    """The losses of a term as DRG returns them: in the shape of the targets."""
    valid = torch.ones_like(y, dtype=torch.bool)
    if isinstance(term, PerValue):
        return term.each(p, y, valid)
    if isinstance(term, TotalsCorrelation):
        return term.each(p, y, valid)[:, None, None].expand_as(y)
    if isinstance(term, PerRow):
        return term.each(p, y, valid)[..., None].expand_as(y)
    if isinstance(term, WindowMeans):  # DRG lays the windows' means one after the other, again and again
        return term.each(p, y, valid).repeat(*[1] * (y.ndim - 1), term.window or y.shape[-1])
    if isinstance(term, ContrastRatio):
        return term.each(p, y, valid, torch.minimum(p.min(), y.min()))[0]
    losses, enough = term.each(p, y, valid, ranks=Alone())  # type: ignore[attr-defined]
    assert enough.all()
    return losses[None].expand_as(y)


def summed(loss: Loss, p: Tensor, y: Tensor) -> Tensor:
    return sum((weight * spread(term, p, y) for weight, term in loss.terms), torch.zeros(()))


def _totals(p: Tensor, y: Tensor) -> Tensor:
    """Correlationsumdata of two dimensions compares the sums of rows."""
    if p.ndim == 3:
        return summed(make_loss("correlation-sum-data", "identity"), p, y)
    return spread(BatchCorrelation("identity"), p.sum(-1, keepdim=True), y.sum(-1, keepdim=True)).expand_as(y)


def _both(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Halves of the means; DRG's "data" is always the second axis."""

    def value(p: Tensor, y: Tensor) -> Tensor:
        (_, data), (_, batch) = make_loss(name, "identity").terms
        across = spread(data, p.transpose(1, -1), y.transpose(1, -1))
        return 0.5 * across.mean() + 0.5 * spread(batch, p, y).mean()

    return value


SPECIAL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "BCELoss": lambda p, y: summed(make_loss("bce", "logit"), torch.logit(p), y),
    # DRG takes it that predictions are normalised
    "KL": lambda p, y: summed(make_loss("kl", "log"), p, y) - y * torch.logsumexp(p, -1, keepdim=True),
    "MultinomialMSE": lambda p, y: summed(make_loss("multinomial-mse", "log"), torch.log(p), y),
    "CrossEntropy": lambda p, y: make_loss("cross-entropy", "log").terms[0][1].each(  # type: ignore[attr-defined]
        p.transpose(1, -1), y.transpose(1, -1), torch.ones_like(y, dtype=torch.bool).transpose(1, -1)
    ),
    "Correlationsumdata": _totals,
    "Correlationboth": _both("correlation-both"),
    "Cosineboth": lambda p, y: y.numel() * _both("cosine-both")(p, y),
}  # fmt: skip


def ours(name: str, p: Tensor, y: Tensor) -> Tensor:
    """What DRG's loss returns, from our terms."""
    if name in SPECIAL:
        return SPECIAL[name](p, y)
    mine = DRG_NAMES[name]
    values = summed(make_loss(mine, "log" if mine in LOG else "identity"), p, y)
    if mine in ("ce", "sce", "hce"):
        return values.sum(0 if name.endswith("class") else -1)
    return values


def test_all_names_are_known() -> None:
    names = {key.split("__")[1] for key in FACTS}
    assert len(names) == 41
    assert names == {*DRG_NAMES, "GNLL", "NLL"}
    assert all(canonical(name.upper()) == DRG_NAMES[name] for name in DRG_NAMES)
    for name in ("GNLL", "NLL"):
        with pytest.raises(ValueError, match="which DRG never gives it"):
            canonical(name.lower())
        assert all("error" in FACTS[f"{pair}__{name}"] for pair in PAIRS)


@pytest.mark.parametrize(
    ("pair", "name"), [(pair, name) for pair in PAIRS for name in DRG_NAMES if "error" not in FACTS[f"{pair}__{name}"]]
)
def test_values_and_gradients_of_drg(pair: str, name: str) -> None:
    facts = FACTS[f"{pair}__{name}"]
    p = torch.tensor(ARRAYS[f"{pair}__pred"], requires_grad=True)
    values = ours(name, p, torch.tensor(ARRAYS[f"{pair}__target"]))
    if not facts["finite"]:  # logarithms of negative numbers
        assert not torch.isfinite(values).all()
        return
    expected, slopes = (torch.tensor(ARRAYS[f"{pair}__{name}{kind}"]) for kind in ("", "__grad_of_sum"))
    values = values if values.numel() == expected.numel() else values.expand_as(expected)
    torch.testing.assert_close(values.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)
    values.sum().backward()
    assert p.grad is not None
    scale = max(1.0, float(slopes.abs().max()))
    noise = 2e-6 * scale
    if pair == "D_profile3d" and name in ("Correlationclass", "MSECorrelation"):
        noise = 1e-5 * scale + 3e-4  # a correlation of two rows is 1 or -1, and DRG's slope the rounding of 0
    off = (p.grad - slopes).abs() > 1e-5 * slopes.abs() + noise
    if name in ("BCEMSE", "BCEMCR"):
        # The slope at the smallest prediction is a difference of numbers near 1e7, in float32.
        off &= p > p.amin(-1, keepdim=True)
    assert not off.any(), (p.grad - slopes).abs().max()


def test_what_drg_refuses_is_refused_in_words() -> None:
    def chosen(name: str, *, bins: int = 0, unit: bool = True) -> Loss:
        facts = TargetFacts(binary=False, unit_interval=unit, non_negative=True)
        return choose_loss(canonical(name), model=DrgCnnConfig(), bins=bins, facts=facts, count_weight=None)

    assert "error" in FACTS["A_real__BCELoss"]
    with pytest.raises(InputError, match="needs targets from 0 to 1"):
        chosen("BCELoss", unit=False)
    assert "error" in FACTS["B_unit__BCEMCR"]
    with pytest.raises(UsageError, match="needs targets in bins"):
        chosen("BCEMCR")
    assert "error" in FACTS["B_unit__JensenShannon"]
    for bins in (0, 7, 26):
        with pytest.raises(UsageError, match="jensen-shannon"):
            chosen("JensenShannon", bins=bins)
    assert chosen("JensenShannon", bins=50).name == "jensen-shannon"


@pytest.mark.parametrize("name", sorted(set(DRG_NAMES) - {"KL"}))
def test_a_loss_is_drg_s_sum_by_the_number_of_targets(name: str) -> None:
    """Totals over units, as training makes them."""
    pair = "D_profile3d" if name in ("BCEMCR", "JensenShannon", "Correlationsumdata") else "B_unit"
    p, y = (torch.tensor(ARRAYS[f"{pair}__{kind}"]) for kind in ("pred", "target"))
    mine = DRG_NAMES[name]
    valid = torch.ones_like(y, dtype=torch.bool)
    output, link = p, "log" if mine in LOG else "identity"
    if name == "BCELoss":
        output = torch.logit(p)
    elif name == "MultinomialMSE":
        output, link = torch.log(p), "log"
    found = sum(
        weight * float(term.total(output, y, valid, ranks=Alone())) / int(term.units(valid.numpy()).sum())
        for weight, term in make_loss(mine, link).terms  # type: ignore[arg-type]
    )
    number = {"Correlationboth": 1, "CrossEntropy": len(y)}.get(name, y.numel())
    assert found == pytest.approx(float(ARRAYS[f"{pair}__{name}"].sum()) / number, rel=2e-6)
