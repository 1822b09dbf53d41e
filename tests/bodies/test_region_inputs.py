from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from genome.region_text import write
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import EXAMPLES, environment

from drg_hpc.bodies.region_codes import intervals_by_contig, read_codes
from drg_hpc.bodies.region_inputs import RegionOptions, parse_input, region_files, region_params
from drg_hpc.bodies.region_rows import TABLE, RegionRows, read_rows
from drg_hpc.errors import DrgError, InputError, UsageError
from drg_hpc.genome.gtf import read_genes
from drg_hpc.genome.onehot import decode
from drg_hpc.genome.regions import Region
from drg_hpc.store.dataset_layout import Input

GENOME = {"chr1": "".join("ACGT"[(i * i // 5 + i // 3) % 4] for i in range(300)), "chr2": "ACCGGGTTTT" * 10}
CONTIGS = {name: len(sequence) for name, sequence in GENOME.items()}
TURNED = str.maketrans("ACGT", "TGCA")


def read(chrom: str, start: int, end: int) -> NDArray[np.uint8]:
    """Base codes as a genome store gives them."""
    assert start < end and end > 0 and start < CONTIGS[chrom]
    return np.array(["ACGTN".index(letter) for letter in padded(chrom, start, end)], np.uint8)


def padded(chrom: str, start: int, end: int) -> str:
    return ("N" * 1000 + GENOME[chrom] + "N" * 1000)[start + 1000 : end + 1000]


def turned(text: str) -> str:
    return text[::-1].translate(TURNED)


def rows(join: bool = False, **options: Any) -> RegionRows:
    """What flags give, through the JSON of a plan."""
    given = RegionOptions(out=Path("run"), **options)
    return read_rows(json.loads(json.dumps(region_params(given))), region_files(given), CONTIGS, join=join)


def sequences(found: RegionRows, name: str = "seq") -> list[str]:
    item = next(item for item in found.inputs if item.name == name)
    return [decode(codes).decode() for codes in read_codes(read, found.intervals[name], item)]


def bed(folder: Path, *lines: str, name: str = "r.bed") -> Path:
    return write(folder, "".join(line.replace(" ", "\t") + "\n" for line in lines), name)


def test_rows_and_their_table(tmp_path: Path) -> None:
    path = bed(
        tmp_path, "# c", "chr1 0 4 left", "1 298 300 right", "chr1 400 404 beyond", "chr9 1 5 lost", "chr2 5 9 in",
    )  # fmt: skip
    with pytest.raises(InputError, match="line 3: 1, but line 2 has chr1: two names of one contig; use one naming"):
        rows(regions=path, length=6)
    path = bed(tmp_path, "# c", "1 0 4 left", "1 298 300 right", "1 400 404 beyond", "9 1 5 lost", "2 5 9 in")
    found = rows(regions=path, length=6)
    assert found.inputs == [Input("seq", 6)]
    assert [(r.chrom, r.start, r.end, r.name, r.strand, r.kept, r.reason) for r in found.rows] == [
        ("chr1", -1, 5, "left", "+", True, "padded: 1 bases outside the contig"),
        ("chr1", 296, 302, "right", "+", True, "padded: 2 bases outside the contig"),
        ("chr1", 399, 405, "beyond", "+", False, "outside the contig"),
        ("9", 0, 6, "lost", "+", False, "unknown contig"),
        ("chr2", 4, 10, "in", "+", True, ""),
    ]
    assert sequences(found) == [
        padded("chr1", -1, 5), padded("chr1", 296, 302), "N" * 6, "N" * 6, padded("chr2", 4, 10),
    ]  # fmt: skip
    assert found.notes == [
        "2 regions reach over a contig's end and are padded with N",
        "not kept: 1 outside the contig, 1 unknown contig",
    ]
    table = list(found.table)
    assert table[0] == TABLE
    assert table[1] == (
        "seq", "r.bed", 2, "left", "chr1", -1, 5, 0, 1, "padded: 1 bases outside the contig",
    )  # fmt: skip
    assert [line[2:4] + line[7:] for line in table[3:5]] == [
        (4, "beyond", 2, 0, "outside the contig"), (5, "lost", 3, 0, "unknown contig"),
    ]  # fmt: skip
    assert {c: v.tolist() for c, v in intervals_by_contig(found.given).items()} == {
        "chr1": [[0, 4], [298, 300], [400, 404]], "chr2": [[5, 9]],
    }  # fmt: skip
    later = replace(found, intervals={"seq": [replace(row, kept=False, reason="no labels") for row in found.rows]})
    assert {line[-2:] for line in list(later.table)[1:]} == {(0, "no labels")}


def test_strict(tmp_path: Path) -> None:
    path = bed(tmp_path, "# c", "chr2 2 6 in", "chr1 298 300 right", "chr1 400 404 beyond")
    wanted = r"r.bed: line 3: right chr1:296-302 \(padded: 2 bases outside the contig\); 2 of 3 regions are not"
    with pytest.raises(InputError, match=wanted):
        rows(regions=path, length=6, strict=True)
    with pytest.raises(InputError, match=r"line 2: x chr9:1-5 \(unknown contig\); 1 of 2"):
        rows(regions=bed(tmp_path, "chr1 1 5 y", "chr9 1 5 x"), strict=True)


def test_nothing_left(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shares no contig with the genome"):
        rows(regions=bed(tmp_path, "x 0 4", "y 0 4"))
    with pytest.raises(InputError, match=r"none of the 2 regions of .* can be used: 1 outside the contig, 1 unk"):
        rows(regions=bed(tmp_path, "chr1 300 304", "y 0 4"))
    with pytest.raises(InputError, match=r"no regions from .*: none of its 1 rows passes --select"):
        rows(regions=bed(tmp_path, "chr1 0 4 a"), select=["name=b"])


def test_lengths(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"have 2 lengths, from 4 to 5; choose one with --length, such as --length 4"):
        rows(regions=bed(tmp_path, "chr1 0 4", "chr1 0 5", "chr1 1 5"))
    assert rows(regions=bed(tmp_path, "chr1 0 4", "chr1 1 5")).inputs == [Input("seq", 4)]


def test_duplicates(tmp_path: Path) -> None:
    path = bed(
        tmp_path, "chr1 10 14 a 0 +", "chr1 20 24 b", "1 10 14 a".replace("1 ", "chr1 ", 1), "chr1 30 34 a",
        "chr1 10 14 c", "chr1 30 34 a", "chr1 10 14 a 0 -",
    )  # fmt: skip
    found = rows(regions=path)
    assert [row.reason for row in found.rows] == [
        "", "", "duplicate of line 1", "", "", "duplicate of line 4", "duplicate of line 1",
    ]  # fmt: skip
    assert [row.kept for row in found.rows] == [not row.reason for row in found.rows]
    assert "not kept: 3 duplicate" in found.notes
    assert rows(regions=path, stranded=True).rows[6].kept
    with pytest.raises(InputError, match="lines 1 and 4: 'a' has two windows, and rows are joined by name"):
        rows(regions=path, join=True)
    same = bed(tmp_path, "chr1 10 14 a", "chr1 10 14 a", "chr9 1 5 a")
    assert [row.kept for row in rows(regions=same, join=True).rows] == [True, False, False]


def test_blacklist(tmp_path: Path) -> None:
    path = bed(tmp_path, "chr1 10 14 a", "chr1 20 24 b", "chr2 20 24 c", "chr1 60 64 d")
    one, two = bed(tmp_path, "1 27 30", name="one.bed"), bed(tmp_path, "# c", "chr2 0 21", name="two.bed")
    found = rows(regions=path, length=10, blacklist=[one, two])
    assert [row.reason for row in found.rows] == ["", "", "overlaps blacklist two.bed:2", ""]
    found = rows(regions=path, length=12, blacklist=[one, two])
    assert [row.reason for row in found.rows] == [
        "", "overlaps blacklist one.bed:1", "overlaps blacklist two.bed:2", "",
    ]  # fmt: skip
    assert found.notes == ["not kept: 2 overlaps blacklist"]
    assert {c: v.tolist() for c, v in intervals_by_contig(found.blacklist).items()} == {
        "chr1": [[27, 30]], "chr2": [[0, 21]],
    }  # fmt: skip


def test_inputs_joined_by_name(tmp_path: Path) -> None:
    dna = bed(tmp_path, "chr1 10 14 a", "chr1 20 24 b", "chr1 30 34 c", "chr1 40 44 d", name="dna.bed")
    rna = bed(
        tmp_path, "chr2 90 98 d 0 -", "chr2 10 18 b", "chr9 1 9 c", "chr2 50 58 e", "chr2 10 18 b", "chr2 50 51 x",
        name="rna.bed",
    )  # fmt: skip
    found = rows(input=[f"dna={dna}", f"rna={rna}:12"], length=6, stranded=True)
    assert found.inputs == [Input("dna", 6), Input("rna", 12)]
    assert [(row.name, row.kept, row.reason) for row in found.rows] == [
        ("a", False, "not in rna"),
        ("b", True, ""),
        ("c", False, "rna: unknown contig"),
        ("d", True, ""),
    ]
    assert sequences(found, "dna")[1] == padded("chr1", 19, 25)
    assert sequences(found, "rna") == ["N" * 12, padded("chr2", 8, 20), "N" * 12, turned(padded("chr2", 88, 100))]
    assert [r.kept for r in found.intervals["rna"]] == [False, True, False, True]
    told = [line for line in found.table if line[0] == "rna"]
    assert [(line[2], line[3], *line[7:]) for line in told] == [
        (2, "b", 1, 1, ""),
        (3, "c", 2, 0, "rna: unknown contig"),
        (1, "d", 3, 1, ""),
        (4, "e", -1, 0, "not in dna"),
        (5, "b", -1, 0, "duplicate of line 2"),
        (6, "x", -1, 0, "not in dna"),
    ]
    assert "not kept: 1 not in rna, 1 rna: unknown contig" in found.notes
    assert "3 regions of rna are no rows (2 not in dna, 1 duplicate)" in found.notes
    with pytest.raises(InputError, match=r"rna.bed: line 3: c chr9:-1-11 \(unknown contig\)"):
        rows(input=[f"dna={dna}", f"rna={rna}"], length=12, strict=True)
    three = bed(tmp_path, "chr2 10 18 b", "chr2 10 18 e", name="rna.bed")
    with pytest.raises(InputError, match=r"dna.bed: line 1: 'a' is not in .*rna.bed; 3 of 4 rows are not"):
        rows(input=[f"dna={dna}", f"rna={three}"], length=6, strict=True)
    with pytest.raises(InputError, match=r"none of the 4 regions of .*dna.bed can be used: 4 not in rna"):
        rows(input=[f"dna={dna}", f"rna={bed(tmp_path, 'chr1 1 9 z', name='z.bed')}"], length=6)
    twice = bed(tmp_path, "chr2 10 18 b", "chr2 11 19 b", name="rna.bed")
    with pytest.raises(InputError, match=r"rna.bed: lines 1 and 2: 'b' has two windows"):
        rows(input=[f"dna={dna}", f"rna={twice}"])
    edge = bed(tmp_path, "chr2 0 8 b", name="rna.bed")
    padded_row = rows(input=[f"dna={dna}", f"rna={edge}:10"]).rows[1]
    assert (padded_row.kept, padded_row.reason) == (True, "rna: padded: 1 bases outside the contig")


def test_summits(tmp_path: Path) -> None:
    path = bed(
        tmp_path, "chr1 10 60 . 0 . 5 -1 -1 7", "chr1 10 60 . 0 . 5 -1 -1 30", "chr1 80 90 q 0 . 5 -1 -1 -1",
        name="x.narrowPeak",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"line 3: q chr1:81-90 \(no summit\); 1 of 3 regions"):
        rows(regions=path, length=9, strict=True)
    found = rows(regions=path, length=9)  # summits are the anchor of narrowPeak windows unless another is named
    windows = [(13, 22, ""), (36, 45, ""), (81, 90, "no summit")]
    assert [(row.start, row.end, row.reason) for row in found.rows] == windows
    assert [row.kept for row in found.rows] == [True, True, False]
    assert "windows lie around the summits of x.narrowPeak" in found.notes
    assert rows(regions=path, length=9, anchor="centre").rows[1].reason == "duplicate of line 1"


def gtf_row(kind: str, start: int, end: int, strand: str, attributes: str) -> str:
    return f"chr1\tx\t{kind}\t{start + 1}\t{end}\t.\t{strand}\t.\t{attributes}\n"


GENES = (
    gtf_row("gene", 50, 120, "-", 'gene_id "g1"; gene_name "A"; gene_type "coding";')
    + gtf_row("transcript", 50, 120, "-", 'gene_id "g1"; transcript_id "t1"; gene_type "coding"; tag "basic";')
    + gtf_row("exon", 100, 120, "-", 'gene_id "g1"; transcript_id "t1";')
    + gtf_row("exon", 50, 65, "-", 'gene_id "g1"; transcript_id "t1";')
    + gtf_row("gene", 200, 240, "+", 'gene_id "g2"; gene_name "B"; gene_type "other";')
    + gtf_row("transcript", 200, 240, "+", 'gene_id "g2"; transcript_id "t2"; gene_type "other";')
    + gtf_row("exon", 200, 240, "+", 'gene_id "g2"; transcript_id "t2";')
)


def test_tss_windows(tmp_path: Path) -> None:
    path = write(tmp_path, GENES, "x.gtf")
    found = rows(regions=path, length=20, anchor="tss", stranded=True)
    assert [(r.name, r.start, r.end, r.strand, r.line) for r in found.rows] == [
        ("g1", 110, 130, "-", 1), ("g2", 190, 210, "+", 5),
    ]  # fmt: skip
    assert sequences(found) == [turned(GENOME["chr1"][110:130]), GENOME["chr1"][190:210]]
    forward = rows(regions=path, length=20, anchor="tss", name_by="gene_name", select=["biotype=coding"])
    assert [(r.name, r.start, r.strand) for r in forward.rows] == [("A", 110, "+")]
    assert forward.notes[0] == "1 of 2 rows of x.gtf pass --select" and "--stranded" in forward.notes[1]
    with pytest.raises(InputError, match="line 1: no strand, which --anchor tss needs"):
        rows(regions=bed(tmp_path, "chr1 1 5"), length=4, anchor="tss")
    assert rows(regions=bed(tmp_path, "chr1 1 5 a 0 -"), length=2, anchor="tss").rows[0].start == 4


def test_spliced_transcripts(tmp_path: Path) -> None:
    path = write(tmp_path, GENES, "x.gtf")
    found = rows(regions=path, length=38, spliced=True, stranded=True)
    whole = GENOME["chr1"]
    spliced = turned(whole[50:65] + whole[100:120])
    assert sequences(found) == [spliced + "NNN", whole[200:238]]
    assert [(r.name, r.start, r.end, r.blocks) for r in found.rows] == [
        ("t1", 50, 120, ((50, 65), (100, 120))), ("t2", 200, 238, ((200, 238),)),
    ]  # fmt: skip
    assert found.notes == ["1 transcripts are shorter than 38 bases and end in N"]
    assert sequences(rows(regions=path, length=25, spliced=True, stranded=True))[0] == spliced[:25]
    twelve = bed(tmp_path, "chr1 50 120 t 0 - 50 120 0 2 15,20, 0,50,")
    assert sequences(rows(regions=twelve, spliced=True, stranded=True)) == [spliced]
    off = bed(tmp_path, "chr1 50 320 t 0 - 50 120 0 2 15,20, 0,250,", "chr1 50 85 u 0 + 50 85 0 1 35 0")
    assert [row.reason for row in rows(regions=off, spliced=True, stranded=True).rows] == ["outside the contig", ""]
    blacklist = bed(tmp_path, "chr1 70 99", name="b.bed")
    found = rows(regions=path, length=38, spliced=True, stranded=True, blacklist=[blacklist], strict=True)
    assert all(row.kept for row in found.rows)  # the intron is no part of the row


def test_real_transcripts_are_their_exons() -> None:
    path = EXAMPLES / "genes" / "GCFC2_example.gtf"
    options = RegionOptions(out=Path("r"), regions=path, length=9000, spliced=True, stranded=True, select=["tag=basic"])
    found = read_rows(region_params(options), region_files(options), {"chr2": 242193529})
    transcripts = {t.id: t for gene in read_genes(path) for t in gene.transcripts if "basic" in t.tags}
    assert {row.name: row.blocks for row in found.rows} == {name: t.exons for name, t in transcripts.items()}
    assert {row.strand for row in found.rows} == {"-"}


def test_flanks(tmp_path: Path) -> None:
    path = bed(tmp_path, "chr1 2 8 a 0 -", "chr1 290 296 b 0 +", "chr1 300 306 c")
    found = rows(regions=path, flank=5, stranded=True)
    assert found.inputs == [Input("seq", 6, 5)]
    assert sequences(found) == [turned(padded("chr1", -3, 13)), padded("chr1", 285, 301), "N" * 16]
    assert [row.reason for row in found.rows] == ["", "", "outside the contig"]


def test_tables_and_selection_from_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, "gene,chr,start,end,strand\nx,chr1,11,20,-\ny,chr1,21,30,+\nz,chr1,31,40,+\n", "x.csv")
    names = write(tmp_path, "# mine\nx\nz\n", "names.txt")
    found = rows(regions=path, one_based=True, stranded=True, select=[f"name=@{names}"])
    assert sequences(found) == [turned(GENOME["chr1"][10:20]), GENOME["chr1"][30:40]]
    plain = write(tmp_path, "x chr1 10 20\n", "x.txt")
    assert sequences(rows(regions=plain)) == [GENOME["chr1"][10:20]]


_ROWS = st.lists(
    st.tuples(st.sampled_from(["chr1", "2", "lost"]), st.integers(0, 330), st.integers(1, 40), st.sampled_from("+-.")),
    min_size=1,
    max_size=6,
)


@given(
    lines=_ROWS,
    length=st.integers(1, 50),
    anchor=st.sampled_from(["centre", "start"]),
    stranded=st.booleans(),
    flank=st.integers(0, 7),
)
def test_any_window_is_the_slice_of_a_padded_genome(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Any], length: int, anchor: str, stranded: bool, flank: int
) -> None:
    text = [f"{c} {start} {start + size} n{i} 0 {strand}" for i, (c, start, size, strand) in enumerate(lines)]
    path = bed(tmp_path_factory.mktemp("rows"), *text)
    wanted = []
    for chrom, start, size, strand in lines:
        chrom = {"2": "chr2"}.get(chrom, chrom)
        if anchor == "centre":
            first = (2 * start + size) // 2 - length // 2
        else:
            first = start + size - length if strand == "-" else start
        if chrom not in GENOME or first >= CONTIGS[chrom] or first + length <= 0:
            wanted.append("N" * (length + 2 * flank))
            continue
        text_of = padded(chrom, first - flank, first + length + flank)
        wanted.append(turned(text_of) if stranded and strand == "-" else text_of)
    if set("".join(wanted)) <= {"N"}:
        with pytest.raises(InputError):
            rows(regions=path, length=length, anchor=anchor, stranded=stranded, flank=flank)
        return
    assert sequences(rows(regions=path, length=length, anchor=anchor, stranded=stranded, flank=flank)) == wanted


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, UsageError, "give --regions FILE or --input NAME=FILE, one of the two"),
        ({"regions": "a.bed", "input": ["a=b.bed"]}, UsageError, "one of the two"),
        ({"input": ["a.bed"]}, UsageError, "--input 'a.bed': NAME=FILE or NAME=FILE:LENGTH is needed"),
        ({"input": ["a b=a.bed"]}, UsageError, "the name of letters, digits, - and _"),
        ({"input": ["a=a.bed:0"]}, UsageError, "the length must be at least 1"),
        ({"input": ["a=a.bed", "a=b.bed"]}, UsageError, "two inputs are called 'a'"),
        ({"regions": "a.vcf"}, UsageError, r"the extension of a.vcf does not say its format; give --format"),
        ({"regions": "a.bed", "anchor": "start"}, UsageError, "--anchor start needs --length"),
        ({"regions": "a.bed", "anchor": "summit", "length": 5}, UsageError, "only narrowPeak files have summits"),
        ({"regions": "a.bed", "feature": "exon"}, UsageError, "--feature exon: only GTF and GFF3"),
        ({"regions": "a.csv", "name_by": "gene_name"}, UsageError, "--name-by gene_name: only GTF and GFF3"),
        ({"regions": "a.gtf", "one_based": True}, UsageError, "--one-based: GTF and GFF3 files are read as 1-based"),
        ({"regions": "a.gtf", "spliced": True}, UsageError, "--spliced needs --stranded"),
        ({"regions": "a.csv", "spliced": True, "stranded": True}, UsageError, "needs GTF, GFF3 or BED12"),
        ({"regions": "a.gtf", "spliced": True, "stranded": True, "flank": 3}, UsageError, "--flank 3 with --spliced"),
        (
            {"regions": "a.gtf", "spliced": True, "stranded": True, "length": 9, "anchor": "tss"},
            UsageError,
            "--anchor tss with --spliced",
        ),
        ({"regions": "a.gtf", "spliced": True, "stranded": True, "feature": "gene"}, UsageError, "transcript or CDS"),
        ({"regions": "a.gtf", "select": ["biotype"]}, UsageError, "--select 'biotype': KEY=VALUE is needed"),
        ({"regions": "a.gtf", "select": ["name=a,"]}, UsageError, "KEY=VALUE is needed"),
        ({"regions": "a.gtf", "select": ["name=@absent"]}, InputError, "no such file: absent"),
        ({"regions": "absent.bed"}, InputError, "no such file: absent.bed"),
        ({"regions": EXAMPLES / "hg38_tiny/accessible.bed", "select": ["tag=a"]}, UsageError, "has name, chrom and"),
    ],
)
def test_refusals(options: dict[str, Any], error: type[DrgError], message: str) -> None:
    with pytest.raises(error, match=message):
        rows(**options)


