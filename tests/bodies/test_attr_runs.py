"""drg-attr with every kind of method, model and output: runs equal the engine in memory, whatever the sharding."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from small_stores import write_store

from drg_hpc.attribution.attention import attention_block, attention_layers
from drg_hpc.attribution.attribute import attribute
from drg_hpc.bodies import attr_plan
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel
from drg_hpc.models.config import config_from_json
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.registry import build
from drg_hpc.results.reader import read_attributions
from drg_hpc.runs.plan import write_plan
from drg_hpc.runs.work import work_run
from drg_hpc.store.reader import open_dataset
from tests.prediction.small_world import attr

ROWS, LENGTH, OTHER = 150, 60, 36
SMALL = {"architecture": "drg-cnn", "kernels": 5, "kernel_size": 7, "pool_size": 5, "pooling": "max", "hidden": [8]}
BOTH = {"architecture": "multi-input", "trunk": {"kernels": 4, "kernel_size": 5, "pool_size": 4}, "embedding": 6}


def network(path: Path, values: dict[str, Any], shape: ModelShape, *, seed: int = 0) -> SequenceModel:
    torch.manual_seed(seed)
    config = config_from_json(values, source="test")
    module = build(config, shape).eval()
    save_model(module, path, config, [f"t{i}" for i in range(shape.n_tracks)])
    return module


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs ``seq`` and ``rna`` of unequal length, tracks t0 and t1; a few unknown bases."""
    generator = np.random.default_rng(0)
    codes = generator.choice(5, (ROWS, LENGTH), p=[0.24, 0.24, 0.24, 0.24, 0.04])
    targets = generator.normal(size=(ROWS, 2)).astype(np.float32)
    return write_store(tmp_path_factory.mktemp("two") / "store.zarr", codes, targets, valid=90, second_input=OTHER)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the input ``seq``."""
    path = tmp_path_factory.mktemp("small") / "model"
    network(path, SMALL, ModelShape({"seq": LENGTH}, (HeadShape("main", 2),)))
    return path


def onehot(store: Path, *names: str) -> list[np.ndarray]:
    data = open_dataset(store)
    rows = data.split_rows("all")
    return [data.input_sequences(name, rows) for name in names]


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    "options",
    [
        {"method": "deepshap", "references": "dinuc:3"},
        {
            "method": "deepshap",
            "references": "dinuc-compat:2",
            "output": "global",
            "rc_average": True,
            "shifts": "0,-4",
        },
        {"method": "deeplift", "base_freqs": "0.3,0.2,0.2,0.3"},
        {"method": "smoothgrad", "samples": 3},
        {"method": "smoothgrad-gaussian", "samples": 2, "sample_level": 0.2},
        {"method": "expected-gradients", "references": "euler:2"},
        {"method": "integrated-gradients", "references": "freq:0.3,0.2,0.2,0.3"},
    ],
    ids=lambda options: options["method"],
)
def test_every_method_is_the_engine_in_memory_whatever_the_sharding(
    tmp_path: Path, store: Path, small: Path, options: dict[str, Any]
) -> None:
    for shards in (1, 3):
        shared = {"split": "all", "store_dtype": "float32", "keep": "hypothetical", "seed": 4}
        attr(tmp_path / str(shards), small, store, shards=shards, **shared, **options)
    assert sha256_file(tmp_path / "1/out.h5") == sha256_file(tmp_path / "3/out.h5")
    (x,) = onehot(store, "seq")
    inner = dict(options) | {"level": options.get("sample_level")}
    inner.pop("sample_level", None)
    method = inner.pop("method")
    inner["shifts"] = [int(s) for s in str(inner.get("shifts", "0")).split(",")]
    expected = attribute(load_model(small), x, method, seed=4, **inner)
    with read_attributions(tmp_path / "1") as found:
        for track, group in enumerate(found.tracks.values()):
            form = found.attributes["params"]["output"]
            close(group[form][()], expected[:, track])
            assert ("delta" in group) == (method in ("deepshap", "deeplift", "integrated-gradients"))
            if "delta" in group:
                scale = np.abs(group["prediction"][()]).max()
                assert group["delta"][()].max() < (1e-2 if method == "integrated-gradients" else 1e-5) * scale


@pytest.mark.parametrize("method", ["gradient", "deeplift", "integrated-gradients"])
def test_order_of_rows_does_not_change_numbers(tmp_path: Path, small: Path, method: str) -> None:
    generator = np.random.default_rng(5)
    records = [f">s{i}\n{''.join(generator.choice(list('ACGT'), LENGTH))}\n" for i in range(70)]
    shuffled = generator.permutation(70)
    (tmp_path / "a.fa").write_text("".join(records))
    (tmp_path / "b.fa").write_text("".join(records[i] for i in shuffled))
    found = []
    for name in ("a", "b"):
        attr(tmp_path / name, small, tmp_path / f"{name}.fa", method=method, store_dtype="float32")
        with read_attributions(tmp_path / name) as result:
            found.append(result.tracks["t0"]["projected"][()])
    close(found[1], found[0][shuffled])


def test_batch_size_and_number_of_tracks_do_not_change_numbers(tmp_path: Path, store: Path, small: Path) -> None:
    shared = {"split": "all", "store_dtype": "float32", "method": "deepshap", "references": "dinuc:2"}
    found = {}
    for name, options in {"a": {"batch_size": 64}, "b": {"batch_size": 2}, "c": {"tracks": "t1"}}.items():
        attr(tmp_path / name, small, store, **shared, **options)
        with read_attributions(tmp_path / name) as result:
            found[name] = result.tracks["t1"]["projected"][()]
    close(found["b"], found["a"])
    close(found["c"], found["a"])


def test_references_of_a_file_count_by_content(tmp_path: Path, store: Path, small: Path) -> None:
    generator = np.random.default_rng(3)
    codes = generator.integers(0, 4, (2, LENGTH))
    letters = ["".join("ACGT"[c] for c in row) for row in codes]
    (tmp_path / "refs.fa").write_text("".join(f">r{i}\n{text}\n" for i, text in enumerate(letters)))
    arrays = np.eye(4, dtype=np.float32)[codes].transpose(0, 2, 1)
    np.savez(tmp_path / "refs.npz", references=arrays)
    shared: dict[str, Any] = {"split": "all", "store_dtype": "float32", "keep": "hypothetical", "method": "deepshap"}
    attr(tmp_path / "fasta", small, store, references=str(tmp_path / "refs.fa"), **shared)
    attr(tmp_path / "npz", small, store, references=str(tmp_path / "refs.npz"), **shared)
    (x,) = onehot(store, "seq")
    every = np.broadcast_to(arrays, (ROWS, *arrays.shape))
    expected = attribute(load_model(small), x, "deepshap", references=every)
    for name in ("fasta", "npz"):
        with read_attributions(tmp_path / name) as found:
            close(found.tracks["t1"]["hypothetical"][()], expected[:, 1])
            assert set(found.attributes["inputs"]) == {"model", "sequences", "references"}
    (tmp_path / "moved.fa").write_bytes((tmp_path / "refs.fa").read_bytes())
    attr(tmp_path / "fasta", small, store, references=str(tmp_path / "moved.fa"), **shared)  # the same plan
    with (tmp_path / "moved.fa").open("a") as handle:
        handle.write(f">r2\n{'A' * (LENGTH - 1)}\n")
    with pytest.raises(InputError, match="r2 has 59 bases, the model takes 60"):
        attr(tmp_path / "x", small, store, references=str(tmp_path / "moved.fa"), **shared)
    np.savez(tmp_path / "bad.npz", references=arrays[:, :3])
    with pytest.raises(InputError, match=r"references has shape \(2, 3, 60\)"):
        attr(tmp_path / "x", small, store, references=str(tmp_path / "bad.npz"), **shared)
    np.savez(tmp_path / "rows.npz", references=np.broadcast_to(arrays, (8, *arrays.shape)))
    with pytest.raises(InputError, match="references of 8 rows, the run has 150"):
        attr(tmp_path / "x", small, store, references=str(tmp_path / "rows.npz"), **shared)
    np.savez(tmp_path / "rows.npz", references=every)
    attr(tmp_path / "rows", small, store, references=str(tmp_path / "rows.npz"), **shared)
    with read_attributions(tmp_path / "rows") as found:
        close(found.tracks["t1"]["hypothetical"][()], expected[:, 1])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "refs.npz").read_bytes()[:300])
    with pytest.raises(InputError, match=r"cannot be read as \.npz"):
        attr(tmp_path / "x", small, store, references=str(tmp_path / "cut.npz"), **shared)


def test_two_inputs_have_a_group_each_and_are_complete_together(tmp_path: Path, store: Path) -> None:
    shape = ModelShape({"rna": OTHER, "seq": LENGTH}, (HeadShape("main", 2),))
    module = network(tmp_path / "model", BOTH, shape)
    options = {"split": "all", "method": "deepshap", "references": "zero", "store_dtype": "float32"}
    for shards in (1, 3):
        attr(tmp_path / str(shards), tmp_path / "model", store, shards=shards, **options)
    assert sha256_file(tmp_path / "1/out.h5") == sha256_file(tmp_path / "3/out.h5")
    xs = onehot(store, "rna", "seq")
    total = np.zeros((ROWS, 2))
    for name, x in zip(("rna", "seq"), xs, strict=True):
        with read_attributions(tmp_path / "1", name) as found:
            np.testing.assert_array_equal(found.sequences[()], x)
            for track in range(2):
                total[:, track] += found.tracks[f"t{track}"]["projected"][()].sum(1)
    with torch.no_grad():
        tensors = [torch.from_numpy(x) for x in xs]
        difference = (module(tensors) - module([torch.zeros_like(x) for x in tensors])).numpy()
    np.testing.assert_allclose(total, difference, atol=1e-5 * np.abs(difference).max())


def test_several_models_give_mean_and_deviation(tmp_path: Path, store: Path) -> None:
    shape = ModelShape({"seq": LENGTH}, (HeadShape("main", 2),))
    modules = [network(tmp_path / f"m{seed}", SMALL, shape, seed=seed) for seed in range(2)]
    paths = Path(f"{tmp_path}/m0,{tmp_path}/m1")
    attr(tmp_path / "run", paths, store, split="all", store_dtype="float32")
    (x,) = onehot(store, "seq")
    each = np.stack([(attribute(module, x, "gradient") * x[:, None]).sum(2) for module in modules])
    with torch.no_grad():
        predictions = np.stack([module(torch.from_numpy(x)).numpy() for module in modules])
    with read_attributions(tmp_path / "run") as found:
        assert found.attributes["inputs"].keys() == {"model1", "model2", "sequences"}
        for track in range(2):
            group = found.tracks[f"t{track}"]
            close(group["projected"][()], each.mean(0)[:, track])
            close(group["projected_sd"][()], each.std(0)[:, track])
            np.testing.assert_allclose(group["prediction_sd"][()], predictions.std(0)[:, track], atol=1e-6)


def test_attention_weights(tmp_path: Path, store: Path) -> None:
    values = SMALL | {"transformer": {"layers": 2, "heads": 2}}
    module = network(tmp_path / "model", values, ModelShape({"seq": LENGTH}, (HeadShape("main", 2),)))
    options = {"split": "all", "method": "attention", "store_dtype": "float32"}
    for shards in (1, 3):
        attr(tmp_path / str(shards), tmp_path / "model", store, shards=shards, **options)
    assert sha256_file(tmp_path / "1/out.h5") == sha256_file(tmp_path / "3/out.h5")
    (x,) = onehot(store, "seq")
    layers = attention_layers(module)
    with h5py.File(tmp_path / "1/out.h5") as handle:
        assert handle["attention"].shape == (ROWS, 2, 2, 12, 12)
        expected = np.concatenate([attention_block(module, [x[i : i + 50]], layers=layers) for i in (0, 50, 100)])
        np.testing.assert_allclose(handle["attention"][()], expected, atol=1e-6)
        assert "tracks" not in handle
    attr(tmp_path / "one", tmp_path / "model", store, block="1", **options)
    with h5py.File(tmp_path / "one/out.h5") as handle:
        np.testing.assert_allclose(handle["attention"][:, 0], expected[:, 1], atol=1e-6)
    for wrong, message in (
        ({"block": "2"}, "has 2 attention layers, numbered from 0"),
        ({"max_size": 1e-6}, r"above --max-size 1e-06 GB"),
        ({"scale": "output"}, "--scale has no effect on --method attention"),
        ({"keep": "hypothetical"}, "--keep has no effect on --method attention"),
        ({"references": "zero"}, "--references has no effect on --method attention"),
        ({"tracks": "t0"}, "--tracks has no effect on --method attention"),
    ):
        with pytest.raises(UsageError, match=message):
            attr(tmp_path / "wrong", tmp_path / "model", store, **(options | wrong))
    network(tmp_path / "plain", SMALL, ModelShape({"seq": LENGTH}, (HeadShape("main", 2),)))
    with pytest.raises(InputError, match="has no attention layers"):
        attr(tmp_path / "wrong", tmp_path / "plain", store, **options)
    assert not (tmp_path / "wrong").exists()


def test_transforms_groups_and_conditions(tmp_path: Path, store: Path, small: Path) -> None:
    (x,) = onehot(store, "seq")
    each = attribute(load_model(small), x, "gradient")
    shared = {"split": "all", "store_dtype": "float32", "keep": "hypothetical"}
    attr(tmp_path / "s", small, store, transform="specificity:on=t0:off=t1:compare=subtract", **shared)
    with read_attributions(tmp_path / "s") as found:
        (group,) = found.tracks.values()
        close(group["corrected"][()], each[:, 0] - each[:, 1])
    (tmp_path / "groups.tsv").write_text("t0\tone\nt1\tone\n")
    attr(tmp_path / "g", small, store, tracks="group:one", groups=tmp_path / "groups.tsv", **shared)
    with read_attributions(tmp_path / "g") as found:
        assert list(found.tracks) == ["group:one"]
        close(found.tracks["group:one"]["corrected"][()], each.mean(1))
    done = attr(tmp_path / "w", small, store, where="max_target >= q80", **shared)
    targets = open_dataset(store).targets(open_dataset(store).split_rows("all")).max(1)
    chosen = np.flatnonzero(targets >= np.quantile(targets, 0.8))
    assert done["summary"]["rows"] == len(chosen) == ROWS // 5
    with read_attributions(tmp_path / "w") as found:
        np.testing.assert_array_equal(found.regions["row"], open_dataset(store).split_rows("all")[chosen])
        close(found.tracks["t0"]["corrected"][()], each[chosen, 0])


def test_the_strongest_positions_alone(tmp_path: Path, store: Path, small: Path) -> None:
    attr(tmp_path / "all", small, store, split="all", store_dtype="float32")
    attr(tmp_path / "top", small, store, split="all", store_dtype="float32", top=7)
    with read_attributions(tmp_path / "all") as dense, read_attributions(tmp_path / "top") as sparse:
        places = sparse.tracks["t1"]["top/positions"][()]
        assert places.shape == (ROWS, 7)
        values = np.take_along_axis(dense.tracks["t1"]["projected"][()], places, axis=1)
        np.testing.assert_array_equal(sparse.tracks["t1"]["top/projected"][()], values)
        assert "projected" not in sparse.tracks["t1"]


def test_exports_beside_the_file(tmp_path: Path, store: Path, small: Path) -> None:
    done = attr(tmp_path / "run", small, store, split="all", tracks="t0", export="bed,modisco,finemo")
    assert set(done["outputs"]) == {"out.h5", "export"}
    names = {path.relative_to(tmp_path / "run/export").parts[0] for path in (tmp_path / "run/export").rglob("*")}
    assert {"modisco", "finemo"} <= names
    assert set(done["summary"]["exports"]) == {"bed", "modisco", "finemo"}
    with pytest.raises(UsageError, match="lengths of contigs"):
        attr(tmp_path / "wrong", small, store, split="all", export="bigwig")


def test_the_plan_says_route_cost_and_bytes(tmp_path: Path, store: Path) -> None:
    shape = ModelShape({"seq": LENGTH}, (HeadShape("main", 40),))
    network(tmp_path / "wide", SMALL, shape)
    options = attr_plan.Options(
        model=tmp_path / "wide", input=store, out=tmp_path / "x", split="all", method="deepshap"
    )
    notes = "\n".join(attr_plan.plan_shards(options).notes)
    assert "8 backward passes over the embedding instead of 40" in notes
    assert "passes a row" in notes and f"{1 + 20 + 20 * 8} (gradient 9, in-silico mutagenesis 181)" in notes
    assert "projected" in notes and "with all four bases" in notes


def test_the_route_is_the_one_the_plan_says(tmp_path: Path, store: Path, caplog: pytest.LogCaptureFixture) -> None:
    network(tmp_path / "wide", SMALL, ModelShape({"seq": LENGTH}, (HeadShape("main", 40),)))
    with caplog.at_level(logging.INFO):
        attr(tmp_path / "run", tmp_path / "wide", store, split="all")
    assert "gradient: 8 backward passes and a product with the linear head's weights" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 3}, "--batch-size 3 is no power of two"),
        ({"shifts": "0,60"}, "moves all of a sequence of 60 bases out"),
        ({"samples": 3}, "--samples has no effect on --method gradient"),
        ({"block": "0"}, "--block belongs to --method attention"),
        ({"max_size": 5.0}, "--max-size belongs to --method attention"),
        ({"groups": Path("groups.tsv")}, "no group is named"),
        ({"references": "dinuc:0", "method": "deepshap"}, "no number of shuffles"),
        ({"references": "dinuc:2", "method": "deeplift"}, "against one reference, not 2"),
        ({"export": "wig"}, "no kind 'wig'"),
        ({"gtf": Path("genes.gtf")}, "--gtf needs --genome"),
        ({"span": True}, "--span needs --gtf"),
        ({"transform": "specificity:on=t9"}, "no track 't9'"),
        ({"where": "pearson >"}, "--where"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_faulty_requests_are_one_line_and_leave_nothing(
    tmp_path: Path, store: Path, small: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        attr(tmp_path / "run", small, store, **({} if "where" in options else {"split": "all"}), **options)
    assert not (tmp_path / "run").exists()


def test_an_operation_without_a_rule_is_named_before_any_row_is_computed(tmp_path: Path, store: Path) -> None:
    values = {"architecture": "user", "factory": "attr_user_module:make"}
    (tmp_path / "attr_user_module.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__(); self.w = torch.nn.Parameter(torch.ones(4))\n"
        "    def forward(self, x):\n"
        "        return torch.cumprod(1 + 0.01 * x * self.w[:, None], dim=2).sum((1, 2))[:, None]\n"
        "def make(**kwargs):\n"
        "    return Net()\n"
    )
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        network(tmp_path / "model", values, ModelShape({"seq": LENGTH}, (HeadShape("main", 1),)))
        with pytest.raises(UsageError, match=r"no rule for the operation aten\.cumprod"):
            attr(tmp_path / "run", tmp_path / "model", store, split="all", method="deepshap")
        attr(tmp_path / "gradients", tmp_path / "model", store, split="all", method="gradient")
    finally:
        sys.path.remove(str(tmp_path))


def test_blocks_in_smaller_passes_are_named_in_done_json(
    tmp_path: Path, store: Path, small: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from drg_hpc.attribution.functions import Function

    usual = Function.units
    monkeypatch.setattr(Function, "units", lambda self, xs, params: _small_gpu(usual, self, xs, params))
    done = attr(tmp_path / "less", small, store, split="all", store_dtype="float32", batch_size=64)
    assert done["retreats"] == [{"block": first, "rows_of_a_pass": 16} for first in (0, 64, 128)]
    assert "3 blocks ran out of memory and were computed in smaller passes" in caplog.text
    monkeypatch.undo()
    attr(tmp_path / "usual", small, store, split="all", store_dtype="float32", batch_size=64)
    with read_attributions(tmp_path / "less") as less, read_attributions(tmp_path / "usual") as whole:
        close(less.tracks["t0"]["projected"][()], whole.tracks["t0"]["projected"][()])


def test_a_large_convergence_error_is_said(
    tmp_path: Path, store: Path, small: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import drg_hpc.bodies.attr_work as attr_work

    options = {"split": "all", "method": "deeplift"}
    attr(tmp_path / "right", small, store, **options)
    assert "convergence error" not in caplog.text
    monkeypatch.setattr(attr_work, "_LARGE_ERROR", 1e-12)
    attr(tmp_path / "wrong", small, store, **options)
    assert caplog.text.count("convergence error of track 't0' is up to") == 1


def test_attention_in_smaller_passes(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import drg_hpc.bodies.attr_work as attr_work

    values = SMALL | {"transformer": {"layers": 1, "heads": 2}}
    network(tmp_path / "model", values, ModelShape({"seq": LENGTH}, (HeadShape("main", 2),)))
    options = {"split": "all", "method": "attention", "store_dtype": "float32", "batch_size": 64}
    attr(tmp_path / "usual", tmp_path / "model", store, **options)
    usual = attr_work.attention_block

    def small_gpu(module: Any, rows: Any, *, layers: Any, batch: int) -> Any:
        if batch > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return usual(module, rows, layers=layers, batch=batch)

    monkeypatch.setattr(attr_work, "attention_block", small_gpu)
    done = attr(tmp_path / "less", tmp_path / "model", store, **options)
    assert [note["rows_of_a_pass"] for note in done["retreats"]] == [16, 16, 16]
    with h5py.File(tmp_path / "usual/out.h5") as one, h5py.File(tmp_path / "less/out.h5") as other:
        np.testing.assert_allclose(one["attention"][()], other["attention"][()], atol=1e-6)


def test_code_of_a_transform_is_an_input_of_the_run(tmp_path: Path, store: Path, small: Path) -> None:
    import sys

    code = (
        "import torch\n"
        "class First(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return {} * x[:, 0]\n"
        "def make(model):\n"
        "    return First()\n"
    )
    (tmp_path / "attr_transform_module.py").write_text(code.format(1))
    sys.path.insert(0, str(tmp_path))
    try:
        options = {"split": "all", "transform": "attr_transform_module:make", "shards": 2}
        made = attr_plan.Options(model=small, input=store, out=tmp_path / "run", **options)
        plan = write_plan(attr_plan.plan_shards(made), tmp_path / "run")
        work_run(plan, device="cpu", shards=[plan.stages[0].shards[0]])
        (tmp_path / "attr_transform_module.py").write_text(code.format(100))
        with pytest.raises(UsageError, match=r"inputs\.transform"):
            write_plan(attr_plan.plan_shards(made), tmp_path / "run")
        with pytest.raises(InputError, match="attr_transform_module"):
            work_run(plan, device="cpu")
    finally:
        sys.path.remove(str(tmp_path))


def _small_gpu(usual: Any, function: Any, xs: Any, params: Any) -> torch.Tensor:
    """A GPU whose memory holds 20 rows."""
    if len(xs[0]) > 20:
        raise torch.OutOfMemoryError("CUDA out of memory")
    found: torch.Tensor = usual(function, xs, params)
    return found
