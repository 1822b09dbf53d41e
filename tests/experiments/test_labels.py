"""Values of labels against the formula, noise that depends on (seed, row) alone, faulty tables by their line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from drg_hpc.errors import InputError
from drg_hpc.experiments.label_values import label_values, normal_noise
from drg_hpc.experiments.labels import LARGEST, Effects, LabelKind, effects_as_params, effects_of, read_weights

MOTIFS = ["a", "b", "c"]


def table(folder: Path, text: str) -> Path:
    path = folder / "w.tsv"
    path.write_text(text)
    return path


def test_values() -> None:
    rng = np.random.default_rng(0)
    present, holds, rows = rng.random((200, 3)) < 0.5, rng.random(200) < 0.5, np.arange(1000, 1200)
    effects = [
        Effects("t", (1.0, -0.5, 2.0)),
        Effects("u", (0.0, 1.0, 0.0), synergy=3.0),
        Effects("v", (1, 1, 1), 0, 0.1),
    ]
    found = label_values(effects, present=present, holds=holds, rows=rows, seed=7)
    np.testing.assert_allclose(found[:, 0], present @ np.array([1, -0.5, 2]))
    np.testing.assert_allclose(found[:, 1], present[:, 1] + 3 * holds)
    noise = found[:, 2] - present.sum(axis=1)
    assert 0.07 < noise.std() < 0.13 and abs(noise.mean()) < 0.03
    part = label_values(effects, present=present[50:], holds=holds[50:], rows=rows[50:], seed=7)
    np.testing.assert_array_equal(part, found[50:])
    other = label_values(effects, present=present, holds=holds, rows=rows, seed=8)
    assert (other[:, 2] != found[:, 2]).all() and (other[:, :2] == found[:, :2]).all()
    rule = label_values([], present=present, holds=holds, rows=rows, seed=7)
    np.testing.assert_array_equal(rule, holds[:, None].astype(np.float32))


def test_the_largest_values_are_finite() -> None:
    """float32 ends at 3.4e38."""
    rows = np.arange(20_000)
    all_there = np.ones((len(rows), 100), bool)
    effects = [Effects("t", (LARGEST,) * 100, LARGEST, LARGEST)]
    found = label_values(effects, present=all_there, holds=np.ones(len(rows), bool), rows=rows, seed=0)
    assert np.isfinite(found).all() and np.mean(found, dtype=float) == pytest.approx(101 * LARGEST, rel=1e-3)


def test_noise_is_normal() -> None:
    rows = np.arange(20_000)
    first, second = (normal_noise(rows, seed=0, stream=stream) for stream in ("x/0", "x/1"))
    assert stats.kstest(first, "norm").pvalue > 1e-6 and abs(np.corrcoef(first, second)[0, 1]) < 0.04


def test_tables(tmp_path: Path) -> None:
    path = table(tmp_path, "# two tracks\ntrack\tb\ta\tnoise\n\nliver\t1\t-2\t0.5\nbrain\t0\t3e-1\t0\n")
    found = read_weights(path, MOTIFS, "additive")
    assert found == [Effects("liver", (-2.0, 1.0, 0.0), 0.0, 0.5), Effects("brain", (0.3, 0.0, 0.0), 0.0, 0.0)]
    assert effects_of(effects_as_params(found)) == found
    path = table(tmp_path, "track c synergy\nx 1 2\n")
    assert read_weights(path, MOTIFS, "synergistic", synergy=9, noise=0.1) == [Effects("x", (0, 0, 1.0), 2.0, 0.1)]
    path = table(tmp_path, "track c a\nx 1e30 -1e30\n")
    assert read_weights(path, MOTIFS, "additive", noise=1e30) == [Effects("x", (-1e30, 0, 1e30), 0.0, 1e30)]
    path = table(tmp_path, "track c\nx 1\n")
    assert read_weights(path, MOTIFS, "synergistic", synergy=9) == [Effects("x", (0, 0, 1.0), 9.0)]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", "additive", "has no track"),
        ("track a\n", "additive", "has no track"),
        ("name a\nx 1\n", "additive", "line 1: the first column is 'name', not 'track'"),
        ("track a z\nx 1 2\n", "additive", "line 1: no motif 'z'; --motifs has a, b, c"),
        ("track a a\nx 1 2\n", "additive", "line 1: two columns are called 'a'"),
        ("track a synergy\nx 1 2\n", "additive", "line 1: a column synergy, labels are additive; --labels synergistic"),
        ("track a\nx 1 2\n", "additive", "line 2: 3 columns, the header has 2"),
        ("track a\nx one\n", "additive", "line 2: a = 'one' is not a number"),
        ("track a\nx inf\n", "additive", "line 2: a = 'inf' is not a number"),
        ("track a\nx -1e39\n", "additive", "line 2: a = -1e39 is beyond 1e\\+30; labels are float32"),
        ("track a noise\nx 1 1e39\n", "additive", "line 2: noise = 1e39 is beyond 1e"),
        ("track a noise\nx 1 -1\n", "additive", "line 2: noise = -1 is negative"),
        ("track a\nx 1\nx 2\n", "additive", "line 3: track x stands twice"),
    ],
)
def test_faults(tmp_path: Path, text: str, kind: LabelKind, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_weights(table(tmp_path, text), MOTIFS, kind)
