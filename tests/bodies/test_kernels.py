"""drg-kernels: the same bytes for any sharding; effects and motifs of whole passes; refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_stores import write_store
from support import EXAMPLES, drg_json

from drg_hpc.bodies import kernels_plan
from drg_hpc.bodies.kernels_layers import find_branches
from drg_hpc.bodies.kernels_settle import first_widths
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.genome.motifs import read_meme
from drg_hpc.interpretation.kernel_ablation import Ablation
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel
from drg_hpc.models.blocks import StrandScan
from drg_hpc.models.config import BassetConfig, DilatedResidualConfig, DrgCnnConfig, MultiInputConfig
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build
from drg_hpc.results.kernels import KernelResult, read_kernels
from drg_hpc.store.reader import open_dataset
from tests.prediction.small_world import finish

ROWS, LENGTH, OTHER, TRACKS = 640, 60, 36, 3
NAMES = [f"t{i}" for i in range(TRACKS)]
CNN = DrgCnnConfig(kernels=5, kernel_size=7, pool_size=5, pooling="weighted", kernel_activation="gelu", hidden=(8,))
BOTH = MultiInputConfig.model_validate(
    {"trunk": {"kernels": 4, "kernel_size": 5, "pool_size": 4}, "embedding": 6, "heads": {"main": {"hidden": [5]}}}
)
TWINS = BOTH.model_copy(update={"shared": True})
DEEP = DrgCnnConfig(kernels=4, kernel_size=6, pool_size=3, conv_channels=(6,), strands="mean", hidden=())


def network(path: Path, config: Any, shape: ModelShape, *, seed: int = 0) -> SequenceModel:
    torch.manual_seed(seed)
    module = build(config, shape).eval()
    with torch.no_grad():
        for name, value in module.named_buffers():  # batch norms as training leaves them
            if name.endswith("running_mean"):
                value.normal_(0, 0.3)
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
    save_model(module, path, config, NAMES)
    return module


def single(**changes: Any) -> ModelShape:
    return ModelShape({"seq": LENGTH}, (HeadShape("main", TRACKS, "logit"),), **changes)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 5, (ROWS, LENGTH))
    targets = generator.random((ROWS, TRACKS)).astype(np.float32)
    targets[generator.random(targets.shape) < 0.05] = np.nan
    return write_store(tmp_path_factory.mktemp("two") / "store.zarr", codes, targets, valid=300, second_input=OTHER)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = np.random.default_rng(1)
    codes = generator.integers(0, 4, (ROWS, LENGTH))
    targets = generator.random((ROWS, TRACKS)).astype(np.float32)
    return write_store(tmp_path_factory.mktemp("one") / "store.zarr", codes, targets, valid=300)


def kernels(folder: Path, model: Path | str, source: Path, **options: Any) -> tuple[dict[str, Any], KernelResult]:
    defaults: dict[str, Any] = {"split": "all"} | options
    if options.get("kmers") != "data":
        defaults = {"n_kmers": 3000} | defaults
    made = kernels_plan.Options(model=Path(model), input=source, out=folder, **defaults)
    done = finish(made, kernels_plan)
    return done, read_kernels(folder)


def inputs(store: Path, split: str, *names: str) -> list[torch.Tensor]:
    data = open_dataset(store)
    rows = data.split_rows(split)
    return [torch.from_numpy(np.ascontiguousarray(data.input_sequences(name, rows))).double() for name in names]


def targets(store: Path, split: str) -> np.ndarray:
    data = open_dataset(store)
    return data.targets(data.split_rows(split)).astype(float)


def masked(module: SequenceModel, x: Any, *, kernel: int, constant: float, branch: int = 0) -> np.ndarray:
    """A whole pass with one channel of a first layer set to a constant."""
    scans = [layer for layer in module.modules() if isinstance(layer, StrandScan | torch.nn.Conv1d)
             and layer.weight.shape[1] == 4]  # fmt: skip

    def hook(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        output[..., kernel, :] = constant
        return output

    handle = scans[branch].register_forward_hook(hook)
    with torch.no_grad():
        found = module(x).numpy()
    handle.remove()
    return found


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def test_bytes_do_not_depend_on_the_sharding(tmp_path: Path, plain: Path) -> None:
    network(tmp_path / "a", CNN, single())
    network(tmp_path / "b", CNN, single(), seed=1)
    both = f"{tmp_path / 'a'},{tmp_path / 'b'}"
    for shards in (1, 3, 7):
        kernels(tmp_path / str(shards), both, plain, shards=shards, kmers="data", nullify="median", nullify_on="data")
    for name in ("out.h5", "kernels.tsv", "kernels.meme", "clusters.tsv", "kernattrack.tsv"):
        assert len({sha256_file(tmp_path / str(shards) / name) for shards in (1, 3, 7)}) == 1


def test_effects_are_those_of_whole_passes(tmp_path: Path, plain: Path) -> None:
    module = network(tmp_path / "model", CNN, single()).double()
    regions = open_dataset(plain).regions
    lines = [f"{name}\t{'ab'[i % 2]}" for i, name in enumerate(regions["name"]) if i % 5]
    (tmp_path / "regions.tsv").write_text("\n".join(lines) + "\n")
    done, found = kernels(tmp_path / "run", tmp_path / "model", plain, region_classes=tmp_path / "regions.tsv")
    (x,), y = inputs(plain, "all", "seq"), targets(plain, "all")
    with torch.no_grad():
        f = sigmoid(module(x).numpy())
    order = open_dataset(plain).split_rows("all")
    classes = np.array([{"a": 0, "b": 1}["ab"[i % 2]] if i % 5 else -1 for i in order])
    weight = module.layers.scan.weight.detach().numpy()  # type: ignore[union-attr, operator]
    for k, kernel in enumerate(found.kernels):
        assert kernel.name == f"filter{k}"
        fk = sigmoid(masked(module, x, kernel=k, constant=kernel.constant))
        d = f - fk
        np.testing.assert_allclose(found.effects["effect"][k], d.sum(0), rtol=2e-4, atol=2e-4)
        impact = (d**3 / (d**2).sum(1, keepdims=True)).sum(0)
        np.testing.assert_allclose(found.effects["impact"][k], impact, rtol=5e-4, atol=2e-4)
        for t in range(TRACKS):
            loss = np.corrcoef(f[:, t], y[:, t])[0, 1] - np.corrcoef(fk[:, t], y[:, t])[0, 1]
            assert found.effects["correlation"][k, t] == pytest.approx(loss, abs=1e-5)
            rmse = [np.sqrt(((p[:, t] - y[:, t]) ** 2).mean()) for p in (fk, f)]
            assert found.effects["rmse"][k, t] == pytest.approx(rmse[0] - rmse[1], abs=1e-6)
        pairs = [(np.corrcoef(f[n], y[n])[0, 1], np.corrcoef(fk[n], y[n])[0, 1]) for n in range(len(f))]
        loss = np.mean([full - without for full, without in pairs if full >= 0.3])
        assert found.effects["class_correlation"][k, 0] == pytest.approx(loss, abs=1e-4)
        for c in range(2):
            got = found.effects["region_effect"][k, c]
            np.testing.assert_allclose(got, d[classes == c].sum(0), rtol=1e-3, atol=2e-4)
        assert abs(kernel.constant - (weight[k].mean(0).sum() + _bias(module, k))) < 0.05  # the mean over all k-mers
    assert np.abs(found.effects["effect"]).max() > 1e-2
    assert (done["summary"]["kernels"], done["summary"]["counted_rows"]) == (5, ROWS)
    np.testing.assert_array_equal(found.region_rows, [(classes == c).sum() for c in range(2)])
    assert (found.region_classes, found.classes) == (["a", "b"], ["all"])


def _bias(module: SequenceModel, kernel: int) -> float:
    bias = module.layers.scan.bias  # type: ignore[union-attr]
    return 0.0 if bias is None else float(bias[kernel].detach())  # type: ignore[index, arg-type]


CASES = {
    "weighted": (CNN, single()),
    "convolution": (DEEP, single()),
    "one strand": (CNN.model_copy(update={"strands": "off", "hidden": ()}), single()),
    "two channels a kernel": (CNN.model_copy(update={"pooling": "max+mean"}), single()),
    "least of the row": (CNN.model_copy(update={"pool_pad": "batch-minimum", "pool_size": 7}), single()),
    "norm": (BassetConfig(channels=(6, 5), sizes=(7, 5), pools=(3, 2), hidden=(7,)), single()),
    "profile": (DilatedResidualConfig(channels=4, layers=2, stem_size=7, profile_size=5),
                ModelShape({"seq": LENGTH}, (HeadShape("main", TRACKS, "log"),), 6)),
    "several": (BOTH, ModelShape({"seq": LENGTH, "rna": OTHER}, (HeadShape("main", TRACKS),))),
    "shared": (TWINS, ModelShape({"seq": LENGTH, "rna": LENGTH}, (HeadShape("main", TRACKS),))),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_ablation_is_a_whole_pass(case: str) -> None:
    config, shape = CASES[case]
    torch.manual_seed(0)
    module = build(config, shape).eval().double()
    generator = np.random.default_rng(0)
    x = [torch.from_numpy(np.eye(5)[generator.integers(0, 5, (9, n))][..., :4].transpose(0, 2, 1).copy())
         for n in shape.inputs.values()]  # fmt: skip

    def given(parts: list[torch.Tensor]) -> Any:
        return parts[0] if len(parts) == 1 else parts

    branches, closed = find_branches(module)
    told = {"config": config.model_dump(mode="json"), "inputs": [{"name": n, "length": 1} for n in shape.inputs]}
    assert first_widths(told) == {branch.scan.weight.shape[2] for branch in branches}
    constants = [torch.linspace(-0.5, 0.5, branch.kernels).double() for branch in branches]
    ablation = Ablation(branches, constants, predict=lambda parts: module(given(parts)), closed=closed)
    whole = ablation.block(x)
    with torch.no_grad():
        np.testing.assert_allclose(whole, module(given(x)))
    done = 0
    for number, branch in enumerate(branches):
        assert branch.name == (f"CNN{number}" if len(shape.inputs) > 1 else "")
        for chosen, found in ablation.without(number):
            for at, kernel in enumerate(range(chosen.start, chosen.stop)):
                expected = masked(module, given(x), kernel=kernel, constant=float(constants[number][kernel]),
                                  branch=number)  # fmt: skip
                np.testing.assert_allclose(found[at], expected, rtol=1e-9, atol=1e-11)
                assert np.abs(expected - whole.numpy()).max() > 1e-6
                done += 1
    assert done == sum(branch.kernels for branch in branches)
    with torch.no_grad():  # the module is left as it was
        np.testing.assert_array_equal(whole, module(given(x)))
    known = {"weighted", "convolution", "one strand", "several", "shared", "norm"}
    assert all((branch.mixer is not None) == (case in known) for branch in branches)


def test_two_inputs(tmp_path: Path, store: Path) -> None:
    shape = ModelShape({"seq": LENGTH, "rna": OTHER}, (HeadShape("main", TRACKS),))
    module = network(tmp_path / "model", BOTH, shape).double()
    done, found = kernels(tmp_path / "run", tmp_path / "model", store, nullify="zero", kmers="data", split="valid")
    names = [f"filter{i}_CNN{j}" for j in range(2) for i in range(4)]
    assert [kernel.name for kernel in found.kernels] == names
    x, y = inputs(store, "valid", "seq", "rna"), targets(store, "valid")
    with torch.no_grad():
        f = module(x).numpy()
    for number, kernel in enumerate(found.kernels):
        d = f - masked(module, x, kernel=kernel.index, constant=0.0, branch=number // 4)
        np.testing.assert_allclose(found.effects["effect"][number], d.sum(0), rtol=1e-3, atol=1e-3)
        assert kernel.constant == 0
    for t in range(TRACKS):
        known = ~np.isnan(y[:, t])
        expected = np.corrcoef(f[known, t], y[known, t])[0, 1]
        assert found.base["correlation"][0, t] == pytest.approx(expected, abs=1e-5)
    assert done["summary"]["rows"] == len(f)
    expected = data_motif(module.networks[1].scan, x[1].numpy(), 2)  # type: ignore[union-attr]
    np.testing.assert_allclose(found.kernels[4 + 2].pfm, expected, atol=1e-4)


def data_motif(scan: Any, onehot: np.ndarray, kernel: int) -> np.ndarray:
    """A kernel's motif from all k-mers of known bases of some sequences, on both strands."""
    w = scan.weight[kernel].detach().numpy()
    b = 0.0 if scan.bias is None else float(scan.bias[kernel].detach())
    width = w.shape[1]
    words = [x[:, i : i + width] for x in onehot for i in range(x.shape[1] - width + 1)]
    words = [word for word in words if word.sum() == width]
    words += [word[::-1, ::-1] for word in words]
    values = np.array([(word * w).sum() + b for word in words])
    scaled = (values - values.min()) / (values.max() - values.min())
    sums = np.full(w.shape, 0.025)
    for word, value in zip(words, scaled, strict=True):
        if value >= scaled.mean() + 1.64 * scaled.std():
            sums += value * word
    return sums / sums.sum(0)


