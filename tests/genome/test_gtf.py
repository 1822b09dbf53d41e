from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from genome.region_text import ENDS, NUMBERS, outcome, write
from hypothesis import given
from hypothesis import strategies as st
from support import EXAMPLES

from drg_hpc.errors import InputError
from drg_hpc.genome.gff3 import Chains
from drg_hpc.genome.gtf import Gene, read_genes
from drg_hpc.genome.gtf_rows import Feature, read_features
from drg_hpc.genome.region_files import Format, Reading, format_of, read_regions
from drg_hpc.genome.regions import Region, merged
from drg_hpc.genome.selection import Selection

FILES = sorted((EXAMPLES / "genes").glob("*.gtf"))


def parsed(path: Path) -> pd.DataFrame:
    """An independent parse: pandas for the columns, one regular expression per attribute, 0-based starts."""
    names = ["chrom", "source", "type", "start", "end", "score", "strand", "frame", "attributes"]
    table = pd.read_csv(path, sep="\t", header=None, comment="#", names=names, quoting=3)
    table["start"] -= 1
    for key in ("gene_id", "transcript_id", "gene_name", "transcript_type"):
        table[key] = table["attributes"].str.extract(rf'(?:^|; ?){key} "([^"]*)"', expand=False)
    table["tags"] = table["attributes"].map(lambda text: tuple(re.findall(r'(?:^|; ?)tag "([^"]*)"', text)))
    return table


def pairs(table: pd.DataFrame) -> list[tuple[int, int]]:
    return sorted(zip(table["start"], table["end"], strict=True))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split("_")[0])
def test_real_genes_equal_an_independent_parse(path: Path) -> None:
    table = parsed(path)
    genes = read_genes(path)
    assert [gene.id for gene in genes] == list(dict.fromkeys(table["gene_id"]))
    for gene in genes:
        mine = table[table["gene_id"] == gene.id]
        exons = mine[mine["type"] == "exon"]
        first = mine.iloc[0]
        assert (gene.chrom, gene.strand, gene.name) == (first["chrom"], first["strand"], first["gene_name"])
        assert (gene.start, gene.end) == (mine["start"].min(), mine["end"].max())
        assert gene.tss == (gene.start if gene.strand == "+" else gene.end - 1)
        assert gene.exons == tuple(sorted(set(pairs(exons))))
        covered = {p for start, end in pairs(exons) for p in range(start, end)}
        assert {p for start, end in gene.merged_exons() for p in range(start, end)} == covered
        assert gene.biotype == "protein_coding" and set(gene.attributes) >= {"gene_id", "gene_name", "gene_type"}
        assert [t.id for t in gene.transcripts] == list(dict.fromkeys(mine["transcript_id"]))
        for transcript in gene.transcripts:
            rows = mine[mine["transcript_id"] == transcript.id]
            row = rows[rows["type"] == "transcript"].iloc[0]
            assert (transcript.start, transcript.end) == (row["start"], row["end"])
            assert transcript.tss == (row["start"] if row["strand"] == "+" else row["end"] - 1)
            assert list(transcript.exons) == pairs(rows[rows["type"] == "exon"])
            assert list(transcript.cds) == pairs(rows[rows["type"] == "CDS"])
            assert transcript.length == sum(end - start for start, end in transcript.exons)
            assert (transcript.biotype, transcript.tags) == (row["transcript_type"], row["tags"])
            assert transcript.line == row.name + 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split("_")[0])
def test_only_exon_rows_give_the_same_genes(path: Path, tmp_path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line.split("\t")[2] == "exon"]
    derived = read_genes(write(tmp_path, "\n".join(lines), "x.gtf.gz"))
    for one, other in zip(derived, read_genes(path), strict=True):
        assert (one.id, one.chrom, one.start, one.end, one.strand, one.exons) == (
            other.id, other.chrom, other.start, other.end, other.strand, other.exons,
        )  # fmt: skip
        assert [(t.id, t.start, t.end, t.exons, t.tags) for t in one.transcripts] == [
            (t.id, t.start, t.end, t.exons, t.tags) for t in other.transcripts
        ]
        assert "exon_id" not in one.transcripts[0].attributes


