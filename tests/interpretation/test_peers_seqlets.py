"""Seqlets against tangermeme 1.6 (recursive, compat) and modisco-lite 3.0 (tfmodisco), call by call."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import ROOT, environment

from drg_hpc.interpretation.seqlet_methods import call_seqlets

KEPT = ROOT / "tests" / "data" / "seqlets" / "peers.npz"
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
SCRIPT = ROOT / "tests" / "interpretation" / "peer_seqlets.py"
MODISCO = {"core": 21, "flank": 10, "fdr": 0.2, "least": 0.03, "most": 0.2, "weak": 0.8}
# case -> (program, track, parameters of the peer)
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "plain": ("tangermeme", "single", {}),
    "flanks": ("tangermeme", "single", {"threshold": 0.05, "additional_flanks": 3}),
    "short": ("tangermeme", "single", {"threshold": 0.03, "min_seqlet_len": 2, "max_seqlet_len": 60, "n_bins": 50}),
    "double": ("tangermeme", "double", {"threshold": 0.02}),
    "above": ("tangermeme", "above", {"threshold": 0.05}),
    "windows": ("modisco", "single", MODISCO),
    "command": ("modisco", "double", MODISCO | {"core": 20, "flank": 5, "fdr": 0.05}),
    "many": ("modisco", "single", MODISCO | {"most": 0.05, "weak": 0.99}),
    "few": ("modisco", "single", MODISCO | {"fdr": 0.01, "least": 0.15}),
    "sampled": ("modisco", "large", MODISCO | {"core": 15, "flank": 6}),
}
NAMES = {"min_seqlet_len": "min_length", "max_seqlet_len": "max_length", "additional_flanks": "flank", "n_bins": "bins",
         "least": "min_passing", "most": "max_passing"}  # fmt: skip


def track(seed: int, rows: int, length: int) -> Any:
    """Laplace noise with stretches of either sign."""
    rng = np.random.RandomState(seed)
    values = rng.laplace(0, 1, (rows, length))
    for row in range(rows):
        for _ in range(2):
            start = rng.randint(0, length - 15)
            values[row, start : start + 12] += rng.choice([3, -3, 2]) * rng.uniform(size=12)
    return values


def question(seed: int) -> dict[str, Any]:
    """``large`` has more windows than the million that modisco-lite draws."""
    return {
        "single": track(seed, 150, 300).astype(np.float32),
        "double": track(seed + 1, 100, 160),
        "above": np.abs(track(seed + 2, 60, 80)).astype(np.float32) + 1,
        "large": track(seed + 3, 2600, 420).astype(np.float32),
    }


@pytest.fixture(scope="module", params=["kept", "fresh"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Tracks, and what the peers call in them: as kept, or asked now about others."""
    if request.param == "kept":
        return question(0), dict(np.load(KEPT))
    if not PYTHON.exists():
        pytest.skip("no .venv-peers: tangermeme and modisco-lite are not here to compare with")
    asked, folder = question(20), tmp_path_factory.mktemp("peers")
    return asked, ask(asked, folder)


def ask(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    np.savez(folder / "in.npz", settings=json.dumps(CASES), **asked)
    line = [PYTHON, SCRIPT, folder / "in.npz", folder / "out.npz"]
    subprocess.run(line, check=True, capture_output=True, env=environment(), cwd=folder, timeout=300)
    return dict(np.load(folder / "out.npz"))


def ours(case: str, tracks: dict[str, Any], *, compat: bool = True) -> Any:
    program, which, parameters = CASES[case]
    settings = {NAMES.get(name, name): value for name, value in parameters.items()}
    if program == "modisco":
        return call_seqlets(tracks[which], "tfmodisco", **settings)
    return call_seqlets(tracks[which], compat=compat, **settings)


@pytest.mark.parametrize("case", CASES)
def test_same_calls(world: tuple[Any, Any], case: str) -> None:
    tracks, theirs = world
    found = ours(case, tracks).sort_values(["row", "start", "end"], kind="stable")
    assert len(found) > 20
    np.testing.assert_array_equal(found[["row", "start", "end"]], theirs[f"{case}/calls"])
    if CASES[case][0] == "modisco":
        np.testing.assert_array_equal(found["sign"], theirs[f"{case}/sign"])
        assert found["p_value"].isna().all()
        assert {1, -1} <= set(found["sign"])
    else:
        np.testing.assert_array_equal(found["p_value"], theirs[f"{case}/p"])
        np.testing.assert_allclose(found["attribution"], theirs[f"{case}/attribution"], rtol=1e-6, atol=1e-9)


def test_default_rule_differs_where_it_says(world: tuple[Any, Any]) -> None:
    """Two-sided and clipped: negative seqlets too, the positive ones mostly the same."""
    tracks, theirs = world
    found = ours("plain", tracks, compat=False)
    assert (found["attribution"] < 0).sum() > 20
    mine = {tuple(item) for item in found.loc[found["attribution"] > 0, ["row", "start", "end"]].to_numpy()}
    peers = {tuple(item) for item in theirs["plain/calls"]}
    assert 0.7 < len(mine & peers) / len(mine | peers) < 1
