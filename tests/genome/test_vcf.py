from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from genome.region_text import write
from hypothesis import given
from hypothesis import strategies as st
from sequence_files import bgzip

from drg_hpc.errors import InputError
from drg_hpc.genome.vcf import Variant, read_vcf, select_variants

TEXT = (
    "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    "chr1\t5\trs1\ta\tG,<DEL>,T\t.\t.\t.\r\n"
    "chr1\t9\t.\tAC\tA\t.\t.\t.\n"
    "chr2\t1\t.\tN\tA\t.\t.\t.\nchr2\t2\t.\tA\tA,.,*,R\t.\t.\t.\nchr2\t3\tx\tA\tA]chr1:7],.A\t.\t.\t.\n"
    "chr1\t0\tend\tN\t<INS>\t.\t.\t.\n"
)
ROWS = [
    Variant("chr1", 4, "rs1", "A", "G", 3),
    Variant("chr1", 4, "rs1", "A", "T", 3),
    Variant("chr1", 8, "chr1:9:AC>A", "AC", "A", 4),
]


def test_forms(tmp_path: Path) -> None:
    packed = tmp_path / "b.vcf.gz"
    packed.write_bytes(bgzip(TEXT.encode(), block=64))
    for path in (write(tmp_path, TEXT, "x.vcf"), write(tmp_path, TEXT, "x.vcf.gz"), packed):
        skipped: Counter[str] = Counter()
        assert list(read_vcf(path, skipped)) == ROWS
        assert skipped == {"symbolic allele": 5, "unknown bases": 2, "no alternative": 1, "equal to the reference": 1}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\t5\t.\tA", "4 columns, a VCF row has at least CHROM, POS, ID, REF, ALT"),
        ("chr1\tx\t.\tA\tC", "POS must be a whole number up to 2\\^40, got 'x'"),
        ("chr1\t-4\t.\tA\tC", "POS must be"),
        (f"chr1\t{'9' * 30}\t.\tA\tC", "POS must be"),
        ("chr1\t0\t.\tA\tC", "position 0, positions count from 1"),
        ("chr1\t5\t.\t1\tC", "REF '1' is not a sequence of bases; is the file a VCF"),
        ("chr1\t5\t.\tA\tC,", "ALT '' is no sequence of bases"),
        ("chr1\t5\t.\tA\tC<", "ALT 'C<' is no sequence"),
        ("\t5\t.\tA\tC", "the contig name is empty"),
    ],
)
def test_faults_name_the_line(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, TEXT + line + "\n", "x.vcf")
    with pytest.raises(InputError, match=f"x.vcf: line 9: {message}"):
        list(read_vcf(path, Counter()))


