"""Networks of bpnet-lite, against what the package itself predicts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import ROOT, environment

from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.dilated import DilatedResidual
from drg_hpc.models.header import read_model_header
from drg_hpc.models.importers.bpnet import import_bpnet
from drg_hpc.models.importers.bpnet_parts import describe
from drg_hpc.models.io import load_model, save_model

DATA = ROOT / "tests" / "data" / "bpnet"
PEERS = ROOT / ".venv-peers" / "bin" / "python"
CASES: dict[str, dict[str, Any]] = {
    "unstranded": {},
    "stranded": {"output_length": 116},
    "untrimmed": {"output_length": 256},
    "control": {"allow": ["*.control"]},
    "basepairnet": {"network": "basepairnet", "allow": ["fconv.control", "linear.control"]},
    "chrombpnet": {},
}


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other networks, made now by the installed bpnet-lite."""
    if not PEERS.exists():
        pytest.skip("no .venv-peers: bpnet-lite is not here to compare with")
    probe = subprocess.run([PEERS, "-c", "import bpnetlite"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f".venv-peers has no bpnet-lite: {probe.stderr.strip().splitlines()[-1]}")
    folder = tmp_path_factory.mktemp("bpnet")
    made = [PEERS, DATA / "make.py", folder, "20"]
    subprocess.run(made, check=True, capture_output=True, env=environment())
    return folder


@pytest.fixture(params=["kept", pytest.param("fresh", marks=pytest.mark.slow)])
def folder(request: pytest.FixtureRequest) -> Path:
    return DATA if request.param == "kept" else request.getfixturevalue("fresh")


def onehot(codes: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.eye(4, dtype=np.float32)[codes].transpose(0, 2, 1).copy())


def log_rates(profile: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """bpnet-lite's use of its heads: one softmax over all outputs, times exp(counts)."""
    flat = profile.astype(np.float64).reshape(len(profile), -1)
    top = flat.max(1, keepdims=True)
    shape = flat - top - np.log(np.exp(flat - top).sum(1, keepdims=True))
    return (shape + counts).reshape(profile.shape)


@pytest.mark.parametrize("name", CASES)
def test_predicts_as_bpnet_lite_does(folder: Path, name: str, tmp_path: Path) -> None:
    found = import_bpnet([folder / f"{name}.pt"], length=256, **CASES[name])
    path = save_model(found.module, tmp_path / "m", found.config, found.module.tracks)
    model = load_model(path)
    assert isinstance(model, DilatedResidual)
    with np.load(folder / "reference.npz") as reference:
        profile, counts, gradient = (reference[f"{name}.{key}"] for key in ("profile", "counts", "gradient"))
        x = onehot(reference["codes"]).requires_grad_()
    heads = model.heads(x)
    np.testing.assert_allclose(heads["profile"].detach().numpy(), profile, rtol=0, atol=3e-6)
    np.testing.assert_allclose(heads["counts"].detach().numpy(), counts, rtol=0, atol=1e-6)
    np.testing.assert_allclose(model(x).detach().numpy(), log_rates(profile, counts), rtol=0, atol=5e-6)
    (ours,) = torch.autograd.grad(heads["counts"].sum(), x)
    np.testing.assert_allclose(ours.numpy(), gradient, rtol=0, atol=1e-7)
    assert model.bins == profile.shape[2]
    assert model.strand_partners == ([1, 0] if profile.shape[1] == 2 else [0])


def test_two_files_of_chrombpnet_equal_one(folder: Path) -> None:
    whole = import_bpnet([folder / "chrombpnet.pt"], length=256)
    parts = import_bpnet([folder / "accessibility.pt", folder / "bias.pt"], length=256, tracks=["ATAC"])
    assert parts.config == whole.config
    assert parts.module.tracks == ["ATAC"]
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, parts.module.state_dict()[name]), name
    assert [file["name"] for file in parts.provenance["files"]] == ["accessibility.pt", "bias.pt"]
    assert not any(p.requires_grad for n, p in parts.module.named_parameters() if n.startswith("bias_model."))


def test_bias_is_recorded_by_its_weights(tmp_path: Path) -> None:
    """The digest of an imported bias model is that of the file this package would write of it alone."""
    found = import_bpnet([DATA / "chrombpnet.pt"], length=256)
    bias = import_bpnet([DATA / "bias.pt"], length=256)
    path = save_model(bias.module, tmp_path / "bias", bias.config, bias.module.tracks)
    assert found.config.bias_model.weights == read_model_header(path)["weights"]["sha256"]  # type: ignore[union-attr]


@pytest.mark.parametrize("allow", [[], ["fconv.control"]])
def test_control_tracks_are_refused_by_name(allow: list[str]) -> None:
    with pytest.raises(InputError, match=r"2 control tracks \(.*linear\.control.*stores hold no input but") as caught:
        import_bpnet([DATA / "control.pt"], length=256, allow=allow)
    assert "--allow '*.control' takes the control tracks as zeros" in caught.value.fix
    assert str(DATA / "control.pt") in caught.value.what


def test_control_of_zeros_is_stated() -> None:
    found = import_bpnet([DATA / "control.pt"], length=256, allow=["*.control"])
    assert found.provenance["control"] == "zeros"
    assert "control tracks are taken as zeros" in found.notes
    assert "fconv.control: not used" in found.notes
    assert import_bpnet([DATA / "unstranded.pt"], length=256).provenance["control"] == "none"


def edited(tmp_path: Path, name: str, **changes: torch.Tensor | None) -> Path:
    """A file of DATA with tensors added, replaced, or taken out (None)."""
    state = torch.load(DATA / f"{name}.pt", weights_only=True)
    for key, value in changes.items():
        state.pop(key.replace("__", "."), None)
        if value is not None:
            state[key.replace("__", ".")] = value
    path = tmp_path / f"{name}.pt"
    torch.save(dict(state), path)
    return path


@pytest.mark.parametrize(
    ("name", "changes", "match"),
    [
        ("unstranded", {"iconv__weight": None}, r"lacks iconv\.weight"),
        ("unstranded", {"rconvs__1__bias": None}, r"lacks rconvs\.1\.bias"),
        ("unstranded", {"rconvs__1__weight": None}, r"lacks rconvs\.1\.weight"),
        ("unstranded", {"iconv__weight": torch.zeros(5)}, r"iconv\.weight is \(5,\)"),
        ("unstranded", {"rconvs__1__weight": torch.zeros(5, 6, 3)}, r"trunk\.3\.inner\.0\.weight is \(5, 6, 3\)"),
        ("unstranded", {"iconv__weight": torch.zeros(5, 4, 20)}, "stem_size = 20"),
        ("unstranded", {"extra__weight": torch.zeros(1)}, r"extra\.weight is unused"),
        ("unstranded", {"iconv__scale": torch.zeros(1)}, r"trunk\.0\.scale is unused"),
        ("chrombpnet", {"bias__extra": torch.zeros(1)}, r"bias\.extra is unused"),
        ("chrombpnet", {"stray": torch.zeros(1)}, "stray is unused"),
        ("chrombpnet", {"bias__linear__weight": None}, r"\(bias\) lacks linear\.weight"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    tmp_path: Path, name: str, changes: dict[str, torch.Tensor | None], match: str
) -> None:
    with pytest.raises((InputError, UsageError), match=match) as caught:
        import_bpnet([edited(tmp_path, name, **changes)], length=256)
    assert str(tmp_path) in str(caught.value)


def test_unused_tensors_can_be_allowed(tmp_path: Path) -> None:
    path = edited(tmp_path, "unstranded", extra__weight=torch.zeros(1))
    found = import_bpnet([path], length=256, allow=["extra.*"])
    assert "extra.weight: not used" in found.notes


@pytest.mark.parametrize("window", [0, 133, 258])
def test_impossible_windows(window: int) -> None:
    with pytest.raises(InputError, match=f"output of {window} bases"):
        import_bpnet([DATA / "unstranded.pt"], length=256, output_length=window)
    with pytest.raises(InputError, match="output of -22 bases"):
        import_bpnet([DATA / "unstranded.pt"], length=100)


def test_numbers_of_files_and_names() -> None:
    with pytest.raises(UsageError, match="3 files"):
        import_bpnet([DATA / "unstranded.pt"] * 3, length=256)
    with pytest.raises(UsageError, match="1 track names for 2 outputs"):
        import_bpnet([DATA / "stranded.pt"], length=256, tracks=["a"])


def test_published_lengths() -> None:
    """2,114 bases and 8 layers give the 1,000 of BPNet and ChromBPNet."""
    state = {f"{n}.bias": torch.zeros(4) for n in ("iconv", *(f"rconvs.{i}" for i in range(8)))}
    state |= {f"rconvs.{i}.weight": torch.zeros(4, 4, 3) for i in range(8)}
    state |= {"iconv.weight": torch.zeros(4, 4, 21), "fconv.weight": torch.zeros(1, 4, 75)}
    part = describe(
        state | {"linear.weight": torch.zeros(1, 4)}, network="bpnet", length=2114, window=None, allow=(), where="x"
    )
    assert (part.window, part.shape.span, part.config.first_dilation) == (1000, 1000, 2)


class Whole(torch.nn.Linear):
    """A class of its own, as whole modules on disk have."""


@pytest.mark.parametrize("source", ["here", pytest.param("bpnet-lite", marks=pytest.mark.slow)])
def test_whole_modules_are_refused(tmp_path: Path, source: str, request: pytest.FixtureRequest) -> None:
    if source == "here":
        path = tmp_path / "whole.torch"
        torch.save(Whole(2, 2), path)
    else:
        path = request.getfixturevalue("fresh") / "whole.torch"
    with pytest.raises(InputError, match="holds more than tensors") as caught:
        import_bpnet([path], length=256)
    assert "torch.save(m.state_dict(), NEW)" in caught.value.fix
