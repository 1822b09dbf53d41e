"""Trainings on data whose truth is known."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from support import ROOT
from training.simulations import footprints, two_inputs
from training.trainings import options

from drg_hpc.models.io import load_model
from drg_hpc.models.metrics import pearson
from drg_hpc.store.reader import open_dataset
from drg_hpc.training.run import train


def _divergence(counts: np.ndarray, shapes: np.ndarray) -> float:
    """Mean Jensen-Shannon divergence of each row's counts from a distribution, in bits; rows without counts are not
    counted."""
    counts, shapes = counts[counts.sum(1) > 0], shapes[counts.sum(1) > 0]
    p, q = (rows / rows.sum(1, keepdims=True) for rows in (counts.astype(np.float64), shapes))
    middle = (p + q) / 2

    def information(rows: np.ndarray) -> np.ndarray:
        return np.where(rows > 0, rows * np.log2(np.where(rows > 0, rows, 1) / middle), 0).sum(1)

    return float((information(p) + information(q)).mean() / 2)


@pytest.mark.slow
def test_profiles_come_within_a_tenth_of_their_own_distribution(tmp_path: Path) -> None:
    made = footprints(tmp_path / "data")
    values = {
        "model": {"architecture": "dilated-residual", "channels": 16, "layers": 4, "stem_size": 15},
        "optim": {"lr": 4e-3, "schedule": "cosine"},
        "train": {"epochs": 8, "batch_size": 32, "loss": "multinomial"}, "data": {},
    }  # fmt: skip
    model = load_model(train(options(made.store, tmp_path / "model", **values)))
    store = open_dataset(made.store)
    rows = store.split_rows("test")
    sequences = store.sequences(rows)
    assert isinstance(sequences, np.ndarray)
    with torch.no_grad():
        predicted = torch.softmax(model(torch.from_numpy(sequences)), -1)[:, 0].double().numpy()
    counts, truth = store.targets(rows)[:, 0], made.shapes[rows]
    own = _divergence(counts, truth)
    assert _divergence(counts, np.ones_like(truth)) > 1.2 * own  # there is something to learn
    assert _divergence(counts, predicted) < 1.1 * own


@pytest.mark.slow
def test_two_sequences_and_their_difference(tmp_path: Path) -> None:
    """1,000 bases of DNA and 600 of RNA; expression is a formula of both, without weights of its own."""
    path = two_inputs(tmp_path / "data")
    config = tomllib.loads((ROOT / "configs/dna-rna.toml").read_text())
    model = load_model(train(options(path, tmp_path / "model", **{"data": {}, **config})))
    store = open_dataset(path)
    rows = store.split_rows("test")
    with torch.no_grad():
        predicted = model([torch.from_numpy(x) for x in store.sequences(rows)]).double().numpy()  # type: ignore[arg-type]
    target = store.targets(rows).astype(np.float64)
    found = {name: pearson(predicted[:, i], target[:, i]) for i, name in enumerate(model.tracks)}
    assert min(found.values()) > 0.9, found