def as_gff3(path: Path) -> str:
    """A GTF without gene rows as GFF3, chained by ID and Parent alone, parts before their parents."""
    lines, genes = ["##gff-version 3"], defaultdict[tuple[str, ...], list[int]](list)
    for row in parsed(path).itertuples():
        place = f"{row.chrom}\t.\t%s\t{row.start + 1}\t{row.end}\t.\t{row.strand}\t.\t"
        if row.type == "transcript":
            name = f"ID=transcript:{row.transcript_id};Parent=gene:{row.gene_id};biotype={row.transcript_type}"
            lines.append(place % "mRNA" + name + f";tag={','.join(row.tags)}")
        elif row.type in ("exon", "CDS"):
            lines.insert(1, place % row.type + f"Parent=transcript:{row.transcript_id}")
        genes[row.gene_id, row.gene_name, row.chrom, row.strand] += [row.start + 1, row.end]
    for (gene, name, chrom, strand), edges in genes.items():
        span = f"{chrom}\t.\tgene\t{min(edges)}\t{max(edges)}\t.\t{strand}\t.\t"
        lines.append(span + f"ID=gene:{gene};Name={name};biotype=protein_coding;note=a%3Bb%2Cc")
    return "\n".join([*lines, "##FASTA", ">chr1", "ACGT"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split("_")[0])
def test_gff3_chains_give_the_same_genes(path: Path, tmp_path: Path) -> None:
    found = read_genes(write(tmp_path, as_gff3(path), "x.gff3"))
    for one, other in zip(found, read_genes(path), strict=True):
        assert (one.id, one.name, one.chrom, one.start, one.end, one.strand, one.exons, one.biotype) == (
            other.id, other.name, other.chrom, other.start, other.end, other.strand, other.exons, other.biotype,
        )  # fmt: skip
        assert one.attributes["note"] == ("a;b,c",)
        key = lambda t: t.id  # noqa: E731
        for mine, its in zip(sorted(one.transcripts, key=key), sorted(other.transcripts, key=key), strict=True):
            assert (mine.id, mine.gene_id, mine.exons, mine.cds, mine.biotype, mine.tags) == (
                its.id, its.gene_id, its.exons, its.cds, its.biotype, its.tags,
            )  # fmt: skip


def row(kind: str, start: int, end: int, attributes: str, strand: str = "+", chrom: str = "chr1") -> str:
    return f"{chrom}\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t.\t{attributes}\n"


NCBI = (
    row("region", 1, 1000, "ID=c:1..1000")
    + row("gene", 11, 90, "ID=gene-A;Dbxref=GeneID:1,HGNC:2;Name=A;gene=A;gene_biotype=protein_coding")
    + row("mRNA", 11, 90, "ID=rna-NM_1.2;Parent=gene-A;Name=NM_1.2;gene=A;transcript_id=NM_1.2;tag=MANE Select")
    + row("mRNA", 21, 90, "ID=rna-NM_2.1;Parent=gene-A;Name=NM_2.1;gene=A;transcript_id=NM_2.1")
    + row("exon", 11, 30, "ID=e1;Parent=rna-NM_1.2")
    + row("exon", 61, 90, "ID=e2;Parent=rna-NM_1.2,rna-NM_2.1")
    + "###\n# a comment\n"
    + row("gene", 200, 300, "ID=gene-T;Name=T;gene_biotype=tRNA", "-")
    + row("exon", 200, 300, "ID=e3;Parent=gene-T", "-")
    + row("gene", 400, 500, "ID=gene-M;Name=M", "-")
    + row("primary_transcript", 400, 500, "ID=rna-P;Parent=gene-M", "-")
    + row("miRNA", 410, 430, "ID=rna-m;Parent=rna-P", "-")
    + row("exon", 410, 430, "Parent=rna-m", "-")
    + row("transcript", 600, 700, "ID=S.1;geneID=S")
    + row("exon", 600, 700, "Parent=S.1")
    + row("exon", 800, 900, "Parent=lost")
    + row("pseudogene", 950, 960, "ID=gene-Q")
)


def test_gff3_of_other_houses(tmp_path: Path) -> None:
    genes = {gene.id: gene for gene in read_genes(write(tmp_path, NCBI, "x.gff"))}
    assert list(genes) == ["A", "T", "M", "S", "lost", "Q"]
    told = {g: {t.id: t.exons for t in gene.transcripts} for g, gene in genes.items()}
    assert told == {
        "A": {"NM_1.2": ((10, 30), (60, 90)), "NM_2.1": ((60, 90),)},
        "T": {"T": ((199, 300),)},
        "M": {"P": ((399, 500),), "m": ((409, 430),)},
        "S": {"S.1": ((599, 700),)},
        "lost": {"lost": ((799, 900),)},
        "Q": {},
    }
    assert genes["A"].attributes["Dbxref"] == ("GeneID:1", "HGNC:2")
    assert (genes["A"].name, genes["A"].biotype, genes["T"].tss) == ("A", "protein_coding", 299)
    shared = [feature for role, feature in Chains(tmp_path / "x.gff").features() if role == "exon"][1]
    assert shared.attributes["transcript_id"] == ("NM_1.2", "NM_2.1") and shared.get("gene_name") == "A"
    with pytest.raises(InputError, match="line 2: its Parents form a circle"):
        read_genes(write(tmp_path, NCBI.replace("ID=gene-A;", "ID=gene-A;Parent=rna-NM_1.2;"), "y.gff"))


def test_attributes(tmp_path: Path) -> None:
    text = row("gene", 1, 9, 'gene_id "G;1"; tag "a"; level 2;  note "x; y="; tag "b c" ; empty "";')
    feature = next(read_features(write(tmp_path, text, "x.gtf")))
    assert feature == Feature(
        "chr1", 0, 9, "+", "gene",
        {"gene_id": ("G;1",), "tag": ("a", "b c"), "level": ("2",), "note": ("x; y=",), "empty": ("",)}, 1,
    )  # fmt: skip
    assert (feature.get("tag"), feature.get("empty"), feature.get("absent")) == ("a", "", "")
    assert list(read_features(tmp_path / "x.gtf", types=("exon",))) == []


def test_one_identifier_on_two_contigs_is_two_genes(tmp_path: Path) -> None:
    text = row("exon", 1, 9, 'gene_id "G"; transcript_id "T";') + row("exon", 5, 9, 'gene_id "G";', chrom="chrY")
    first, second = read_genes(write(tmp_path, text, "x.gtf"))
    assert (first.id, first.chrom, second.id, second.chrom) == ("G", "chr1", "G", "chrY")
    assert [t.id for t in (*first.transcripts, *second.transcripts)] == ["T", "G"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t1\t5\tname\n", "line 1: 4 columns, a GTF or GFF3 row has 9, separated by tabs"),
        (row("exon", 0, 5, 'gene_id "G";'), "line 1: start 0, but starts count from 1 here; is the file 0-based"),
        (row("exon", 6, 5, 'gene_id "G";'), "line 1: end 5 is below start 6"),
        (row("exon", -6, 5, 'gene_id "G";'), "line 1: negative start -6"),
        ("#\n" + row("exon", 1, 2**41, 'gene_id "G";'), "line 2: end 2199023255552 is beyond"),
        (row("exon", 1, 5, 'gene_id "G'), "line 1: cannot read the attributes from 'gene_id"),
        (row("exon", 1, 5, 'gene_id "G"; tag'), "line 1: cannot read the attributes from 'tag'"),
        (row("exon", 1, 5, 'gene_id "G" tag "x";'), "line 1: cannot read the attributes"),
        (row("exon", 1, 5, "ID=a;b"), "line 1: the attribute 'b' is not key=value"),
        (row("exon", 1, 5, 'gene_id "G";', "x"), "line 1: strand must be"),
        (row("exon", 1, 5, 'gene_id "G";', chrom="chr 1"), "line 1: 'chr 1' is not a contig name"),
        (row("", 1, 5, 'gene_id "G";'), "line 1: the feature type"),
        (row("exon", 1, 5, 'transcript_id "T";'), "line 1: the exon has no gene_id"),
        (row("exon", 1, 5, "."), "line 1: the exon has no gene_id"),
        (row("exon", 1, 5, 'gene_id "";'), "line 1: the exon has no gene_id"),
        ("# nothing\n", "no features in"),
    ],
)
def test_faults(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text, "x.gtf")
    with pytest.raises(InputError, match=message) as caught:
        read_genes(path)
    assert str(path) in str(caught.value)


