"""DRG's seqlets: worked values, and the rule restated in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.seqlet_methods import call_seqlets
from drg_hpc.interpretation.zscore import ZscoreRule, block_sums, row_scales, scales_of

WORKED = [0, 0, 2, 2.5, 0.1, 2, 2.2, 0, 0, -3, -3, -3, -3, 2, 2, 2, 2, 0]


def plain(z: np.ndarray, cut: float, gap: int, size: int) -> list[list[int]]:
    """Member positions of every seqlet, scanning with a list."""
    found, at = [], 0
    members: list[int] = []
    skipped: list[int] = []
    while True:
        if len(skipped) > gap or at >= len(z):
            if len(members) >= size:
                found.append(members)
            if len(skipped) <= gap:
                return found
            at, members, skipped = skipped[0], [], []
        beyond = abs(z[at]) > cut
        if not members:
            if beyond:
                members, skipped = [at], []
        elif beyond and z[at] * z[members[0]] > 0:
            members.append(at)
            skipped = []
        elif np.sign(z[members[0]]) * np.mean(z[max(at - gap, 0) : at + gap + 1]) < cut:
            skipped.append(at)
        at += 1


def test_worked_values() -> None:
    """drg_tools gives the members [2, 3, 5, 6], [9..12] and [13..16]."""
    assert plain(np.array(WORKED), 1.96, 1, 4) == [[2, 3, 5, 6], [9, 10, 11, 12], [13, 14, 15, 16]]
    found = call_seqlets([WORKED], "zscore", cut=1.96, norm="std", std=1.0)
    assert found[["start", "end"]].to_numpy().tolist() == [[2, 7], [9, 13], [13, 17]]
    np.testing.assert_allclose(found["attribution"], [8.8, -12, 8])
    assert found["p_value"].isna().all()
    assert call_seqlets([WORKED], "zscore", norm="std", min_size=5).empty
    assert len(call_seqlets(np.array([WORKED]) * 7, "zscore", norm="std", std=7.0)) == 3


@pytest.mark.parametrize("gap", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [1, 3])
def test_equals_the_rule_in_plain_python(gap: int, size: int) -> None:
    rng = np.random.default_rng(gap)
    z = rng.normal(0, 1, (60, 50))
    z[:, 10:22] += 2
    z[:, 25:33] -= 2
    z[:30] = np.round(z[:30])  # ties with the cut-off
    wanted = [(row, m[0], m[-1] + 1) for row in range(60) for m in plain(z[row], 1.0, gap, size)]
    found = call_seqlets(z, "zscore", cut=1.0, max_gap=gap, min_size=size, norm="std")
    assert sorted(wanted) == [tuple(item) for item in found[["row", "start", "end"]].to_numpy()]
    assert len(wanted) > 50


def test_scales() -> None:
    attributions = np.random.default_rng(1).normal(0, 3, (2, 200, 4, 30))
    rms = np.sqrt((attributions**2).mean(axis=(2, 3)))
    found = np.stack([row_scales(track) for track in attributions])
    np.testing.assert_allclose(found, rms, rtol=1e-12)
    wanted = {
        "global": np.full((2, 200), rms.mean()),
        "seq": np.tile(rms.mean(axis=0), (2, 1)),
        "condition": np.tile(rms.mean(axis=1)[:, None], (1, 200)),
        "std": np.full((2, 200), 2.5),
    }
    for norm, scales in wanted.items():
        np.testing.assert_allclose(scales_of(ZscoreRule(norm=norm, std=2.5), found), scales, rtol=1e-12)  # type: ignore[arg-type]
    np.testing.assert_allclose(block_sums(rms[0]).sum(), rms[0].sum())
    assert len(block_sums(rms[0])) == 4


def test_attributions_of_other_bases_widen_the_scale() -> None:
    z = np.random.default_rng(2).normal(0, 1, (20, 40))
    z[:, 5:11] += 4
    full = np.zeros((20, 4, 40))
    full[:, 2] = z
    same = call_seqlets(z, "zscore", attributions=full)
    assert same.equals(call_seqlets(z, "zscore")) and len(same) >= 20
    full[:, 0] = 30
    assert call_seqlets(z, "zscore", attributions=full).empty


def test_rows_of_zeros_and_bad_settings() -> None:
    assert call_seqlets(np.zeros((3, 30)), "zscore").empty
    assert call_seqlets(np.zeros((0, 30)), "zscore").empty
    for bad in ({"cut": 0}, {"max_gap": -1}, {"min_size": 0}, {"norm": "x"}, {"std": 0}):
        with pytest.raises(UsageError):
            call_seqlets(np.zeros((1, 9)), "zscore", **bad)
    with pytest.raises(UsageError, match="no setting 'threshold'"):
        call_seqlets(np.zeros((1, 9)), "zscore", threshold=0.1)
    with pytest.raises(UsageError, match="attributions are for method zscore"):
        call_seqlets(np.zeros((1, 9)), attributions=np.zeros((1, 4, 9)))
    with pytest.raises(UsageError, match="want"):
        call_seqlets(np.zeros((1, 9)), "zscore", attributions=np.zeros((1, 4, 8)))
