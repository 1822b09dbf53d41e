from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drg_hpc.genome.onehot import codes_to_onehot, decode, encode, onehot_to_codes, reverse_complement
from drg_hpc.genome.shuffle import dinucleotide_shuffle, shuffle_keys


def pairs(text: str) -> Counter[str]:
    return Counter(text[i : i + 2] for i in range(len(text) - 1) if "N" not in text[i : i + 2])


def shuffle(text: str, seed: int = 0, copies: int = 1) -> list[str]:
    codes = np.tile(encode(text.encode()), (copies, 1))
    return [decode(row).decode() for row in dinucleotide_shuffle(codes, shuffle_keys(seed, range(copies), 0))]


@settings(deadline=None)
@given(st.text("ACGTN", min_size=1, max_size=200), st.integers(0, 2**31))
def test_counts_ends_and_unknown_bases_are_kept(text: str, seed: int) -> None:
    (out,) = shuffle(text, seed)
    assert [i for i, x in enumerate(out) if x == "N"] == [i for i, x in enumerate(text) if x == "N"]
    assert pairs(out) == pairs(text)
    for old, new in zip(text.split("N"), out.split("N"), strict=True):
        assert (old[:1], old[-1:]) == (new[:1], new[-1:])
        assert pairs(old) == pairs(new)


def eulerian_paths(text: str) -> set[str]:
    """Every sequence with the same pairs and the same first base."""
    found: set[str] = set()

    def walk(path: str, left: Counter[str]) -> None:
        if len(path) == len(text):
            found.add(path)
            return
        for pair in [p for p, n in left.items() if n and p[0] == path[-1]]:
            left[pair] -= 1
            walk(path + pair[1], left)
            left[pair] += 1

    walk(text[0], pairs(text))
    return found


def test_every_arrangement_is_equally_likely() -> None:
    text = "ACCCACGATGATG"  # 27 arrangements; holding the last exits fixed gives 9 of them
    paths = eulerian_paths(text)
    assert len(paths) == 27
    drawn = Counter(shuffle(text, copies=27_000))
    assert set(drawn) == paths
    chi2 = sum((n - 1000) ** 2 / 1000 for n in drawn.values())
    assert chi2 < 54.05  # 99.9 % point of chi-square with 26 degrees of freedom


def test_low_diversity_returns_itself() -> None:
    for text in ("A" * 40, "ACGT", "A", "N", "NNANN"):
        assert shuffle(text) == [text]


def test_depends_on_seed_row_and_copy_alone() -> None:
    codes = np.random.default_rng(0).integers(0, 4, (6, 80)).astype(np.uint8)
    keys = shuffle_keys(3, range(6), 0)
    whole = dinucleotide_shuffle(codes, keys)
    parts = [dinucleotide_shuffle(codes[i : i + 1], keys[i : i + 1]) for i in (5, 3, 1, 0, 2, 4)]
    np.testing.assert_array_equal(whole[[5, 3, 1, 0, 2, 4]], np.concatenate(parts))
    for other in (shuffle_keys(4, range(6), 0), shuffle_keys(3, range(6), 1), shuffle_keys(3, range(1, 7), 0)):
        assert (dinucleotide_shuffle(codes, other) != whole).any(axis=1).all()


def test_onehot_of_every_byte() -> None:
    letters = bytes(range(256))
    codes = encode(letters)
    assert [chr(i) for i in range(256) if codes[i] < 4] == list("ACGTacgt")
    assert decode(encode(b"acgtNACGTryk-")) == b"ACGTNACGTNNNN"
    onehot: NDArray[np.bool_] = codes_to_onehot(codes)
    assert onehot.sum() == 8
    np.testing.assert_array_equal(onehot_to_codes(onehot), codes)
    assert decode(reverse_complement(encode(b"AACGN"))) == b"NCGTT"
