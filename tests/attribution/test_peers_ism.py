"""In-silico mutagenesis against tangermeme 1.6 and gReLU 1.1 on the same weights, by both engines."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attribution import peer_ism_nets
from support import ROOT, drg, environment

from drg_hpc.attribution.saturation import saturation_mutagenesis
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import BassetConfig
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build

Array = np.ndarray[Any, Any]
FOLDER = ROOT / "tests" / "data" / "ism"
HERE = ROOT / "tests" / "attribution"
PEERS = {"tangermeme": ROOT / ".venv-peers/bin/python", "grelu": ROOT / ".venv-grelu/bin/python"}
PART = (5, 21)
GRELU_NETS = ("gelu", "basset", "dilated", "deep")
TRACK = 1


def onehot(seed: int, *, unknown: bool) -> Array:
    """Two sequences; the second has unknown bases, one of them at its end."""
    codes = np.random.default_rng(seed).integers(0, 4, (2, peer_ism_nets.LENGTH))
    x = np.eye(4)[codes].transpose(0, 2, 1).copy()
    if unknown:
        x[1, :, [7, -1]] = 0
    return x


def weights(nets: tuple[str, ...], seed: int) -> dict[str, Any]:
    return {key: value for name in nets for key, value in peer_ism_nets.weights(name, seed).items()}


def question(program: str, seed: int) -> dict[str, Any]:
    if program == "tangermeme":
        return {"x": onehot(seed, unknown=True), "part": np.array(PART), **weights(peer_ism_nets.NETS, seed)}
    x = onehot(seed, unknown=False)
    letters = np.array(["".join("ACGT"[code] for code in row) for row in x.argmax(1)])
    return {"x": x, "sequences": letters, "start": PART[0], "stop": PART[1], "track": TRACK,
            "nets": np.array(GRELU_NETS), **weights(GRELU_NETS, seed)}  # fmt: skip


def ask(program: str, folder: Path, seed: int) -> dict[str, Any]:
    """The question and the program's answer."""
    asked = question(program, seed)
    np.savez_compressed(folder / "in.npz", **asked)
    script = {"tangermeme": "peer_ism.py", "grelu": "peer_ism_grelu.py"}[program]
    line = [PEERS[program], HERE / script, folder / "in.npz", folder / "out.npz"]
    subprocess.run(line, check=True, capture_output=True, env=environment(), cwd=folder, timeout=300)
    return {**asked, **np.load(folder / "out.npz")}


