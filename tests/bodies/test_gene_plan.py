"""The gene half of a plan: flags, genes, values and transforms settled, and the same rows in a worker."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bodies.gene_models import CONTIGS, GENES, GTF, header
from stores import TINY, shard
from support import EXAMPLES

from drg_hpc.bodies.gene_options import GeneOptions, uses_genes
from drg_hpc.bodies.gene_plan import GenePlan, plan_genes
from drg_hpc.bodies.gene_rows import GeneRows
from drg_hpc.digests import describe_input
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.genome.fasta import read_records
from drg_hpc.genome.onehot import encode
from drg_hpc.runs.plan import Plan, write_plan
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards
from drg_hpc.store.header import describe_store


def planned(model: dict[str, Any] | None = None, tracks: tuple[int, ...] = (0, 1, 2), **options: Any) -> GenePlan:
    return plan_genes(GeneOptions(gtf=GTF, **options), model or header(), contigs=CONTIGS, tracks=tracks)


def limited(
    limit: int | None, *, shifts: tuple[int, ...] = (), tracks: tuple[int, ...] = (0, 1, 2), **options: Any
) -> GenePlan:
    given = GeneOptions(gtf=GTF, **options)
    return plan_genes(given, header(), contigs=CONTIGS, tracks=tracks, limit=limit, shifts=shifts)


def names(plan: GenePlan) -> list[str]:
    return [row.gene_name for row in plan.rows]


def test_the_hand_made_genes_are_what_their_page_says() -> None:
    plan = planned()
    assert names(plan) == ["TINYA", "TINYB", "TINYC", "TINYD", "TINYE"]
    assert [(row.chrom, row.strand) for row in plan.rows] == [
        ("w01", "+"), ("w00", "-"), ("w02", "+"), ("w03", "-"), ("w03", "+"),
    ]  # fmt: skip
    assert all(row.kept and row.covered == 1.0 for row in plan.rows)
    assert plan.rows[4].start == -1024  # the first bin begins with the contig
    assert plan.names == ("expression",) and plan.files == {"gtf": GTF}
    assert json.loads(json.dumps(plan.params)) == plan.params  # plain JSON


def test_genes_by_name_id_and_file_in_the_order_asked_for(tmp_path: Path) -> None:
    assert names(planned(genes="TINYC,TINYG00000000001.2")) == ["TINYC", "TINYA"]
    listed = tmp_path / "genes.txt"
    listed.write_text("# chosen\nTINYG00000000002.1\n\nTINYE\n")
    plan = planned(genes=str(listed))
    assert names(plan) == ["TINYB", "TINYE"] and plan.files["gene_list"] == listed and plan.params["genes"] is None
    with pytest.raises(UsageError, match=r"no gene 'TINYAA' in .*; did you mean 'TINYA'"):
        planned(genes="TINYAA")
    assert names(planned(transcripts=["tag=MANE_Select,Ensembl_canonical"])) == ["TINYA", "TINYB"]
    with pytest.raises(InputError, match=r"no genes in .* with a transcript that passes"):
        planned(transcripts=["tag=none"])


def test_real_genes_by_id_with_and_without_version() -> None:
    """HBE1, on -: its window lies around its exons, and exons count from the 5' end."""
    gtf, contigs = EXAMPLES / "genes" / "HBE1_example.gtf", {"11": 135_086_622}
    found = []
    for gene, exon in [
        ("ENSG00000213931", "ENSE00001057367"),
        ("ENSG00000213931.7", "ENSE00001057367.1"),
        ("HBE1", "2"),
    ]:
        options = GeneOptions(gtf=gtf, genes=gene, statistic="splice", exon=exon, junction="donor")
        found += plan_genes(options, header(length=524_288, bins=6144), contigs=contigs, tracks=(1,)).rows
    assert found[0] == found[1] == found[2] and found[0].chrom == "11" and found[0].covered == 1.0
    assert found[0].numerator == ((5_269_453, 5_269_453 + 96),)  # the donor of a gene on - is its exon's left end
    assert found[0].denominator == ((5_269_453 - 96, 5_269_453),)


def test_splice_and_polya_rows() -> None:
    plan = planned(statistic="splice", exon="2")
    assert [row.kept for row in plan.rows] == [True, True, True, False, True]
    assert [row.numerator for row in plan.rows[:3]] == [((73400, 73520),), ((73100, 73260),), ((81400, 81500),)]
    assert any("TINYD: no exon 2 in it" in note for note in plan.notes)
    (row,) = planned(statistic="splice", exon="TINYX00000000002.1", genes="TINYA").rows
    assert row.choice == "exon w01:73400-73520, number 2 of TINYT00000000001.3"
    sites = GENES / "polya_sites.tsv"
    plan = planned(statistic="polya", polya_sites=sites, genes="TINYA,TINYB,TINYD")
    assert [row.choice for row in plan.rows] == ["site w01:75296:+", "site w00:71806:-", "site w03:84301:-"]
    assert plan.rows[0].numerator == ((75296 - 128, 75296),) and plan.files["polya_sites"] == sites
    assert plan.rows[1].numerator == ((71805, 71805 + 128),)
    (row,) = planned(statistic="polya", genes="TINYC").rows
    assert row.numerator == ((84200 - 128, 84200),) and row.choice == "end of TINYT00000000004.1"


