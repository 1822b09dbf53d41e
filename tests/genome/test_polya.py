"""PolyA sites of both tables of PolyA_DB and of BED files: a gene's own sites, in the order of its strand."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.errors import InputError
from drg_hpc.genome.polya import PolyaSite, PolyaSites, read_sites

BORZOI = "gene\tstop_codon\tchrom\tstrand\tposition_hg38\tpas_id\tsite_type\tsite_num\n"
NATIVE = "PAS_ID\tChromosome\tPosition\tStrand\tMean RPM\tIntron/exon location\tEnsembl Gene ID\tX\tGene Symbol\n"
CONTIGS = {"chr1": 10_000, "chr2": 10_000}


def borzoi(path: Path, *rows: tuple[str, str, str, int, str, int]) -> Path:
    lines = [f"{g}\t.\t{c}\t{s}\t{p}\t{c}:{p}:{s}\t{kind}\t{n}" for g, c, s, p, kind, n in rows]
    path.write_bytes(gzip.compress((BORZOI + "\n".join(lines) + "\n").encode()))
    return path


LAST = "3' most exon"


def ids(sites: list[PolyaSite]) -> list[int]:
    return [site.position + 1 for site in sites]


def test_a_neighbours_site_is_never_taken(tmp_path: Path) -> None:
    """XG lies behind CD99 on the same strand; its site is farther, and alphabetically later."""
    path = borzoi(
        tmp_path / "polyadb.csv.gz",
        ("CD99", "chr1", "+", 500, LAST, 1),
        ("CD99", "chr1", "+", 700, LAST, 2),
        ("XG", "chr1", "+", 900, LAST, 1),
        ("CD99", "chr1", "-", 800, LAST, 3),
        ("CD99", "chr2", "+", 30, LAST, 1),
    )
    sites = PolyaSites(path, CONTIGS)
    assert ids(sites.of(["CD99"], chrom="chr1", start=100, end=720, strand="+")) == [500, 700]
    assert ids(sites.of(["XG"], chrom="chr1", start=100, end=720, strand="+")) == [900]
    assert sites.of(["XK"], chrom="chr1", start=100, end=720, strand="+") == []


def test_sites_of_the_last_exon_in_one_run_of_numbers(tmp_path: Path) -> None:
    rows = [("A", "chr1", "-", 900 - 100 * n, LAST if n != 3 else "Intron", n) for n in range(1, 7)]
    sites = PolyaSites(borzoi(tmp_path / "t.txt.gz", *rows), CONTIGS)
    found = sites.of(["A"], chrom="chr1", start=0, end=1, strand="-")
    assert ids(found) == [500, 400, 300]  # numbers 4 to 6, from the 5' end on
    assert [site.number for site in found] == [4, 5, 6] and found[0].id == "chr1:500:-"


def test_the_databases_own_table_counts_from_1(tmp_path: Path) -> None:
    path = tmp_path / "human.PAS.txt"
    rows = [
        "1:200:+\t1\t200\t+\t3.5\t3' most exon\tENSG00000000001.4\t12\tABC",
        "1:150:+\t1\t150\t+\t3.5\tInternal exon\tENSG00000000001.4\t12\tABC",
        "1:400:+\t1\t400\t+\t3.5\tSingle exon\tNA\tna\tDEF",
    ]
    path.write_text(NATIVE + "\n".join(rows) + "\n")
    assert list(read_sites(path)) == [
        PolyaSite("1:200:+", ("ABC", "ENSG00000000001"), "1", 199, "+"), PolyaSite("1:400:+", ("DEF",), "1", 399, "+"),
    ]  # fmt: skip
    sites = PolyaSites(path, CONTIGS)  # contig 1 is chr1
    assert ids(sites.of(["ENSG00000000001.7"], chrom="chr1", start=0, end=9, strand="+")) == [200]
    assert ids(sites.of(["", "DEF"], chrom="chr1", start=0, end=9, strand="+")) == [400]


def test_bed_sites_are_found_by_place(tmp_path: Path) -> None:
    path = tmp_path / "sites.bed.gz"
    rows = [
        "chr1 100 120 a 0 +",
        "chr1 300 301 b 0 +",
        "chr1 260 270 c 0 -",
        "chr1 355 356 d 0 +",
        "chr1 480 500 e 0 -",
    ]
    path.write_bytes(gzip.compress("\n".join(row.replace(" ", "\t") for row in rows).encode()))
    sites = PolyaSites(path, CONTIGS)
    assert not sites.named
    plus = sites.of(["x"], chrom="chr1", start=110, end=310, strand="+")
    assert [(site.id, site.position) for site in plus] == [("a", 119), ("b", 300), ("d", 355)]  # up to 50 beyond
    assert [site.id for site in sites.of(["x"], chrom="chr1", start=110, end=305, strand="+")] == ["a", "b"]
    assert [(s.id, s.position) for s in sites.of([], chrom="chr1", start=200, end=500, strand="-")] == [
        ("e", 480),
        ("c", 260),
    ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.tsv", "gene\tchrom\tposition\n", "line 1: no column for strand"),
        ("t.tsv", "chrom\tstrand\tposition_hg38\tposition_mm10\n", "two columns are the position"),
        ("t.tsv", "chrom\tstrand\tposition\nchr1\t+\n", "line 2: 2 columns, the header has 3"),
        ("t.tsv", "chrom\tstrand\tposition\nchr1\t.\t5\n", "line 2: no strand"),
        ("t.tsv", "chrom\tstrand\tposition\nchr1\t+\t0\n", "line 2: start 0"),
        ("t.tsv", "chrom\tstrand\tposition\nchr1\t+\tfive\n", "line 2: start and end must be whole numbers"),
        ("t.tsv", "chrom\tstrand\tposition\tsite_num\nchr1\t+\t5\tx\n", "line 2: site_num 'x'"),
        ("t.tsv", "chrom\tstrand\tposition\tsite_type\nchr1\t+\t5\tIntron\n", "no sites in .*: 1 rows"),
        ("t.tsv", "", "line 1: no column for chrom, strand, position"),
        ("t.bed", "chr1\t1\t2\n", "line 1: no strand"),
        ("t.tsv", "chrom\tstrand\tposition\nchrQ\t+\t5\n", "shares no contig with the genome"),
    ],
)  # fmt: skip
def test_faulty_files_name_the_line(tmp_path: Path, name: str, text: str, words: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        PolyaSites(path, CONTIGS)


@settings(deadline=None)
@given(st.text(alphabet="chr12+-.\tgene_position\n strand0", max_size=200))
def test_any_text_is_sites_or_a_fault(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("polya") / "t.tsv"
    path.write_text("chrom\tstrand\tposition\tgene\n" + text)
    try:
        found = list(read_sites(path))
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert found and all(site.position >= 0 and site.strand in "+-" for site in found)
