"""DeepSHAP against tangermeme 1.6: the same multipliers of every pair, and the same hypothetical attributions."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attribution import peer_nets
from support import ROOT, environment

from drg_hpc.attribution.deeplift import DeepLift

DATA = ROOT / "tests" / "data" / "deepshap" / "tangermeme.npz"
PEERS = ROOT / ".venv-peers" / "bin" / "python"
N, COPIES = 3, 4


class Contraction(torch.nn.Module):
    """An einsum of two tensors."""

    def __init__(self, equation: str) -> None:
        super().__init__()
        self.equation = equation

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return torch.einsum(self.equation, left, right)


def made(name: str, seed: int = 0) -> torch.nn.Module:
    return peer_nets.make(name, Contraction, by_pool=False, seed=seed)


def question(seed: int) -> dict[str, Any]:
    """Networks, sequences, and references; two references are equal to a sequence in half of their bases."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 4, (N, 1 + COPIES, peer_nets.LENGTH))
    codes[:, 1, ::2] = codes[:, 0, ::2]
    codes[:, 2, :16] = codes[:, 0, :16]
    onehot = np.eye(4)[codes].transpose(0, 1, 3, 2)
    arrays = {name: peer_nets.weights(made(name, seed)) for name in peer_nets.NETS}
    nets = {f"{name}/{key}": value for name, own in arrays.items() for key, value in own.items()}
    return {"x": onehot[:, 0], "references": onehot[:, 1:], **nets}


def ask(folder: Path, seed: int) -> dict[str, Any]:
    """The question and tangermeme's answer."""
    asked = question(seed)
    np.savez_compressed(folder / "in.npz", **asked)
    line = [PEERS, ROOT / "tests" / "attribution" / "peer_tangermeme.py", folder / "in.npz", folder / "out.npz"]
    subprocess.run(line, check=True, capture_output=True, env=environment())
    return {**asked, **np.load(folder / "out.npz")}


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Other networks and sequences, attributed now by the installed tangermeme."""
    if not PEERS.exists():
        pytest.skip("no .venv-peers: tangermeme is not here to compare with")
    probe = subprocess.run([PEERS, "-c", "import tangermeme"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f".venv-peers has no tangermeme: {probe.stderr.strip().splitlines()[-1]}")
    return ask(tmp_path_factory.mktemp("tangermeme"), seed=20)


@pytest.fixture(scope="session")
def kept() -> dict[str, Any]:
    return dict(np.load(DATA))


def compare(answer: dict[str, Any], name: str, dtype: torch.dtype, *, bound: float) -> None:
    arrays = {key.split("/", 1)[1]: v for key, v in answer.items() if key.startswith(f"{name}/") and "." in key}
    net = peer_nets.load(made(name), arrays).to(dtype)
    x, references = (torch.from_numpy(answer[key]).to(dtype) for key in ("x", "references"))
    pairs = DeepLift(lambda xs, params: net(xs[0]), [x]).pairs([x], [references])
    for track in range(peer_nets.TRACKS):
        cotangent = torch.eye(peer_nets.TRACKS, dtype=dtype)[track]
        raw = answer[f"{name}/raw/{track}"]
        assert np.abs(pairs.multipliers(cotangent)[0].numpy() - raw).max() <= bound * np.abs(raw).max()
        means, products, _ = pairs.accumulate(cotangent)
        hypothetical = (means[0] - products[0].sum(1, keepdim=True)).numpy()
        wanted = answer[f"{name}/hypothetical/{track}"]
        assert np.abs(hypothetical - wanted).max() <= bound * np.abs(wanted).max()


@pytest.mark.parametrize("name", peer_nets.NETS)
def test_what_tangermeme_gave(kept: dict[str, Any], name: str) -> None:
    compare(kept, name, torch.float64, bound=1e-9)
    # In single precision too: where differences are small, secants are computed in double precision.
    compare(kept, name, torch.float32, bound=1e-5)


@pytest.mark.parametrize("name", peer_nets.NETS)
def test_what_tangermeme_gives(fresh: dict[str, Any], name: str) -> None:
    compare(fresh, name, torch.float64, bound=1e-9)
