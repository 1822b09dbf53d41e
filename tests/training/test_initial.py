"""Initial weights: from another model, by name, by track, cropped; from motifs; and what stays frozen."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support import EXAMPLES, drg
from torch import nn
from training.trainings import SMALL, drive, options

from drg_hpc.errors import InputError, Stopped, UsageError
from drg_hpc.genome.motifs import Motif, read_meme, write_meme
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel
from drg_hpc.models.config import BassetConfig, DilatedResidualConfig, DrgCnnConfig
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.registry import build
from drg_hpc.training.config import TrainOptions, initial_table
from drg_hpc.training.config_init import InitTable
from drg_hpc.training.initial import find_initial, start
from drg_hpc.training.motif_kernels import as_kernel, first_convolutions, place_motifs
from drg_hpc.training.name_maps import translate
from drg_hpc.training.run import train
from drg_hpc.training.track_rows import find_track_rows

Maker = Callable[..., Path]
CNN = DrgCnnConfig(kernels=6, kernel_size=7, pool_size=5, hidden=(8,))
BASSET = {"architecture": "basset", "channels": [6, 4], "sizes": [7, 3], "pools": [3, 2], "hidden": [8], "dropout": 0.1}


def made(config: Any, tracks: list[str], *, seed: int, bins: int = 0, link: Any = "identity") -> SequenceModel:
    torch.manual_seed(seed)
    model = build(config, ModelShape.single(40, len(tracks), bins=bins, link=link))
    model.tracks = tracks
    return model


def saved(folder: Path, config: Any, tracks: list[str], **more: Any) -> tuple[Path, dict[str, torch.Tensor]]:
    """A model folder to start from, and its tensors."""
    model = made(config, tracks, seed=1, **more)
    return save_model(model, folder, config, tracks), {k: v.clone() for k, v in model.state_dict().items()}


def started(network: SequenceModel, config: Any, **table: Any) -> dict[str, torch.Tensor]:
    start(network, config, find_initial(InitTable(**table)), main=True)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("bins", [0, 4])
def test_rows_of_tracks_are_picked_by_name(tmp_path: Path, bins: int, caplog: pytest.LogCaptureFixture) -> None:
    path, theirs = saved(tmp_path / "m", CNN, ["a", "b", "c"], bins=bins)
    caplog.set_level(logging.INFO)
    own = started(made(CNN, ["c", "a"], seed=2, bins=bins), CNN, model=path)
    each = max(bins, 1)
    rows = [*range(2 * each, 3 * each), *range(each)]
    for name, tensor in theirs.items():
        expected = tensor[rows] if name.startswith("layers.head") else tensor
        assert torch.equal(own[name], expected), name
    assert f"loaded from {path}: {len(theirs)} tensors: layers.scan.weight" in caplog.text
    assert "rows of the tracks with the same names: 2 tensors: layers.head.weight, layers.head.bias" in caplog.text


def test_tracks_that_are_not_there_need_a_new_head(tmp_path: Path) -> None:
    path, theirs = saved(tmp_path / "m", CNN, ["a", "b"])
    fresh = made(CNN, ["a", "x"], seed=2).state_dict()
    with pytest.raises(UsageError, match=r"no track x in the other model, which has a, b; .*init\.head = 'new'"):
        started(made(CNN, ["a", "x"], seed=2), CNN, model=path)
    for table in ({"head": "new"}, {"exclude": ["layers.head.*"]}, {"include": ["layers.scan.*", "layers.fc0.*"]}):
        own = started(made(CNN, ["a", "x"], seed=2), CNN, model=path, **table)
        for name in own:
            assert torch.equal(own[name], (fresh if "head" in name else theirs)[name]), (table, name)
    own = started(made(CNN, ["a", "x"], seed=2), CNN, model=path, head="position")
    assert all(torch.equal(own[name], theirs[name]) for name in theirs)


def test_scale_of_outputs_must_fit(tmp_path: Path) -> None:
    path, theirs = saved(tmp_path / "m", CNN, ["a", "b"], link="log")
    with pytest.raises(UsageError, match="track 'a' has log outputs there, and identity ones here"):
        started(made(CNN, ["a", "b"], seed=2), CNN, model=path)
    own = started(made(CNN, ["a", "b"], seed=2), CNN, model=path, exclude=["*head*"])
    assert torch.equal(own["layers.scan.weight"], theirs["layers.scan.weight"])


def test_several_heads_and_both_heads_of_a_profile_model() -> None:
    shape = ModelShape({"seq": 40}, (HeadShape("x", 2, "log"), HeadShape("y", 3, "log")), bins=8)
    config = DilatedResidualConfig(channels=6, layers=2, stem_size=7, profile_size=5)
    found = find_track_rows(config, shape)
    assert set(found) == {"profile.0.weight", "profile.0.bias", "counts.1.weight", "counts.1.bias"}
    assert {(rows.axis, rows.each, rows.tracks) for rows in found.values()} == {(0, 1, (0, 1, 2, 3, 4))}
    shared = find_track_rows(config.model_copy(update={"counts": "shared"}), shape)
    assert set(shared) == {"profile.0.weight", "profile.0.bias"}
    state = torch.get_rng_state()
    for name, rows in find_track_rows(CNN, shape).items():
        assert name.startswith("layers.head")
        assert rows.each == 8
    assert torch.equal(torch.get_rng_state(), state)


def test_names_are_translated(tmp_path: Path) -> None:
    """The first convolution of a Basset in a DRG network; wrong maps are named."""
    path, theirs = saved(tmp_path / "m", BassetConfig.model_validate(BASSET), ["x"])
    table: dict[str, Any] = {"model": path, "include": ["layers.scan.*"]}
    own = started(made(CNN, ["a"], seed=2), CNN, load_map=["layers.scan:layers.conv0"], head="position", **table)
    assert torch.equal(own["layers.scan.weight"], theirs["layers.conv0.weight"])
    assert torch.equal(own["layers.scan.bias"], theirs["layers.conv0.bias"])
    for given, fault in (
        ("layer.scan:x", r"no tensor of the new model begins with 'layer\.scan'; did you mean 'layers\.scan'"),
        (
            "layers.scan:layers.con0",
            r"the other model has no tensor 'layers\.con0\.weight'; did you mean .*'layers\.conv0'",
        ),
    ):
        with pytest.raises(UsageError, match=f"--load-map '{given}': {fault}"):
            started(made(CNN, ["a"], seed=2), CNN, load_map=[given], **table)
    with pytest.raises(UsageError, match=r"has no tensor layers\.scan\.weight, nor 1 more; --load-map, or --exclude"):
        started(made(CNN, ["a"], seed=2), CNN, **table)
    path, _ = saved(tmp_path / "shallow", CNN, ["a"])
    deep = CNN.model_copy(update={"hidden": (8, 8)})
    with pytest.raises(UsageError, match=r"no tensor layers\.fc1\.weight, nor 1 more; .* mean 'layers\.fc0\.weight'"):
        started(made(deep, ["a"], seed=2), deep, model=path, load_map=["layers:layers"])


@pytest.mark.parametrize(
    ("maps", "name", "expected"),
    [
        (["a.b:x"], "a.b.weight", "x.weight"),
        (["a.b:x"], "a.bc.weight", "a.bc.weight"),
        (["a.*.conv:t.*.c"], "a.3.conv.bias", "t.3.c.bias"),
        (["a.*.*:t_*.s_*"], "a.3.conv.bias", "t_3.s_conv.bias"),
        (["trunk:"], "trunk.0.weight", "0.weight"),
        ([":module"], "trunk.0.weight", "module.trunk.0.weight"),
        (["a.b:x", "a:y"], "a.b.w", "x.w"),
    ],
)
def test_rules_of_translation(maps: list[str], name: str, expected: str) -> None:
    names = [name, "a.b.k", "a.k"]
    theirs = [expected, "x.k", "y.k", "t.k", "k", "module.k"]
    assert translate(names, maps, theirs=theirs)[name] == expected


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"include": ["layers.scam.*"]}, r"--include 'layers\.scam\.\*' fits no tensor; did you mean 'layers\.scan"),
        ({"exclude": ["hed"]}, "--exclude 'hed' fits no tensor"),
        ({"freeze": ["zzz*"]}, r"--freeze 'zzz\*' fits no tensor; known: layers\.scan\.weight"),
        ({"freeze": ["*"]}, "leaves nothing to train"),
    ],
)
def test_patterns_that_fit_nothing_are_named(tmp_path: Path, table: dict[str, Any], fault: str) -> None:
    path, _ = saved(tmp_path / "m", CNN, ["a"])
    with pytest.raises(UsageError, match=fault):
        started(made(CNN, ["a"], seed=2), CNN, model=path, **table)


def test_first_dimensions_are_cropped_or_filled(tmp_path: Path) -> None:
    path, theirs = saved(tmp_path / "m", CNN, ["a", "b"])
    for kernels in (4, 9):
        config = CNN.model_copy(update={"kernels": kernels})
        table: dict[str, Any] = {"model": path, "exclude": ["layers.fc0.weight"], "head": "position"}
        with pytest.raises(UsageError, match=rf"layers\.scan\.weight is \({kernels}, 4, 7\), .* \(6, 4, 7\).*crop"):
            started(made(config, ["a", "b"], seed=2), config, **table)
        own = started(made(config, ["a", "b"], seed=2), config, crop=True, **table)
        scan, both = own["layers.scan.weight"], min(kernels, 6)
        assert torch.equal(scan[:both], theirs["layers.scan.weight"][:both])
        assert not scan[6:].any()
        with pytest.raises(UsageError, match=r"layers\.fc0\.weight is \(8, \d+\).*--exclude them"):
            started(made(config, ["a", "b"], seed=2), config, crop=True, model=path, head="position")


def _drawn_positions(widths: list[int]) -> list[Motif]:
    generator = np.random.default_rng(3)
    return [Motif(f"m{w}", generator.dirichlet([0.3] * 4, w).T, nsites=30) for w in widths]


def test_motifs_become_kernels(tmp_path: Path) -> None:
    motifs = _drawn_positions([4, 7, 12])
    write_meme(tmp_path / "m.meme", motifs)
    fresh = made(CNN, ["a"], seed=2).state_dict()
    own = started(made(CNN, ["a"], seed=2), CNN, motifs=tmp_path / "m.meme", motif_scale=0.5)
    kernels = own["layers.scan.weight"].double().numpy()
    logs = [np.log(((m.pfm * 30 + 0.25) / 31) * 4) * 0.5 for m in motifs]
    assert np.abs(kernels[0, :, 1:5] - logs[0]).max() < 1e-6
    assert not kernels[0, :, [0, 5, 6]].any()
    assert np.abs(kernels[1] - logs[1]).max() < 1e-6
    per_position = (motifs[2].pfm * np.log2(np.maximum(motifs[2].pfm, 1e-12))).sum(0) + 2
    best = max(range(6), key=lambda first: per_position[first : first + 7].sum())
    assert np.abs(kernels[2] - logs[2][:, best : best + 7]).max() < 1e-6
    assert torch.equal(own["layers.scan.weight"][3:], fresh["layers.scan.weight"][3:])
    assert torch.equal(own["layers.scan.bias"], fresh["layers.scan.bias"])


def test_a_kernel_from_a_motif_answers_to_its_sequence() -> None:
    """The kernel of CTCF's motif is highest where the motif's consensus stands."""
    motif = next(
        m for m in read_meme(EXAMPLES / "motifs/hocomoco_v12_core.meme") if m.name.startswith("CTCF.H12CORE.0")
    )
    config = CNN.model_copy(update={"kernel_size": 21, "strands": "off"})
    model = made(config, ["a"], seed=2)
    place_motifs(model, [motif], scale=1.0, input_name=None)
    codes = np.random.default_rng(0).integers(0, 4, 40)
    codes[10 : 10 + motif.width] = motif.pfm.argmax(0)
    x = torch.from_numpy(np.eye(4, dtype=np.float32)[codes].T[None])
    scan = model.get_submodule("layers.scan")(x)[0, 0]
    centre = 10 + 10 - (21 - motif.width) // 2
    assert int(scan.argmax()) == centre
    expected = float((as_kernel(motif, motif.width).max(0)).sum()) + model.state_dict()["layers.scan.bias"][0].item()
    assert scan[centre].item() == pytest.approx(expected, rel=1e-5)


class _Two(SequenceModel):
    """Two inputs, through one trunk or two."""

    def __init__(self, *, shared: bool) -> None:
        super().__init__(ModelShape({"dna": 40, "rna": 30}, (HeadShape("main", 1),)))
        self.first = nn.Conv1d(4, 3, 5)
        self.second = self.first if shared else nn.Conv1d(4, 3, 5)

    def forward(self, x: Any) -> torch.Tensor:
        return self.first(x[0]).amax((1, 2))[:, None] + self.second(x[1]).amax((1, 2))[:, None]


def test_motifs_with_several_inputs(tmp_path: Path) -> None:
    motifs = _drawn_positions([5])
    assert first_convolutions(_Two(shared=False)) == {"dna": "first", "rna": "second"}
    assert place_motifs(_Two(shared=True), motifs, scale=1.0, input_name=None) == ("first", 3)
    with pytest.raises(UsageError, match="several first convolutions: first of dna, second of rna"):
        place_motifs(_Two(shared=False), motifs, scale=1.0, input_name=None)
    model = _Two(shared=False)
    before = model.first.weight.detach().clone()
    assert place_motifs(model, motifs, scale=1.0, input_name="rna") == ("second", 3)
    assert torch.equal(model.first.weight, before)
    assert np.abs(model.second.weight[0].detach().numpy() - as_kernel(motifs[0], 5)).max() < 1e-6
    with pytest.raises(UsageError, match=r"motif_input = 'mrna' is no input; inputs: dna, rna"):
        place_motifs(model, motifs, scale=1.0, input_name="mrna")
    with pytest.raises(UsageError, match="7 motifs for 6 kernels"):
        place_motifs(made(CNN, ["a"], seed=1), _drawn_positions([3, 4, 5, 6, 7, 8, 9]), scale=1.0, input_name=None)
    with pytest.raises(InputError, match="not a MEME file"):
        (tmp_path / "x").write_text("y")
        find_initial(InitTable(motifs=tmp_path / "x"))


def test_settings_without_their_file_are_refused() -> None:
    with pytest.raises(UsageError, match=r"init\.exclude = \['a'\] without --init MODEL"):
        initial_table(TrainOptions.model_validate({"store": "s", "out": "m", "exclude": ["a"]}))
    with pytest.raises(UsageError, match=r"init\.motif_scale = 2\.0 without init\.motifs"):
        initial_table(TrainOptions.model_validate({"store": "s", "out": "m", "init": {"motif_scale": 2}}))
    with pytest.raises(ValueError, match="is not OURS:THEIRS"):
        InitTable(load_map=["a"])
    with pytest.raises(ValueError, match=r"1 \* on the left and 0"):
        InitTable(load_map=["a.*:b"])
    table = {"store": "s", "out": "m", "init": {"model": "x", "exclude": ["a"]}, "init_model": "y", "freeze": ["f"]}
    found = initial_table(TrainOptions.model_validate(table))
    assert (found.model, found.exclude, found.freeze) == (Path("y"), ("a",), ("f",))


def test_tuning_a_whole_model_on_some_tracks(make_store: Maker, tmp_path: Path) -> None:
    """Without a [model] table the architecture is MODEL's; frozen tensors, batch norm's included, keep their bits."""
    store = make_store(200, valid=40, kind="real", tracks=4)
    config = BassetConfig.model_validate(BASSET)
    names = ["t3", "t0", "t1", "t2"]
    path, theirs = saved(tmp_path / "first", config, names)
    tables = {k: v for k, v in SMALL.items() if k != "model"} | {"tracks": "t1,t3", "init_model": path}
    glob = _first_block(theirs)
    tables |= {"freeze": [glob]}
    out = tmp_path / "tuned"
    train(TrainOptions.model_validate({"store": store, "out": out, **tables}))
    tuned, model = load_file(out / "weights.safetensors"), load_model(out)
    assert model.tracks == ["t1", "t3"]
    frozen = fnmatch.filter(theirs, glob)
    assert any("running_mean" in name for name in frozen) and len(frozen) < len(theirs)
    for name in theirs:
        same = theirs[name].shape == tuned[name].shape and torch.equal(tuned[name], theirs[name])
        rests = name in ("layers.conv1.bias", "layers.fc0.bias")  # biases that a batch norm takes out again
        assert same == (name in frozen or rests), name


def _first_block(tensors: dict[str, torch.Tensor]) -> str:
    return f"{next(iter(tensors)).rpartition('.')[0]}*"


@pytest.mark.slow
def test_a_published_model_on_some_of_its_tracks(tmp_path: Path) -> None:
    """The Calderon model on three tracks predicts what the whole model does for them; its trunk takes a new head."""
    files = (EXAMPLES / f"calderon/calderon_shallow_{name}" for name in ("model_params.dat", "parameter.pth"))
    path = tmp_path / "published"
    drg("drg-import", "drg", *files, "-o", path)
    whole = load_model(path)
    initial = find_initial(InitTable(model=path, freeze=["layers.scan.*"]))
    assert initial.config is not None
    names = ["track30", "track3", "track41"]
    few = build(initial.config, ModelShape.single(whole.length, 3))
    few.tracks = names
    start(few, initial.config, initial, main=True)
    assert [name for name, p in few.named_parameters() if not p.requires_grad] == ["layers.scan.weight"]
    codes = np.random.default_rng(1).integers(0, 4, (3, whole.length))
    x = torch.from_numpy(np.eye(4, dtype=np.float32)[codes].transpose(0, 2, 1).copy())
    with torch.no_grad():
        expected = whole(x)[:, [whole.tracks.index(name) for name in names]]
        torch.testing.assert_close(few.eval()(x), expected, rtol=1e-6, atol=1e-6)
    few.tracks = ["liver", "heart", "lung"]
    start(few, initial.config, find_initial(InitTable(model=path, head="new")), main=True)
    assert torch.equal(few.state_dict()["layers.scan.weight"], whole.state_dict()["layers.scan.weight"])
    with pytest.raises(UsageError, match="no track liver, heart, lung in the other model"):
        start(few, initial.config, initial, main=True)


def test_resuming_with_another_init_is_refused(make_store: Maker, tmp_path: Path) -> None:
    store, out = make_store(tracks=1), tmp_path / "m"
    config = DrgCnnConfig.model_validate(SMALL["model"])
    paths = [save_model(made(config, ["bound"], seed=s, link="logit"), tmp_path / f"m{s}", config, ["bound"])
             for s in (1, 2)]  # fmt: skip
    table = {"motifs": tmp_path / "m.meme", "freeze": ["layers.scan.weight"]}
    write_meme(table["motifs"], _drawn_positions([5]))
    with pytest.raises(Stopped):
        train(options(store, out, init={"model": paths[0], **table}, max_steps=2))
    with pytest.raises(UsageError, match=r"init\.model = '[0-9a-f]{64}' \(was '[0-9a-f]{64}'\)$|init\.model = "):
        train(options(store, out, init={"model": paths[1], **table}))
    write_meme(table["motifs"], _drawn_positions([6]))
    with pytest.raises(UsageError, match=r"init\.motifs = "):
        train(options(store, out, init={"model": paths[0], **table}))
    write_meme(table["motifs"], _drawn_positions([5]))
    drive(store, out, init={"model": paths[0].rename(tmp_path / "elsewhere"), **table})
    kernel = load_file(out / "weights.safetensors")["layers.scan.weight"][0]
    assert np.abs(kernel.numpy() - as_kernel(_drawn_positions([5])[0], 7)).max() < 1e-6
