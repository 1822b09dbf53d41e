"""How alleles are cut into passes, and that alleles of one place share that of their reference sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from drg_hpc.bodies.variants_passes import batches, shared_references
from drg_hpc.bodies.variants_score import Scorer
from drg_hpc.bodies.variants_sums import GeneBins

LENGTH, BINS, TRACKS = 12, 4, 2


def needed(places: list[int], part: range) -> int:
    """Sequences that are computed for some alleles, when the place of the allele before them is known."""
    before = {places[part.start - 1]} if part.start else set()
    return len(part) + len({places[row] for row in part} - before)


def by_steps(places: list[int], rows: int) -> int:
    """Passes when as many alleles as a pass has rows are taken at a time."""
    steps = [places[at : at + rows] for at in range(0, len(places), rows)]
    return sum(-(-(len(step) + len(set(step))) // rows) for step in steps)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=64), st.sampled_from([1, 2, 4, 8, 64]))
@example([0, 1] * 32, 8)
@example([*range(10)] * 6, 16)
def test_as_many_alleles_as_a_pass_holds(places: list[int], rows: int) -> None:
    parts = list(batches(places, rows))
    assert [row for part in parts for row in part] == list(range(len(places)))
    for part in parts:
        assert needed(places, part) <= rows or len(part) == 1
        if part.stop < len(places):
            assert needed(places, range(part.start, part.stop + 1)) > rows, "the next one had room"
    assert sum(-(-needed(places, part) // rows) for part in parts) <= by_steps(places, rows)


def test_references_are_shared_by_sequence_and_bins_of_genes() -> None:
    ref = np.array([[0, 1], [0, 1], [2, 3], [0, 1], [2, 3], [0, 1]], np.uint8)
    assert shared_references(ref, None) == [0, 0, 2, 0, 2, 0]
    gene, other, minus = (
        GeneBins(strand, {0: bins}, {0: {0: 1.0}})
        for strand, bins in (("+", {1: 0.5}), ("+", {2: 0.5}), ("-", {1: 0.5}))
    )
    genes = [[gene], [gene], [gene], [gene, other], [], [minus]]
    assert shared_references(ref, genes) == [0, 0, 2, 3, 4, 5]


class Profiles(torch.nn.Module):
    """Bins that are sums of weights, one for each base and position."""

    link = "identity"

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(weights)
        self.rows: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.rows.append(len(x))
        return torch.einsum("ncl,tbcl->ntb", x, self.weights)


@pytest.mark.parametrize(
    ("rows", "passes"), [(1, [1] * 16), (2, [2] * 8), (4, [4] * 4), (8, [8] * 2), (16, [16]), (64, [16])]
)
def test_passes_of_a_model_with_bins(rows: int, passes: list[int]) -> None:
    """All three SNVs of four bases: 16 sequences, whatever a pass holds."""
    rng = np.random.default_rng(0)
    weights, at = rng.normal(size=(TRACKS, BINS, 4, LENGTH)), LENGTH // 2
    texts = rng.integers(0, 4, (4, LENGTH), np.uint8)
    ref = np.repeat(texts, 3, axis=0)
    alt = ref.copy()
    alt[:, at] = (ref[:, at] + np.tile([1, 2, 3], 4)) % 4
    params: dict[str, Any] = {
        "target": {"kind": "tracks", "names": ["a", "b"], "scale": "link", "tracks": [0, 1]},
        "compare": "subtract", "pseudo": 0.0, "stats": ["SAD", "D2"], "rc_average": False, "shifts": (),
        "length": LENGTH, "bins": BINS, "span": 0,
    }  # fmt: skip
    module = Profiles(torch.tensor(weights))
    found = Scorer([module], params, rows=rows).score(ref, alt, [0] * 12).alleles
    assert module.rows == passes
    changes = weights[..., alt[:, at], at] - weights[..., ref[:, at], at]
    np.testing.assert_allclose(found["SAD"], changes.sum(axis=1).T, atol=1e-12)
    np.testing.assert_allclose(found["effect"], changes.sum(axis=1).T, atol=1e-12)
    np.testing.assert_allclose(found["D2"], np.sqrt((changes**2).sum(axis=1)).T, atol=1e-12)


def test_the_last_pass_of_a_block_is_no_larger_than_it_must_be() -> None:
    params: dict[str, Any] = {
        "target": {"kind": "tracks", "names": ["a"], "scale": "link", "tracks": [0]}, "compare": "subtract",
        "pseudo": 0.0, "stats": [], "rc_average": False, "shifts": (), "length": LENGTH, "bins": 0, "span": 0,
    }  # fmt: skip
    module = Profiles(torch.zeros(1, BINS, 4, LENGTH, dtype=torch.float64))
    ref = np.zeros((64, LENGTH), np.uint8)
    ref[:, 0], ref[:, 1] = np.arange(64) // 3 % 4, np.arange(64) // 12 % 4
    ref[:, 2] = np.arange(64) // 48
    Scorer([module], params, rows=64).score(ref, (ref + 1) % 4, [0] * 64)
    assert module.rows == [64, 32], "64 alleles of 22 places"