def test_what_users_give(tmp_path: Path) -> None:
    """Windows line ends, no header, no last line end, blanks for tabs, blank lines, small letters, a row twice."""
    rows = "1 5 . a c\r\n \r\n\r\n1\t9\t rs2 \tAC\ta\n1 5 . A C"
    found, _ = select_variants(write(tmp_path, rows, "x.vcf"), {"chr1": 90}, length=10)
    assert [(v.chrom, v.start, v.name, v.ref, v.alt, v.line) for v in found] == [
        ("chr1", 4, "1:5:A>C", "A", "C", 1), ("chr1", 8, "rs2", "AC", "A", 4), ("chr1", 4, "1:5:A>C", "A", "C", 5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bgzip(b"BCF\2\2\xf0\0\0\0##fileformat=VCFv4.2"), "is BCF, the binary form of VCF; bcftools view"),
        (b"BCF\2\2\x10\0\0\0##fileformat=VCFv4.2\n", "is BCF, the binary form"),
        (bgzip(b"TBI\1\2\0\0\0"), "is the index of a VCF; give the VCF itself"),
        (bgzip(b"CSI\1\x0e\0\0\0"), "is the index of a VCF"),
        (b"", "no variants that can be scored in .*; it has no rows"),
        (b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n", "it has no rows"),
        (bgzip(TEXT.encode())[:40], "line 0"),
        (b"\xff\xfe1\0\t\0", "line 1: not UTF-8 text"),
    ],
)
def test_files_that_are_no_vcf(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.vcf.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        select_variants(path, {"chr1": 90}, length=10)


def test_trimming() -> None:
    def core(ref: str, alt: str) -> tuple[int, str, str]:
        found = Variant("c", 10, "n", ref, alt, 1).trimmed()
        return found.start, found.ref, found.alt

    assert core("A", "C") == (10, "A", "C")
    assert core("AT", "A") == (11, "T", "")
    assert core("A", "AGG") == (11, "", "GG")
    assert core("AA", "AAA") == (10, "", "A"), "leftmost of equal places"
    assert core("CAGT", "CTGT") == (11, "A", "T")
    assert core("AC", "GT") == (10, "AC", "GT")


ALLELES = st.text("ACGT", min_size=1, max_size=6)


@given(ref=ALLELES, alt=ALLELES, left=st.text("ACGT", min_size=8, max_size=8), right=st.text("ACGT", max_size=8))
def test_trimming_keeps_both_sequences(ref: str, alt: str, left: str, right: str) -> None:
    found = Variant("c", len(left), "n", ref, alt, 1).trimmed()
    whole = left + ref + right
    assert whole[found.start : found.start + len(found.ref)] == found.ref
    assert whole[: found.start] + found.alt + whole[found.start + len(found.ref) :] == left + alt + right
    if ref != alt:
        assert found.ref[:1] != found.alt[:1] and found.ref[-1:] != found.alt[-1:]


ROW = st.tuples(st.sampled_from(["chr1", "2"]), st.integers(1, 1 << 40), ALLELES, st.lists(ALLELES, min_size=1))
NOISE = st.text("ACGTNacgt<>[].,*:\t019chr#\n \u00e9", max_size=80)


@given(rows=st.lists(ROW, max_size=8), noise=NOISE)
def test_any_text_is_rows_or_one_error(tmp_path_factory: pytest.TempPathFactory, rows: list[
    tuple[str, int, str, list[str]]
], noise: str) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("vcf")
    text = "".join(f"{chrom}\t{pos}\t.\t{ref}\t{','.join(alts)}\n" for chrom, pos, ref, alts in rows)
    expected = [
        (chrom, pos - 1, ref, alt, number)
        for number, (chrom, pos, ref, alts) in enumerate(rows, 1)
        for alt in alts
        if alt != ref
    ]
    skipped: Counter[str] = Counter()
    found = list(read_vcf(write(folder, text, "a.vcf"), skipped))
    assert [(v.chrom, v.start, v.ref, v.alt, v.line) for v in found] == expected
    assert skipped.total() == sum(ref == alt for _, _, ref, alts in rows for alt in alts)
    try:
        list(read_vcf(write(folder, text + noise, "b.vcf"), Counter()))
    except InputError as error:
        assert "line " in str(error) and "\n" not in str(error) and len(str(error)) < 400


def test_variants_of_a_genome(tmp_path: Path) -> None:
    lines = "chr1\t5\t.\tA\tC\n2\t1\t.\tA\tC\nchrX\t1\t.\tA\tC\n1\t7\t.\tA\tATTTTTT\n"
    path = write(tmp_path, lines.replace("1\t7", "chr1\t7"), "x.vcf")
    found, skipped = select_variants(path, {"chr1": 9, "chr2": 9}, length=10)
    assert [(v.chrom, v.start) for v in found] == [("chr1", 4), ("chr2", 0)]
    assert skipped == {"unknown contig": 1, "longer than half a window": 1}
    with pytest.raises(InputError, match=r"line 1: chr1:9:AC>A ends beyond chr1, which has 9 bases; is the VCF of ano"):
        select_variants(write(tmp_path, "chr1\t9\t.\tAC\tA\n", "y.vcf"), {"chr1": 9}, length=10)
    lost = "chr1\t1\t.\tA\tATTTTTT\n"
    for rows, remedy in (
        (lost + "chrX\t9\t.\tA\tC\n" * 2, "take the assembly"),
        (lost, "take a model of longer windows"),
    ):
        with pytest.raises(InputError, match=rf"no variants that can be scored in .*\); {remedy}"):
            select_variants(write(tmp_path, rows, "w.vcf"), {"chr1": 9}, length=10)
    with pytest.raises(InputError, match=r"no variants that can be scored in .*left out: 1 symbolic allele"):
        select_variants(write(tmp_path, "chr1\t9\t.\tA\t<DEL>\n", "z.vcf"), {"chr1": 9}, length=10)


def test_errors_of_long_names_are_short(tmp_path: Path) -> None:
    long = "A" * 20_000
    for rows, contigs in ((f"chr1\t8\t.\t{long}\tC\n", {"chr1": 9}), (f"{'c' * 900}\t8\t.\tA\tC\n", {"d" * 900: 9})):
        with pytest.raises(InputError) as caught:
            select_variants(write(tmp_path, rows, "x.vcf"), contigs, length=10)
        assert len(str(caught.value)) < 400 + len(str(tmp_path))


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"pipe is not a file that can be read twice; write the VCF to disk"):
        select_variants(tmp_path / "pipe", {"chr1": 9}, length=10)
