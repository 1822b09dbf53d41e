"""drg-predict as a run: the same bytes for any sharding, values of the model, reverse-complement averages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from drg_hpc.bodies import predict_plan
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.prediction.predict import predict_block
from drg_hpc.results.reader import read_predictions
from drg_hpc.store.reader import open_dataset
from tests.prediction.small_world import make_binned_model, make_model, make_store, predict

ROWS, LENGTH = 500, 60


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    folder = tmp_path_factory.mktemp("world")
    module = make_model(folder / "model", length=LENGTH)
    return folder / "model", make_store(folder, rows=ROWS, length=LENGTH), module


def test_bytes_do_not_depend_on_the_sharding(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    model, store, _ = world
    for shards in (1, 3, 7):
        predict(tmp_path / str(shards), model, store, split="all", shards=shards, rc_average=True)
    assert len({sha256_file(tmp_path / str(shards) / "out.h5") for shards in (1, 3, 7)}) == 1


def test_values_are_those_of_the_model(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    model, path, module = world
    done = predict(tmp_path / "run", model, path, tracks="b", scale="output")
    store = open_dataset(path)
    rows = store.split_rows("test")
    found = read_predictions(tmp_path / "run")
    with torch.no_grad():
        expected = module(torch.from_numpy(store.sequences(rows))).sigmoid().numpy()
    np.testing.assert_allclose(found.values[:, 0], expected[:, 1], rtol=1e-5)
    np.testing.assert_array_equal(found.regions["row"], rows)
    assert (found.tracks, found.scale, found.values.dtype) == (["b"], "output", np.float32)
    assert done["summary"]["tracks"] == ["b"]
    assert done["summary"]["rows"] == len(rows)


def test_reverse_complement_average_turns_bins_round() -> None:
    module = make_binned_model(length=LENGTH, bins=6)
    x = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, (5, LENGTH))].transpose(0, 2, 1)
    turned = x[:, ::-1, ::-1]
    found = predict_block(module, x, scale="output", rc_average=True)
    one, other = (predict_block(module, strand, scale="output") for strand in (x, turned))
    assert found.shape == (5, 2, 6)
    np.testing.assert_allclose(found, (one + other[:, :, ::-1]) / 2, rtol=1e-6)
    mirrored = predict_block(module, turned, scale="output", rc_average=True)
    np.testing.assert_allclose(mirrored[:, :, ::-1], found, rtol=1e-6)


def test_faults(tmp_path: Path, world: tuple[Path, Path, Any]) -> None:
    model, store, _ = world

    def plan(**options: Any) -> None:
        given = {"model": model, "input": store, "out": tmp_path / "x"} | options
        predict_plan.plan_shards(predict_plan.Options(**given))

    with pytest.raises(UsageError, match="no track 'c'"):
        plan(tracks="a,c")
    with pytest.raises(InputError, match="no split"):
        plan(split="tests")
    make_model(tmp_path / "other", length=LENGTH - 1)
    with pytest.raises(InputError, match=r"60 bases, the model takes 59; .* with 59 \(drg-shard --length, drg-sim"):
        plan(model=tmp_path / "other")
