"""drg-marginalize against tangermeme 1.6 on the same network and backgrounds, by both engines.

What tangermeme gave is kept in tests/data/marginalize; where it is installed it is asked again, with other weights.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attribution import peer_ism_nets
from bodies.marginal_runs import marginalize, read
from stores import fasta
from support import ROOT, environment

from drg_hpc.genome.onehot import decode, encode, reverse_complement
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import BassetConfig
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build

Arrays = dict[str, Any]
KEPT = ROOT / "tests" / "data" / "marginalize" / "tangermeme.npz"
PEER = ROOT / ".venv-peers" / "bin" / "python"
MOTIFS = ["TGACTCA", "GGNNCC", "ACGTACGTACGTA"]
PAIR, SPACINGS, START = ("TGACTCA", "GGGCA"), [0, 1, 4, 9], 3
ORIENTATIONS = ("++", "+-", "-+", "--")


def turned(letters: str, strand: str) -> str:
    return letters if strand == "+" else decode(reverse_complement(encode(letters.encode()))).decode()


def question(seed: int) -> Arrays:
    codes = np.random.default_rng(seed).integers(0, 4, (9, peer_ism_nets.LENGTH))
    sides = [[turned(PAIR[side], strands[side]) for strands in ORIENTATIONS] for side in (0, 1)]
    return {
        "x": np.eye(4)[codes].transpose(0, 2, 1).copy(), "motifs": np.array(MOTIFS), "start": np.array(START),
        "left": np.array(sides[0]), "right": np.array(sides[1]), "spacings": np.array(SPACINGS, np.int32),
        **peer_ism_nets.weights("basset", seed),
    }  # fmt: skip


def ask(folder: Path, seed: int) -> Arrays:
    """The question and tangermeme's answer."""
    asked = question(seed)
    np.savez_compressed(folder / "in.npz", **asked)
    line = [PEER, ROOT / "tests/bodies/peer_marginalize.py", folder / "in.npz", folder / "out.npz"]
    subprocess.run(line, check=True, capture_output=True, env=environment(), cwd=folder, timeout=300)
    return {**asked, **np.load(folder / "out.npz")}


@pytest.fixture(scope="module", params=["kept", "fresh"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Arrays, Path]:
    """What tangermeme says; a folder with the same network and backgrounds for us."""
    folder = tmp_path_factory.mktemp("world")
    if request.param == "kept":
        found: Arrays = dict(np.load(KEPT))
    else:
        if not PEER.exists() or subprocess.run([PEER, "-c", "import tangermeme"], capture_output=True).returncode:
            pytest.skip("tangermeme is not here to compare with")
        found = ask(folder, seed=20)
    config = BassetConfig(channels=(6, 6), sizes=(5, 3), pools=(3, 2), hidden=(9,))
    model = build(config, ModelShape.single(peer_ism_nets.LENGTH, peer_ism_nets.TRACKS, link="identity"))
    theirs = peer_ism_nets.loaded("basset", found).state_dict().values()
    model.load_state_dict(dict(zip(model.state_dict(), theirs, strict=True)))
    save_model(model.eval(), folder / "model", config, ["first", "second"])
    fasta(folder / "x.fa", {f"s{i}": decode(x.argmax(0).astype(np.uint8)).decode() for i, x in enumerate(found["x"])})
    return found, folder


def run(folder: Path, out: Path, **chosen: Any) -> Arrays:
    options: dict[str, Any] = {"shuffle": "none", "keep_effects": True, "sequences": MOTIFS}
    marginalize(out, folder / "model", folder / "x.fa", **(options | chosen))
    return read(out)


def same(found: Any, wanted: Any) -> None:
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=2e-6 * max(1.0, float(np.abs(wanted).max())))


@pytest.mark.parametrize("engine", ["full", "incremental"])
def test_marginalize(world: tuple[Arrays, Path], tmp_path: Path, engine: str) -> None:
    theirs, folder = world
    found = run(folder, tmp_path / "run", engine=engine)
    same(found["before"], theirs["before"])
    same(found["effects/effect"], theirs["after"] - theirs["before"])
    placed = run(folder, tmp_path / "placed", engine=engine, by="position", positions=str(START))
    same(placed["effects/effect"], theirs["started"] - theirs["before"])


def test_space(world: tuple[Arrays, Path], tmp_path: Path) -> None:
    theirs, folder = world
    found = run(folder, tmp_path / "run", by="spacing", sequences=list(PAIR),
                spacings=",".join(map(str, SPACINGS)))  # fmt: skip
    assert found["designs/orientation"] == [strands for strands in ORIENTATIONS for _ in SPACINGS]
    wanted = theirs["spaced"].transpose(0, 2, 1, 3) - theirs["before"]
    same(found["effects/effect"], wanted.reshape(-1, *wanted.shape[2:]))
