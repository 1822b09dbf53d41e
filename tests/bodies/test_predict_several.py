"""drg-predict with several sequences a row, and with several models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_stores import write_store

from drg_hpc.bodies import attr_plan, predict_plan
from drg_hpc.bodies.selection import model_keys
from drg_hpc.config import FanoutOptions
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel
from drg_hpc.models.config import DilatedResidualConfig, DrgCnnConfig, MultiInputConfig
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build
from drg_hpc.prediction.predict import predict_block
from drg_hpc.results import h5
from drg_hpc.results.reader import read_predictions
from drg_hpc.store.reader import open_dataset
from tests.prediction.small_world import attr, predict

ROWS, LENGTH, OTHER = 200, 60, 36
CNN = DrgCnnConfig(kernels=5, kernel_size=7, pool_size=5, hidden=(8,))
BOTH = MultiInputConfig.model_validate(
    {"trunk": {"kernels": 4, "kernel_size": 5, "pool_size": 4}, "embedding": 6, "heads": {"main": {"hidden": [5]}}}
)


def network(path: Path, config: Any, shape: ModelShape, *, seed: int = 0, tracks: Any = ("t0", "t1")) -> SequenceModel:
    torch.manual_seed(seed)
    module = build(config, shape).eval()
    save_model(module, path, config, list(tracks))
    return module


def two(*heads: HeadShape, **inputs: int) -> ModelShape:
    return ModelShape(inputs, heads or (HeadShape("main", 2, "identity"),))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs ``seq`` and ``rna`` of unequal length, tracks t0 and t1."""
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 5, (ROWS, LENGTH))
    targets = generator.normal(size=(ROWS, 2)).astype(np.float32)
    return write_store(tmp_path_factory.mktemp("two") / "store.zarr", codes, targets, valid=90, second_input=OTHER)


def onehot(store: Path, split: str, *names: str) -> list[torch.Tensor]:
    data = open_dataset(store)
    rows = data.split_rows(split)
    return [torch.from_numpy(data.input_sequences(name, rows)) for name in names]


def test_inputs_are_found_by_name_in_the_order_of_the_model(tmp_path: Path, store: Path) -> None:
    module = network(tmp_path / "model", BOTH, two(rna=OTHER, seq=LENGTH))
    for shards in (1, 3):
        done = predict(tmp_path / str(shards), tmp_path / "model", store, split="all", shards=shards, rc_average=True)
    assert sha256_file(tmp_path / "1/out.h5") == sha256_file(tmp_path / "3/out.h5")
    assert (done["summary"]["length"], done["summary"]["rows"]) == (LENGTH + OTHER, ROWS)
    found = read_predictions(tmp_path / "3")
    inputs = onehot(store, "all", "rna", "seq")
    with torch.no_grad():
        one, turned = (module(x).numpy() for x in (inputs, [each.flip(1, 2) for each in inputs]))
    np.testing.assert_allclose(found.values, (one + turned) / 2, rtol=1e-4, atol=1e-6)
    assert np.abs(one - turned).max() > 1e-3
    assert found.sd is None
    plain = predict_block(module, [each[:3].numpy() for each in inputs])
    np.testing.assert_allclose(plain, one[:3], rtol=1e-4, atol=1e-6)


def test_a_model_of_one_input_takes_it_by_name(tmp_path: Path, store: Path) -> None:
    module = network(tmp_path / "model", CNN, ModelShape({"rna": OTHER}, (HeadShape("main", 2),)))
    predict(tmp_path / "run", tmp_path / "model", store, split="valid")
    (x,) = onehot(store, "valid", "rna")
    with torch.no_grad():
        np.testing.assert_allclose(read_predictions(tmp_path / "run").values, module(x), rtol=1e-4, atol=1e-6)
    done = attr(tmp_path / "attr", tmp_path / "model", store, split="valid")
    assert done["summary"]["length"] == OTHER


def plan(planner: Any, options: FanoutOptions) -> None:
    planner.plan_shards(options)


def test_inputs_that_do_not_fit_are_named(tmp_path: Path, store: Path) -> None:
    def planned(shape: ModelShape) -> None:
        folder = tmp_path / f"m{len(list(tmp_path.iterdir()))}"
        network(folder, CNN if len(shape.inputs) == 1 else BOTH, shape)
        plan(predict_plan, predict_plan.Options(model=folder, input=store, split="valid", out=tmp_path / "x"))

    with pytest.raises(InputError, match=r"takes an input 'dna', which .* lacks; its inputs: seq \(60\), rna \(36\)"):
        planned(two(seq=LENGTH, dna=OTHER))
    with pytest.raises(InputError, match=r"sequences of input 'rna' of .* have 36 bases, the model takes 37"):
        planned(two(seq=LENGTH, rna=37))
    with pytest.raises(InputError, match="takes an input 'other'"):
        planned(ModelShape({"other": LENGTH}, (HeadShape("main", 2),)))


def test_mean_and_deviation_over_models(tmp_path: Path, store: Path) -> None:
    shape = two(HeadShape("main", 2, "logit"), seq=LENGTH, rna=OTHER)
    modules = [network(tmp_path / f"m{seed}", BOTH, shape, seed=seed) for seed in range(3)]
    names = ",".join(str(tmp_path / f"m{seed}") for seed in range(3))
    for shards in (1, 2):
        done = predict(tmp_path / str(shards), Path(names), store, split="all", shards=shards, scale="output")
    assert sha256_file(tmp_path / "1/out.h5") == sha256_file(tmp_path / "2/out.h5")
    x = onehot(store, "all", "seq", "rna")
    with torch.no_grad():
        each = np.stack([module(x).double().sigmoid().numpy() for module in modules])
    found = read_predictions(tmp_path / "1")
    np.testing.assert_allclose(found.values, each.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.sd, np.sqrt(((each - each.mean(0)) ** 2).mean(0)), rtol=1e-3, atol=1e-7)
    assert set(found.attributes["inputs"]) == {"model1", "model2", "model3", "store"}
    assert "divided by their number" in found.attributes["conventions"]["sd"]
    assert done["summary"]["models"] == 3
    with h5.open_file(tmp_path / "1/out.h5") as handle:
        assert (handle["sd"].shape, handle["sd"].dtype) == (handle["predictions"].shape, np.float32)


