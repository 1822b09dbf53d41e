"""Every loss against formulas of its own in NumPy, with missing targets, on one rank and on two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from support import ROOT, environment
from training.loss_formulas import COUNT_WEIGHT, FORMULAS, Case, cases, make_case

from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.config import DilatedResidualConfig, DrgCnnConfig
from drg_hpc.training.loss_names import DRG_NAMES, LossName, ValidLossName
from drg_hpc.training.losses import LOSSES, Loss, TargetFacts, choose_loss, make_loss
from drg_hpc.training.objective import HeadLoss, Objective
from drg_hpc.training.terms import Alone

BINARY = TargetFacts(binary=True, unit_interval=True, non_negative=True)
REAL = TargetFacts(binary=False, unit_interval=False, non_negative=False)
COUNTS = TargetFacts(binary=False, unit_interval=False, non_negative=True)
EACH = pytest.mark.parametrize(("name", "link", "shape"), cases(), ids=lambda x: str(x).replace(" ", ""))


def objective_of(case: Case) -> Objective:
    loss = make_loss(case.name, case.link, count_weight=COUNT_WEIGHT)  # type: ignore[arg-type]
    return Objective([HeadLoss("main", slice(0, case.valid.shape[1]), loss)])


def value_of(case: Case, prediction: torch.Tensor | None = None) -> torch.Tensor:
    """The objective on one rank, in float64."""
    objective = objective_of(case)
    x = torch.tensor(case.prediction) if prediction is None else prediction
    totals = objective.totals(x, torch.tensor(case.target), torch.tensor(case.valid), ranks=Alone())
    factors = objective.factors(objective.units(case.valid).sum(0))
    return (totals * torch.tensor(factors)).sum()


def gradient_of(case: Case) -> tuple[float, np.ndarray]:
    prediction = torch.tensor(case.prediction, requires_grad=True)
    value = value_of(case, prediction)
    value.backward()  # type: ignore[no-untyped-call]
    assert prediction.grad is not None
    return value.item(), prediction.grad.numpy()


def test_every_loss_has_a_formula() -> None:
    assert set(FORMULAS) == set(LOSSES)
    for name in LOSSES:
        assert TypeAdapter(LossName).validate_python(name.upper()) == name


@EACH
def test_value_and_gradient(name: str, link: str, shape: tuple[int, ...]) -> None:
    """Slopes along random directions, by differences of the formula in long double."""
    case = make_case(name, link, shape)
    value, gradient = gradient_of(case)
    assert value == pytest.approx(float(case.expected()), rel=1e-10)
    assert np.isfinite(gradient).all()
    assert (gradient[~case.valid] == 0).all()
    assert np.abs(gradient).max() > 1e-4
    generator = np.random.default_rng(1)
    step = np.longdouble(1e-12 if name.startswith("bce-m") else 1e-8)  # those bend within 1e-8
    x = case.prediction.astype(np.longdouble)
    for _ in range(3):
        way = generator.normal(size=shape)
        slope = (case.expected(x + step * way) - case.expected(x - step * way)) / (2 * step)
        assert (gradient * way).sum() == pytest.approx(float(slope), rel=1e-6, abs=1e-7)


@EACH
def test_order_of_rows_and_what_missing_values_hold(name: str, link: str, shape: tuple[int, ...]) -> None:
    case = make_case(name, link, shape)
    value, gradient = gradient_of(case)
    order = np.random.default_rng(2).permutation(len(case.valid))
    mixed = Case(name, link, case.prediction[order], case.target[order], case.valid[order])
    # Neither a target nor a prediction counts where the target is missing.
    mixed.prediction[~mixed.valid] = 1e6
    mixed.target[~mixed.valid] = np.inf
    other, turned = gradient_of(mixed)
    assert other == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(turned, gradient[order], rtol=1e-8, atol=1e-10 * np.abs(gradient).max())


@EACH
def test_nothing_there_and_nothing_that_varies(name: str, link: str, shape: tuple[int, ...]) -> None:
    case = make_case(name, link, shape)
    none = Case(name, link, case.prediction, case.target, np.zeros_like(case.valid))
    value, gradient = gradient_of(none)
    assert value == 0
    assert (gradient == 0).all()
    assert objective_of(none).units(none.valid).sum() == 0
    for prediction, target in ((0.0, 0.0), (0.25, 0.5), (0.25, None), (None, 0.5), (None, 0.0)):
        flat = Case(
            name, link,
            case.prediction if prediction is None else np.full(shape, prediction),
            case.target if target is None else np.full(shape, target),
            case.valid,
        )  # fmt: skip
        value, gradient = gradient_of(flat)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        assert value == pytest.approx(float(flat.expected()), rel=1e-9, abs=1e-12)


def test_a_row_that_only_rounding_moves_does_not_vary() -> None:
    x = torch.full((4, 6), 0.1, dtype=torch.float32)
    x = (x * 3 + torch.tensor([0.0, 3e-8, 0.0, -3e-8, 0.0, 0.0])).requires_grad_()
    y = torch.randn(4, 6)
    for name in ("correlation-data", "correlation-class"):
        (_, term), = make_loss(name, "identity").terms  # fmt: skip
        total = term.total(x, y, torch.ones(4, 6, dtype=torch.bool), ranks=Alone())
        assert total.item() == 4.0
        (slopes,) = torch.autograd.grad(total, x)
        assert (slopes == 0).all()


@pytest.mark.slow
def test_two_ranks_are_as_one(tmp_path: Path) -> None:
    """Each rank computes its rows only; their values and gradients are those of the whole batch."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = ROOT / "tests" / "training" / "loss_ranks.py"
    paths = environment(PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}")
    done = subprocess.run(
        [*line, script, tmp_path], env=paths, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    parts: list[Any] = [np.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    assert min(len(part["4.gradient"]) for part in parts) == 0
    for number, (name, link, shape) in enumerate(cases()):
        value, gradient = gradient_of(make_case(name, link, shape))
        found = np.concatenate([part[f"{number}.gradient"] for part in parts])
        for part in parts:
            assert float(part[f"{number}.value"]) == pytest.approx(value, rel=1e-12), name
        np.testing.assert_allclose(found, gradient, rtol=1e-9, atol=1e-11 * np.abs(gradient).max(), err_msg=name)


def chosen(name: str, model: Any, facts: TargetFacts, bins: int = 0, **more: Any) -> Loss:
    return choose_loss(name, model=model, bins=bins, facts=facts, count_weight=None, **more)


def test_auto_looks_at_targets_and_architecture() -> None:
    for model, facts, bins, name, link in (
        (DrgCnnConfig(), BINARY, 0, "bce", "logit"),
        (DrgCnnConfig(), REAL, 0, "mse", "identity"),
        (DilatedResidualConfig(), COUNTS, 8, "multinomial", "log"),
    ):
        loss = chosen("auto", model, facts, bins)
        assert (loss.name, loss.link) == (name, link)


@pytest.mark.parametrize(
    ("name", "model", "bins", "facts", "error"),
    [
        ("bce", DrgCnnConfig(), 0, COUNTS, InputError),
        ("poisson", DrgCnnConfig(), 0, REAL, InputError),
        ("log-mse", DrgCnnConfig(), 0, REAL, InputError),
        ("multinomial", DrgCnnConfig(), 0, COUNTS, UsageError),
        ("correlation-both", DrgCnnConfig(), 4, COUNTS, UsageError),
        ("jensen-shannon", DrgCnnConfig(), 40, COUNTS, UsageError),
        ("bce", DilatedResidualConfig(), 8, BINARY, UsageError),
        ("mse", DilatedResidualConfig(), 8, REAL, InputError),
    ],
)
def test_losses_that_do_not_fit(name: str, model: Any, bins: int, facts: TargetFacts, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"train\.loss"):
        chosen(name, model, facts, bins)


def test_a_loss_for_validation_takes_the_outputs_as_they_are() -> None:
    assert chosen("correlation-data", DrgCnnConfig(), COUNTS, link="log", key="valid_loss").link == "log"
    with pytest.raises(UsageError, match=r"valid_loss = 'bce' does not fit the log outputs .*poisson"):
        chosen("bce", DrgCnnConfig(), BINARY, link="log", key="valid_loss")


def test_every_loss_is_documented() -> None:
    page = (ROOT / "docs" / "losses.md").read_text()
    for name, entry in LOSSES.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        bins = {True: "bins", False: "no bins", None: "any"}[entry.bins]
        assert row.endswith(f"| {bins} | {entry.targets} |"), row
        assert all(f"`{drg}`" in row for drg, ours in DRG_NAMES.items() if ours == name), row


def test_the_weight_of_totals_has_a_default_for_each_loss() -> None:
    case = make_case("multinomial", "log", (7, 4, 6))
    for name, default in (("multinomial", 1.0), ("poisson-multinomial", 0.2)):
        totals = []
        for weight in (None, default, 3.0):
            (_, term), = make_loss(name, "log", count_weight=weight).terms  # fmt: skip
            tensors = (torch.tensor(x) for x in (case.prediction, case.target, case.valid))
            totals.append(term.total(*tensors, ranks=Alone()).item())
        assert totals[0] == totals[1] != totals[2]


def test_names_that_are_no_losses() -> None:
    for name, message in (
        ("jsdd", "did you mean 'jsd'"),
        ("GNLL", "needs a variance"),
        ("none", "must be|should be"),
        (3, "should be"),
    ):
        with pytest.raises(ValidationError, match=message):
            TypeAdapter(LossName).validate_python(name)
    assert TypeAdapter(ValidLossName).validate_python("None") == "none"
