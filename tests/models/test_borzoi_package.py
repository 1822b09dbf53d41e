"""The Borzoi-like network against what borzoi-pytorch gave for the same weights, and against the package itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support import ROOT

from drg_hpc.models.importers.borzoi import import_borzoi
from drg_hpc.models.importers.common import Imported
from drg_hpc.models.links import apply_link
from tests.models import borzoi_weights as made

REFERENCE = ROOT / "tests" / "data" / "borzoi"
PEERS = ROOT / ".venv-peers" / "bin" / "python"


def imported_reference(tmp_path: Path, kind: str, arrays: Mapping[str, Any]) -> Imported:
    """Through a file, a model of the size and weights that borzoi-pytorch was given."""
    shapes = [tuple(map(int, filter(None, text.split(",")))) for text in arrays["shapes"]]
    state = made.weights(dict(zip(map(str, arrays["names"]), shapes, strict=True)))
    save_file({name: torch.from_numpy(value) for name, value in state.items()}, tmp_path / "model.safetensors")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": kind, "enable_mouse_head": True, **made.SIZES[kind]}))
    positions = made.LENGTH // (32 if kind == "borzoi" else 16)
    crop = (positions - made.SIZES[kind]["bins_to_return"]) // 2
    return import_borzoi([tmp_path / "model.safetensors"], params=config, length=made.LENGTH, crop=crop)


def compare(imported: Imported, arrays: Mapping[str, Any], *, gradient: bool) -> None:
    model = imported.module
    x = torch.from_numpy(made.sequences()).requires_grad_(gradient)
    output = apply_link(model(x), "softplus")
    for head, place in zip(model.shape.heads, model.shape.head_slices(), strict=True):
        wanted = arrays[head.name]
        found = output[:, place][:, :: made.STEP].detach().numpy()
        assert wanted.std() > 0.05, "a reference without variation shows nothing"
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    if gradient:
        (found,) = torch.autograd.grad(output[0, 7].sum(), x)
        np.testing.assert_allclose(
            found[:1].numpy(), arrays["gradient"], rtol=1e-4, atol=1e-4 * arrays["gradient"].std()
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["borzoi", "prime"])
def test_values_of_borzoi_pytorch(tmp_path: Path, kind: str) -> None:
    arrays = dict(np.load(REFERENCE / f"{kind}.npz", allow_pickle=False))
    imported = imported_reference(tmp_path, kind, arrays)
    assert [(h.name, h.tracks) for h in imported.module.shape.heads] == (
        [("human", 7611), ("mouse", 2608)] if kind == "borzoi" else [("human", 5431), ("mouse", 1774)]
    )
    compare(imported, arrays, gradient=True)


@pytest.mark.slow
def test_borzoi_pytorch_itself(tmp_path: Path) -> None:
    """The stored reference is still what the package gives."""
    done = None
    if PEERS.is_file():
        done = subprocess.run([PEERS, "-c", "import borzoi_pytorch"], capture_output=True, check=False)
    if done is None or done.returncode:
        pytest.skip("no .venv-peers with borzoi-pytorch")
    script = ROOT / "tests" / "models" / "borzoi_peer.py"
    subprocess.run([PEERS, script, "borzoi", tmp_path / "now.npz"], check=True, timeout=300)
    now, stored = (dict(np.load(p)) for p in (tmp_path / "now.npz", REFERENCE / "borzoi.npz"))
    for name in ("human", "mouse", "gradient"):
        np.testing.assert_allclose(now[name], stored[name], rtol=1e-4, atol=1e-4 * stored[name].std())
    compare(imported_reference(tmp_path, "borzoi", now), now, gradient=False)
