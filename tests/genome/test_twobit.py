from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_files import twobit, wrapped

from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError
from drg_hpc.genome import twobit as module
from drg_hpc.genome.fasta import scan
from drg_hpc.genome.twobit import TwoBitFile, is_twobit, scan_twobit

NAMES = st.text("abcXYZ019_.:-é", min_size=1, max_size=8)
RUNS = st.lists(st.tuples(st.sampled_from("ACGTacgtNn"), st.integers(1, 9)), min_size=1, max_size=20)
SEQUENCES = RUNS.map(lambda runs: "".join(letter * count for letter, count in runs))


@settings(max_examples=80, deadline=None)
@given(
    records=st.dictionaries(NAMES, SEQUENCES, min_size=1, max_size=5),
    order=st.sampled_from(["<", ">"]),
    version=st.integers(0, 1),
    block=st.integers(1, 8),
)
def test_same_as_the_fasta_of_the_same_sequences(
    tmp_path_factory: pytest.TempPathFactory,
    records: dict[str, str],
    order: Literal["<", ">"],
    version: int,
    block: int,
) -> None:
    folder = tmp_path_factory.mktemp("twobit")
    path, text = folder / "x.2bit", folder / "x.fa"
    path.write_bytes(twobit(records, order=order, version=version))
    text.write_bytes(wrapped(records))
    assert is_twobit(path) and not is_twobit(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        found = scan_twobit(path)
    assert found.kind == "2bit" and found.record == describe_input(path)
    for ours, theirs in zip(found.contigs, scan(text), strict=True):
        ours.places = theirs.places
        assert ours == theirs
    file = TwoBitFile(path)
    for (name, offset), sequence in zip(file.names(), records.values(), strict=True):
        assert b"".join(file.letters(name, file.sequence(name, offset))).decode() == sequence.upper()
    file.close()


def test_letters_that_two_bits_cannot_hold_are_n(tmp_path: Path) -> None:
    path = tmp_path / "x.2bit"
    path.write_bytes(twobit({"a": "ACRTy"}))
    (contig,) = scan_twobit(path).contigs
    assert (contig.n, contig.other, contig.soft_masked) == (2, 0, 1)
    assert contig.sha256 == hashlib.sha256(b"ACNTN").hexdigest()


WHOLE = twobit({"chr1": "ACGTNNNNacgt" * 5, "chr2": "nnACC"})


@pytest.mark.parametrize("cut", range(4, len(WHOLE)))
def test_any_cut_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.2bit"
    path.write_bytes(WHOLE[:cut])
    with pytest.raises(InputError, match="truncated 2bit file") as error:
        scan_twobit(path)
    assert "\n" not in str(error.value)


@settings(max_examples=150, deadline=None)
@given(st.integers(4, len(WHOLE) - 1), st.integers(0, 255))
def test_any_changed_byte_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    raw = bytearray(WHOLE)
    raw[position] = value
    path = tmp_path_factory.mktemp("twobit") / "x.2bit"
    path.write_bytes(raw)
    try:
        found = scan_twobit(path).contigs
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert [len(contig.sha256) for contig in found] == [64, 64]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (WHOLE[:4] + b"\x02" + WHOLE[5:], "2bit version 2 is not known"),
        (twobit({"a": "A", "b": "C"}).replace(b"\x01b", b"\x01a"), "sequence 2 of its index: 'a' occurs twice"),
        (twobit({"": "A"}), "sequence 1 of its index: no name"),
        (twobit({"a": "A"}).replace(b"\x01a", b"\x01\xff"), "the name of sequence 1 of its index is not text"),
        (twobit({"a": ""}), "'a' has no sequence"),
        (twobit({}), "no sequence in"),
        (twobit({"a": "NNA"})[:-5].replace(b"\x02\0\0\0", b"\x09\0\0\0") + bytes(5), r"block 0-9 of 'a' \(length 3\)"),
    ],
)
def test_faults_are_named(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "x.2bit"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=message):
        scan_twobit(path)
