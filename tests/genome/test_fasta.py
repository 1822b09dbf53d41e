from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_files import bgzip, wrapped
from stores import PEAKS, TINY

from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError
from drg_hpc.genome import compressed, fasta
from drg_hpc.genome.fasta import read_records, scan, scan_file

NAMES = st.text("abcXYZ019_.:-é", min_size=1, max_size=8)
SEQUENCES = st.text("ACGTNacgtnRYK*-", min_size=1, max_size=70)
BLANKS = re.compile(rb"[\r\n \t]")


def facts(sequence: str) -> tuple[int, str, int, int, int]:
    """Length, sha256, N, other letters, soft-masked letters."""
    plain = sequence.upper()
    known = sum(letter in "ACGT" for letter in plain)
    digest = hashlib.sha256(plain.encode()).hexdigest()
    soft = sum(letter.islower() for letter in sequence)
    return len(plain), digest, plain.count("N"), len(plain) - known - plain.count("N"), soft


def check_scan(path: Path, records: dict[str, str]) -> None:
    """Everything a plan learns, against the sequences."""
    found = scan_file(path)
    assert {c.name: (c.length, c.sha256, c.n, c.other, c.soft_masked) for c in found.contigs} == {
        name: facts(sequence) for name, sequence in records.items()
    }
    assert found.record == describe_input(path)
    assert all(c.places[0][0] == 0 for c in found.contigs)


@settings(max_examples=80, deadline=None)
@given(
    records=st.dictionaries(NAMES, SEQUENCES, min_size=1, max_size=6),
    width=st.integers(1, 80),
    end=st.sampled_from(["\n", "\r\n", " \n", "\n\n", "\t\r\n"]),
    last=st.booleans(),
    block=st.integers(1, 64),
    kind=st.sampled_from(["plain", "gzip", "bgzip"]),
)
def test_any_layout_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    records: dict[str, str],
    width: int,
    end: str,
    last: bool,
    block: int,
    kind: str,
) -> None:
    raw = wrapped(records, width=width, end=end)
    raw = raw if last else raw[: -len(end)]
    path = tmp_path_factory.mktemp("fasta") / "x.fa"
    path.write_bytes({"plain": raw, "gzip": gzip.compress(raw), "bgzip": bgzip(raw, block=block)}[kind])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compressed, "BLOCK", block)
        patch.setattr(fasta, "SEEK_STEP", 16)
        assert {r.name: r.sequence.decode() for r in read_records(path)} == records
        check_scan(path, records)


def reference(raw: bytes) -> dict[str, str] | None:
    """A FASTA line by line, or None where it is faulty."""
    records: dict[str, str] = {}
    name = None
    for line in raw.split(b"\n"):
        if line.startswith(b">"):
            words = line[1:].split()
            try:
                name = words[0].decode()
            except (IndexError, UnicodeDecodeError):
                return None
            if name in records:
                return None
            records[name] = ""
            continue
        letters = BLANKS.sub(b"", line)
        if re.search(rb"[^A-Za-z*.-]", letters) or (letters and name is None):
            return None
        if name is not None:
            records[name] += letters.decode()
    return records if records and all(records.values()) else None


HEADER_LINES = st.text(st.sampled_from("ab>é\t \x00chr1"), max_size=6).map(lambda text: b">" + text.encode())
ODD_LINES = st.sampled_from(
    [b"", b" ", b"\t", b">", b"> x", b"AC GT", b"AC>GT", b"AC\x00", b"12", b">\xff", b";c", b" >a"]
)
LETTER_LINES = st.text("ACGTacgtNnRy", min_size=1, max_size=12).map(str.encode)
ENDS = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r", b""])


@settings(max_examples=250, deadline=None)
@given(
    lines=st.lists(st.tuples(st.one_of(LETTER_LINES, LETTER_LINES, HEADER_LINES, ODD_LINES), ENDS), max_size=9),
    first=st.booleans(),
    block=st.integers(1, 9),
)
def test_fuzzed_text_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[bytes, bytes]], first: bool, block: int
) -> None:
    raw = (b">first\nACGT\n" if first else b"") + b"".join(line + end for line, end in lines)
    path = tmp_path_factory.mktemp("fasta") / "x.fa"
    path.write_bytes(raw)
    expected = reference(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compressed, "BLOCK", block)
        if expected is not None:
            assert {r.name: r.sequence.decode() for r in read_records(path)} == expected
            check_scan(path, expected)
            return
        for reader in (lambda: list(read_records(path)), lambda: scan(path)):
            with pytest.raises(InputError) as error:
                reader()
            assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_real_files() -> None:
    peaks = list(read_records(PEAKS))
    assert len(peaks) == 39184
    assert {len(record.sequence) for record in peaks} == {100}
    contigs = scan(TINY / "genome.fa.gz")
    assert [(c.name, c.length) for c in contigs] == [(f"w0{i}", 131072) for i in range(4)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no sequence in"),
        (b"\n\n", "no sequence in"),
        (b"ACGT\n", "line 1: sequence before the first header"),
        (b"\nACGT\n>a\nACGT\n", "line 2: sequence before"),
        (b">a\nACGT\n>b\n>c\nAC\n", "line 3: 'b' has no sequence"),
        (b">a\nACGT\n>b", "line 3: 'b' has no sequence"),
        (b">a\nACGT\n>a\nAC\n", "line 3: 'a' occurs twice"),
        (b">\nACGT\n", "line 1: header without a name"),
        (b">a\nACGT\nAC<T\n", "line 3: '<' is not a base"),
        (b">a\r\nACGT\r\nAC\x00T\r\n", "line 3: .* is not a base"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not a base|before the first header"),
        (b">a\nAC\n>b\xff\xfe\nACGT\n", "line 3: a header is not text"),
        (b">a\rACGT\r>b\rACGT\r", "line 1: 'a' has no sequence"),
        (b">a\nAC\n>" + b"x" * (2 << 20), "line 3: header longer than 1 MiB"),
    ],
)
def test_faults_are_one_line_with_the_line_number(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.fa"
    for raw in (content, gzip.compress(content), bgzip(content)):
        path.write_bytes(raw)
        for reader in (lambda: list(read_records(path)), lambda: scan(path)):
            with pytest.raises(InputError, match=message) as error:
                reader()
            assert "\n" not in str(error.value)


def test_very_long_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.fa"
    records = {"long": "ACGTN" * 300_000, "next": "aC" * 200_000}
    path.write_bytes(wrapped(records, width=1 << 30))
    check_scan(path, records)


@pytest.mark.parametrize("cut", [10, 200_000, -1])
def test_truncated_gzip(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.fa.gz"
    path.write_bytes(PEAKS.read_bytes()[:cut])
    with pytest.raises(InputError, match="truncated gzip file"):
        scan(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        scan(tmp_path / "absent.fa")
    with pytest.raises(InputError, match="cannot read"):
        scan(tmp_path)
