from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest
from genome.region_text import CONTIGS, ENDS, NAMES, NOISE, NUMBERS, STRANDS, agrees, outcome, write
from hypothesis import given
from hypothesis import strategies as st
from stores import TINY

from drg_hpc.errors import InputError
from drg_hpc.genome.bed import Layout, read_bed
from drg_hpc.genome.regions import Region

BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def test_forms(tmp_path: Path) -> None:
    text = "# c\ntrack name=x\nbrowser y\n\nchr1\t0\t10\r\nchr2 5  9 peak . -\nchr3\t1\t2\t.\t0\t+\textra\n chr4 1 2\n"
    found = list(read_bed(write(tmp_path, text, "x.bed")))
    assert found == [
        Region("chr1", 0, 10, "chr1:0-10", "."),
        Region("chr2", 5, 9, "peak", "-"),
        Region("chr3", 1, 2, "chr3:1-2", "+"),
        Region("chr4", 1, 2, "chr4:1-2", "."),
    ]
    assert [region.line for region in found] == [5, 6, 7, 8]
    assert list(read_bed(write(tmp_path, "\ufeff" + text, "x.bed.gz"))) == found
    assert len(list(read_bed(TINY / "accessible.bed"))) == 34


def test_one_based(tmp_path: Path) -> None:
    path = write(tmp_path, "chr1\t1\t10\nchr1\t5\t5\n", "x.bed")
    assert [(r.start, r.end, r.name) for r in read_bed(path, one_based=True)] == [
        (0, 10, "chr1:0-10"), (4, 5, "chr1:4-5"),
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"line 2: end 5 is not above start 5; is the file 1-based.*drg-shard takes"):
        list(read_bed(path))
    with pytest.raises(InputError, match="line 1: start 0, but starts count from 1 here; is the file 0-based"):
        list(read_bed(write(tmp_path, "chr1\t0\t10\n", "x.bed"), one_based=True))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\t-1\t5", "negative start -1"),
        ("chr1\t5\t1", "end 1 is not above start 5; are they swapped"),
        ("chr1\t1.5\t5", "start and end must be whole numbers, got '1.5' '5'"),
        ("chrom\tstart\tend", r"remove the header line or begin it with # \(drg-shard takes --format csv"),
        ("100\t200\tchr1", "columns 1 and 2 look like them; the order is chrom, start, end"),
        ("peak\tchr1\t100\t200", r"columns 3 and 4 look like them; .* \(drg-shard takes --format csv for"),
        ("chr1\t1_0\t50", "whole numbers"),
        ("chr1\t1\t٣", "whole numbers"),
        ("chr1\t0\t1099511627777", "end 1099511627777 is beyond the end of any contig"),
        (f"chr1\t0\t{'9' * 5000}", "end 9999999999999999999999999… is beyond"),
        ("chr1\t5", "2 columns"),
        ("chr1\t1\t5\tn\t0\t?", "strand must be"),
        ("chr1\t1\t5\tn\t0\t−", "strand must be"),
        ("\t1\t5", "the contig name is empty"),
        ("chr 1\t1\t5", "'chr 1' is not a contig name"),
        ("chrα\t1\t5", "'chrα' is not a contig name"),
        ("chr1\t1\t5\tbell\x07", "characters that cannot be printed"),
    ],
)
def test_faults(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, f"chr1\t0\t10\n{line}\n", "x.bed")
    with pytest.raises(InputError, match=f"{re.escape(str(path))}: line 2: .*{message}"):
        list(read_bed(path))


