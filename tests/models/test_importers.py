"""Importers of Borzoi and of users' own networks: real output, both file formats, files that do not fit."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.models.config import UserConfig
from drg_hpc.models.importers.borzoi import import_borzoi
from drg_hpc.models.importers.check import check_reference
from drg_hpc.models.importers.common import read_tensors
from drg_hpc.models.importers.keras import is_hdf5, read_layers
from drg_hpc.models.importers.reference import Reference
from drg_hpc.models.importers.torch_file import import_torch
from drg_hpc.models.importers.tracks import name_tracks, read_track_table, track_names
from drg_hpc.models.links import apply_link
from drg_hpc.models.user import find_factory
from tests.models import borzoi_files as files
from tests.models import borzoi_weights as made


def json_file(path: Path, values: Mapping[str, Any]) -> Path:
    path.write_text(json.dumps(values))
    return path


def small(tmp_path: Path, **sizes: Any) -> tuple[Path, Path]:
    """A small Borzoi as a safetensors file, and its params.json."""
    save_file(files.state(**sizes), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors", json_file(tmp_path / "params.json", files.params())


def onehot(rows: int = 2, length: int = files.LENGTH) -> torch.Tensor:
    return torch.from_numpy(made.sequences(rows, length))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("first", [0, 21])
def test_keras_and_torch_files_are_one_model(tmp_path: Path, whole: bool, first: int) -> None:
    weights, params = small(tmp_path)
    one = import_borzoi([weights], params=params).module
    h5 = files.write_keras(tmp_path / "model0_best.h5", files.keras_layers(files.state()), whole=whole, first=first)
    two = import_borzoi([h5], params=params).module
    assert one.state_dict().keys() == two.state_dict().keys()
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]), name
    assert torch.equal(one(onehot()), two(onehot()))
    assert one(onehot()).std() > 0.01


def test_pt_pth_and_nested_state_dicts(tmp_path: Path) -> None:
    weights, params = small(tmp_path)
    one = import_borzoi([weights], params=params)
    state = read_tensors(weights)
    for name, content in (("a.pt", state), ("b.pth", {"state_dict": state, "epoch": 3})):
        torch.save(content, tmp_path / name)
        two = import_borzoi([tmp_path / name], params=params)
        assert torch.equal(one.module(onehot()), two.module(onehot()))
        (record, _) = two.provenance["files"]
        assert record["name"] == name and len(record["sha256"]) == 64


def test_no_second_copy_of_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module's parameters are the tensors that were read."""
    weights, params = small(tmp_path)
    state = files.state()
    monkeypatch.setattr("drg_hpc.models.importers.borzoi.read_tensors", lambda path: state)
    module = import_borzoi([weights], params=params).module
    assert module.stem.weight.data_ptr() == state["conv_dna.conv_layer.weight"].data_ptr()  # type: ignore[union-attr]
    assert all(p.requires_grad and not p.is_meta for p in module.parameters())


def test_other_lengths_keep_the_widths_of_position_features(tmp_path: Path) -> None:
    weights, params = small(tmp_path)
    model = import_borzoi([weights], params=params, length=512, crop=0).module
    assert model.shape.bins == 16
    assert {m.mask_tokens for m in model.modules() if hasattr(m, "mask_tokens")} == {8}
    assert model(onehot(1, 512)).shape == (1, 4, 16)
    with pytest.raises(UsageError, match="500 bases with 3 bins of 32 bases"):
        import_borzoi([weights], params=params, length=500)
    with pytest.raises(UsageError, match="1024 bases with 16 bins"):
        import_borzoi([weights], params=params, crop=16)


def test_every_missing_unused_and_ill_shaped_tensor_is_named(tmp_path: Path) -> None:
    weights, params = small(tmp_path)
    state = read_tensors(weights)
    del state["res_tower.4.conv_layer.bias"]
    state["extra.weight"] = torch.zeros(2)
    state["unet1.1.norm.weight"] = torch.ones(3)
    save_file(state, tmp_path / "bad.safetensors")
    with pytest.raises(InputError) as caught:
        import_borzoi([tmp_path / "bad.safetensors"], params=params)
    message = str(caught.value)
    for words in (
        "tower.2.conv.bias is missing",
        "extra.weight is unused",
        "tower.5.norm.weight is (3,) instead of (10,)",
    ):
        assert words in message
    state["unet1.1.norm.weight"] = torch.ones(10)
    save_file(state, tmp_path / "bad.safetensors")
    found = import_borzoi([tmp_path / "bad.safetensors"], params=params, allow=["extra.*", "tower.2.conv.bias"])
    assert sorted(found.notes)[:2] == ["extra.weight: not used", "input of 1024 bases, 26 bins of 32 bases"]
    assert "tower.2.conv.bias: missing, keeps its initial value" in found.notes