GTF = (
    row("gene", 11, 100, 'gene_id "ENSG01.2"; gene_name "A"; gene_type "protein_coding";', "-")
    + row("transcript", 11, 100, 'gene_id "ENSG01.2"; transcript_id "ENST1.1"; gene_name "A"; gene_type '
          '"protein_coding"; transcript_type "protein_coding"; tag "basic"; tag "CCDS";', "-")
    + row("exon", 71, 100, 'gene_id "ENSG01.2"; transcript_id "ENST1.1"; exon_number 1;', "-")
    + row("exon", 11, 30, 'gene_id "ENSG01.2"; transcript_id "ENST1.1"; exon_number 2;', "-")
    + row("CDS", 21, 30, 'gene_id "ENSG01.2"; transcript_id "ENST1.1";', "-")
    + row("transcript", 51, 100, 'gene_id "ENSG01.2"; transcript_id "ENST2.1"; gene_type "protein_coding"; '
          'transcript_type "retained_intron"; tag "basic";', "-")
    + row("exon", 51, 100, 'gene_id "ENSG01.2"; transcript_id "ENST2.1";', "-")
    + row("gene", 201, 300, 'gene_id "ENSG02.1"; gene_name "B"; gene_type "lncRNA";')
    + row("exon", 201, 300, 'gene_id "ENSG02.1"; transcript_id "ENST3.1"; gene_type "lncRNA"; tag "basic";')
)  # fmt: skip