def answer(program: str, asked: str, folder: Path | None = None) -> dict[str, Any]:
    """What is kept, or what the installed program gives for other weights and sequences."""
    if asked == "kept":
        return {"asked": asked, **np.load(FOLDER / f"{program}.npz")}
    if not PEERS[program].exists():
        pytest.skip(f"no {PEERS[program].parts[-3]}: {program} is not here to compare with")
    probe = subprocess.run([PEERS[program], "-c", f"import {program}"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"{program} cannot be imported: {probe.stderr.strip().splitlines()[-1]}")
    assert folder is not None
    return {"asked": asked, **ask(program, folder, seed=20)}


@pytest.fixture(scope="session", params=["kept", "fresh"])
def tangermeme(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return answer("tangermeme", request.param, tmp_path_factory.mktemp("tangermeme"))


@pytest.fixture(scope="session", params=["kept", "fresh"])
def grelu(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return answer("grelu", request.param, tmp_path_factory.mktemp("grelu"))


def same(found: Array, wanted: Array, bound: float) -> None:
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= bound


@pytest.mark.parametrize("engine", ["full", "incremental"])
@pytest.mark.parametrize("name", peer_ism_nets.NETS)
def test_predictions_of_tangermeme(tangermeme: dict[str, Any], name: str, engine: str) -> None:
    x, wanted = tangermeme["x"], tangermeme[f"{name}/y"].transpose(0, 3, 1, 2)
    effects = wanted - tangermeme[f"{name}/y0"][:, :, None, None]
    centred = tangermeme[f"{name}/attributions"]
    net = peer_ism_nets.loaded(name, tangermeme)
    found = saturation_mutagenesis(net, x, engine=engine, compare="none")
    assert found.dtype == np.float64
    same(found, wanted, 1e-9 * np.abs(effects).max())
    if tangermeme["asked"] == "fresh":
        return
    same(saturation_mutagenesis(net.float(), x, engine=engine, compare="none"), wanted, 1e-5 * np.abs(wanted).max())
    # Its attributions are centred, and means over outputs.
    found -= tangermeme[f"{name}/y0"][:, :, None, None]
    same((found - found.mean(axis=2, keepdims=True)).mean(axis=1), centred, 1e-9 * np.abs(centred).max())


@pytest.mark.parametrize("engine", ["full", "incremental"])
@pytest.mark.parametrize("name", peer_ism_nets.OWN)
def test_positions_of_tangermeme(tangermeme: dict[str, Any], name: str, engine: str) -> None:
    wanted = (tangermeme[f"{name}/part"] - tangermeme[f"{name}/y0"][:, None, None]).transpose(0, 3, 1, 2)
    net = peer_ism_nets.loaded(name, tangermeme)
    found = saturation_mutagenesis(net, tangermeme["x"], *PART, engine=engine)
    same(found, wanted, 1e-9 * np.abs(wanted).max())


COMPARES = {"none": "none", "subtract": "subtract", "divide": "divide", "log2FC": "log2fc"}


def users(mutant: Array, reference: Array) -> Array:
    return (mutant - reference) / (mutant + reference)


@pytest.mark.parametrize("engine", ["full", "incremental"])
@pytest.mark.parametrize("name", GRELU_NETS)
def test_comparisons_of_grelu(grelu: dict[str, Any], name: str, engine: str) -> None:
    net = peer_ism_nets.loaded(name, grelu)
    net.link = "log"  # type: ignore[assignment]
    codes = grelu["x"].argmax(axis=1)[:, slice(*PART)]
    for function in (*COMPARES, "users"):
        wanted = grelu[f"{name}/{function}"][..., 0].transpose(0, 3, 2, 1)
        largest = np.abs(wanted).max()
        single = [(torch.float32, 1e-5 * max(largest, 1))] if function in ("none", "log2FC") else []
        for dtype, bound in [(torch.float64, 1e-9 * largest), *single]:
            found = saturation_mutagenesis(
                net.to(dtype), grelu["x"], *PART, engine=engine, compare=COMPARES.get(function, users), scale="output"
            )
            same(found, wanted, bound)
            if function != "none":
                there = np.take_along_axis(found, codes[:, None, None], axis=2)
                assert (there == (function == "divide")).all()


def test_the_table_of_a_sequence_is_the_data_frame_of_grelu(tmp_path: Path) -> None:
    grelu = answer("grelu", "kept")
    config = BassetConfig(channels=(6, 6), sizes=(5, 3), pools=(3, 2), hidden=(9,))
    model = build(config, ModelShape.single(peer_ism_nets.LENGTH, peer_ism_nets.TRACKS, link="log"))
    theirs = peer_ism_nets.loaded("basset", grelu).state_dict().values()
    model.load_state_dict(dict(zip(model.state_dict(), theirs, strict=True)))
    save_model(model.eval(), tmp_path / "model", config, ["first", "second"])
    (tmp_path / "one.fa").write_text(f">one\n{grelu['sequences'][0]}\n")
    drg("drg-ism", tmp_path / "model", tmp_path / "one.fa", "-o", tmp_path / "run", "--format", "tsv",
        "--compare", "log2fc", "--tracks", "second", "--start", PART[0], "--end", PART[1])  # fmt: skip
    head, *lines = [line.split("\t") for line in (tmp_path / "run" / "out.tsv").read_text().splitlines()]
    assert head[1:] == grelu["basset/columns"].tolist()
    assert [line[0] for line in lines] == grelu["basset/index"].tolist() == list("ACGT")
    wanted = grelu["basset/frame"]
    same(np.array([line[1:] for line in lines], float), wanted, 1e-5 * max(1, np.abs(wanted).max()))
