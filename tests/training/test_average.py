"""The moving average of weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from training.trainings import drive, history, options, weights

from drg_hpc.errors import CorruptError
from drg_hpc.models.io import load_model
from drg_hpc.store.reader import open_dataset
from drg_hpc.training.average import Average
from drg_hpc.training.run import train

Maker = Callable[..., Path]
BASSET = {"architecture": "basset", "channels": [6, 4], "sizes": [7, 3], "pools": [3, 2], "hidden": [8], "dropout": 0.1}


def test_average_is_the_weighted_sum() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    model[0].bias.requires_grad_(False)
    bias = model[0].bias.clone()
    average = Average(model, 0.8)
    expected = model[0].weight.detach().double().numpy().copy()
    means = model[1].running_mean.double().numpy().copy()
    for step in range(40):
        with torch.no_grad():
            model[0].weight.normal_()
        model(torch.randn(4, 3))
        average.follow(step)
        keep = min(0.8, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * model[0].weight.detach().double().numpy()
        means = keep * means + (1 - keep) * model[1].running_mean.double().numpy()
    assert np.abs(average.tensors["0.weight"].numpy() - expected).max() < 1e-6
    assert np.abs(average.tensors["1.running_mean"].numpy() - means).max() < 1e-6
    assert not torch.equal(average.tensors["1.running_mean"], model[1].running_mean)
    assert torch.equal(average.tensors["0.bias"], bias)  # what does not change keeps its bits
    assert int(average.tensors["1.num_batches_tracked"]) == 40
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with average.in_place():
        assert all(torch.equal(t, average.tensors[name]) for name, t in model.state_dict().items())
    assert all(torch.equal(t, own[name]) for name, t in model.state_dict().items())
    average.restart()
    assert torch.equal(average.tensors["0.weight"], model[0].weight)
    with pytest.raises(CorruptError, match="does not fit"):
        average.restore({}, source=Path("x"))


def test_averages_are_scored_kept_and_resumed_bitwise(make_store: Maker, tmp_path: Path) -> None:
    """With batch norm: the model on disk gives the loss that chose it, and the training weights are others."""
    store = make_store(310, valid=60, kind="real")
    tables = {"model": BASSET, "train": {"epochs": 3, "batch_size": 50, "ema": 0.9, "loss": "mse"}}
    out = train(options(store, tmp_path / "whole", **tables))
    assert drive(store, tmp_path / "parts", **tables, max_steps=4) >= 3
    assert weights(tmp_path / "parts") == weights(out)
    assert history(tmp_path / "parts") == history(out)
    data, rows = open_dataset(store), open_dataset(store).split_rows("valid")
    with torch.no_grad():
        prediction = load_model(out)(torch.from_numpy(data.sequences(rows))).double().numpy()
    metrics = json.loads((out / "metrics.json").read_text())
    assert np.mean((prediction - data.targets(rows)) ** 2) == pytest.approx(metrics["valid"]["loss"], rel=1e-6)
    last = max((out / "checkpoints").iterdir())
    raw, average = (load_file(last / f"{name}.safetensors") for name in ("weights", "average"))
    assert not torch.equal(raw["layers.conv0.weight"], average["layers.conv0.weight"])
    plain = train(options(store, tmp_path / "plain", **tables | {"train": {**tables["train"], "ema": 0.0}}))
    last = max((plain / "checkpoints").iterdir())
    assert torch.equal(load_file(last / "weights.safetensors")["layers.conv0.weight"], raw["layers.conv0.weight"])
    assert not (last / "average.safetensors").exists()
