"""Rows of gene statistics: which exon, junction or site is taken, where it lies, and why a gene is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from attribution.gene_world import GENES, GEOMETRY, gtf_text, rows_of, splice

from drg_hpc.attribution.gene_exons import all_exons, exon_ids, own_transcript, parse_exon
from drg_hpc.attribution.gene_features import GeneSettings
from drg_hpc.attribution.gene_windows import Geometry
from drg_hpc.attribution.genes import GeneRow, notes_on, refuse_faulty, table_digest
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.gtf import Gene, read_genes


def genes(tmp_path: Path) -> dict[str, Gene]:
    path = tmp_path / "g.gtf"
    path.write_text(gtf_text())
    return {gene.name: gene for gene in read_genes(path)}


def test_expression_is_of_the_union_of_exons(tmp_path: Path) -> None:
    plus, minus = rows_of(tmp_path, GeneSettings("expression"))
    assert plus.numerator == ((700, 760), (820, 850), (930, 1001)) and plus.denominator == ()
    assert (plus.gene_id, plus.gene_name, plus.strand, plus.kept) == ("G1.1", "g1", "+", True)
    positions = [p for start, end in plus.numerator for p in range(start, end)]
    assert plus.start == sum(positions) // len(positions) - 256 and plus.end - plus.start == 512
    inside = [p for p in positions if plus.start + 64 <= p < plus.end - 64]
    assert plus.covered == len(inside) / len(positions) and sum(plus.weights(GEOMETRY)[0].values()) * 16 == len(inside)
    back = [p for start, end in minus.numerator for p in range(start, end)]
    assert minus.start == -(-sum(back) // len(back)) + 1 + 256 - 512 and minus.strand == "-"
    (span,) = rows_of(tmp_path, GeneSettings("expression", span=True), genes=["G1"])
    assert span.numerator == ((700, 1001),) and span.choice == "span c:700-1001"


@pytest.mark.parametrize(("centre", "at"), [("tss", 1489), ("gene", 1345), ("feature", 1331)])
def test_centres(tmp_path: Path, centre: str, at: int) -> None:
    """A gene on -: half of the window lies before the base along its strand. 1331 is the middle of its second exon."""
    settings = replace(splice("2"), centre=centre)  # type: ignore[arg-type]
    (row,) = rows_of(tmp_path, settings, genes=["G2"])
    middle = {"tss": 1489, "gene": (1200 + 1489 + 1) // 2, "feature": (1300 + 1362) // 2}[centre]
    assert middle == at and row.end - 256 == at + 1


@pytest.mark.parametrize(
    ("exon", "gene", "wanted"),
    [
        ("1", "G1", (700, 760)),
        ("2", "G1", (820, 850)),
        ("T2.2:2", "G1", (930, 990)),
        ("E820_850", "G1", (820, 850)),
        ("c:820-850", "G1", (820, 850)),
        ("c:790-800", "G1", (790, 800)),
        ("1", "G2", (1450, 1490)),
        ("3", "G2", (1200, 1237)),
        ("E1300_1363", "G2", (1300, 1363)),
    ],
)
def test_a_chosen_exon_against_its_introns(tmp_path: Path, exon: str, gene: str, wanted: tuple[int, int]) -> None:
    (row,) = rows_of(tmp_path, splice(exon), genes=[gene])
    assert row.numerator == (wanted,)
    transcript = "T2" if wanted == (930, 990) else {"G1": "T1", "G2": "T3"}[gene]
    exons = sorted(GENES[gene][1][transcript])
    left = max((end for _, end in exons if end <= wanted[0]), default=None)
    right = min((start for start, _ in exons if start >= wanted[1]), default=None)
    introns = [(left, wanted[0])] * (left is not None) + [(wanted[1], right)] * (right is not None)
    assert row.denominator == tuple(introns)
    assert f"c:{wanted[0]}-{wanted[1]}" in row.choice and transcript in row.choice


def test_junctions_are_bounded_by_exon_and_intron(tmp_path: Path) -> None:
    (donor,) = rows_of(tmp_path, splice("2", junction="donor"), genes=["G1"])
    assert donor.numerator == ((820, 850),) and donor.denominator == ((850, 930),)  # exon of 30, intron of 80 bases
    assert donor.choice == "donor of exon c:820-850, number 2 of T1.2"
    (acceptor,) = rows_of(tmp_path, splice("2", junction="acceptor"), genes=["G2"])
    assert acceptor.numerator == ((1300, 1363),) and acceptor.denominator == ((1363, 1450),)
    (both,) = rows_of(tmp_path, splice("1", junction="both"), genes=["G1"])
    assert both.choice.startswith("donor of ") and both.denominator == ((760, 820),)
    narrow = replace(splice("2", junction="both"), around=(20, 10))
    (row,) = rows_of(tmp_path, narrow, genes=["G2"])
    assert row.numerator == ((1300, 1320), (1343, 1363)) and row.denominator == ((1290, 1300), (1363, 1373))


def test_all_and_random_exons(tmp_path: Path) -> None:
    every = rows_of(tmp_path, splice("all"))
    assert [row.numerator[0] for row in every[:3]] == [(700, 760), (820, 850), (930, 1001)]  # MANE Select, not T2
    assert [row.numerator[0] for row in every[3:]] == [(1450, 1490), (1300, 1363), (1200, 1237)]  # from the 5' end
    assert len(rows_of(tmp_path, splice("all", junction="acceptor"))) == 4
    drawn: dict[int, list[GeneRow]] = {seed: rows_of(tmp_path, splice(f"random:{seed}")) for seed in range(12)}
    for seed, found in drawn.items():
        assert [row.gene_id for row in found] == ["G1.1", "G2.1"]
        assert found[1:] == rows_of(tmp_path, splice(f"random:{seed}"), genes=["G2"])  # whatever other genes there are
        assert found == rows_of(tmp_path, splice(f"random:{seed}"))
    assert len({found[0].choice for found in drawn.values()}) == 3
    small = Geometry(96, 16, 8, 8)  # only some exons are inside
    for seed in range(6):
        (row,) = rows_of(tmp_path, splice(f"random:{seed}"), geometry=small, genes=["G2"])
        assert row.kept and row.numerator == ((1300, 1363),)


def test_a_choice_of_several(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, splice("E820_850,E1300_1363,c:1200-1237"))
    assert [(row.gene_id, row.numerator[0]) for row in rows] == [
        ("G1.1", (820, 850)), ("G2.1", (1200, 1237)), ("G2.1", (1300, 1363)),
    ]  # fmt: skip


def test_polya_sites(tmp_path: Path) -> None:
    """The gene's own site: of the file by its symbol, not a neighbour's; else the transcript end."""
    settings = GeneSettings("polya")
    plus, minus = rows_of(tmp_path, settings)
    assert plus.numerator == ((873, 1001),) and plus.denominator == ((1001, 1161),)
    assert minus.numerator == ((1200, 1328),) and minus.denominator == ((1040, 1200),)
    assert (plus.choice, minus.choice) == ("end of T1.2", "end of T3.2")
    (proximal,) = rows_of(tmp_path, replace(settings, site="proximal"), genes=["G1"])
    assert proximal.numerator == ((862, 990),)
    table = tmp_path / "sites.tsv"
    lines = ["gene\tchrom\tstrand\tposition_hg38\tpas_id\tsite_type\tsite_num"]
    for name, place, number in [("g1", 985, 1), ("g1", 960, 0), ("zz", 1020, 9), ("g2", 1204, 4), ("g2", 1231, 3)]:
        strand = "-" if name == "g2" else "+"
        lines.append(f"{name}\tc\t{strand}\t{place}\tp{place}\t3' most exon\t{number}")
    table.write_text("\n".join(lines) + "\n")
    plus, minus = rows_of(tmp_path, settings, sites=table)
    assert plus.choice == "site p985" and plus.numerator == ((985 - 128, 985),)  # numbered from 1: base 984 is the last
    assert minus.choice == "site p1204" and minus.numerator == ((1203, 1203 + 128),)
    (named,) = rows_of(tmp_path, replace(settings, site="p960"), sites=table, genes=["G1"])
    assert named.denominator == ((960, 1120),)
    (none,) = rows_of(tmp_path, settings, sites=table, genes=["G3"])
    assert not none.kept and none.reason == "no polyA site of g3 in its file"


def test_genes_without_their_feature_are_left_out_with_the_reason(tmp_path: Path) -> None:
    reasons = {
        "a single exon, no junction": splice("all"),
        "exon 1 has no intron": splice("1"),
        "no exon 4 in it": splice("4"),
        "exon 1 has no donor": splice("1", junction="donor"),
    }
    for words, settings in reasons.items():
        (row,) = rows_of(tmp_path, settings, genes=["G3"])
        assert not row.kept and row.reason.startswith(words) and row.bins == 0
    (outside,) = rows_of(tmp_path, splice("3"), geometry=Geometry(96, 16, 8, 8), genes=["G2"])
    assert not outside.kept and outside.reason.endswith("outside the bins of its window") and outside.covered == 0
    with pytest.raises(InputError, match=r"gene g2: .*outside the bins of its window; 1 of 1 rows"):
        refuse_faulty([outside])
    assert any("not kept: gene g2" in note for note in notes_on([outside]))
    rows = rows_of(tmp_path, GeneSettings("expression"), geometry=Geometry(96, 16, 8, 8))
    assert all(row.kept and 0 < row.covered < 1 for row in rows)
    with pytest.raises(InputError, match=r"3 exons of 2 transcripts: \d+% of it is inside"):
        refuse_faulty(rows)
    assert any("2 of 2 rows reach beyond the bins" in note for note in notes_on(rows))
    refuse_faulty([replace(rows[0], covered=1.0)])


def test_one_side_outside_is_outside(tmp_path: Path) -> None:
    """A ratio with one side outside would be a ratio with nothing."""
    geometry = Geometry(64, 8, 8, 6)
    settings = replace(splice("1"), centre="tss")
    (row,) = rows_of(tmp_path, replace(settings, centre="feature"), geometry=geometry, genes=["G1"])
    assert not row.kept and "one side of it is outside the bins" in row.reason and row.covered > 0


def test_windows_keep_their_bins_on_the_contig(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, GeneSettings("expression"), genes=["G3"], contig=430)
    assert row.end - GEOMETRY.crop == 430 and row.start == -18  # N at both ends
    (compat,) = rows_of(tmp_path, GeneSettings("expression", compat=True), genes=["G3"], contig=430)
    assert compat.start == 359 - 256


def test_compat_weights_are_whole_bins(tmp_path: Path) -> None:
    for settings in (GeneSettings("expression"), GeneSettings("polya"), splice("2", junction="donor")):
        geometry = Geometry(1024, 64, 16, 56)
        for row in rows_of(tmp_path, replace(settings, compat=True), geometry=geometry):
            weights, against = row.weights(geometry)
            assert weights and set(weights.values()) | set(against.values()) == {1.0}
            if settings.statistic == "polya":
                assert (len(weights), len(against)) == (4, 5)
            if settings.statistic == "splice":
                assert (len(weights), len(against)) == (3, 3)


def test_compat_orientations_are_no_mirror_images_ours_are(tmp_path: Path) -> None:
    """In the original the border between both sides lies a bin further where coverage lies on the left."""
    geometry = Geometry(1024, 64, 16, 56)
    for compat in (False, True):
        for settings in (GeneSettings("polya", compat=compat), splice("2", junction="donor", compat=compat)):
            (row,) = rows_of(tmp_path, settings, genes=["G1"], geometry=geometry)
            (back,) = rows_of(tmp_path, settings, genes=["G1"], geometry=geometry, mirrored=True)
            for side, turned in zip(row.weights(geometry), back.weights(geometry), strict=True):
                assert side and ({55 - number: weight for number, weight in turned.items()} == side) != compat


def test_own_transcript_by_tag_then_length(tmp_path: Path) -> None:
    found = genes(tmp_path)
    assert own_transcript(found["g1"]).id == "T1.2"
    path = tmp_path / "untagged.gtf"
    path.write_text(gtf_text().replace(' tag "MANE_Select";', "").replace("T1.2", "T9.2"))
    gene = read_genes(path)[0]
    assert own_transcript(gene).id == "T9.2"
    assert [exon.number for exon in all_exons(found["g2"])] == [1, 2, 3]
    assert all_exons(found["g2"])[0].introns == (None, (1363, 1450))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("random", "a seed is needed"), ("random:x", "a seed is needed"), ("1,all", "cannot stand in a list"),
        ("", "cannot stand"), ("c:9-9", "the end is not above"),
    ],
)  # fmt: skip
def test_faulty_exons(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_exon(text)


def test_unknown_exon_ids_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.gtf"
    path.write_text(gtf_text())
    with pytest.raises(UsageError, match="no exon 'E1' in "):
        exon_ids(path, ["E820_850", "E1"])


def test_the_digest_sees_every_field(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, splice("all"))
    assert table_digest(rows) == table_digest(list(rows))
    changes = {
        "start": 0,
        "kept": False,
        "reason": "x",
        "numerator": (),
        "choice": "",
        "gene_name": "y",
        "covered": 0.5,
    }
    for name, value in changes.items():
        changed = [replace(rows[0], **{name: value}), *rows[1:]]  # type: ignore[arg-type]
        assert table_digest(changed) != table_digest(rows)