def regions(path: Path, select: dict[str, str] | None = None, **options: Any) -> list[tuple[Any, ...]]:
    selection = Selection([(key, value.split(",")) for key, value in select.items()]) if select else None
    form = options.pop("format", "gtf")
    return [(r.name, r.start, r.end, r.strand) for r in read_regions(path, Reading(form, **options), selection)]


def test_features_become_regions(tmp_path: Path) -> None:
    path = write(tmp_path, GTF, "x.gtf")
    assert regions(path) == [("ENSG01.2", 10, 100, "-"), ("ENSG02.1", 200, 300, "+")]
    assert regions(path, name_by="gene_name") == [("A", 10, 100, "-"), ("B", 200, 300, "+")]
    assert regions(path, feature="transcript") == [("ENST1.1", 10, 100, "-"), ("ENST2.1", 50, 100, "-")]
    assert regions(path, feature="transcript", name_by="gene_id")[1] == ("ENSG01.2", 50, 100, "-")
    assert regions(path, feature="transcript", name_by="absent")[1] == ("ENST2.1", 50, 100, "-")
    assert regions(path, feature="CDS") == [("chr1:20-30", 20, 30, "-")]
    assert len(regions(path, feature="exon")) == 4
    with pytest.raises(InputError, match=r"no 'UTR' rows in .*; it has gene, transcript, exon, CDS"):
        regions(path, feature="UTR")
    only = write(tmp_path, "".join(line for line in GTF.splitlines(True) if "\texon\t" in line), "only.gtf")
    assert regions(only) == [("ENSG01.2", 10, 100, "-"), ("ENSG02.1", 200, 300, "+")]
    assert [r[0] for r in regions(only, feature="transcript")] == ["ENST1.1", "ENST2.1", "ENST3.1"]


