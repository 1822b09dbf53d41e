"""Ablations against tangermeme 1.6 on the same weights and the same shuffles, by both engines."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attribution import peer_ism_nets
from bodies.ablate_runs import plain_copies
from support import ROOT, environment

from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.attribution.views import View
from drg_hpc.bodies.ablate_values import Ablator

KEPT = ROOT / "tests" / "data" / "ablate" / "tangermeme.npz"
PYTHON = ROOT / ".venv-peers/bin/python"
NETS = ("basset", "dilated")
SPANS = ((4, 13), (0, peer_ism_nets.LENGTH), (20, 21))
COPIES, SEED = 3, 5


def question(seed: int) -> dict[str, Any]:
    """Three sequences, the last with unknown bases, and their copies with each span shuffled."""
    codes = np.random.default_rng(seed).integers(0, 4, (3, peer_ism_nets.LENGTH)).astype(np.uint8)
    codes[2, [7, -1]] = 4
    found: dict[str, Any] = {"x": np.eye(5, 4)[codes].transpose(0, 2, 1).copy(), "spans": np.array(SPANS)}
    for number, span in enumerate(SPANS):
        how = {"replace": "mono", "copies": COPIES, "seed": SEED}
        found[f"copies{number}"] = np.array([plain_copies(codes[row], row, *span, **how) for row in range(3)])
    weights = {key: value for name in NETS for key, value in peer_ism_nets.weights(name, seed).items()}
    return found | {"nets": np.array(NETS)} | weights


def ask(folder: Path, seed: int) -> dict[str, Any]:
    """The question and tangermeme's answer."""
    asked = question(seed)
    np.savez_compressed(folder / "in.npz", **asked)
    line = [PYTHON, Path(__file__).with_name("peer_ablate.py"), folder / "in.npz", folder / "out.npz"]
    subprocess.run(line, check=True, capture_output=True, env=environment(), cwd=folder, timeout=300)
    return {**asked, **np.load(folder / "out.npz")}


@pytest.fixture(scope="module", params=["kept", "fresh"])
def tangermeme(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is kept, or what the installed program gives for other weights and sequences."""
    if request.param == "kept":
        return dict(np.load(KEPT))
    if not list(PYTHON.parent.parent.glob("lib/*/site-packages/tangermeme")):
        pytest.skip("no tangermeme in .venv-peers to compare with")
    return ask(tmp_path_factory.mktemp("tangermeme"), seed=20)


@pytest.mark.parametrize("engine", ["full", "incremental"])
@pytest.mark.parametrize("name", NETS)
def test_effects_of_tangermeme(tangermeme: dict[str, Any], name: str, engine: str) -> None:
    net = peer_ism_nets.loaded(name, tangermeme)
    statistic = TrackStatistic(net, list(range(tangermeme[f"{name}/before"].shape[1])), "link")
    params = {"replace": "mono", "background": None, "shuffles": COPIES, "engine": engine, "seed": SEED}
    ablator = Ablator([statistic], params, views=[View()], batch=8)
    starts, ends = tangermeme["spans"].T
    for row, x in enumerate(tangermeme["x"]):
        found = ablator.ablate(x, row, starts, ends)
        before = tangermeme[f"{name}/before"][row]
        np.testing.assert_allclose(found.value, before, atol=1e-9 * np.abs(before).max())
        for number in range(len(starts)):
            after = tangermeme[f"{name}/after{number}"][row]
            bound = 1e-9 * np.abs(after).max()
            np.testing.assert_allclose(found.effects["effect"][number], after.mean(axis=0) - before, atol=bound)
            np.testing.assert_allclose(found.effects["sd"][number], after.std(axis=0, ddof=1), atol=bound)


def test_its_shuffles_are_the_same_for_every_sequence(tangermeme: dict[str, Any]) -> None:
    """Ours are not; see docs/ablation.md."""
    theirs = tangermeme["shuffled"]
    assert (theirs == theirs[0]).all() and len(np.unique(theirs[0], axis=0)) == 3
    codes = tangermeme["x"][0].argmax(axis=0).astype(np.uint8)
    how = {"replace": "mono", "copies": 1, "seed": SEED}
    ours = [plain_copies(codes, row, 0, len(codes), **how)[0] for row in range(4)]
    assert len(np.unique(ours, axis=0)) == 4
