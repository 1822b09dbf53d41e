from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drg_hpc.genome.onehot import codes_to_onehot, decode, encode, encode_lines, onehot_to_codes, reverse_complement

CODES = st.lists(st.integers(0, 4), max_size=50).map(lambda codes: np.array(codes, np.uint8))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_encode_letter_by_letter(sequence: bytes) -> None:
    expected = [max("ACGT".find(chr(letter).upper()), -1) % 5 for letter in sequence]
    codes = encode(sequence)
    assert codes.tolist() == expected and codes.flags.writeable
    assert decode(codes) == bytes(b"ACGTN"[code] for code in expected)


@settings(deadline=None)
@given(CODES)
def test_one_hot_and_back(codes: NDArray[np.uint8]) -> None:
    onehot = codes_to_onehot(codes)
    assert onehot.dtype == np.bool_ and onehot.shape == (len(codes), 4)
    np.testing.assert_array_equal(onehot, codes[:, None] == np.arange(4))
    np.testing.assert_array_equal(onehot_to_codes(onehot), codes)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4), (0, 7), (4, 0)])
def test_any_shape_and_order(shape: tuple[int, ...]) -> None:
    codes = np.random.default_rng(0).integers(0, 5, shape).astype(np.uint8)
    for each in (codes, codes[..., ::-1], np.asfortranarray(codes)):
        onehot = codes_to_onehot(each)
        np.testing.assert_array_equal(onehot, each[..., None] == np.arange(4))
        np.testing.assert_array_equal(onehot_to_codes(onehot), each)
        np.testing.assert_array_equal(onehot_to_codes(onehot[..., ::-1, :]), each[..., ::-1])
        expected = np.where(each[..., ::-1] < 4, 3 - each[..., ::-1].astype(int), 4)
        np.testing.assert_array_equal(reverse_complement(each), expected)


@settings(deadline=None)
@given(st.text("ACGTNacgtnR\r\n \t", max_size=60), st.integers(0, 70), st.integers(0, 70))
def test_letters_of_lines(text: str, skip: int, size: int) -> None:
    letters = "".join(text.split())
    out = np.full(size, 99, np.uint8)
    read, skipped, found = encode_lines(text.encode(), out, skip=skip)
    assert skipped == min(skip, len(letters)) and found == min(size, len(letters) - skipped)
    assert "".join(text[:read].split()) == letters[: skipped + found]
    np.testing.assert_array_equal(out[:found], encode(letters[skipped : skipped + found].encode()))