def test_a_run_of_trainings_stands_for_its_models(tmp_path: Path, store: Path) -> None:
    for seed in range(11):
        network(tmp_path / f"run/models/seed-{seed}", BOTH, two(seq=LENGTH, rna=OTHER), seed=seed)
    predict(tmp_path / "all", tmp_path / "run", store, split="valid")
    names = ",".join(str(tmp_path / f"run/models/seed-{seed}") for seed in range(11))
    predict(tmp_path / "named", Path(names), store, split="valid")
    assert sha256_file(tmp_path / "all/out.h5") == sha256_file(tmp_path / "named/out.h5")
    options = attr_plan.Options(model=tmp_path / "run", input=store, split="valid", out=tmp_path / "x")
    assert len(model_keys(attr_plan.plan_shards(options).inputs)) == 11


def test_one_model_is_as_ever(tmp_path: Path, store: Path) -> None:
    network(tmp_path / "m,odd", BOTH, two(seq=LENGTH, rna=OTHER))  # a comma in a path that is there
    predict(tmp_path / "run", tmp_path / "m,odd", store, split="valid")
    assert set(read_predictions(tmp_path / "run").attributes["inputs"]) == {"model", "store"}
    for text in (f"{tmp_path / 'a'},", f",{tmp_path / 'a'}", f"{tmp_path / 'a'},,{tmp_path / 'b'}"):
        with pytest.raises(UsageError, match="no name beside a comma; one comma between two names"):
            plan(predict_plan, predict_plan.Options(model=Path(text), input=store, out=tmp_path / "x"))
    with pytest.raises(UsageError, match="one model twice"):
        plan(predict_plan, predict_plan.Options(model=Path(f"{tmp_path / 'a'},{tmp_path / 'a'}"), input=store,
                                                out=tmp_path / "x"))  # fmt: skip


SINGLE = {"seq": LENGTH}


@pytest.mark.parametrize(
    ("config", "shape", "tracks", "told"),
    [
        (CNN, ModelShape({"seq": 50}, (HeadShape("main", 2),)), ("t0", "t1"), "inputs differ"),
        (CNN, ModelShape({**SINGLE, "rna": 5}, (HeadShape("main", 2),)), ("t0", "t1"), "inputs differ: 2 and 1"),
        (CNN, ModelShape(SINGLE, (HeadShape("main", 3),)), ("t0", "t1", "t2"), "tracks differ: 3 and 2"),
        (CNN, ModelShape(SINGLE, (HeadShape("main", 2),)), ("t0", "x"), "tracks differ: number 1 is 'x' and 't1'"),
        (CNN, ModelShape(SINGLE, (HeadShape("main", 2, "log"),)), ("t0", "t1"),
         "links differ: number 0 is 'log' and 'identity'"),
        (DilatedResidualConfig(channels=3, layers=1, profile_size=5, output="values"),
         ModelShape(SINGLE, (HeadShape("main", 2),), 6), ("t0", "t1"), "bins differ: 6 and 0"),
    ],
)  # fmt: skip
def test_models_that_have_no_mean(
    tmp_path: Path, store: Path, config: Any, shape: ModelShape, tracks: Any, told: str
) -> None:
    network(tmp_path / "a", CNN, ModelShape(SINGLE, (HeadShape("main", 2),)))
    network(tmp_path / "b", config if len(shape.inputs) == 1 else BOTH, shape, tracks=tracks)
    with pytest.raises(InputError, match=f"have no mean, their {told}.*; give each by itself"):
        plan(predict_plan, predict_plan.Options(model=Path(f"{tmp_path / 'a'},{tmp_path / 'b'}"), input=store,
                                                split="valid", out=tmp_path / "x"))  # fmt: skip


def test_each_track_has_its_own_link(tmp_path: Path, store: Path) -> None:
    heads = (HeadShape("peaks", 1, "logit"), HeadShape("counts", 2, "log"), HeadShape("values", 1, "identity"))
    names = ("peak", "count0", "count1", "value")
    config = MultiInputConfig.model_validate({"trunk": {"kernels": 4, "kernel_size": 5, "pool_size": 4}})
    module = network(tmp_path / "model", config, two(*heads, seq=LENGTH, rna=OTHER), tracks=names)
    x = onehot(store, "valid", "seq", "rna")
    with torch.no_grad():
        link = module(x).double().numpy()
    expected = np.stack([1 / (1 + np.exp(-link[:, 0])), np.exp(link[:, 1]), np.exp(link[:, 2]), link[:, 3]], axis=1)
    predict(tmp_path / "all", tmp_path / "model", store, split="valid", scale="output")
    np.testing.assert_allclose(read_predictions(tmp_path / "all").values, expected, rtol=1e-4, atol=1e-6)
    predict(tmp_path / "some", tmp_path / "model", store, split="valid", scale="output", tracks="value,count1")
    some = read_predictions(tmp_path / "some")
    assert some.tracks == ["count1", "value"]
    np.testing.assert_allclose(some.values, expected[:, [2, 3]], rtol=1e-4, atol=1e-6)
