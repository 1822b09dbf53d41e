"""Motifs of kernels, against sums written out k-mer by k-mer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drg_hpc.errors import UsageError
from drg_hpc.interpretation import kernel_counts as counts
from drg_hpc.interpretation import kernel_kmers as words
from drg_hpc.interpretation import kernel_motifs as motifs

BASES = np.eye(4)


def weights(kernels: int = 3, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    return generator.normal(size=(kernels, 4, width)).astype(np.float32), generator.normal(size=kernels).astype("f4")


def test_direct_ppm() -> None:
    weight, bias = weights()
    found = motifs.direct_ppm(weight, bias)
    for w, b, ppm in zip(weight.astype(float), bias, found, strict=True):
        w = w + b / (4 * 5)
        w = w / np.sqrt(((w - w.mean()) ** 2).mean())
        odds = 2 ** (w + np.log2(0.25))
        np.testing.assert_allclose(ppm, odds / max(odds[:, i].sum() for i in range(5)), rtol=1e-6)
    assert found.sum(1).max() == pytest.approx(1)
    assert (found.sum(1) < 0.99).any()
    flat = motifs.direct_ppm(np.ones((1, 4, 3)), None)
    np.testing.assert_allclose(flat, 0.25)


def by_hand(weight, bias, kmers, *, both, exp, cutoff, maximum):
    """Motifs (K, 4, w), numbers of k-mers, means and medians of responses."""
    every = [list(kmer) for kmer in kmers] + ([[3 - c for c in kmer[::-1]] for kmer in kmers] if both else [])
    width = weight.shape[2]
    made, numbers, means, medians = [], [], [], []
    for w, b in zip(weight.astype(float), bias.astype(float), strict=True):
        response = np.array([sum(w[c, i] for i, c in enumerate(kmer)) + b for kmer in every])
        means.append(response.mean())
        medians.append(np.median(response))
        active = np.exp(response) if exp else response
        scaled = (active - active.min()) / (active.max() - active.min())
        least = maximum if maximum is not None else scaled.mean() + cutoff * scaled.std()
        sums, number = np.full((4, width), 0.025), 0
        for kmer, value in zip(every, scaled, strict=True):
            if value >= least:
                number += 1
                for i, c in enumerate(kmer):
                    sums[c, i] += value
        made.append(sums / sums.sum(0))
        numbers.append(number)
    return np.array(made), np.array(numbers), np.array(means), np.array(medians)


@pytest.mark.parametrize(
    ("both", "exp", "cutoff", "maximum"), [(True, False, 1.64, None), (False, True, 1.0, None), (True, True, 1.64, 0.5)]
)
def test_motifs_of_random_kmers(both: bool, exp: bool, cutoff: float, maximum: float | None) -> None:
    weight, bias = weights(40, 6)  # more kernels than are computed at once
    kmers = motifs.random_kmers(7, 700, 6)
    found = motifs.on_random_kmers(
        weight, bias, kmers=kmers, both_strands=both, activation=np.exp if exp else (lambda x: x),
        choice=motifs.Choice(cutoff, maximum),
    )  # fmt: skip
    pfms, numbers, means, medians = by_hand(
        weight, bias, kmers.tolist(), both=both, exp=exp, cutoff=cutoff, maximum=maximum
    )
    np.testing.assert_array_equal(found.counts, numbers)
    np.testing.assert_allclose(motifs.probabilities(found.sums, 6), pfms, atol=2e-6)
    np.testing.assert_allclose(found.mean, means, atol=1e-5)
    np.testing.assert_allclose(found.median, medians, atol=1e-5)
    assert numbers.min() > 0


def test_random_kmers_do_not_depend_on_their_number() -> None:
    few, many = motifs.random_kmers(1, 5000, 7), motifs.random_kmers(1, 9000, 7)
    np.testing.assert_array_equal(few, many[:5000])
    assert not np.array_equal(few, motifs.random_kmers(2, 5000, 7))
    np.testing.assert_allclose(np.bincount(many.ravel()) / many.size, 0.25, atol=0.01)


def test_a_kernel_without_weights_has_no_motif() -> None:
    kmers = motifs.random_kmers(0, 200, 4)
    found = motifs.on_random_kmers(np.zeros((1, 4, 4), "f4"), None, kmers=kmers, both_strands=True,
                                   activation=lambda x: x, choice=motifs.Choice())  # fmt: skip
    assert found.counts[0] == 0
    np.testing.assert_allclose(motifs.probabilities(found.sums, 4), 0.25)


def test_windows_of_sequences() -> None:
    codes = np.array([[0, 1, 2, 3, 0, 4, 1, 1, 2], [4, 4, 4, 4, 4, 4, 4, 4, 4]])
    onehot = np.concatenate([BASES, np.zeros((1, 4))])[codes].transpose(0, 2, 1)
    found = motifs.sequence_windows(onehot, 3, both_strands=True).reshape(-1, 4, 3)
    expected = [[0, 1, 2], [1, 2, 3], [2, 3, 0], [1, 1, 2]]
    expected += [[3 - c for c in kmer[::-1]] for kmer in expected]
    np.testing.assert_array_equal(found.argmax(1), expected)
    assert (found.sum(1) == 1).all()
    again = motifs.onehot_windows(np.array(expected[:4], np.uint8), both_strands=True)
    np.testing.assert_array_equal(again.reshape(-1, 4, 3), found)


def test_median_of_counts() -> None:
    weight, bias = weights(4, 7)
    found = motifs.responses(motifs.onehot_windows(motifs.random_kmers(0, 3001, 7), both_strands=True), weight, bias)
    low, high = counts.response_bounds(weight, bias)
    assert (found >= low - 1e-4).all() and (found <= high + 1e-4).all()
    halves = [counts.count_responses(part, low, high) for part in (found[:1000], found[1000:])]
    median = counts.median_of(halves[0] + halves[1], low, high)
    np.testing.assert_allclose(median, np.median(found, axis=0), atol=((high - low) / counts.BINS).max() * 0.51)


@given(st.integers(1, 32), st.integers(0, 2**32 - 1))
def test_words_are_kmers(width: int, seed: int) -> None:
    kmers = np.random.default_rng(seed).integers(0, 4, (20, width), dtype=np.uint8)
    np.testing.assert_array_equal(words.unpack(words.pack(kmers), width), kmers)
    found = words.unpack(words.distinct_words(kmers, both_strands=True), width)
    expected = {tuple(kmer) for kmer in kmers.tolist()} | {tuple(3 - c for c in kmer[::-1]) for kmer in kmers.tolist()}
    assert [tuple(kmer) for kmer in found.tolist()] == sorted(expected)


def test_motifs_of_words_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are cut, the k-mers give the sums of one pass; wider ones than a number holds are refused."""
    weight, bias = weights(4, 6)
    kmers = np.unique(motifs.random_kmers(7, 900, 6), axis=0)
    whole = motifs.on_random_kmers(
        weight, bias, kmers=kmers, both_strands=False, activation=np.exp, choice=motifs.Choice(1.0)
    )
    monkeypatch.setattr(words, "_AT_ONCE", 77)
    sums, counts = words.motifs_of_words(
        weight, bias, words.pack(kmers), activation=np.exp, choice=motifs.Choice(1.0)
    )  # fmt: skip
    np.testing.assert_allclose(sums, whole.sums, rtol=1e-6)
    np.testing.assert_array_equal(counts, whole.counts)
    with pytest.raises(UsageError, match="--unique with kernels of 33 bases"):
        words.pack(np.zeros((1, 33), np.uint8))


def test_consensus() -> None:
    pfm = np.array([[1.0, 0.0, 0.35, 0.25], [0, 0.5, 0.35, 0.25], [0, 0.5, 0.3, 0.25], [0, 0, 0, 0.25]])
    assert motifs.consensus(pfm) == "ASMN"
