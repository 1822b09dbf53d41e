"""Hits and p-values against all possible sequences, a slow scan, and memelite's FIMO."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interpretation.planted import named

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.scan import UNIT, scan_motifs, score_table


def random_pfm(seed: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(4, 0.3), width).T


def random_onehot(seed: int, rows: int, length: int, *, unknown: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    onehot = np.eye(4, dtype=np.int8)[rng.integers(0, 4, (rows, length))].transpose(0, 2, 1)
    onehot[np.broadcast_to(rng.random((rows, 1, length)) < unknown, onehot.shape)] = 0
    return np.ascontiguousarray(onehot)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), width=st.integers(1, 5))
def test_p_values_are_counts_over_all_sequences(seed: int, width: int) -> None:
    table = score_table(random_pfm(seed, width))
    sums = np.array([sum(table.scores[b, i] for i, b in enumerate(word)) for word in product(range(4), repeat=width)])
    for total in np.unique(sums):
        assert table.tail[total - table.lowest] == (sums >= total).mean()
    assert table.cutoff(1.0) == table.lowest == sums.min()


def slow_hits(pfms: list[np.ndarray], onehot: np.ndarray, threshold: float) -> set[tuple[int, int, int, int]]:
    found = set()
    for number, pfm in enumerate(pfms):
        for strand in (1, -1):
            table = score_table(pfm)
            scores = table.scores if strand > 0 else table.scores[::-1, ::-1]
            width = pfm.shape[1]
            for row in range(len(onehot)):
                for start in range(onehot.shape[2] - width + 1):
                    window = onehot[row, :, start : start + width]
                    total = int((window * scores).sum())
                    if window.any(axis=0).all() and table.tail[total - table.lowest] <= threshold:
                        found.add((number, row, start, strand))
    return found


@pytest.mark.parametrize("threshold", [0.01, 1.0])
def test_hits_are_those_of_a_slow_scan(threshold: float) -> None:
    pfms = [random_pfm(1, 6), random_pfm(2, 9)]
    onehot = random_onehot(3, 6, 40, unknown=0.03)
    hits = scan_motifs(pfms, onehot, threshold=threshold)
    made = list(zip(hits.motif.tolist(), hits.row.tolist(), hits.start.tolist(), hits.strand.tolist(), strict=True))
    assert set(made) == slow_hits(pfms, onehot, threshold) and len(set(made)) == len(made) > 3
    assert made == sorted(made, key=lambda h: (h[1], h[2], h[0], -h[3]))
    assert (hits.p <= threshold).all()


def test_the_last_window_is_scanned() -> None:
    pfm = named("CTCF")[0].pfm
    best = np.eye(4, dtype=np.int8)[pfm.argmax(axis=0)].T
    for onehot in (best, best[::-1, ::-1]):
        hits = scan_motifs([pfm], np.ascontiguousarray(onehot[None]))
        assert (hits.start.tolist(), hits.end.tolist()) == ([0], [pfm.shape[1]])
        assert hits.strand[0] == (1 if onehot is best else -1)


def test_blocks_and_buffers_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pfms, onehot = [random_pfm(5, 7)], random_onehot(6, 50, 60)
    whole = scan_motifs(pfms, onehot, threshold=0.05)
    monkeypatch.setattr("drg_hpc.interpretation.scan._BLOCK_ROWS", 7)
    monkeypatch.setattr("drg_hpc.interpretation.scan._FIRST_CAPACITY", 3)
    parts = scan_motifs(pfms, onehot, threshold=0.05)
    assert all((getattr(whole, name) == getattr(parts, name)).all() for name in vars(whole)) and len(whole.row) > 100


def test_agrees_with_fimo_of_memelite() -> None:
    from memelite import fimo

    motifs = named("CTCF", "GATA1", "SPI1")
    onehot = random_onehot(8, 200, 200)
    padded = np.concatenate([onehot, np.zeros((200, 4, 1), np.int8)], axis=2)  # it leaves out the last window
    found = fimo({m.name: m.pfm for m in motifs}, padded.astype(np.int8), threshold=1e-4)
    theirs = {
        (number, int(hit.sequence_name), int(hit.start), str(hit.strand)): (float(hit.score), float(hit.p_value))
        for number, table in enumerate(found)
        for hit in table.rename(columns={"p-value": "p_value"}).itertuples()
    }
    hits = scan_motifs([m.pfm for m in motifs], onehot, threshold=2e-4)
    ours = {
        (int(m), int(r), int(s), "+" if t > 0 else "-"): (float(score), float(p))
        for m, r, s, t, score, p in zip(hits.motif, hits.row, hits.start, hits.strand, hits.score, hits.p, strict=True)
    }
    assert len(theirs) > 20
    for key, (score, p) in theirs.items():  # its sums are rounded once, ours per cell
        assert key in ours
        assert ours[key][0] == pytest.approx(score, abs=UNIT * 12)
        assert abs(np.log2(ours[key][1] / p)) < 1.0


def test_nothing_to_find() -> None:
    assert not len(scan_motifs([], random_onehot(0, 2, 20)).row)
    assert not len(scan_motifs([random_pfm(0, 30)], random_onehot(0, 2, 20), threshold=1.0).row)
    assert not len(scan_motifs([random_pfm(0, 3)], random_onehot(0, 2, 20), threshold=1e-6).row)


def test_bad_arguments_are_refused() -> None:
    onehot = random_onehot(0, 1, 20)
    with pytest.raises(UsageError, match="threshold of 0 is no p-value"):
        scan_motifs([random_pfm(0, 5)], onehot, threshold=0)
    with pytest.raises(UsageError, match="motif 1 has shape"):
        scan_motifs([random_pfm(0, 5), np.ones((5, 4))], onehot)