def test_files_that_are_no_bed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no regions"):
        list(read_bed(write(tmp_path, "# nothing\n", "x.bed")))
    with pytest.raises(InputError, match="no such file"):
        list(read_bed(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"):
        list(read_bed(tmp_path))
    with pytest.raises(InputError, match="line 1: not UTF-8 text"):
        list(read_bed(write(tmp_path, b"\xff\xfe\x00", "x.bed")))
    with pytest.raises(InputError, match="line 3: not UTF-8 text"):
        list(read_bed(write(tmp_path, b"chr1\t0\t5\nchr1\t0\t6\nchr1\t0\t7\t\xe9\n", "x.bed")))
    with pytest.raises(InputError, match="line 1: longer than 16 MiB"):
        list(read_bed(write(tmp_path, b"x" * (20 << 20), "x.bed")))


def _bgzip(text: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    body = packer.compress(text) + packer.flush()
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + (len(body) + 25).to_bytes(2, "little")
    return head + body + zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")


def test_truncated_and_damaged_compression(tmp_path: Path) -> None:
    lines = [f"chr{i % 7}\t{i * i % 99991}\t{i * i % 99991 + 50}\tn{i * 7919 % 104729}\n" for i in range(40_000)]
    whole = write(tmp_path, "".join(lines), "x.bed.gz").read_bytes()
    assert len(list(read_bed(tmp_path / "x.bed.gz"))) == len(lines)
    (tmp_path / "cut.bed.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"truncated gzip file: .*cut.bed.gz, after line \d+"):
        list(read_bed(tmp_path / "cut.bed.gz"))
    bad = bytearray(whole)
    bad[len(bad) // 2] ^= 0xFF
    (tmp_path / "bad.bed.gz").write_bytes(bytes(bad))
    found = outcome(lambda: read_bed(tmp_path / "bad.bed.gz"))
    assert isinstance(found, str) and "bad.bed.gz" in found and "line" in found
    blocks = [_bgzip("".join(lines[i : i + 1000]).encode()) for i in range(0, 3000, 1000)]
    (tmp_path / "b.bed.gz").write_bytes(b"".join(blocks) + BGZIP_END)
    assert len(list(read_bed(tmp_path / "b.bed.gz"))) == 3000
    (tmp_path / "b.bed.gz").write_bytes(b"".join(blocks))
    with pytest.raises(InputError, match=r"truncated bgzip file: .*, after line 3000"):
        list(read_bed(tmp_path / "b.bed.gz"))


def test_narrow_and_broad_peaks(tmp_path: Path) -> None:
    narrow = "chr1\t10\t60\tp\t0\t.\t5.5\t-1\t-1\t7\nchr1\t10\t60\t.\t0\t-\t5\t-1\t-1\t-1\n"
    found = list(read_bed(write(tmp_path, narrow, "x.narrowPeak"), layout="narrowPeak"))
    assert [(r.name, r.strand, r.summit) for r in found] == [("p", ".", 7), ("chr1:10-60", "-", -1)]
    broad = list(read_bed(write(tmp_path, "chr1\t10\t60\tp\t0\t.\t5\t-1\t-1\n", "x.broadPeak"), layout="broadPeak"))
    assert broad == [Region("chr1", 10, 60, "p", ".")]


@pytest.mark.parametrize(
    ("layout", "row", "message"),
    [
        ("narrowPeak", "chr1\t10\t60\tp\t0\t.\t5\t-1\t-1", "9 columns, a narrowPeak row has 10"),
        ("narrowPeak", "chr1\t10\t60", "3 columns, a narrowPeak row has 10"),
        ("narrowPeak", "chr1\t10\t60\tp\t0\t.\t5\t-1\t-1\t50", "the summit '50' is no offset within the 50 bases"),
        ("narrowPeak", "chr1\t10\t60\tp\t0\t.\t5\t-1\t-1\t-2", "the summit '-2'"),
        ("narrowPeak", "chr1\t10\t60\tp\t0\t.\t5\t-1\t-1\t" + "9" * 5000, "the summit '9999"),
        ("broadPeak", "chr1\t10\t60\tp\t0\t.\t5\t-1\t-1\t3", "10 columns, a broadPeak row has 9"),
    ],
)
def test_faulty_peaks(tmp_path: Path, layout: Layout, row: str, message: str) -> None:
    with pytest.raises(InputError, match=f"line 1: .*{message}"):
        list(read_bed(write(tmp_path, row + "\n", "x"), layout=layout))


def test_blocks_of_bed12(tmp_path: Path) -> None:
    row = "chr1\t100\t200\tt\t0\t-\t100\t200\t0\t3\t10,20,30,\t0,40,70,\n"
    path = write(tmp_path, row, "x.bed")
    assert next(read_bed(path, spliced=True)).blocks == ((100, 110), (140, 160), (170, 200))
    assert next(read_bed(path)).blocks == ()


@pytest.mark.parametrize(
    ("count", "sizes", "starts", "message"),
    [
        ("2", "10,20", "0,70", "do not fill the row"),
        ("2", "10,30", "1,70", "do not fill the row"),
        ("2", "80,30", "0,70", "do not fill the row"),
        ("2", "30,10", "70,0", "do not fill the row"),
        ("2", "100,0", "0,100", "do not fill the row"),
        ("3", "10,30", "0,70", "are not a number of blocks"),
        ("2", "10,x", "0,70", "are not a number of blocks"),
        ("0", "", "", "are not a number of blocks"),
        ("2", "10,-30", "0,70", "are not a number of blocks"),
    ],
)
def test_faulty_blocks(tmp_path: Path, count: str, sizes: str, starts: str, message: str) -> None:
    row = f"chr1\t100\t200\tt\t0\t-\t100\t200\t0\t{count}\t{sizes}\t{starts}\n"
    with pytest.raises(InputError, match=f"line 1: .*{message}"):
        list(read_bed(write(tmp_path, row, "x.bed"), spliced=True))
    with pytest.raises(InputError, match="line 1: 6 columns, --spliced needs the blocks of BED12"):
        list(read_bed(write(tmp_path, "chr1\t1\t5\tn\t0\t+\n", "x.bed"), spliced=True))


@given(
    rows=st.lists(
        st.tuples(st.text("chr12_X", min_size=1, max_size=5), st.integers(0, 10**9), st.integers(1, 10**6)), min_size=1
    )
)
def test_any_bed3_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, int]]) -> None:
    text = "".join(f"{chrom}\t{start}\t{start + size}\n" for chrom, start, size in rows)
    path = write(tmp_path_factory.mktemp("bed"), text, "x.bed")
    assert [(r.chrom, r.start, r.end - r.start) for r in read_bed(path)] == rows


def oracle(text: str) -> tuple[list[tuple[object, ...]], int | None]:
    """Rows of a BED file by plain rules, and the number of the first faulty line."""
    rows: list[tuple[object, ...]] = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        if re.fullmatch(r"[ \t]*|[ \t]*(#.*|(track|browser)([ \t].*)?)", line):
            continue
        cells = [c.strip(" ") for c in line.split("\t")] if "\t" in line else re.split(" +", line.strip(" "))
        chrom, start, end, name, _, strand = (cells + [""] * 6)[:6]
        strand = strand or "."
        good = (
            len(cells) >= 3
            and re.fullmatch(r"[!-~]+", chrom)
            and re.fullmatch(r"-?[0-9]{1,16}", start)
            and re.fullmatch(r"[0-9]{1,16}", end)
            and 0 <= int(start) < int(end) <= 2**40
            and strand in "+-."
            and not re.search("[\x07\u2028]", name)
        )
        if not good:
            return rows, number
        label = name if name not in ("", ".") else f"{chrom}:{int(start)}-{int(end)}"
        rows.append((chrom, int(start), int(end), label, strand, number))
    return rows, None


_GOOD = st.tuples(st.sampled_from(["chr1", "2"]), st.integers(0, 9), st.integers(10, 99)).map(
    lambda r: [r[0], str(r[1]), str(r[2])]
)
_ODD = st.tuples(CONTIGS, NUMBERS, NUMBERS, NAMES, st.just("0"), STRANDS).map(list)
_LINES = st.one_of(
    _GOOD.map("\t".join),
    st.tuples(_GOOD, NAMES, STRANDS).map(lambda r: "\t".join([*r[0], r[1], "0", r[2]])),
    st.tuples(_ODD, st.integers(1, 6), st.sampled_from(["\t", " "])).map(lambda r: r[2].join(r[0][: r[1]])),
    NOISE,
)


@given(lines=st.lists(_LINES, max_size=5), end=ENDS, last=st.booleans(), packed=st.booleans())
def test_odd_files_are_read_or_refused_as_plain_rules_say(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str, last: bool, packed: bool
) -> None:
    text = end.join(lines) + (end if last else "")
    path = write(tmp_path_factory.mktemp("bed"), text, "x.bed.gz" if packed else "x.bed")
    assert agrees(outcome(lambda: read_bed(path)), *oracle(text))


@given(data=st.binary(max_size=60), layout=st.sampled_from(["bed", "narrowPeak", "broadPeak"]), spliced=st.booleans())
def test_any_bytes_have_an_answer(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, layout: Layout, spliced: bool
) -> None:
    path = write(tmp_path_factory.mktemp("bed"), b"chr1\t1\t5\n" + data, "x.bed")
    found = outcome(lambda: read_bed(path, layout=layout, spliced=spliced))
    assert isinstance(found, list) or str(path) in found
