"""What drg-kernels writes against a calculation of one sequence and one kernel at a time, from the weights on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from small_stores import write_store

from drg_hpc.bodies import kernels_plan
from drg_hpc.errors import UsageError
from drg_hpc.genome.motifs import read_meme
from drg_hpc.interpretation.kernel_motifs import random_kmers
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.config import DrgCnnConfig
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build
from drg_hpc.results import h5
from drg_hpc.results.kernel_rows import read_kernel_rows
from drg_hpc.results.kernels import read_kernels
from drg_hpc.store.reader import open_dataset
from tests.bodies import kernel_formula as plain
from tests.prediction.small_world import finish

ROWS, LENGTH, TRACKS, KERNELS, WIDTH = 150, 40, 6, 5, 7
NAMES = [f"t{i}" for i in range(TRACKS)]
CLASSES = [[0, 1, 2], [3, 4, 5]]
CONFIG = DrgCnnConfig(kernels=KERNELS, kernel_size=WIDTH, pool_size=8, pooling="max", hidden=(6,), strands="max")


def write_model(path: Path, seed: int) -> dict[str, np.ndarray]:
    """Random weights, as they are on disk."""
    torch.manual_seed(seed)
    module = build(CONFIG, ModelShape({"seq": LENGTH}, (HeadShape("main", TRACKS, "logit"),))).eval()
    with torch.no_grad():
        for value in module.parameters():
            value.mul_(2.5)
    save_model(module, path, CONFIG, NAMES)
    return {name: value.astype(float) for name, value in load_file(path / "weights.safetensors").items()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("plain")
    generator = np.random.default_rng(0)
    codes = generator.choice(5, (ROWS, LENGTH), p=[0.3, 0.2, 0.2, 0.28, 0.02])
    targets = generator.random((ROWS, TRACKS)).astype(np.float32)
    targets[generator.random(targets.shape) < 0.04] = np.nan
    store = write_store(folder / "store.zarr", codes, targets, valid=70)
    weights = [write_model(folder / f"m{seed}", seed) for seed in (0, 1)]
    (folder / "classes.tsv").write_text("".join(f"t{t}\tc{n}\n" for n, own in enumerate(CLASSES) for t in own))
    data = open_dataset(store)
    rows = data.split_rows("all")
    x, y = data.input_sequences("seq", rows).astype(float), data.targets(rows).astype(float)
    return {"folder": folder, "store": store, "weights": weights, "y": y, "x": x}


def run(world: dict[str, Any], out: Path, *models: int, **options: Any) -> Any:
    paths = ",".join(str(world["folder"] / f"m{i}") for i in models)
    values: dict[str, Any] = {"n_kmers": 900, "split": "all", "classes": world["folder"] / "classes.tsv"} | options
    if values.get("kmers") == "data" and values.get("nullify_on") == "data":
        del values["n_kmers"]
    finish(kernels_plan.Options(model=Path(paths), input=world["store"], out=out, **values), kernels_plan)
    return read_kernels(out)


def rest_of(t: dict[str, np.ndarray]) -> plain.Rest:
    """Maximum of the strands, GELU, maximum of windows, a hidden layer, the head, and its probability."""

    def rest(scans: Any) -> np.ndarray:
        (both,) = scans
        flat = plain.max_pool(plain.gelu(np.maximum(both[0], both[1])), 8).ravel()
        hidden = plain.gelu(t["layers.fc0.weight"] @ flat + t["layers.fc0.bias"])
        return 1 / (1 + np.exp(-(t["layers.head.weight"] @ hidden + t["layers.head.bias"])))

    return rest


def predictions(world: dict[str, Any], t: dict[str, np.ndarray], constants: list[float]) -> plain.Predictions:
    weight, bias = t["layers.scan.weight"], t["layers.scan.bias"]
    return plain.ablated(
        [[x] for x in world["x"]], [lambda x: plain.both_strands(x, weight, bias)], [constants], rest_of(t)
    )


CASES: dict[str, dict[str, Any]] = {
    "mean": {},
    "median": {"nullify": "median", "activated": "exp", "cutoff": 1.0},
    "zero": {"nullify": "zero", "max_activation": 0.5, "activated": "model"},
    "forward": {"kmer_strands": "forward", "unique": True},
    "data": {"nullify_on": "data", "kmers": "data"},
    "distinct": {"kmers": "data", "unique": True, "nullify": "median"},
}
ACTIVE = {"none": lambda x: x, "exp": np.exp, "model": plain.gelu}


@pytest.mark.parametrize("case", CASES)
def test_one_sequence_and_one_kernel_at_a_time(tmp_path: Path, world: dict[str, Any], case: str) -> None:
    options = CASES[case]
    found = run(world, tmp_path / "run", 0, **options)
    (t, _), both = world["weights"], options.get("kmer_strands") != "forward"
    weight, bias = t["layers.scan.weight"], t["layers.scan.bias"]
    sources = {"random": random_kmers(0, 900, WIDTH).astype(int), "data": plain.kmers_of(world["x"], WIDTH)}
    of_constant = plain.every_kmer(sources[options.get("nullify_on", "random")], both=both)
    of_motif = plain.every_kmer(sources[options.get("kmers", "random")], both=both)
    if options.get("unique"):
        counted = len(of_motif)
        of_motif = np.array(sorted({tuple(kmer) for kmer in of_motif.tolist()}))
        assert len(of_motif) < counted
    middle = {"mean": np.mean, "median": np.median, "zero": lambda values: 0.0}[options.get("nullify", "mean")]
    for k, kernel in enumerate(found.kernels):
        assert kernel.constant == pytest.approx(middle(plain.kmer_responses(of_constant, weight[k], bias[k])), abs=2e-6)
        np.testing.assert_allclose(kernel.ppm, plain.direct_motif(weight[k], bias[k]), rtol=1e-6)
        pfm, kmers = plain.activation_motif(
            of_motif, weight[k], bias[k], active=ACTIVE[options.get("activated", "none")],
            cutoff=options.get("cutoff", 1.64), maximum=options.get("max_activation"),
        )  # fmt: skip
        assert kernel.kmers == kmers > 0
        np.testing.assert_allclose(kernel.pfm, pfm, atol=5e-6)
    constants = [kernel.constant for kernel in found.kernels]
    expected = plain.five_statistics(predictions(world, t, constants), world["y"], CLASSES, 0.3)
    for name, values in expected.items():
        columns, rows, written = plain.read_table(tmp_path / f"run/{name}.tsv")
        assert rows == [f"filter{k}" for k in range(KERNELS)]
        assert columns == (["c0", "c1"] if name == "kernattmeantestclass" else NAMES)
        scale = np.abs(values).max()
        np.testing.assert_allclose(written, values, rtol=0, atol=2e-4 * scale, err_msg=name)
        assert np.abs(values).max(1).min() > 20 * 2e-4 * scale  # no kernel passes by being small
    for name, motifs in (("kernels.meme", [k.pfm for k in found.kernels]),
                         ("kernel_ppms.meme", [k.ppm / k.ppm.sum(0) for k in found.kernels])):  # fmt: skip
        for record, motif in zip(read_meme(tmp_path / "run" / name), motifs, strict=True):
            np.testing.assert_allclose(record.pfm, motif, atol=1e-5)
    with h5.open_file(tmp_path / "run/out.h5") as handle:
        told = h5.get_attributes(handle)["conventions"]["constant"]
    assert told.endswith("at every position and on both strands of a kernel's channel")
    words = {"zero": "zero", "forward": "mean of w.x + b over random k-mers on the forward strand alone",
             "data": "mean of w.x + b over k-mers of the rows and their reverse complements"}  # fmt: skip
    assert told.startswith(words.get(case, f"{options.get('nullify', 'mean')} of w.x + b over random k-mers and their"))


def test_both_strands_decide_the_constant(tmp_path: Path, world: dict[str, Any]) -> None:
    """Of k-mers of one strand the mean is another than of both, and so are the effects."""
    one, both = (run(world, tmp_path / name, 0, kmer_strands=name, nullify_on="data") for name in ("forward", "both"))
    gap = [abs(a.constant - b.constant) for a, b in zip(one.kernels, both.kernels, strict=True)]
    assert max(gap) > 1e-2 and np.abs(one.effects["effect"] - both.effects["effect"]).max() > 1e-2


def test_losses_of_each_row(tmp_path: Path, world: dict[str, Any]) -> None:
    found = run(world, tmp_path / "run", 0, 1, per_row=True)
    split = run(world, tmp_path / "split", 0, 1, per_row=True, shards=3)
    name = "kernattperpnt.h5"
    assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "split" / name).read_bytes()
    np.testing.assert_array_equal(found.effects["effect"], split.effects["effect"])
    rows = read_kernel_rows(tmp_path / "run")
    assert rows.kernels == [kernel.name for kernel in found.kernels] and rows.classes == ["c0", "c1"]
    assert rows.regions["row"].tolist() == list(range(ROWS)) and rows.regions["name"][3] == "r3"
    for model, t in enumerate(world["weights"]):
        own = slice(KERNELS * model, KERNELS * (model + 1))
        made = predictions(world, t, [kernel.constant for kernel in found.kernels[own]])
        for number, tracks in enumerate(CLASSES):
            base, loss = plain.row_losses(made, world["y"], tracks)
            np.testing.assert_allclose(rows.correlation[:, model, number], base, atol=1e-3)
            np.testing.assert_allclose(rows.loss[:, number, own], loss.T, atol=2e-3)
            mean = rows.loss[base >= 0.3][:, number, own].mean(0)
            np.testing.assert_allclose(found.effects["class_correlation"][own, number], mean, atol=1e-5)


def test_clusters_by_another_metric(tmp_path: Path, world: dict[str, Any]) -> None:
    near = run(world, tmp_path / "a", 0, metric="correlation_pvalue", split_distance=2.0)
    far = run(world, tmp_path / "b", 0, metric="mse", distance=9.0, split_distance=2.0)
    assert len(far.clusters) == 1 and len(near.clusters) > 1
    with pytest.raises(UsageError, match="--metric jaccard without --distance"):
        run(world, tmp_path / "c", 0, metric="jaccard")


def test_refusals(tmp_path: Path, world: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no class has two"):
        run(world, tmp_path / "a", 0, per_row=True, tracks="t1", classes=None)
