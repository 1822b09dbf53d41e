"""Some tracks and bins of a network's output are those of the whole output, and no others are computed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from drg_hpc.errors import InputError
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel
from drg_hpc.models.compute import model_part
from drg_hpc.models.config import BorzoiConfig, DilatedResidualConfig
from drg_hpc.models.registry import build

BORZOI: dict[str, Any] = {
    "stem_channels": 5, "stem_size": 7, "tower_channels": (6, 8, 10), "depth": 1, "heads": 2, "key_size": 3,
    "value_size": 4, "position_features": 6,
}  # fmt: skip
HEADS = (HeadShape("human", 5, "softplus"), HeadShape("mouse", 3, "log"))
BINS = torch.tensor([[3, 0, 59, 3], [10, 11, 12, 40]])


def borzoi(final: int = 9) -> SequenceModel:
    torch.manual_seed(3)
    config = BorzoiConfig(**BORZOI, final_channels=final, crop=10)
    model = build(config, ModelShape({"seq": 320}, HEADS, 60, 240)).double().eval()
    with torch.no_grad():
        for buffer in model.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 2.0)
    return model


def sequences() -> torch.Tensor:
    return torch.eye(4, dtype=torch.float64)[torch.randint(0, 4, (2, 320))].transpose(1, 2)


@pytest.mark.parametrize("final", [9, 0])
@pytest.mark.parametrize("tracks", [[0, 4, 6], [7], [6, 1, 5, 0], list(range(8))])
def test_borzoi(final: int, tracks: list[int]) -> None:
    model, x = borzoi(final), sequences()
    whole = model(x)[:, tracks]
    torch.testing.assert_close(model.part(x, tracks=tracks), whole, rtol=0, atol=1e-12)
    wanted = torch.stack([row[:, bins] for row, bins in zip(whole, BINS, strict=True)])
    found = model.part(x, tracks=tracks, bins=BINS)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(model_part(model, x, tracks=tracks, bins=BINS), wanted, rtol=0, atol=1e-12)


def test_borzoi_gradients() -> None:
    model, x = borzoi(), sequences().requires_grad_()
    weights = torch.randn(2, 3, 4, dtype=torch.float64)
    whole = torch.stack([row[:, bins] for row, bins in zip(model(x)[:, [0, 4, 6]], BINS, strict=True)])
    (wanted,) = torch.autograd.grad((whole * weights).sum(), x)
    (found,) = torch.autograd.grad((model.part(x, tracks=[0, 4, 6], bins=BINS) * weights).sum(), x)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


class Shapes(TorchDispatchMode):
    """Shapes of all tensors that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = set[tuple[int, ...]]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.seen.add(tuple(out.shape))
        return out


def test_borzoi_computes_nothing_else_after_its_crop() -> None:
    model, x = borzoi(), sequences()
    with torch.no_grad(), Shapes() as whole:
        model(x)
    with torch.no_grad(), Shapes() as part:
        model.part(x, tracks=[0, 4, 6], bins=BINS)
    assert {(2, 9, 60), (2, 5, 60), (2, 3, 60)} <= whole.seen
    assert {(2, 9, 4), (2, 2, 4), (2, 1, 4)} <= part.seen and not {(2, 9, 60), (2, 5, 60)} & part.seen


class Plain(nn.Module):
    """A user's network of two tracks."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, 0] + 2 * x[:, 1], x[:, 2] - x[:, 3]], dim=1).cumsum(-1)


def test_any_other_network_is_indexed() -> None:
    torch.manual_seed(0)
    config = DilatedResidualConfig(channels=4, stem_size=5, layers=1, profile_size=3)
    model = build(config, ModelShape.single(320, 2, bins=60, span=60, link="log")).double().eval()
    x = sequences()
    for module in (model, Plain()):
        whole = module(x)
        wanted = torch.stack([row[[1]][:, bins] for row, bins in zip(whole, BINS, strict=True)])
        torch.testing.assert_close(model_part(module, x, tracks=[1], bins=BINS), wanted, rtol=0, atol=0)
    torch.testing.assert_close(model.part(x, tracks=[1, 0]), model(x)[:, [1, 0]], rtol=0, atol=0)


def test_a_network_without_bins_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected \(batch, tracks, bins\)"):
        model_part(nn.Flatten(), torch.zeros(2, 4, 5), tracks=[0], bins=BINS)