def test_constants_on_data(tmp_path: Path, plain: Path) -> None:
    module = network(tmp_path / "model", CNN, single()).double()
    (x,) = inputs(plain, "valid", "seq")
    w, b = module.layers.scan.weight.detach().numpy(), module.layers.scan.bias  # type: ignore[union-attr, operator]
    windows = np.lib.stride_tricks.sliding_window_view(x.numpy(), 7, axis=2)
    values = np.concatenate([np.einsum("nbpw,kbw->npk", windows, kernel).reshape(-1, 5)
                             for kernel in (w, w[:, ::-1, ::-1])])  # fmt: skip
    values = values + (0 if b is None else b.detach().numpy())  # type: ignore[operator]
    for how, expected, tolerance in (("mean", values.mean(0), 1e-6), ("median", np.median(values, axis=0), 1e-3)):
        _, found = kernels(tmp_path / how, tmp_path / "model", plain, nullify=how, nullify_on="data", split="valid")
        np.testing.assert_allclose([kernel.constant for kernel in found.kernels], expected, atol=tolerance)


def test_replicates_share_clusters_and_names(tmp_path: Path, plain: Path) -> None:
    database = EXAMPLES / "motifs" / "hocomoco_v12_core.meme"
    target = next(m for m in read_meme(database) if m.width >= 7)
    for seed in range(2):
        torch.manual_seed(seed)
        module = build(CNN, single()).eval()
        with torch.no_grad():  # the same motif in both, elsewhere and turned in the second
            planted = torch.from_numpy(np.log2((target.pfm[:, :7] + 0.01) / 0.25)).float()
            module.layers.scan.weight[3 * seed] = planted if seed == 0 else planted.flip(0, 1)  # type: ignore[union-attr, index]
        save_model(module, tmp_path / f"m{seed}", CNN, NAMES)
    both = f"{tmp_path / 'm0'},{tmp_path / 'm1'}"
    done, found = kernels(tmp_path / "run", both, plain, database=(database,), split_distance=2.0)
    assert [k.name for k in found.kernels][::5] == ["model1_filter0", "model2_filter0"]
    label = {member: cluster for cluster in found.clusters for member in cluster.members}
    assert label[0] is label[8]
    assert label[0].models == 2
    assert found.kernels[0].match and found.kernels[0].q <= 0.05
    assert done["summary"]["models"] == 2
    assert sorted(i for c in found.clusters for i in c.members) == list(range(10))
    mean = found.cluster_effects()["effect"][found.clusters.index(label[0])]
    np.testing.assert_allclose(mean, found.effects["effect"][list(label[0].members)].mean(0))
    assert len(read_meme(tmp_path / "run/kernels.meme")) == 10
    assert len((tmp_path / "run/kernattrack.tsv").read_text().splitlines()) == 11
    assert found.base["rmse"].shape == (2, TRACKS)


