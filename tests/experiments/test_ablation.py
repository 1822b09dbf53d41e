"""Numbers of ablations against plain calculations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from drg_hpc.experiments.ablation import drawn, effects_of, over_positions
from drg_hpc.experiments.ablation_table import lines_of
from drg_hpc.results.ablation import Line

RNG = np.random.default_rng(0)


def test_positions_are_means_over_the_windows_that_cover_them() -> None:
    starts, width, length = np.array([2, 5, 8, 9]), 4, 16
    effects = RNG.normal(size=(4, 3))
    found = over_positions(effects, starts, width=width, length=length)
    assert found.shape == (3, length)
    for at in range(length):
        covering = [number for number, start in enumerate(starts) if start <= at < start + width]
        if covering:
            np.testing.assert_allclose(found[:, at], effects[covering].mean(axis=0))
        else:
            assert np.isnan(found[:, at]).all()
    assert np.isnan(found[:, [0, 1, 13, 14, 15]]).all()


def test_effects_over_copies_and_models() -> None:
    values, original = RNG.normal(size=(2, 5, 4, 3)), RNG.normal(size=(2, 3))
    found = effects_of(values, original)
    for piece in range(5):
        by_model = [values[m, piece].mean(axis=0) - original[m] for m in range(2)]
        np.testing.assert_allclose(found.mean[piece], (by_model[0] + by_model[1]) / 2)
        np.testing.assert_allclose(found.sd[piece], np.std((values[0, piece] + values[1, piece]) / 2, axis=0, ddof=1))
        assert found.model_sd is not None
        np.testing.assert_allclose(found.model_sd[piece], np.std(by_model, axis=0))
    one = effects_of(values[:1, :, :1], original[:1])
    assert np.isnan(one.sd).all() and one.model_sd is None
    np.testing.assert_allclose(one.mean, values[0, :, 0] - original[0])


def test_draws_have_the_frequencies_and_depend_on_the_piece_alone() -> None:
    windows = RNG.integers(0, 5, (200, 30)).astype(np.uint8)
    starts, frequencies = np.arange(200), (0.1, 0.2, 0.3, 0.4)
    found = drawn(windows, starts, frequencies, copies=20, seed=1, row=7)
    unknown = np.broadcast_to(windows[:, None] == 4, found.shape)
    assert (found[unknown] == 4).all()
    counts = np.bincount(found[~unknown], minlength=4)
    assert stats.chisquare(counts, counts.sum() * np.array(frequencies)).pvalue > 1e-3
    some = drawn(windows[[150, 3]], starts[[150, 3]], frequencies, copies=2, seed=1, row=7)
    np.testing.assert_array_equal(some, found[[150, 3], :2])
    for seed, row in ((2, 7), (1, 8)):
        assert not np.array_equal(drawn(windows, starts, frequencies, copies=1, seed=seed, row=row), found[:, :1])
    assert (drawn(windows, starts, (0, 1, 0, 0), copies=3, seed=0, row=0)[~unknown[:, :3]] == 1).all()


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_the_table_counts_a_sequence_once(block: int) -> None:
    """Means over pieces of a sequence first; against pandas and SciPy."""
    names, tracks = ["A", "B", "C"], ["x", "y"]
    count = 300
    row, name = np.sort(RNG.integers(0, 60, count)), RNG.integers(-1, 2, count)
    row[-2:], name[-2:] = (60, 61), 2  # C is in two sequences only
    effects = RNG.normal(-0.3, 1, (count, 2)).astype(np.float32)

    def blocks(values: slice) -> Iterator[tuple[slice, NDArray[Any]]]:
        for first in range(0, count, block):
            part = slice(first, min(first + block, count))
            yield part, effects[part][:, values]

    found = lines_of(blocks, name=name, row=row, names=names, tracks=tracks, seed=0, sizes=np.ones(2))
    assert [(line.name, line.track) for line in found] == [(n, t) for n in names for t in tracks]
    table = pd.DataFrame({"row": row, "name": name, "x": effects[:, 0], "y": effects[:, 1]}).astype({"x": float})
    for line in found:
        own = table[table["name"] == names.index(line.name)]
        means = own.groupby("row")[line.track].mean().to_numpy(np.float64)
        assert line.pieces == len(own) and line.sequences == len(means)
        assert line.mean == pytest.approx(means.mean(), rel=1e-6)
        if line.name == "C":
            assert line.p is line.q is line.interval is None and line.note == "2 sequences, a test needs 6"
            continue
        assert line.p == pytest.approx(stats.wilcoxon(means).pvalue, rel=1e-6)
        resampled = [RNG.choice(means, len(means)).mean() for _ in range(4000)]
        ends, width = np.quantile(resampled, [0.025, 0.975]), 4 * means.std() / np.sqrt(len(means))
        np.testing.assert_allclose(line.interval, ends, atol=0.06 * width)
    tested = [line for line in found if line.p is not None]
    wanted = stats.false_discovery_control([line.p for line in tested])
    np.testing.assert_allclose([line.q for line in tested], wanted)
    line = found[0]
    assert line.interval is not None and list(line.cells().values()) == [
        "A", "x", line.sequences, line.pieces, line.mean, *line.interval, line.p, line.q, ""
    ]  # fmt: skip
    assert [found[-1].cells()[key] for key in ("low", "high", "p", "q")] == [None] * 4


def one_name(effects: NDArray[Any], sizes: float) -> Line:
    """A sequence a piece, all of one name."""
    rows = np.arange(len(effects))
    (line,) = lines_of(
        lambda values: iter([(slice(0, len(effects)), effects[:, None][:, values])]), name=np.zeros_like(rows),
        row=rows // 2, names=["A"], tracks=["x"], seed=0, sizes=np.array([sizes]),
    )  # fmt: skip
    return line


def test_effects_that_are_not_finite_do_not_count() -> None:
    """One NaN, one infinity, and two infinities of one sequence that have no sum; with their pieces."""
    effects = RNG.normal(-0.3, 1, 40)
    plain = one_name(effects, 1)
    effects = np.concatenate([effects, [np.nan, 1, 2, np.inf, np.inf, -np.inf]])
    found = one_name(effects, 1)
    assert found.note == "3 without a finite effect" and (found.sequences, found.pieces) == (20, 40)
    assert (found.mean, found.p, found.q, found.interval) == (plain.mean, plain.p, plain.q, plain.interval)


def test_effects_within_rounding_are_none() -> None:
    effects = RNG.normal(5e-6, 1e-6, 40)
    assert (one_name(effects, 1.0).p or 1) < 1e-4
    assert one_name(effects, 20.0).p == 1