def test_input_texts(tmp_path: Path) -> None:
    assert parse_input("dna=a.bed:1000") == ("dna", Path("a.bed"), 1000)
    assert parse_input("dna=a.bed") == ("dna", Path("a.bed"), None)
    assert parse_input("d-1=x=y:z.bed:5") == ("d-1", Path("x=y:z.bed"), 5)
    odd = bed(tmp_path, "chr1 1 5", name="a.bed:5")
    assert parse_input(f"dna={odd}") == ("dna", odd, None)


def test_params_do_not_hold_paths(tmp_path: Path) -> None:
    options = RegionOptions(out=tmp_path, input=[f"a={tmp_path}/a.bed:4", f"b={tmp_path}/b.gtf"], length=9)
    params = region_params(options)
    assert str(tmp_path) not in json.dumps(params)
    assert params["inputs"] == [
        {"name": "a", "file": "regions_a", "format": "bed", "length": 4, "anchor": "centre"},
        {"name": "b", "file": "regions_b", "format": "gtf", "length": 9, "anchor": "centre"},
    ]
    assert region_files(options) == {"regions_a": tmp_path / "a.bed", "regions_b": tmp_path / "b.gtf"}


def test_rows_need_no_heavy_library() -> None:
    code = (
        "import sys, drg_hpc.bodies.region_inputs, drg_hpc.bodies.region_rows\n"
        "sys.exit(bool({'numpy', 'pandas', 'zarr', 'torch'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)


def test_rows_without_a_partner_have_no_interval(tmp_path: Path) -> None:
    dna, rna = bed(tmp_path, "chr1 1 5 a", "chr1 1 5 b", name="a.bed"), bed(tmp_path, "chr1 1 5 b", name="b.bed")
    found = rows(input=[f"x={dna}", f"y={rna}"])
    assert found.intervals["y"][0] == Region("", 0, 0, "a", kept=False, reason="not in y")
