from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import PEAKS, TINY

from drg_hpc.errors import InputError
from drg_hpc.genome import fasta
from drg_hpc.genome.bgzip import BgzipIndex, is_bgzip
from drg_hpc.genome.fasta import read_records, scan, stream_contigs

NAMES = st.text("abcXYZ019_.:-", min_size=1, max_size=8)
SEQUENCES = st.text("ACGTNacgtnRYK", min_size=1, max_size=70)


def wrap(sequence: str, width: int, end: str) -> str:
    return end.join(sequence[i : i + width] for i in range(0, len(sequence), width))


@settings(max_examples=60, deadline=None)
@given(
    records=st.dictionaries(NAMES, SEQUENCES, min_size=1, max_size=6),
    width=st.integers(1, 80),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    block=st.integers(1, 64),
    compressed=st.booleans(),
)
def test_any_layout_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    records: dict[str, str],
    width: int,
    end: str,
    last: bool,
    block: int,
    compressed: bool,
) -> None:
    text = end.join(f">{name} more words{end}{wrap(seq, width, end)}" for name, seq in records.items())
    raw = (text + end * last).encode()
    path = tmp_path_factory.mktemp("fasta") / "x.fa"
    path.write_bytes(gzip.compress(raw) if compressed else raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fasta, "_BLOCK", block)
        assert {r.name: r.sequence.decode() for r in read_records(path)} == records
        contigs = scan(path)
        for contig in contigs:
            sequence = records[contig.name]
            assert contig.length == len(sequence)
            assert contig.sha256 == hashlib.sha256(sequence.upper().encode()).hexdigest()
            assert contig.other == sum(x not in "ACGTacgt" for x in sequence)
            assert contig.soft_masked == sum(x.islower() for x in sequence)
        wanted = {c.name: c.offset for c in contigs[::2]}
        streamed: dict[str, str] = {}
        for name, piece in stream_contigs(path, wanted):
            streamed[name] = streamed.get(name, "") + piece.decode()
        assert streamed == {name: records[name] for name in wanted}


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
        (b"\nACGT\n>a\nACGT\n", "line 1: sequence before"),
        (b">a\nACGT\n>b\n>c\nAC\n", "line 3: 'b' has no sequence"),
        (b">a\nACGT\n>b", "line 3: 'b' has no sequence"),
        (b">a\nACGT\n>a\nAC\n", "line 3: 'a' occurs twice"),
        (b">\nACGT\n", "line 1: header without a name"),
        (b">a\nACGT\nAC<T\n", "line 3: '<' is not a base"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not a base|before the first header"),
        (b">a\xff\xfe\nACGT\n", "a header is not text"),
    ],
)
def test_faults_are_one_line_with_the_line_number(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.fa"
    path.write_bytes(content)
    for reader in (lambda: list(read_records(path)), lambda: scan(path)):
        with pytest.raises(InputError, match=message) as error:
            reader()
        assert "\n" not in str(error.value)


def test_bgzip_is_read_from_the_middle() -> None:
    path = TINY / "genome.fa.gz"
    assert is_bgzip(path) and not is_bgzip(PEAKS)
    contigs = {c.name: c for c in scan(path)}
    last = contigs["w03"]
    sequence = b"".join(piece for _, piece in stream_contigs(path, {"w03": last.offset}))
    assert hashlib.sha256(sequence.upper()).hexdigest() == last.sha256
    with gzip.open(path) as whole:
        raw = whole.read()
    index = BgzipIndex(path)
    for offset in (0, 1, 65279, 65280, 65281, 300_000, len(raw) - 1):
        with index.open_at(offset) as handle:
            assert handle.read(100) == raw[offset : offset + 100]


@pytest.mark.parametrize("cut", [10, 200_000, -1])
def test_truncated_gzip(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.fa.gz"
    path.write_bytes(PEAKS.read_bytes()[:cut])
    with pytest.raises(InputError, match="truncated gzip file"):
        scan(path)


def test_damaged_gzip(tmp_path: Path) -> None:
    raw = bytearray(PEAKS.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path = tmp_path / "x.fa.gz"
    path.write_bytes(raw)
    with pytest.raises(InputError):
        scan(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        scan(tmp_path / "absent.fa")
    with pytest.raises(InputError, match="cannot read"):
        scan(tmp_path)
