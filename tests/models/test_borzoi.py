"""The Borzoi-like network: against its formula, its sizes, its rows, its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from drg_hpc.errors import UsageError
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel
from drg_hpc.models.blocks import set_dropout_keys
from drg_hpc.models.borzoi_blocks import PositionFeatures, by_offset
from drg_hpc.models.borzoi_params import borzoi_params
from drg_hpc.models.config import BorzoiConfig
from drg_hpc.models.importers.borzoi import torch_names
from drg_hpc.models.importers.common import fill
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.operations import macs_per_row
from drg_hpc.models.registry import build
from tests.models import borzoi_files as files
from tests.models import borzoi_formula
from tests.models.borzoi_weights import sequences

SMALL: dict[str, Any] = {
    "stem_channels": 5, "stem_size": 7, "tower_channels": (6, 8, 10), "depth": 2, "heads": 2, "key_size": 3,
    "value_size": 4, "position_features": 6, "final_channels": 9,
}  # fmt: skip


def small(**changes: Any) -> BorzoiConfig:
    return BorzoiConfig.model_validate(SMALL | changes)


def make(config: BorzoiConfig, *, length: int = 320, bins: int = 80, tracks: int = 3) -> SequenceModel:
    torch.manual_seed(1)
    model = build(config, ModelShape.single(length, tracks, bins=bins, link="softplus"))
    with torch.no_grad():  # attention begins as zero
        for name, parameter in model.named_parameters():
            if name.endswith("to_out.weight"):
                parameter.normal_(std=0.3)
    return model


def onehot(rows: int, length: int) -> torch.Tensor:
    return torch.from_numpy(sequences(rows, length))


@pytest.mark.parametrize(
    ("unet", "upsample_conv", "final", "mask_tokens", "crop"),
    [(2, True, 9, None, 5), (2, False, 0, None, 0), (3, True, 0, 4096, 3), (1, True, 9, 7, 0), (0, False, 9, 50, 1)],
)
def test_is_its_formula(unet: int, upsample_conv: bool, final: int, mask_tokens: int | None, crop: int) -> None:
    config = small(unet=unet, upsample_conv=upsample_conv, final_channels=final, mask_tokens=mask_tokens, crop=crop)
    length, tokens = 320, 320 // 16
    bins = tokens * 2**unet - 2 * crop
    model = make(config, length=length, bins=bins).double().eval()
    sizes = {"stem": (5, 7), "tower": (6, 8, 10), "depth": 2, "key": 3, "value": 4, "features": 6, "unet": unet}
    state = files.state(**sizes, upsample_conv=upsample_conv, final=final, units={"human": 3})
    doubled = {name: value.double() if value.is_floating_point() else value for name, value in state.items()}
    names = torch_names(config, ["human"])
    ours = {
        our: doubled[their].squeeze(0) if doubled[their].ndim == 4 else doubled[their] for our, their in names.items()
    }
    assert fill(model, ours, source=Path("state"), unused=sorted(set(state) - set(names.values()))) == []
    x = onehot(2, length).double()
    wanted = borzoi_formula.forward(
        doubled, x, tower=3, depth=2, heads=2, unet=unet, mask_tokens=mask_tokens or tokens, crop=crop,
        upsample_conv=upsample_conv, final=bool(final),
    )  # fmt: skip
    assert wanted.std() > 0.05
    torch.testing.assert_close(model(x), wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("tokens", [1, 2, 7])
def test_relative_shift_is_by_offset(tokens: int) -> None:
    values = torch.randn(2, 3, tokens, 2 * tokens - 1)
    shifted = by_offset(values)
    for i in range(tokens):
        for j in range(tokens):
            assert torch.equal(shifted[..., i, j], values[..., i, j - i + tokens - 1])


def test_position_features_of_the_published_size() -> None:
    """At distance 0 every mask is set; the widest one reaches every distance, the narrowest none but 0."""
    features = PositionFeatures(32, 4096)(torch.zeros(1, 4096, 1))[0]
    assert features.shape == (8191, 32)
    assert features[4095, :16].tolist() == [1.0] * 16 and features[4095, 16:].tolist() == [0.0] * 16
    assert features[:, 15].min() == 1 and features[:, 0].sum() == 1
    widths = (features[4095:, :16].sum(0) - 1).tolist()  # largest distance inside each mask
    assert widths == [int(np.ceil(4097 ** (i / 16) - 1)) - 1 for i in range(1, 17)]
    assert torch.equal(features[:, 16:], features[:, :16] * torch.arange(-4095, 4096).sign()[:, None])


def test_published_size() -> None:
    described = borzoi_params({"dim": 1536, "depth": 8}, source="published")
    heads = (HeadShape("human", 7611, "softplus"), HeadShape("mouse", 2608, "softplus"))
    with torch.device("meta"):
        model = build(described.config, ModelShape({"seq": described.length}, heads, 6144))
    count = sum(p.numel() for p in model.parameters())
    human, mouse = ((1920 + 1) * head.tracks for head in heads)
    assert round((count - human - mouse) / 1e6, 1) == 171.3
    assert round((count - mouse) / 1e6, 1) == 185.9
    assert macs_per_row(model, model.shape) > 2e12


@pytest.mark.parametrize(
    ("length", "bins", "crop", "words"),
    [
        (320, 0, None, "needs targets in bins"),
        (321, 80, None, "321 bases are no multiple of 16"),
        (320, 81, None, "320 bases give 80 bins of 4 bases, from which no equal number at both sides leaves 81"),
        (320, 77, None, "leaves 77"),
        (320, 70, 4, "80 bins of 4 bases, 72 without crop = 4 at each side, but the targets have 70"),
    ],
)
def test_lengths_bins_and_crop_that_do_not_fit(length: int, bins: int, crop: int | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make(small(crop=crop), length=length, bins=bins)


def test_any_number_of_tokens() -> None:
    for length in (16, 48, 640):
        assert make(small(), length=length, bins=length // 4)(onehot(2, length)).shape == (2, 3, length // 4)


def test_rows_are_independent() -> None:
    model, x = make(small(dropout=0.3, attention_dropout=0.2, position_dropout=0.2, final_dropout=0.2)), onehot(4, 320)
    model.eval()
    torch.testing.assert_close(model(x)[1:3], model(x[1:3]), rtol=0, atol=1e-5)
    model.train()
    for layer in model.modules():  # batch normalisation joins the rows of a training batch; dropout must not
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.eval()
    keys = torch.arange(4) * 7919
    set_dropout_keys(model, keys)
    whole = model(x)
    set_dropout_keys(model, keys[1:3])
    torch.testing.assert_close(model(x[1:3]), whole[1:3], rtol=0, atol=1e-5)
    set_dropout_keys(model, keys[1:3] + 1)
    assert not torch.allclose(model(x[1:3]), whole[1:3], atol=1e-3)


def test_every_dropout_drops() -> None:
    x = onehot(2, 320)
    names = ("dropout", "attention_dropout", "position_dropout", "final_dropout")
    for name in names:
        model = make(small(**(dict.fromkeys(names, 0.0) | {name: 0.5}))).train()
        set_dropout_keys(model, torch.tensor([1, 2]))
        first = model(x)
        set_dropout_keys(model, torch.tensor([3, 4]))
        assert not torch.allclose(first, model(x), atol=1e-4), name


def test_attention_weights_can_be_seen() -> None:
    model = make(small()).eval()
    seen: list[torch.Tensor] = []
    for block in model.transformer:  # type: ignore[union-attr]
        softmax = block.attention.inner.attention.softmax
        softmax.register_forward_hook(lambda _layer, _inputs, output: seen.append(output))
    model(onehot(2, 320))
    assert [tuple(weights.shape) for weights in seen] == [(2, 2, 20, 20)] * 2
    torch.testing.assert_close(seen[0].sum(-1), torch.ones(2, 2, 20))


def test_operations() -> None:
    model = make(small(depth=1, unet=1), length=160, bins=20)
    convs = 160 * 5 * 4 * 7 + 80 * 6 * 5 * 5 + 40 * 8 * 6 * 5 + 20 * 10 * 8 * 5
    tokens, channels, heads, key, value = 10, 10, 2, 3, 4
    attention = tokens * channels * heads * (2 * key + value) + (2 * tokens - 1) * 6 * heads * key
    attention += heads * tokens * tokens * (key + value) + heads * tokens * (2 * tokens - 1) * key
    attention += tokens * heads * value * channels + tokens * channels * 2 * channels * 2
    after = tokens * channels * channels + 20 * (channels * channels + channels * 3 + channels * channels)
    assert macs_per_row(model, model.shape) == convs + attention + after + 20 * (channels * 9 + 9 * 3)


def test_learns() -> None:
    torch.manual_seed(3)
    model = build(small(), ModelShape.single(160, 2, bins=20, link="softplus")).train()
    x = onehot(8, 160)
    target = x.reshape(8, 4, 20, 8).sum(-1)[:, [1, 2]]
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for step in range(60):
        set_dropout_keys(model, torch.arange(8) + 100 * step)
        loss = torch.nn.functional.poisson_nll_loss(torch.nn.functional.softplus(model(x)), target, log_input=False)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.3
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_heads_are_float32_under_autocast() -> None:
    model = make(small()).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(onehot(1, 320))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, model(onehot(1, 320)), rtol=0.1, atol=0.1)


def test_round_trip_and_heads(tmp_path: Path) -> None:
    config = small(crop=10)
    shape = ModelShape({"seq": 320}, (HeadShape("human", 2, "softplus"), HeadShape("mouse", 3, "identity")), 60)
    torch.manual_seed(2)
    model = build(config, shape).eval()
    loaded = load_model(save_model(model, tmp_path / "m", config, list("abcde")))
    x = onehot(2, 320)
    assert torch.equal(loaded(x), model(x)) and loaded(x).shape == (2, 5, 60)
    assert loaded.links == ["softplus"] * 2 + ["identity"] * 3
    torch.testing.assert_close(model(x)[:, 2:], model.heads[1](model.final(model.trunk(x))))  # type: ignore[operator,index]


def test_initial_weights_come_from_the_seed() -> None:
    one, two = (build(small(), ModelShape.single(320, 1, bins=80)) for _ in range(2))
    assert not torch.equal(one.stem.weight, two.stem.weight)  # type: ignore[union-attr]
    torch.manual_seed(4)
    one = build(small(), ModelShape.single(320, 1, bins=80))
    torch.manual_seed(4)
    two = build(small(), ModelShape.single(320, 1, bins=80))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
