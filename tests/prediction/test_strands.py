"""Averages over both strands: bins turned round, stranded tracks swapped by their partner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from drg_hpc.attribution.attribute import attribute
from drg_hpc.errors import UsageError
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import DilatedResidualConfig
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.registry import build
from drg_hpc.prediction.predict import predict_block

LENGTH, BINS = 48, 6
CONFIG = DilatedResidualConfig(channels=4, layers=2)


def make(folder: Path, partners: list[int | None]) -> torch.nn.Module:
    torch.manual_seed(3)
    module = build(CONFIG, ModelShape.single(LENGTH, 3, bins=BINS, link="log"))
    module.strand_partners = partners
    return load_model(save_model(module, folder, CONFIG, ["plus", "minus", "dnase"]))


def onehot(rows: int) -> np.ndarray:
    codes = np.random.default_rng(0).integers(0, 4, (rows, LENGTH))
    return (codes[:, None, :] == np.arange(4)[:, None]).astype(np.float32)


def test_average_is_the_same_for_a_sequence_and_its_reverse_complement(tmp_path: Path) -> None:
    module, x = make(tmp_path / "m", [1, 0, 2]), onehot(5)
    forward = predict_block(module, x, rc_average=True)
    reverse = predict_block(module, x[:, ::-1, ::-1].copy(), rc_average=True)
    np.testing.assert_allclose(forward, reverse[:, [1, 0, 2], ::-1], rtol=1e-6)
    plain = predict_block(module, x)
    assert np.abs(plain - forward).max() > 1e-3
    np.testing.assert_allclose(predict_block(module, x, tracks=[1], rc_average=True), forward[:, [1]])
    unstranded = predict_block(make(tmp_path / "u", [0, 1, 2]), x, rc_average=True)
    assert np.abs(unstranded - forward)[:, :2].max() > 1e-3


def test_attributions_of_both_strands_agree(tmp_path: Path) -> None:
    module, x = make(tmp_path / "m", [1, 0, 2]), onehot(3)
    forward = attribute(module, x, "gradient", output="raw", rc_average=True)
    reverse = attribute(module, x[:, ::-1, ::-1].copy(), "gradient", output="raw", rc_average=True)
    np.testing.assert_allclose(forward, reverse[:, [1, 0, 2], ::-1, ::-1], atol=1e-6)


def test_a_track_without_its_partner_is_refused(tmp_path: Path) -> None:
    module = make(tmp_path / "m", [None, 1, 2])
    with pytest.raises(UsageError, match="'plus'"):
        predict_block(module, onehot(1), rc_average=True)
    predict_block(module, onehot(1), tracks=[2], rc_average=True)
