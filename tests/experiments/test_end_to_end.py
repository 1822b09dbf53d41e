"""A network trained on simulated sequences by the configuration that comes with the package learns their rule."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from stores import shard
from support import EXAMPLES, ROOT

from drg_hpc import load_model
from drg_hpc.experiments.tables import HOLDS, MISSING, WRONG_ORDER
from drg_hpc.results.simulation import read_simulation
from drg_hpc.store.reader import open_dataset
from drg_hpc.training.config import TrainOptions
from drg_hpc.training.run import train


@pytest.mark.slow
def test_the_order_of_two_motifs_is_learnt(tmp_path: Path) -> None:
    """Also where both motifs are there and only the order is wrong: presence alone would be right in 3 of 4."""
    run = shard(
        "simulate", tmp_path / "sim", num_seqs=4000, seq_length=80, gen_type="order", max_dist=10, gap_mean=5.0,
        motif_db=EXAMPLES / "motifs" / "encode_motifs.txt", pos_motifs=["REST_disc1", "CTCF_known1"],
    )  # fmt: skip
    values = tomllib.loads((ROOT / "configs" / "perturbation_cnn.toml").read_text())
    values["model"]["hidden"], values["optim"]["lr"], values["train"]["epochs"] = [64], 3e-3, 8
    train(TrainOptions.model_validate({**values, "store": run, "out": tmp_path / "model", "device": "cpu"}))
    store = open_dataset(run)
    rows = store.split_rows("test")
    with torch.no_grad():
        logits = load_model(tmp_path / "model")(torch.from_numpy(store.sequences(rows)))
    right = (logits[:, 0].numpy() > 0) == (store.targets(rows)[:, 0] == 1)
    outcome = read_simulation(run).outcome[rows]
    assert right.mean() > 0.9
    for kind in (HOLDS, MISSING, WRONG_ORDER):
        assert np.count_nonzero(outcome == kind) > 50 and right[outcome == kind].mean() > 0.85
