from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drg_hpc.attribution.gene_windows import Geometry
from drg_hpc.bodies.gene_places import (
    GeneMap,
    GenePlace,
    allele_weights,
    count_pairs,
    make_places,
    moved_weights,
    output_start,
)
from drg_hpc.errors import InputError
from drg_hpc.experiments.variant_scores import aligned
from drg_hpc.genome.gtf import Gene, Transcript
from drg_hpc.genome.vcf import Variant


def place(number: int, *parts: tuple[int, int], strand: str = "+", chrom: str = "c") -> GenePlace:
    start, end = parts[0][0], parts[-1][1]
    return GenePlace(number, f"g{number}", "", chrom, start, end, strand, end - 1 if strand == "-" else start, parts)


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(0.1, 1.0)), min_size=1, max_size=12),
    st.integers(-1, 12), st.integers(-14, 14),
)  # fmt: skip
def test_moved_weights_give_the_sums_of_moved_profiles(shares: list[float], at: int, moved: int) -> None:
    count = len(shares)
    at = min(at, count)
    rng = np.random.default_rng(count)
    ref, alt = rng.random((2, 3, count))
    weights = {number: share for number, share in enumerate(shares) if share}
    found = moved_weights(weights, at=at, moved=moved, count=count)
    turned, both = aligned(alt, at=at, moved=moved)
    for profile, expected, own in ((ref, ref, found[0]), (alt, turned, found[1])):
        sums = sum((profile[:, number] * weight for number, weight in own.items()), np.zeros(3))
        np.testing.assert_allclose(sums, (expected * both) @ np.array(shares), atol=1e-12)
    assert set(found[1]) <= set(range(count))


def test_weights_are_shares_of_bins() -> None:
    gene, geometry = place(0, (103, 112), (125, 127)), Geometry(40, 4, 8, 4)
    # bins are of 94-102, 102-110, 110-118 and 118-126
    plain = {1: 7 / 8, 2: 2 / 8, 3: 1 / 8}
    assert allele_weights(gene, 90, geometry, at=1, moved=0) == (plain, plain)
    assert allele_weights(gene, 90, geometry, at=1, moved=1) == ({1: 7 / 8, 2: 2 / 8}, {1: 7 / 8, 2: 7 / 8, 3: 2 / 8})
    assert allele_weights(gene, 90, geometry, at=1, moved=-1) == (plain, {1: 7 / 8, 2: 1 / 8})


INTERVAL = st.tuples(st.integers(0, 60), st.integers(1, 15)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(st.tuples(st.sampled_from("cd"), st.lists(INTERVAL, min_size=1, max_size=3)), max_size=8), INTERVAL)
def test_the_map_finds_what_looking_at_all_finds(
    genes: list[tuple[str, list[tuple[int, int]]]], interval: tuple[int, int]
) -> None:
    places = []
    for number, (chrom, intervals) in enumerate(genes):
        bases = sorted({base for start, end in intervals for base in range(start, end)})
        edges = [i for i in range(len(bases)) if i == 0 or bases[i] != bases[i - 1] + 1]
        parts = [(bases[i], bases[j - 1] + 1) for i, j in zip(edges, [*edges[1:], len(bases)], strict=True)]
        places.append(place(number, *parts, chrom=chrom))
    found = GeneMap(places).touching("c", interval)
    inside = set(range(*interval))
    bases_of = {p.number: {base for part in p.parts for base in range(*part)} for p in places}
    assert [p.number for p in found] == [
        p.number for p in places if p.chrom == "c" and inside & bases_of[p.number]
    ]  # fmt: skip
    geometry = Geometry(interval[1] - interval[0] + 4, 2, interval[1] - interval[0], 1)
    alleles = [Variant(chrom, start, "v", "A", "C", 1) for start in (5, 30, 61) for chrom in "cdx"]
    near = GeneMap(places)
    each = [near.touching(v.chrom, (first := output_start(v, geometry), first + geometry.size)) for v in alleles]
    counts = count_pairs(places, alleles, geometry)
    assert counts.pairs == sum(map(len, each)) and counts.alone == sum(not some for some in each)
    assert counts.genes == [p for p in places if any(p in some for some in each)]
    for p in found:
        assert p.covered(*interval) == pytest.approx(len(inside & bases_of[p.number]) / len(bases_of[p.number]))
    assert GeneMap(places).touching("x", interval) == []


def test_distances_run_along_the_strand() -> None:
    plus, minus = place(0, (100, 200)), place(1, (100, 200), strand="-")
    assert [plus.distance(base) for base in (90, 100, 150)] == [-10, 0, 50]
    assert [minus.distance(base) for base in (90, 199, 205)] == [109, 0, -6]


def test_genes_of_a_file() -> None:
    def gene(name: str, chrom: str, *exons: tuple[int, int]) -> Gene:
        ends = exons[0][0], exons[-1][1]
        transcripts = [
            Transcript(f"{name}{i}", "", "", name, chrom, *ends, "-", (exon,), (), {}, 1)
            for i, exon in enumerate(exons)
        ]
        return Gene(name, name, "", chrom, *ends, "-", tuple(transcripts), {}, 1)

    genes = [gene("a", "1", (5, 10), (8, 20), (30, 40)), gene("b", "7", (1, 2))]
    places = make_places(genes, span=False, contigs={"chr1": 99}, source="x.gtf")
    (found,) = places.genes
    assert (found.chrom, found.parts, found.tss, found.number) == ("chr1", ((5, 20), (30, 40)), 39, 0)
    assert make_places(genes, span=True, contigs={"chr1": 99}, source="x.gtf").genes[0].parts == ((5, 40),)
    assert places.left_out == {"the genome lacks their contig": ["b"]}
    with pytest.raises(InputError, match=r"x\.gtf: gene a ends beyond chr1, which has 39 bases"):
        make_places(genes, span=False, contigs={"chr1": 39}, source="x.gtf")
    with pytest.raises(InputError, match="shares no contig with the genome"):
        make_places(genes, span=True, contigs={"chrX": 99}, source="x.gtf")
