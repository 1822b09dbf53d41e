"""Every rule in a small network: attributions of each pair sum to the difference of the values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from attribution.deeplift_checks import incompleteness, onehot
from torch import nn
from torch.nn import functional

from drg_hpc.attribution import kernels
from drg_hpc.attribution.deeplift import DeepLift

CHANNELS, LENGTH = 8, 24
Step = Callable[[torch.Tensor], torch.Tensor]


class Net(nn.Module):
    """A convolution, some steps, and a linear map of what comes out."""

    def __init__(self, *steps: Step) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, CHANNELS, 5, padding=2)
        self.layers = nn.ModuleList(step for step in steps if isinstance(step, nn.Module))
        self.steps = steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = 2 * self.conv(x)
        for step in self.steps:
            x = step(x)
        x = x.flatten(1).double()
        generator = torch.arange(2.0 * x.shape[1], dtype=torch.float64).mul(0.7).sin().view(-1, 2)
        return x @ generator


class Recurrent(nn.Module):
    """Output of a GRU over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(CHANNELS, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.gru(x.transpose(1, 2))[0]
        return out


class Attention(nn.Module):
    """torch's own attention of positions."""

    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(CHANNELS, 2, batch_first=batch_first)
        self.order = (0, 2, 1) if batch_first else (2, 0, 1)
        self.back = (0, 1, 2) if batch_first else (1, 0, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(self.order)
        out: torch.Tensor = self.attention(x, x, x)[0]
        return out.permute(self.back)


def in_place(x: torch.Tensor) -> torch.Tensor:
    y = x * 1
    y[:, 0] = torch.relu(y[:, 1])
    return y


def weighted_pool(x: torch.Tensor) -> torch.Tensor:
    windows = x.unflatten(-1, (4, 6))
    return (windows * torch.softmax(windows, -1)).sum(-1)


def masked_pool(x: torch.Tensor) -> torch.Tensor:
    windows, logits = (functional.pad(x, (3, 3), value=value).unflatten(-1, (3, 10)) for value in (0.0, -torch.inf))
    return (windows * torch.softmax(logits, -1)).sum(-1)


def first_half(x: torch.Tensor) -> torch.Tensor:
    return x[:, : CHANNELS // 2]


def second_half(x: torch.Tensor) -> torch.Tensor:
    return x[:, CHANNELS // 2 :]


shared = nn.ReLU()
NETS: dict[str, tuple[Step, ...]] = {
    "relu used twice": (shared, nn.Conv1d(CHANNELS, CHANNELS, 3), shared),
    "relu in place": (nn.ReLU(inplace=True),),
    "functional relu": (functional.relu,),
    "functional relu in place": (lambda x: functional.relu_(x * 1),),
    "part set in place": (in_place,),
    **{
        type(layer).__name__: (layer,)
        for layer in (
            nn.GELU(), nn.SiLU(), nn.Mish(), nn.ELU(), nn.SELU(), nn.CELU(0.5), nn.LeakyReLU(), nn.PReLU(CHANNELS),
            nn.RReLU(), nn.Hardswish(), nn.Hardsigmoid(), nn.ReLU6(), nn.Softplus(), nn.LogSigmoid(), nn.Softshrink(),
            nn.Hardshrink(), nn.Softsign(), nn.Tanhshrink(), nn.Sigmoid(), nn.Tanh(), nn.GLU(1), nn.LayerNorm(LENGTH),
            nn.GroupNorm(2, CHANNELS), nn.InstanceNorm1d(CHANNELS, affine=True), nn.RMSNorm(LENGTH), nn.LogSoftmax(1),
        )
    },
    "tanh gelu": (nn.GELU("tanh"),),
    "layer norm of two axes": (nn.LayerNorm((CHANNELS, LENGTH)),),
    "exp": (torch.exp,),
    "clamped exp": (lambda x: torch.exp(x.clamp(max=1.0)),),
    "log": (lambda x: torch.log(x.abs() + 0.1),),
    "powers": (lambda x: x**3 + (x * x + 0.1) ** 0.5 + (x * x + 1) ** -1 + 2**x,),
    "power of a tensor": (lambda x: (x.abs() + 0.1) ** x,),
    "steps": (lambda x: torch.sign(x) + torch.floor(x) + torch.round(x),),
    "pool": (nn.ReLU(), nn.MaxPool1d(4)),
    "overlapping pool": (nn.ReLU(), nn.MaxPool1d(4, 2)),
    "padded pool": (nn.MaxPool1d(3, 2, 1),),
    "dilated pool": (nn.MaxPool1d(3, 1, dilation=2),),
    "adaptive pool": (nn.AdaptiveMaxPool1d(5),),
    "pool in two axes": (lambda x: functional.max_pool2d(x[:, None], 2),),
    "pool in three axes": (lambda x: functional.max_pool3d(x.view(-1, 1, 2, 4, LENGTH), 2),),
    "mean pools": (nn.GELU(), nn.AvgPool1d(3), nn.AdaptiveAvgPool1d(3)),
    "maxima of axes": (lambda x: x.amax((1, 2), keepdim=True) + x.amin(1)[:, None] + x.max(-1)[0][:, :, None],),
    "maximum": (lambda x: torch.maximum(first_half(x), second_half(x)),),
    "minimum": (lambda x: torch.minimum(first_half(x), second_half(x).flip(-1)),),
    "maximum of other shapes": (lambda x: torch.maximum(x, x.mean(1, keepdim=True)),),
    "maximum of a tensor and a number": (lambda x: torch.maximum(x, torch.tensor(0.1, dtype=x.dtype)),),
    "softmax of positions": (nn.Softmax(-1),),
    "softmax of channels": (nn.Softmax(1),),
    "log-sum-exp": (lambda x: x.logsumexp(-1) + x.logsumexp((1, 2), keepdim=True)[:, 0],),
    "weighted pool": (weighted_pool,),
    "masked weighted pool": (masked_pool,),
    "batch norm": (nn.BatchNorm1d(CHANNELS), nn.GELU()),
    "spread": (lambda x: x.std(-1) + x.var((1, 2), keepdim=True)[:, 0],),
    "norms": (lambda x: functional.normalize(x, dim=1) + x.norm(dim=-1, keepdim=True),),
    "cosine": (lambda x: functional.cosine_similarity(first_half(x), second_half(x), dim=-1),),
    "product": (lambda x: first_half(x) * second_half(x),),
    "product of other shapes": (lambda x: x * x.sigmoid().mean(1, keepdim=True),),
    "quotient": (lambda x: first_half(x) / (second_half(x).exp() + 1),),
    "quotient of constants": (lambda x: torch.arange(LENGTH, dtype=x.dtype) / (x.exp() + 1) + 2 / (x.exp() + 1),),
    "log of two exponentials": (lambda x: torch.logaddexp(first_half(x), second_half(x)),),
    "angle": (lambda x: torch.atan2(first_half(x), second_half(x)),),
    "matrix product": (lambda x: x @ x.transpose(1, 2),),
    "einsum": (lambda x: torch.einsum("bcl,bdl->bcd", x, x.sigmoid()),),
    "addcmul": (lambda x: torch.addcmul(x, x, x.sin()),),
    "kernels of the input": (lambda x: torch.baddbmm(x, x @ x.transpose(1, 2), x.sin()),),
    "where": (lambda x: torch.where(x > 0, x, x * x),),
    "masked fill": (lambda x: x.masked_fill(x > 0.5, 0.1),),
    "masked fill in place": (lambda x: (x * 1).masked_fill_(x > 0.5, 0.1),),
    "comparison as numbers": (lambda x: (x > 0).to(x.dtype) * x + (x != x.flip(-1)).any(1, keepdim=True),),
    "logic": (lambda x: torch.where(~(x > 0) & (x < 1) | (x > 2), x, x * x),),
    "attention": (Attention(batch_first=True),),
    "attention with the batch on the second axis": (Attention(batch_first=False),),
    "encoder layer": (lambda x: x.transpose(1, 2), nn.TransformerEncoderLayer(CHANNELS, 2, 16, batch_first=True)),
    "scaled dot product": (lambda x: functional.scaled_dot_product_attention(x, x.sin(), x),),
    "GRU": (lambda x: x[..., :5], Recurrent()),
    "circular padding": (nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1, padding_mode="circular"), nn.GELU()),
    "reflected": (nn.ReflectionPad1d(2), nn.GELU()),
    "upsampled": (nn.Upsample(scale_factor=2), nn.GELU()),
    "transposed convolution": (nn.ConvTranspose1d(CHANNELS, 4, 3), nn.GELU()),
    "detached": (lambda x: x - x.detach().amin((1, 2), keepdim=True), nn.GELU()),
    "sums": (lambda x: x.cumsum(-1).sigmoid(),),
}  # fmt: skip


def made(name: str) -> nn.Module:
    torch.manual_seed(3)
    return Net(*NETS[name]).double().eval()


@pytest.mark.parametrize("name", NETS)
def test_sums_to_the_difference(name: str) -> None:
    net = made(name)
    for rows, copies in ((2, 3), (1, 2)):
        assert incompleteness(lambda xs, params: net(xs[0]), [LENGTH], rows=rows, copies=copies) <= 1e-9


@pytest.mark.parametrize(
    "name", ["GELU", "maximum", "minimum", "softmax of positions", "masked weighted pool", "PReLU"]
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_tensor_formulas_are_those_of_the_kernels(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = made(name).to(dtype)
    x, r = onehot(3, LENGTH, seed=1).to(dtype), onehot(3, 4, LENGTH, seed=2).to(dtype)
    r[0, 0], r[0, 1, :, :9] = x[0], x[0, :, :9]

    def multipliers() -> torch.Tensor:
        return DeepLift(lambda xs, params: net(xs[0]), [x]).pairs([x], [r]).multipliers(torch.ones(2))[0]

    by_kernels = multipliers()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(multipliers(), by_kernels)
    used: list[bool] = []
    monkeypatch.setattr(kernels, "_serves", lambda *_: bool(used.append(True)))
    by_tensors = multipliers()
    assert used
    bound = {torch.float64: 1e-12, torch.float32: 1e-5}[dtype] * float(by_kernels.abs().max())
    torch.testing.assert_close(by_tensors, by_kernels, rtol=0, atol=bound)


def test_sequences_of_nothing_leave_others_alone() -> None:
    """Rows that only fill a pass have no bases, and neither have their references."""
    net = Net(nn.LayerNorm(LENGTH), torch.relu, lambda x: x / (x.std(-1, keepdim=True) + 1e-9), nn.MaxPool1d(4, 2))
    net = net.double().eval()

    def function(xs: Any, params: Any) -> torch.Tensor:
        out: torch.Tensor = net(xs[0])
        return out

    x, r = onehot(2, LENGTH, seed=1), onehot(2, 3, LENGTH, seed=2)
    alone = DeepLift(function, [x]).pairs([x], [r]).multipliers(torch.ones(2))[0]
    filled = [torch.cat([value, torch.zeros_like(value)]) for value in (x, r)]
    many = DeepLift(function, filled[:1]).pairs(filled[:1], filled[1:]).multipliers(torch.ones(2))[0]
    assert torch.isfinite(many[:2]).all()
    torch.testing.assert_close(many[:2], alone, rtol=0, atol=1e-12)


def test_a_reference_that_is_the_sequence_gives_the_gradient() -> None:
    net = made("GELU")
    x = onehot(2, LENGTH, seed=1)
    found = DeepLift(lambda xs, params: net(xs[0]), [x]).pairs([x], [x[:, None]]).multipliers(torch.ones(2))[0]
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(net(x).sum(), x)
    torch.testing.assert_close(found[:, 0], gradient, rtol=1e-12, atol=1e-12)
