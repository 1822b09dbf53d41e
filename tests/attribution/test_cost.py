"""What plans say of an attribution's cost, against counting the passes that the engine makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from drg_hpc.attribution.attribute import attribute
from drg_hpc.attribution.catalogue import SPECS
from drg_hpc.attribution.cost import PASS_BYTES, Work
from drg_hpc.attribution.recipe import make_recipe

LENGTH = 16


def header(*, macs: int = 1000, embedding: int = 0, length: int = LENGTH) -> dict[str, Any]:
    operations = {"macs_per_row": macs, "embedding": embedding, "attention": []}
    return {"inputs": [{"name": "seq", "length": length}], "operations": operations}


class Counting(nn.Module):
    """Counts rows that go forward, and rows whose gradient comes back."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(values, 4, LENGTH))
        self.tracks = [f"t{i}" for i in range(values)]
        self.forwards = self.backwards = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.forwards += len(x)
        if x.requires_grad:
            x.register_hook(self._back)
        return torch.einsum("kbl,nbl->nk", self.weight, x * x)

    def _back(self, gradient: torch.Tensor) -> None:
        self.backwards += len(gradient)


@pytest.mark.parametrize("method", ["gradient", "tism", "integrated-gradients", "expected-gradients", "smoothgrad"])
def test_passes_are_those_that_are_made(method: str) -> None:
    module, references = Counting(3), "dinuc:2" if method == "expected-gradients" else None
    x = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, (4, LENGTH))].transpose(0, 2, 1).copy()
    attribute(module, x, method, batch=4, references=references)
    recipe = make_recipe(method, references=references)
    count = {"expected-gradients": 2, "integrated-gradients": 1}.get(method, 0)
    work = Work(header(), values=3, tracks=False, references=count)
    check = 3 * 2  # two rows, three times: whether rows influence each other
    assert module.forwards + module.backwards == 4 * work.passes(recipe) + check


def test_deepshap_shares_the_sequence_and_the_embedding() -> None:
    recipe = make_recipe("deepshap")
    assert Work(header(), values=1, tracks=True, references=20).passes(recipe) == 1 + 20 + 20
    wide = Work(header(embedding=64), values=512, tracks=True, references=20)
    assert (wide.units, wide.passes(recipe)) == (64, 1 + 20 + 20 * 64)
    assert "64 backward passes over the embedding instead of 512" in wide.route()
    assert Work(header(embedding=64), values=512, tracks=False, references=20).units == 512  # a transform is no track
    assert Work(header(embedding=64), values=4, tracks=True, references=20).units == 4
    assert Work(header(), values=1, tracks=True, references=20, views=6, models=2).passes(recipe) == 12 * 41


@pytest.mark.parametrize("kind", sorted(PASS_BYTES))
def test_passes_are_smaller_where_a_row_is_larger(kind: str) -> None:
    for method in SPECS:
        recipe = make_recipe(method)
        sizes = [
            Work(header(macs=macs), values=1, tracks=True, references=20).pass_rows(recipe, kind)
            for macs in (10**4, 10**7, 10**9, 10**12)
        ]
        assert sizes == sorted(sizes, reverse=True)
        assert set(sizes) <= {1, 2, 4, 8, 16, 32, 64} and sizes[-1] == 1
    gradient, deepshap = (make_recipe(method) for method in ("gradient", "deepshap"))
    work = Work(header(macs=10**7), values=1, tracks=True, references=20)
    assert work.pass_rows(deepshap, "cpu") < work.pass_rows(gradient, "cpu") <= work.pass_rows(gradient, "cuda")


def test_memory_is_bounded_by_the_pass_and_not_by_the_rows() -> None:
    work = Work(header(macs=10**8, length=2114), values=10, tracks=True, references=0)
    recipe = make_recipe("gradient")
    assert work.memory(recipe, batch=2) < work.memory(recipe, batch=16)
    many = Work(header(macs=10**8, length=2114), values=10**5, tracks=True, references=0)
    assert many.memory(recipe, batch=2) < 4 << 30