def test_flashzoi_is_refused_by_name(tmp_path: Path) -> None:
    state = files.state()
    state["transformer.0.0.fn.1.mha.Wqkv.weight"] = torch.zeros(3, 3)
    save_file(state, tmp_path / "f.safetensors")
    with pytest.raises(InputError, match="Flashzoi is another network"):
        import_borzoi([tmp_path / "f.safetensors"])


def test_without_params_the_published_size_is_asked_for(tmp_path: Path) -> None:
    weights, _ = small(tmp_path)
    with pytest.raises(InputError, match=r"tower\.0\.conv\.weight is .* instead of \(608, 512, 5\)"):
        import_borzoi([weights])


def test_which_head_a_keras_file_holds(tmp_path: Path) -> None:
    h5 = files.write_keras(tmp_path / "m.h5", files.keras_layers(files.state()))
    one = json_file(tmp_path / "one.json", files.params(units={"human": 9, "mouse": 4}))
    assert import_borzoi([h5], params=one).module.tracks[0] == "mouse0"
    two = json_file(tmp_path / "two.json", files.params(units={"human": 4, "mouse": 4}))
    with pytest.raises(InputError, match=r"4 tracks, which does not say which of human \(4\), mouse \(4\)"):
        import_borzoi([h5], params=two)
    assert import_borzoi([h5], params=two, head="human").module.tracks[0] == "human0"
    with pytest.raises(UsageError, match="no such head; heads: human, mouse"):
        import_borzoi([h5], params=two, head="rat")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda layers: layers.pop("dense_7"), "20 layers dense, the description asks for 21"),
        (lambda layers: layers.pop("separable_conv1d"), "1 layers separable_conv1d"),
        (lambda layers: layers["conv1d_2"].pop("bias"), "layer 'conv1d_2' has kernel instead of bias, kernel"),
        (lambda layers: layers.update(dropout={"x": np.zeros(1)}), "layer 'dropout' is not one of a Borzoi network"),
        (lambda layers: layers.update(conv1d={"kernel": np.array([b"x"]), "bias": np.zeros(5)}), "no floating-point"),
        (lambda layers: layers["dense_1"].update(kernel=np.zeros((2, 2))), r"dense\.inner\.out\.weight is \(2, 2\)"),
    ],
)
def test_keras_files_of_other_networks(tmp_path: Path, change: Any, words: str) -> None:
    layers = files.keras_layers(files.state())
    change(layers)
    h5 = files.write_keras(tmp_path / "m.h5", layers)
    with pytest.raises(InputError, match=words):
        import_borzoi([h5], params=json_file(tmp_path / "p.json", files.params()))


def test_damaged_and_foreign_hdf5(tmp_path: Path) -> None:
    h5 = files.write_keras(tmp_path / "m.h5", files.keras_layers(files.state()))
    raw = h5.read_bytes()
    (tmp_path / "cut.h5").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(InputError, match=r"cut\.h5 is not a readable HDF5 file"):
        import_borzoi([tmp_path / "cut.h5"])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["layers/conv1d/vars/0"] = np.zeros(3)
    with pytest.raises(InputError, match="not in the layout of Keras 2"):
        read_layers(tmp_path / "other.h5")
    with h5py.File(h5, "a") as file:
        del file["conv1d"]["conv1d/kernel:0"]
    with pytest.raises(InputError, match="not a readable HDF5 file"):
        read_layers(h5)


def test_long_lists_of_names_that_keras_cuts_into_pieces(tmp_path: Path) -> None:
    h5 = files.write_keras(tmp_path / "m.h5", files.keras_layers(files.state()))
    whole = read_layers(h5)
    with h5py.File(h5, "a") as file:
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:7], names[7:]
    cut = read_layers(h5)
    assert list(cut) == list(whole)


class _Bomb:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.flag,)