def test_values_and_transforms(tmp_path: Path) -> None:
    table = TINY / "targets.tsv"
    plan = planned(targets=table)
    assert plan.params["order"] == "new" and plan.files["targets"] == table
    assert plan.params["transforms"] == [[0, 1.0, 1.0, 65504.0], [1, 1.0, 1.0, 65504.0], [2, 1.0, 1.0, 65504.0]]
    assert plan.params["values"] == [{"name": "expression", "plus": [0, 2], "minus": [1, 2], "both": [0, 1, 2]}]
    plan = planned(tracks=(0, 1), untransform_old=True, track_scale=0.01, track_transform=0.75, clip_soft=384.0)
    assert plan.params["order"] == "old" and plan.params["transforms"] == [[t, 0.01, 0.75, 384.0] for t in (0, 1)]
    assert planned(each_track=True).names == ("CNhs12184", "ENCFF136DBS")
    assert planned(tracks=(0,), genes="TINYA", track_scale=0.5).params["transforms"] == [
        [0, 0.5, 1.0, None], [1, 0.5, 1.0, None],  # its partner's too, for the reverse complement
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"statistic": "splice"}, UsageError, "of which exon"),
        ({"exon": "1"}, UsageError, "--exon belongs to --statistic splice, not to expression"),
        ({"statistic": "polya", "span": True}, UsageError, "--span belongs to --statistic expression"),
        ({"statistic": "splice", "exon": "1", "around": "9,9"}, UsageError, "--around 9,9: only polya and --junction"),
        ({"statistic": "polya", "around": "9"}, UsageError, "--around '9': two numbers"),
        ({"statistic": "polya", "around": "0,5"}, UsageError, "two numbers of bases above 0"),
        ({"statistic": "polya", "site": "x"}, UsageError, "--site x needs --polya-sites"),
        ({"statistic": "splice", "exon": "1", "compat": True}, UsageError, "--compat: Borzoi's scripts compare"),
        ({"compat": True, "centre": "tss"}, UsageError, "--centre with --compat"),
        ({"untransform_old": True}, UsageError, "--untransform-old: what is there to undo"),
        ({"untransform_none": True, "track_scale": 1.0}, UsageError, "--untransform-none with --track-scale"),
        ({"untransform_old": True, "untransform_new": True}, UsageError, "--untransform-old and --untransform-new"),
        ({"statistic": "splice", "exon": "9"}, InputError, "none of the 5 rows .* can be used: no exon 9"),
        ({"statistic": "splice", "exon": "all", "strict": True}, InputError, "gene TINYD: a single exon, no junction"),
        ({"statistic": "splice", "exon": "TINYX9"}, UsageError, "no exon 'TINYX9'"),
    ],
)  # fmt: skip
def test_what_cannot_be(options: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        planned(**options)


def test_what_a_model_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one value per track, gene statistics read its bins"):
        planned(header(bins=0, span=0))
    with pytest.raises(UsageError, match=r"no track for genes on -: CNhs12184\+ is of the other strand"):
        planned(tracks=(0,))
    with pytest.raises(InputError, match="has no row for track 'other'"):
        planned(header(tracks=["other"], strand_partners=[0]), tracks=(0,), targets=TINY / "targets.tsv")
    with pytest.raises(InputError, match="shares no contig with the genome"):
        plan_genes(GeneOptions(gtf=GTF), header(), contigs={"chr1": 10}, tracks=(2,))
    (row,) = planned(header(length=2048, bins=48), genes="TINYA").rows
    assert 0 < row.covered < 1
    with pytest.raises(InputError, match="of it is inside the bins"):
        planned(header(length=2048, bins=48), genes="TINYA", strict=True)


def test_only_the_first_rows_count() -> None:
    """What the rows beyond --limit are like does not matter: strands, kept, strict, and what workers make again."""
    splice = {"statistic": "splice", "exon": "2", "genes": "TINYD,TINYA,TINYB"}
    assert [row.kept for row in limited(2, **splice).rows] == [False, True]
    with pytest.raises(InputError, match=r"none of the 1 rows .* can be used: no exon 2"):
        limited(1, **splice)
    plan = limited(1, tracks=(0,), genes="TINYA,TINYB")
    assert names(plan) == ["TINYA"] and plan.params["rows"] == plan.params["limit"] == 1
    assert plan.notes[0].startswith("expression of 1 rows")
    with pytest.raises(UsageError, match="no track for genes on -"):
        limited(2, tracks=(0,), genes="TINYA,TINYB")
    strict = {"statistic": "splice", "exon": "2", "genes": "TINYA,TINYD", "strict": True}
    assert len(limited(1, **strict).rows) == 1
    with pytest.raises(InputError, match="gene TINYD: no exon 2"):
        limited(2, **strict)
    assert names(limited(None)) == names(limited(99)) == names(planned())


def test_shifts_that_leave_nothing_of_a_gene_are_refused() -> None:
    options = {"statistic": "polya", "genes": "TINYA,TINYD", "centre": "feature"}
    assert limited(None, shifts=(0, 32, -64), **options).rows == planned(**options).rows
    with pytest.raises(UsageError, match=r"--shifts -4000: gene TINYA: .* moved out of the bins"):
        limited(None, shifts=(0, -4000), **options)
    unkept = {"statistic": "splice", "exon": "2", "genes": "TINYA,TINYD"}
    assert len(limited(None, shifts=(3,), **unkept).rows) == 2


def test_flags_of_the_group_need_a_gtf() -> None:
    assert uses_genes(GeneOptions(gtf=GTF)) and not uses_genes(GeneOptions())
    for options in ({"exon": "1"}, {"compat": True}, {"pseudo": 1.0}, {"transcripts": ["tag=basic"]}):
        with pytest.raises(UsageError, match="needs --gtf"):
            uses_genes(GeneOptions(**options))


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shard("genome", tmp_path_factory.mktemp("genome") / "run", fasta=[TINY / "genome.fa.gz"])


def run_of(plan: GenePlan, genome: Path, out: Path) -> Plan:
    inputs = {"genome": describe_store(genome)} | {name: describe_input(path) for name, path in plan.files.items()}
    stages = (Stage("attr", block_shards(len(plan.rows))),)
    spec = RunSpec("attr", {"genes": plan.params}, inputs, stages, threads=1, estimate=Estimate(1, 1, 1))
    return write_plan(spec, out)


def test_rows_of_a_worker(tmp_path: Path, genome: Path) -> None:
    """Sequences of the + strand, N off the contig and where there is no gene; the table says what was chosen."""
    options = {"statistic": "splice", "exon": "2,3"}
    plan = planned(**options)
    source = GeneRows(run_of(plan, genome, tmp_path / "run"))
    assert source.rows == plan.rows and len(plan.rows) == 9
    table = source.regions(0, 9)
    assert table["gene_name"].tolist() == [row.gene_name for row in plan.rows]
    assert table["gene_strand"].tolist() == [row.strand for row in plan.rows] and set(table["strand"]) == {"+"}
    assert table["kept"].tolist().count(False) == 1 and table["name"].is_unique
    assert table["row"].tolist() == list(range(9)) and table["covered"].dtype == np.float64
    bases = {record.name: encode(record.sequence) for record in read_records(TINY / "genome.fa.gz")}
    (onehot,) = source.sequences(1, 9)
    assert onehot.shape == (8, 4, 8192) and onehot.dtype == np.float32
    for row, found in zip(plan.rows[1:], onehot, strict=True):
        wanted = np.zeros((4, 8192))
        for i, position in enumerate(range(row.start, row.end) if row.kept else ()):
            if 0 <= position < 131_072 and (code := bases[row.chrom][position]) < 4:
                wanted[code, i] = 1
        np.testing.assert_array_equal(found, wanted)


def test_a_worker_has_the_rows_of_the_limit(tmp_path: Path, genome: Path) -> None:
    plan = limited(2)
    source = GeneRows(run_of(plan, genome, tmp_path / "run"))
    assert source.rows == plan.rows and len(source.regions(0, 9)) == 2


def test_a_worker_refuses_other_rows(tmp_path: Path, genome: Path) -> None:
    copied = tmp_path / "genes.gtf.gz"
    copied.write_bytes(gzip.compress(GTF.read_bytes()))
    plan = plan_genes(GeneOptions(gtf=copied), header(), contigs=CONTIGS, tracks=(0, 1, 2))
    written = run_of(plan, genome, tmp_path / "run")
    assert GeneRows(written).rows == plan.rows
    copied.write_bytes(gzip.compress(GTF.read_bytes().replace(b"72431\t72720", b"72432\t72720")))
    with pytest.raises(CorruptError, match="5 rows that are not the plan's 5"):
        _ = GeneRows(written).rows
