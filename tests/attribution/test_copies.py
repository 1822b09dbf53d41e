"""Random copies for SmoothGrad: shares, composition, and what the numbers depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from drg_hpc.attribution.copies import noisy, substituted


def onehot(n: int, length: int, *, p: tuple[float, ...] = (0.25,) * 4, unknown: int = 0) -> torch.Tensor:
    codes = np.random.default_rng(1).choice(4, (n, length), p=p)
    x = torch.from_numpy(np.eye(4, dtype=np.float32)[codes].transpose(0, 2, 1).copy())
    x[..., :unknown] = 0
    return x


@pytest.mark.parametrize("keep", [0.25, 0.6, 0.9])
def test_share_of_bases_kept(keep: float) -> None:
    x = onehot(8, 20_000)
    found = substituted(x, rows=range(8), seed=0, copy=0, keep=keep)
    same = (found * x).sum(1)
    assert set(found.sum(1).unique().tolist()) == {1.0}
    assert float(same.mean()) == pytest.approx(keep, abs=0.005)  # 160,000 draws: s.d. 0.001


def test_new_bases_have_the_composition_of_their_own_sequence() -> None:
    p = (0.4, 0.1, 0.2, 0.3)
    x = onehot(1, 100_000, p=p)
    found = substituted(x, rows=[3], seed=0, copy=1, keep=0.25)
    np.testing.assert_allclose(found[0].mean(1), p, atol=0.01)


def test_unknown_bases_and_padding_stay() -> None:
    x = onehot(4, 50, unknown=10)
    found = substituted(x, rows=[7, 8], seed=0, copy=0, keep=0.25)
    assert not found[..., :10].any()
    assert torch.equal(found[2:], x[2:])
    assert not torch.equal(found[:2], x[:2])
    blank = torch.zeros(1, 4, 5)
    assert torch.equal(substituted(blank, rows=[0], seed=0, copy=0, keep=0.5), blank)
    assert not noisy(x, rows=[7, 8], seed=0, copy=0, level=0.1)[..., :10].any()


@pytest.mark.parametrize("kind", ["substituted", "noisy"])
def test_numbers_depend_on_seed_row_copy_and_input_alone(kind: str) -> None:
    draw = {"substituted": substituted, "noisy": noisy}[kind]
    level = {"substituted": {"keep": 0.5}, "noisy": {"level": 0.2}}[kind]
    x = onehot(1, 64).expand(3, -1, -1).clone()
    found = draw(x, rows=[4, 5, 6], seed=0, copy=0, **level)
    assert torch.equal(found[1], draw(x[:1], rows=[5], seed=0, copy=0, **level)[0])
    others = [
        draw(x, rows=[4, 5, 6], seed=1, copy=0, **level),
        draw(x, rows=[4, 5, 6], seed=0, copy=1, **level),
        draw(x, rows=[4, 5, 6], seed=0, copy=0, name="rna", **level),
        found[[1, 2, 0]],
    ]
    assert all(not torch.equal(found[0], other[0]) for other in others)


def test_gaussian_noise_has_the_level_asked_for() -> None:
    x = onehot(4, 5000)
    noise = noisy(x, rows=range(4), seed=0, copy=0, level=0.3) - x
    assert float(noise.std()) == pytest.approx(0.3, rel=0.02)
    assert abs(float(noise.mean())) < 0.01