def test_fasta_has_no_measured_values(tmp_path: Path) -> None:
    network(tmp_path / "model", CNN, single())
    letters = np.array(list("ACGT"))[np.random.default_rng(0).integers(0, 4, (70, LENGTH))]
    (tmp_path / "x.fa").write_text("".join(f">s{i}\n{''.join(row)}\n" for i, row in enumerate(letters)))
    options = ["--n-kmers", 500, "--activated", "model", "--max-activation", 0.6, "--tracks", "t2,t0", "-o"]
    done = drg_json("drg-kernels", tmp_path / "model", tmp_path / "x.fa", *options, tmp_path / "run")
    found = read_kernels(tmp_path / "run")
    assert set(found.effects) == {"effect", "impact"}
    assert found.tracks == ["t0", "t2"]
    assert done["summary"]["kernels"] == 5
    assert not (tmp_path / "run/kernattrack.tsv").exists()
    assert (tmp_path / "run/kerneffct.tsv").read_text().startswith("kernel\tt0\tt2\nfilter0\t")


def test_what_tells_nothing_is_said(tmp_path: Path, plain: Path, caplog: pytest.LogCaptureFixture) -> None:
    network(tmp_path / "model", CNN, single())
    database = (EXAMPLES / "motifs" / "hocomoco_v12_core.meme",)
    _, found = kernels(
        tmp_path / "run", tmp_path / "model", plain, tracks="t1", cutoff=100.0, limit=1, database=database
    )
    assert "5 of 5 kernels have no k-mer" in caplog.text
    assert "1 of 1 tracks have no correlation" in caplog.text
    assert np.isnan(found.base["correlation"]).all() and "class_correlation" not in found.effects
    assert not (tmp_path / "run/kernattmeantestclass.tsv").exists()
    np.testing.assert_allclose(found.effects["impact"], found.effects["effect"], rtol=1e-12)  # of one track
    head, *rows = [line.split("\t") for line in (tmp_path / "run/kernels.tsv").read_text().splitlines()]
    assert [row[head.index("match") :][:2] for row in rows] == [["", ""]] * 5
    caplog.clear()
    kernels(tmp_path / "whole", tmp_path / "model", plain)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"max_activation": 0.5, "cutoff": 1.0}, UsageError, "both say which k-mers"),
        ({"nullify": "zero", "nullify_on": "data"}, UsageError, "zero is zero"),
        ({"nullify_on": "data", "kmers": "data"}, UsageError, "--n-kmers without random"),
        ({"max_q": 0.1}, UsageError, "--max-q without --database"),
        ({"tracks": "nope"}, UsageError, "no track 'nope'"),
        ({"region_classes": "empty.tsv"}, InputError, "no region has a class"),
        ({"database": "empty.tsv"}, InputError, r"empty\.tsv"),
        ({"database": "none.meme"}, InputError, r"none\.meme"),
        ({"unique": True}, UsageError, "--unique with kernels of 33 bases, at most 32"),
    ],
)  # fmt: skip
def test_refusals(tmp_path: Path, plain: Path, changes: dict[str, Any], error: type[Exception], told: str) -> None:
    network(tmp_path / "model", CNN.model_copy(update={"kernel_size": 33}), single())
    (tmp_path / "empty.tsv").write_text("# none\n")
    if "region_classes" in changes:
        changes = {"region_classes": tmp_path / "empty.tsv"}
    if "database" in changes:
        changes = {"database": (tmp_path / changes["database"],)}
    options = {"n_kmers": 3000, "split": "all"} | changes
    with pytest.raises(error, match=told):
        kernels_plan.plan_shards(
            kernels_plan.Options(model=tmp_path / "model", input=plain, out=tmp_path / "x", **options)
        )