@pytest.mark.parametrize("name", ["bomb.pth", "bomb.pt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_bomb_does_not_run(tmp_path: Path, name: str, zipped: bool) -> None:
    flag, path = tmp_path / "ran", tmp_path / name
    content = {"conv_dna.conv_layer.weight": _Bomb(flag)}
    torch.save(content, path) if zipped else path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(InputError, match="holds more than tensors and is not loaded"):
        import_borzoi([path])
    assert not flag.exists()
    torch.load(path, weights_only=False) if zipped else pickle.loads(path.read_bytes())
    assert flag.exists(), "the bomb is one"


def test_truncated_and_foreign_files(tmp_path: Path) -> None:
    weights, params = small(tmp_path)
    torch.save(files.state(), tmp_path / "whole.pt")
    for path in (weights, tmp_path / "whole.pt"):
        raw = path.read_bytes()
        cut = tmp_path / f"cut{path.suffix}"
        cut.write_bytes(raw[: len(raw) // 2])
        with pytest.raises(InputError, match=rf"cut\{path.suffix}"):
            import_borzoi([cut], params=params)
    (tmp_path / "text.pt").write_text("no weights\n")
    with pytest.raises(InputError, match=r"text\.pt"):
        import_borzoi([tmp_path / "text.pt"])
    torch.save({"a.weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"no head such as human_head\.weight"):
        import_borzoi([tmp_path / "other.pt"])
    with pytest.raises(InputError, match="no such file"):
        import_borzoi([tmp_path / "none.pt"])
    with pytest.raises(UsageError, match="one file of weights, not 2"):
        import_borzoi([weights, weights])


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_an_input_error(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    for name, begin in (("a.pt", b""), ("a.safetensors", b""), ("a.h5", b"\x89HDF\r\n\x1a\n")):
        (folder / name).write_bytes(begin + raw)
        assert is_hdf5(folder / name) == (name == "a.h5" or raw.startswith(b"\x89HDF\r\n\x1a\n"))
        with pytest.raises(InputError):
            import_borzoi([folder / name])
    shutil.rmtree(folder)


# Tracks


def test_track_tables(tmp_path: Path) -> None:
    table = tmp_path / "targets.txt"
    table.write_text(
        "\tidentifier\tfile\tstrand_pair\n3\ta+\t/x/a\t4\n4\ta-\t/x/b\t3\n9\tb\t/x/c\t9\n11\tc+\t/x/d\t12\n"
    )
    found = read_track_table(table)
    assert found.names == ("a+", "a-", "b", "c+") and found.partners == (1, 0, 2, None)
    (tmp_path / "tracks.tsv").write_text("index\tname\n0\tx y\n1\tz\n")
    assert read_track_table(tmp_path / "tracks.tsv").names == ("x y", "z")
    (tmp_path / "names.txt").write_text("one\n\ntwo\n")
    assert track_names([str(tmp_path / "names.txt")]) == read_track_table(tmp_path / "names.txt")
    assert read_track_table(tmp_path / "names.txt").names == ("one", "two")
    plain = track_names(["a,b", "c"])
    assert plain is not None and plain.names == ("a", "b", "c") and plain.partners is None
    assert track_names([]) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column identifier"),
        ("a\tb\n1\t2\n", "no column identifier"),
        ("index\tname\n0\n", "row 2 has 1 columns, the header 2"),
        ("\tidentifier\tstrand_pair\n0\ta\t1\n1\tb\t1\n", "row 2: strand_pair '1' is not mutual"),
    ],
)
def test_bad_track_tables(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(InputError, match=words):
        read_track_table(tmp_path / "t.txt")
    (tmp_path / "t.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        read_track_table(tmp_path / "t.txt")


def test_names_must_fit() -> None:
    assert name_tracks(None, {"human": 2, "mouse": 1}) == ["human0", "human1", "mouse0"]
    with pytest.raises(UsageError, match=r"2 names, the model 3 tracks \(human 2, mouse 1\)"):
        name_tracks(["a", "b"], {"human": 2, "mouse": 1})
    with pytest.raises(UsageError, match="'a' twice"):
        name_tracks(["a", "a"], {"human": 2})


# Reference files


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def reference(tmp_path: Path, model: torch.nn.Module, **changes: Any) -> Reference:
    x = onehot(3)
    arrays = {"sequences": x.numpy(), "predictions": apply_link(model(x), "softplus").detach().numpy()}
    return Reference(saved(tmp_path / "reference.npz", **(arrays | changes)))


@pytest.fixture(scope="module")
def borzoi(tmp_path_factory: pytest.TempPathFactory) -> Any:
    weights, params = small(tmp_path_factory.mktemp("borzoi"))
    return import_borzoi([weights], params=params).module


def test_reference_agrees(tmp_path: Path, borzoi: Any) -> None:
    found = check_reference(borzoi, reference(tmp_path, borzoi))
    assert found["rows"] == 3 and found["predictions"]["share_of_tolerance"] < 1
    turned = reference(tmp_path, borzoi, sequences=onehot(3).numpy().transpose(0, 2, 1).astype(bool))
    assert check_reference(borzoi, turned)["predictions"]["largest_difference"] < 1e-5
    link = reference(tmp_path, borzoi, predictions=borzoi(onehot(3)).detach().numpy())
    assert check_reference(borzoi, link, scale="link")["scale"] == "link"
    with pytest.raises(CorruptError, match="predictions of the imported model differ"):
        check_reference(borzoi, link)


def test_reference_differs(tmp_path: Path, borzoi: Any) -> None:
    values = apply_link(borzoi(onehot(3)), "softplus").detach().numpy()
    step = 2e-4 * values[:, 2].std()
    values[1, 2, 5] += step
    changed = reference(tmp_path, borzoi, predictions=values)
    with pytest.raises(CorruptError, match=r"track 'human2' is .* instead of .* \(at \(1, 2, 5\)\)") as caught:
        check_reference(borzoi, changed)
    assert caught.value.exit_code == 5
    assert check_reference(borzoi, changed, tolerance=1e-3)["predictions"]["largest_difference"] == pytest.approx(
        step, rel=0.1
    )
    values[1, 2, 5] = np.nan
    with pytest.raises(InputError, match="not finite"):
        check_reference(borzoi, reference(tmp_path, borzoi, predictions=values), tolerance=1e9)


def test_rows_are_matched_by_name(tmp_path: Path, borzoi: Any) -> None:
    x, order = onehot(3).numpy(), [2, 0, 1]
    values = apply_link(borzoi(onehot(3)), "softplus").detach().numpy()
    where = saved(tmp_path / "x.npz", seqfeatures=x.transpose(0, 2, 1), genenames=["a", "b", "c"])
    names = [["a", "b", "c"][i] for i in order]
    predictions = saved(tmp_path / "p.npz", values=values[order], values_other=values, names=names)
    assert check_reference(borzoi, Reference(predictions, [where]))["rows"] == 3
    with pytest.raises(CorruptError):
        check_reference(borzoi, Reference(predictions, [where], key="values_other"))
    with pytest.raises(InputError, match="has none of nothing; it has values, values_other, names"):
        check_reference(borzoi, Reference(predictions, [where], key="nothing"))
    saved(predictions, values=values, names=["a", "b", "z"])
    with pytest.raises(InputError, match="no sequence 'z'"):
        check_reference(borzoi, Reference(predictions, [where]))


def test_gradients(tmp_path: Path, borzoi: Any) -> None:
    x = onehot(3).requires_grad_()
    apply_link(borzoi(x), "softplus")[:, 1].sum().backward()
    assert x.grad is not None
    base = reference(tmp_path, borzoi)
    good = saved(tmp_path / "g.npz", grad=x.grad[:2, None].numpy(), tracks=[1])
    found = check_reference(borzoi, Reference(base.predictions, gradients=good))
    assert found["gradients"]["share_of_tolerance"] < 1
    bad = saved(tmp_path / "b.npz", grad=x.grad[:2, None].numpy() * 1.01, tracks=[1])
    with pytest.raises(CorruptError, match="gradients of the imported model differ"):
        check_reference(borzoi, Reference(base.predictions, gradients=bad))
    for arrays, words in (
        ({"grad": np.zeros((2, 1, 4, 7)), "tracks": [1]}, "the model's are"),
        ({"grad": np.zeros((2, 1, 4, 1024)), "tracks": [9]}, "do not have"),
        ({"grad": np.zeros((2, 4, 1024))}, "gradients are"),
        ({"other": np.zeros(2)}, "none of gradients, grad"),
    ):
        with pytest.raises(InputError, match=words):
            check_reference(borzoi, Reference(base.predictions, gradients=saved(tmp_path / "b.npz", **arrays)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sequences": np.zeros((3, 4, 7))}, r"sequences \(3, 4, 7\), the model takes \(n, 4, 1024\)"),
        ({"sequences": np.zeros((2, 4, 1024))}, "2 sequences, the reference 3 predictions"),
        ({"predictions": np.zeros((3, 5, 26))}, r"predictions \(3, 5, 26\), the model gives \(3, 4, 26\)"),
        ({"predictions": np.array(["a"] * 3)}, "predictions are"),
        ({"predictions": np.array([{}, {}, {}])}, "need pickle and could run code"),
    ],
)
def test_references_that_do_not_fit(tmp_path: Path, borzoi: Any, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_reference(borzoi, reference(tmp_path, borzoi, **changes))


def test_reference_files_that_cannot_be_read(tmp_path: Path, borzoi: Any) -> None:
    path = reference(tmp_path, borzoi).predictions
    raw = path.read_bytes()
    (tmp_path / "cut.npz").write_bytes(raw[: len(raw) // 2])
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "flag.npz").write_bytes(pickle.dumps(_Bomb(tmp_path / "ran")))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("predictions.npy", b"\x93NUMPY nonsense")
    (tmp_path / "nonsense.npz").write_bytes(buffer.getvalue())
    for name in ("cut.npz", "one.npy", "flag.npz", "none.npz", "nonsense.npz"):
        with pytest.raises(InputError, match=name):
            check_reference(borzoi, Reference(tmp_path / name))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InputError, match="2 files of sequences for a model of 1 inputs"):
        check_reference(borzoi, Reference(path, [path, path]))


# A user's own network


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the user's, beside which they work."""
    (tmp_path / "ownnets.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        "def plain(width=3, tracks=2):\n"
        "    return nn.Sequential(nn.Conv1d(4, width, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),\n"
        "                         nn.Linear(width, tracks))\n\n"
        "def shaped(shape, width=3):\n"
        "    return nn.Sequential(nn.Conv1d(4, shape.n_tracks, 5, padding=2), nn.AdaptiveAvgPool1d(shape.bins))\n\n"
        "class Two(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.scale = nn.Parameter(torch.ones(1))\n"
        "    def forward(self, x):\n        return self.scale * (x[0].sum((1, 2)) - x[1].sum((1, 2)))[:, None]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])  # what the factory adds goes away with the test
    monkeypatch.delitem(sys.modules, "ownnets", raising=False)
    return tmp_path


def test_a_users_state_dict(own: Path) -> None:
    config = UserConfig(factory="ownnets:plain", kwargs={"width": 6})
    torch.manual_seed(5)
    module = find_factory("ownnets:plain")(width=6).eval()
    torch.save(module.state_dict(), own / "w.pt")
    found = import_torch([own / "w.pt"], factory=config, lengths=[40], link="log", tracks=["a", "b"])
    x = onehot(2, 40)
    assert torch.equal(found.module(x), module(x))
    assert (found.module.tracks, found.module.link, found.module.bins) == (["a", "b"], "log", 0)
    with pytest.raises(InputError, match=r"0\.weight is \(6, 4, 5\) instead of \(3, 4, 5\)"):
        import_torch([own / "w.pt"], factory=UserConfig(factory="ownnets:plain"), lengths=[40])
    with pytest.raises(UsageError, match=r"cannot take \(1, 4, 3\): RuntimeError"):
        import_torch([own / "w.pt"], factory=config, lengths=[3])
    with pytest.raises(UsageError, match=r"--bins 4: .* gives 0"):
        import_torch([own / "w.pt"], factory=config, lengths=[40], bins=4)


def test_a_factory_that_takes_the_shape(own: Path) -> None:
    torch.save({"0.weight": torch.ones(3, 4, 5), "0.bias": torch.zeros(3)}, own / "w.pth")
    config = UserConfig(factory="ownnets:shaped")
    with pytest.raises(UsageError, match="needs the tracks; name them with --tracks"):
        import_torch([own / "w.pth"], factory=config, lengths=[40])
    found = import_torch([own / "w.pth"], factory=config, lengths=[40], bins=8, tracks=list("abc"))
    assert found.module(onehot(2, 40)).shape == (2, 3, 8)


def test_several_inputs_and_one_file(own: Path) -> None:
    torch.save({"scale": torch.tensor([2.0])}, own / "w.pt")
    found = import_torch([own / "w.pt"], factory=UserConfig(factory="ownnets:Two"), lengths=[30, 20])
    assert found.module.shape.inputs == {"seq0": 30, "seq1": 20}
    assert found.module([onehot(2, 30), onehot(2, 20)]).tolist() == [[20.0], [20.0]]
    with pytest.raises(UsageError, match="one file of weights, not 2"):
        import_torch([own / "w.pt"] * 2, factory=UserConfig(factory="ownnets:Two"), lengths=[30, 20])