def test_spliced_transcripts(tmp_path: Path) -> None:
    found = list(read_regions(write(tmp_path, GTF, "x.gtf"), Reading("gtf", feature="transcript", spliced=True)))
    assert found == [
        Region("chr1", 10, 100, "ENST1.1", "-", blocks=((10, 30), (70, 100))),
        Region("chr1", 50, 100, "ENST2.1", "-", blocks=((50, 100),)),
        Region("chr1", 200, 300, "ENST3.1", "+", blocks=((200, 300),)),
    ]
    coding = list(read_regions(tmp_path / "x.gtf", Reading("gtf", feature="CDS", spliced=True)))
    assert coding == [Region("chr1", 20, 30, "ENST1.1", "-", blocks=((20, 30),))]
    overlapping = GTF.replace("\texon\t71\t", "\texon\t21\t")
    with pytest.raises(InputError, match=r"line 2: ENST1\.1 has exons that overlap each other"):
        list(read_regions(write(tmp_path, overlapping, "y.gtf"), Reading("gtf", feature="transcript", spliced=True)))
    unstranded = write(tmp_path, GTF.replace("\t-\t", "\t.\t"), "z.gtf")
    with pytest.raises(InputError, match=r"line 2: ENST1\.1 has no strand"):
        list(read_regions(unstranded, Reading("gtf", feature="transcript", spliced=True)))


@pytest.mark.parametrize(
    ("feature", "select", "names"),
    [
        ("gene", {"name": "B"}, ["ENSG02.1"]),
        ("gene", {"id": "ENSG01"}, ["ENSG01.2"]),
        ("gene", {"id": "ENSG01.2,ENSG02"}, ["ENSG01.2", "ENSG02.1"]),
        ("gene", {"id": "ENSG01.9"}, []),
        ("gene", {"gene_id": "ENSG02"}, ["ENSG02.1"]),
        ("gene", {"biotype": "lncRNA"}, ["ENSG02.1"]),
        ("gene", {"gene_type": "lncRNA", "name": "A"}, []),
        ("transcript", {"biotype": "protein_coding"}, ["ENST1.1"]),
        ("transcript", {"gene_type": "protein_coding"}, ["ENST1.1", "ENST2.1"]),
        ("transcript", {"tag": "CCDS"}, ["ENST1.1"]),
        ("transcript", {"tag": "CCDS,basic"}, ["ENST1.1", "ENST2.1"]),
        ("transcript", {"id": "ENST2"}, ["ENST2.1"]),
        ("exon", {"exon_number": "2"}, ["chr1:10-30"]),
        ("exon", {"type": "CDS"}, []),
    ],
)
def test_selection(tmp_path: Path, feature: str, select: dict[str, str], names: list[str]) -> None:
    assert [r[0] for r in regions(write(tmp_path, GTF, "x.gtf"), select, feature=feature)] == names


def test_gff3_regions(tmp_path: Path) -> None:
    path = write(tmp_path, NCBI, "x.gff3")
    assert [r[0] for r in regions(path, format="gff3")] == ["A", "T", "M", "S", "lost", "Q"]
    assert [r[0] for r in regions(path, {"name": "A"}, format="gff3", feature="mRNA")] == ["NM_1.2", "NM_2.1"]
    assert [r[0] for r in regions(path, {"id": "NM_1"}, feature="transcript")] == ["NM_1.2"]
    assert regions(path, {"tag": "MANE Select"}, feature="exon", name_by="gene_name") == [
        ("A", 10, 30, "+"), ("A", 60, 90, "+"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.bed", "bed"), ("a.BED.gz", "bed"), ("a.bed6", "bed"), ("a.narrowPeak.gz", "narrowPeak"),
        ("a.broadPeak", "broadPeak"), ("a.gtf.bgz", "gtf"), ("a.gff", "gff3"), ("a.gff3.gz", "gff3"), ("a.csv", "csv"),
        ("a.b.tsv.gz", "csv"), ("a.txt", "csv"),
    ],
)  # fmt: skip
def test_formats(name: str, wanted: Format) -> None:
    assert format_of(Path(name)) == wanted


