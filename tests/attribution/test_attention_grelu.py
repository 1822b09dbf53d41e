"""Attention weights and attributions of a small Borzoi against gReLU 1.1's for the same network and sequences.

What gReLU gave is kept in tests/data/grelu; where it is installed, it is asked again, with other weights.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models.borzoi_weights import numbers
from support import ROOT, environment

from drg_hpc.attribution.attention import attention_block, attention_layers
from drg_hpc.attribution.attribute import attribute
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.config import BorzoiConfig
from drg_hpc.models.registry import build

Array = np.ndarray[Any, Any]
DATA = ROOT / "tests" / "data" / "grelu" / "attention.npz"
PEER = ROOT / ".venv-grelu" / "bin" / "python"
LENGTH, ROWS, TRACKS, TRACK = 64, 3, 3, 1
LAYERS, HEADS, TOKENS = 2, 3, LENGTH // 8
SIZES = {
    "n_tasks": TRACKS, "stem_channels": 6, "stem_kernel_size": 5, "init_channels": 32, "channels": 32, "n_conv": 3,
    "kernel_size": 3, "n_transformers": LAYERS, "key_len": 4, "value_len": 5, "n_heads": HEADS, "n_pos_features": 6,
}  # fmt: skip
CONFIG = BorzoiConfig(
    stem_channels=6, stem_size=5, tower_channels=(32, 32), tower_size=3, depth=LAYERS, heads=HEADS, key_size=4,
    value_size=5, position_features=6, unet=2, final_channels=40,
)  # fmt: skip
BLOCK = "model.embedding.transformer_tower.blocks"
PREFIXES = {
    "stem": "model.embedding.conv_tower.blocks.0.conv",
    "tower.0.norm": "model.embedding.conv_tower.blocks.1.norm.layer",
    "tower.0.conv": "model.embedding.conv_tower.blocks.1.conv",
    "tower.1.norm": "model.embedding.conv_tower.blocks.2.norm.layer",
    "tower.1.conv": "model.embedding.conv_tower.blocks.2.conv",
    **{
        f"transformer.{i}.{ours}": f"{BLOCK}.{i}.{theirs}"
        for i in range(LAYERS)
        for ours, theirs in {
            "attention.inner.norm": "norm.layer",
            "attention.inner.attention.to_distance_k": "mha.to_pos_k",
            "attention.inner.attention.logits.content_bias": "mha.rel_content_bias",
            "attention.inner.attention.logits.position_bias": "mha.rel_pos_bias",
            "attention.inner.attention": "mha",
            "dense.inner.norm": "ffn.dense1.norm.layer",
            "dense.inner.hidden": "ffn.dense1.linear",
            "dense.inner.out": "ffn.dense2.linear",
        }.items()
    },
    **{
        f"unet.{i}.{ours}": f"model.embedding.unet_tower.blocks.{i}.{theirs}"
        for i in range(2)
        for ours, theirs in {
            "up.norm": "conv.norm.layer",
            "up.conv": "conv.conv",
            "skip.norm": "channel_transform.norm.layer",
            "skip.conv": "channel_transform.conv.layer",
            "separable": "sconv",
        }.items()
    },
    "final.block.norm": "model.embedding.pointwise_conv.norm.layer",
    "final.block.conv": "model.embedding.pointwise_conv.conv",
    "heads.0": "model.head.channel_transform.conv.layer",
}
"""Beginnings of our names and of gReLU's; the first that fits."""


def their_name(name: str) -> str:
    ours, theirs = next((o, t) for o, t in PREFIXES.items() if name == o or name.startswith(f"{o}."))
    return theirs + name.removeprefix(ours)


def network(seed: int) -> tuple[SequenceModel, dict[str, Array]]:
    """Our network, and its weights as gReLU names and shapes them."""
    module = build(CONFIG, ModelShape.single(LENGTH, TRACKS, bins=LENGTH // 2)).eval()
    theirs, state = {}, {}
    for name, tensor in module.state_dict().items():
        values = numbers(f"{seed}:{their_name(name)}", tensor.shape)
        state[name] = torch.from_numpy(values)
        theirs[their_name(name)] = values[None] if name.endswith(("content_bias", "position_bias")) else values
    module.load_state_dict(state)
    return module, theirs


def codes(seed: int) -> Array:
    return np.random.Generator(np.random.PCG64(seed)).integers(0, 4, (ROWS, LENGTH))


def onehot(seed: int) -> Array:
    return np.eye(4)[codes(seed)].transpose(0, 2, 1).copy()


def ask(folder: Path, seed: int) -> Mapping[str, Array]:
    """What gReLU gives for the network and the sequences of a seed."""
    letters = np.array(["".join("ACGT"[code] for code in row) for row in codes(seed)])
    _, weights = network(seed)
    np.savez(folder / "in.npz", sequences=letters, track=TRACK, sizes=json.dumps(SIZES), **weights)  # type: ignore[arg-type]
    line = [PEER, ROOT / "tests" / "attribution" / "peer_grelu.py", folder / "in.npz", folder / "out.npz"]
    subprocess.run(line, check=True, capture_output=True, env=environment(), cwd=folder, timeout=300)
    return np.load(folder / "out.npz")


def compare(answer: Mapping[str, Array], seed: int) -> None:
    module, _ = network(seed)
    x = onehot(seed)
    layers = attention_layers(module)
    assert answer["attention"].shape == (LAYERS, HEADS, TOKENS, TOKENS)
    for dtype, bound in ((torch.float32, 1e-5), (torch.float64, 1e-7)):  # weights of attention are given in float32
        found = attention_block(module.to(dtype), [x], layers=layers)
        assert found.shape == (ROWS, LAYERS, HEADS, TOKENS, TOKENS)
        np.testing.assert_allclose(found, answer["attention_of_all"], rtol=0, atol=bound)
        np.testing.assert_allclose(found[0], answer["attention"], rtol=0, atol=bound)
        second = attention_block(module, [x], layers=layers[1:])
        np.testing.assert_allclose(second[1, 0], answer["attention_of_block_1"], rtol=0, atol=bound)
    assert np.ptp(answer["attention"], axis=-1).min() > 0.01  # not the same everywhere
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(x)).numpy(), answer["prediction"], rtol=0, atol=1e-6)
    for (method, output), theirs in {
        ("gradient", "raw"): "saliency",
        ("gradient", "corrected"): "corrected",
        ("inputxgradient", "global"): "inputxgradient",
        ("integrated-gradients", "global"): "integratedgradients",
    }.items():
        wanted = answer[theirs]
        for dtype, bound in ((torch.float64, 1e-6), (torch.float32, 1e-5)):
            # Attributions of gReLU are (n, 4, length); ours have the track in between.
            ours = attribute(module.to(dtype), x, method, output=output, tracks=[TRACK])[:, 0]
            assert ours.shape == wanted.shape == (ROWS, 4, LENGTH)
            assert abs((ours * wanted).sum() / (wanted**2).sum() - 1) <= bound
            assert np.abs(ours - wanted).max() <= bound * np.abs(wanted).max(), (method, dtype)


def test_what_grelu_gave() -> None:
    compare(np.load(DATA), seed=1)


@pytest.mark.slow
def test_what_grelu_gives(tmp_path: Path) -> None:
    if not PEER.is_file():
        pytest.skip("no .venv-grelu: gReLU is not here to compare with")
    compare(ask(tmp_path, seed=2), seed=2)
