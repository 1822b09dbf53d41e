"""Cut-offs of each sequence's own against the rule by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from drg_hpc.errors import InputError, UsageError
from drg_hpc.interpretation.seqlet_methods import call_seqlets


def world(rows: int = 6, copies: int = 8, length: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Rows of different scale, with a positive and a negative stretch."""
    rng = np.random.default_rng(1)
    scale = 10.0 ** np.arange(rows)[:, None] / 100
    values = rng.integers(-8, 9, (rows, length)) * scale
    values[:, 10:19] += 8 * scale
    values[:, 30:36] -= 9 * scale
    null = rng.integers(-8, 9, (rows, copies, length)) * scale[:, :, None]
    return values.astype(np.float32), null.astype(np.float32)


def plain(x: np.ndarray, null: np.ndarray, threshold: float, longest: int) -> dict[tuple[int, int], float]:
    """Calls of one row and sign with their p-values: every inner span significant, longest first."""
    length = len(x)
    sums = {
        n: np.concatenate([np.convolve(c, np.ones(n), "valid") for c in null.astype(float)])
        for n in range(4, longest + 1)
    }

    def p_value(k: int, n: int) -> float:
        return float((1 + (sums[n] >= x[k : k + n].astype(float).sum() - 1e-9).sum()) / (1 + len(sums[n])))

    p = {(k, n): p_value(k, n) for n in range(4, longest + 1) for k in range(length - n + 1)}
    good = [(k, n) for k, n in p if all(p[j, m] < threshold for m in range(4, n + 1) for j in range(k, k + n - m + 1))]
    taken: dict[tuple[int, int], float] = {}
    for k, n in sorted(good, key=lambda item: (-item[1], -round(float(x[item[0] : sum(item)].sum()), 4), item[0])):
        if x[k : k + n].sum() > 0 and all(k + n <= a or k >= b for a, b in taken):
            taken[k, k + n] = p[k, n]
    return taken


def test_equals_the_rule_by_brute_force() -> None:
    values, null = world(rows=3)
    values, null = np.round(values * 100), np.round(null * 100)  # whole numbers, so that sums are exact
    found = call_seqlets(values, shuffles=null, threshold=0.03, max_length=12)
    for row in range(len(values)):
        for sign in (1, -1):
            wanted = plain(sign * values[row], sign * null[row], 0.03, 12)
            here = found[(found["row"] == row) & (np.sign(found["attribution"]) == sign)]
            assert {(r.start, r.end): r.p_value for r in here.itertuples()} == pytest.approx(wanted)
            assert wanted


def test_scale_of_a_sequence_does_not_matter() -> None:
    """A global null hides the stretches of the rows of small scale, a row's own shuffles do not."""
    values, null = world()
    own = call_seqlets(values, shuffles=null, threshold=0.02)
    assert set(own["row"]) == set(range(6))
    assert set(call_seqlets(values, threshold=0.02)["row"]) != set(range(6))
    again = call_seqlets(values * 64, shuffles=null * 64, threshold=0.02)
    np.testing.assert_array_equal(own[["row", "start", "end", "p_value"]], again[["row", "start", "end", "p_value"]])


def test_too_few_shuffles_and_bad_arguments() -> None:
    values, null = world()
    with pytest.raises(InputError, match=r"row 0 has 47 spans of 4 positions in 1 shuffle: its smallest p-value"):
        call_seqlets(values, shuffles=null[:, :1], threshold=0.01)
    with pytest.raises(UsageError, match="compat has no cut-offs"):
        call_seqlets(values, shuffles=null, compat=True)
    with pytest.raises(UsageError, match="shuffles of"):
        call_seqlets(values, shuffles=null[:, :, :9])
    with pytest.raises(UsageError, match="shuffles are for method recursive"):
        call_seqlets(values, "zscore", shuffles=null)
