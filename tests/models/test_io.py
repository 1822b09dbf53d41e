"""Models on disk: round trip, tampering, foreign files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import DilatedResidualConfig, DrgCnnConfig
from drg_hpc.models.header import read_model_header
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.registry import build

CNN = DrgCnnConfig(kernels=6, conv_channels=(5,), conv_pool_size=2, hidden=(7,), kernel_activation="exp", dropout=0.2)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_model(build(CNN, ModelShape.single(40, 2, link="logit")), tmp_path / "model", CNN, ["a", "b +"])


@pytest.mark.parametrize(
    ("config", "bins", "link"),
    [(CNN, 0, "logit"), (CNN, 4, "identity"), (DilatedResidualConfig(channels=4, layers=2), 8, "log")],
)
def test_round_trip(tmp_path: Path, config: DrgCnnConfig | DilatedResidualConfig, bins: int, link: str) -> None:
    module = build(config, ModelShape.single(40, 2, bins=bins, link=link)).eval()  # type: ignore[arg-type]
    path = save_model(module, tmp_path / "m", config, ["x", "y"])
    loaded = load_model(path)
    x = torch.randn(3, 4, 40)
    assert torch.equal(loaded(x), module(x))
    assert (loaded.tracks, loaded.link, loaded.length, loaded.bins) == (["x", "y"], link, 40, bins)
    assert not loaded.training
    header = read_model_header(path)
    assert type(config).model_validate(header["config"]) == config
    assert header["operations"]["macs_per_row"] > 0


def test_equal_models_are_equal_bytes(tmp_path: Path) -> None:
    module = build(CNN, ModelShape.single(40, 1))
    one, two = (save_model(module, tmp_path / name, CNN, ["t"]) for name in ("one", "two"))
    for name in ("model.json", "weights.safetensors", "tracks.tsv"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_nothing_is_overwritten(saved: Path) -> None:
    with pytest.raises(UsageError, match="exists"):
        save_model(build(CNN, ModelShape.single(40, 1)), saved, CNN, ["t"])


def test_only_our_architectures_can_be_saved(tmp_path: Path) -> None:
    own = torch.nn.Linear(4, 1)
    with pytest.raises(UsageError, match=r"save a Linear: only drg_hpc architectures .*drg-cnn, .*dilated-residual"):
        save_model(own, tmp_path / "m", {}, ["t"])  # type: ignore[arg-type]
    module = build(CNN, ModelShape.single(40, 1))
    with pytest.raises(UsageError, match="config describes a 'dilated-residual', the module is a 'drg-cnn'"):
        save_model(module, tmp_path / "m", DilatedResidualConfig(), ["t"])
    assert not (tmp_path / "m").exists()


def test_public_names_complete() -> None:
    import drg_hpc

    assert {"load_model", "save_model", "open_store", "attribute", "__doc__"} <= set(dir(drg_hpc))
    assert drg_hpc.save_model is save_model


def test_wrong_number_of_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1 track names for a model with 2"):
        save_model(build(CNN, ModelShape.single(40, 2)), tmp_path / "m", CNN, ["t"])
    assert not (tmp_path / "m").exists()


def test_flipped_byte_in_weights(saved: Path) -> None:
    raw = bytearray((saved / "weights.safetensors").read_bytes())
    raw[-3] ^= 1
    (saved / "weights.safetensors").write_bytes(raw)
    with pytest.raises(CorruptError, match="sha256") as caught:
        load_model(saved)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_cut_or_missing_weights(saved: Path, damage: str) -> None:
    weights = saved / "weights.safetensors"
    raw = weights.read_bytes()
    weights.unlink()
    if damage == "cut":
        weights.write_bytes(raw[:-10])
    with pytest.raises(CorruptError):
        load_model(saved)


def _edit(path: Path, **changes: object) -> None:
    header = json.loads((path / "model.json").read_text())
    (path / "model.json").write_text(json.dumps(header | changes))


def test_tensors_that_do_not_fit_are_named(saved: Path) -> None:
    state = load_file(saved / "weights.safetensors")
    state["layers.extra.weight"] = state.pop("layers.head.weight")
    save_file(state, saved / "weights.safetensors")
    weights = saved / "weights.safetensors"
    _edit(saved, weights={"bytes": weights.stat().st_size, "sha256": sha256_file(weights)})
    with pytest.raises(CorruptError, match=r"layers\.head\.weight is missing, layers\.extra\.weight is unknown"):
        load_model(saved)


def test_unknown_architecture_format_and_link(saved: Path) -> None:
    _edit(saved, config={"architecture": "transformer"})
    with pytest.raises(InputError, match="transformer"):
        load_model(saved)
    _edit(saved, config=CNN.model_dump(mode="json"), heads=[{"name": "main", "tracks": 2, "link": "probit"}])
    with pytest.raises(InputError, match="probit"):
        load_model(saved)
    _edit(saved, format="drg-model/9")
    with pytest.raises(InputError, match="drg-model/9"):
        load_model(saved)


def test_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.json is missing"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(InputError, match="not a JSON file"):
        read_model_header(tmp_path)