_KEYS = st.sampled_from(["gene_id", "transcript_id", "tag", "gene_name"])
_VALUES = st.sampled_from(["G", "T.1", "a;b", "", "x y", "naïve", "k=v", "#", "a,b"])


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["gene", "transcript", "exon", "CDS", "UTR"]),
            st.integers(1, 50),
            st.integers(0, 50),
            st.lists(st.tuples(_KEYS, _VALUES), max_size=5),
            st.sampled_from("+-."),
            st.sampled_from(["", "# c", '#\tgene_id "x"', "   "]),
        ),
        max_size=5,
    ),
    end=ENDS,
)
def test_any_gtf_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Any], end: str) -> None:
    lines, wanted = [], []
    for kind, start, size, attributes, strand, noise in rows:
        lines += [noise, row(kind, start, start + size, "; ".join(f'{k} "{v}"' for k, v in attributes), strand)[:-1]]
        told: dict[str, tuple[str, ...]] = {}
        for key, value in attributes:
            told[key] = (*told.get(key, ()), value)
        wanted.append(Feature("chr1", start - 1, start + size, strand, kind, told, len(lines)))
    path = write(tmp_path_factory.mktemp("gtf"), end.join(lines), "x.gtf")
    found = outcome(lambda: read_features(path))  # type: ignore[arg-type]
    assert found == wanted if wanted else isinstance(found, str)


_ODD = st.tuples(
    st.sampled_from(["chr1", "", "chrα"]), st.sampled_from(["exon", "gene", ""]), NUMBERS, NUMBERS,
    st.sampled_from(["+", "-", ".", "?", "x"]),
    st.one_of(st.sampled_from(["", ".", 'gene_id "G"', "ID=a;Parent=a", "ID=a;Parent=b", "ID=b;Parent=a", "Parent=c"]),
              st.text("abID=;\"' ,%.", max_size=12)),
)  # fmt: skip


@given(rows=st.lists(_ODD, max_size=4))
def test_odd_rows_have_an_answer_with_their_line(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    text = "".join(row(k, a, b, t, s, c) for c, k, a, b, s, t in rows)
    path = write(tmp_path_factory.mktemp("gtf"), text, "x.gff")
    found = outcome(lambda: read_genes(path))  # type: ignore[arg-type]
    if isinstance(found, str):
        assert re.search(rf"{re.escape(str(path))}: line [1-4]: ", found) or found.startswith("no features in ")
    else:
        assert all(isinstance(gene, Gene) and gene.id and 0 <= gene.start < gene.end for gene in found)


@given(data=st.binary(max_size=60))
def test_any_bytes_have_an_answer(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = write(tmp_path_factory.mktemp("gtf"), GTF.encode() + data, "x.gtf")
    found = outcome(lambda: read_genes(path))  # type: ignore[arg-type]
    assert isinstance(found, list) or str(path) in found


def test_merged_exons_may_stay_apart_where_they_touch(tmp_path: Path) -> None:
    text = row("exon", 1, 5, 'gene_id "G";') + row("exon", 6, 9, 'gene_id "G";')
    gene = read_genes(write(tmp_path, text, "x.gtf"))[0]
    assert (gene.merged_exons(), gene.merged_exons(touching=False)) == (((0, 9),), ((0, 5), (5, 9)))
    assert list(merged(gene.exons)) == [(0, 9)]
