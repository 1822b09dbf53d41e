from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.folds import deal_contigs, fold_text, names_by_contig
from drg_hpc.genome.regions import Region

# Lengths in Mbp of hg38's chromosomes 1 to 22, X, Y (GRCh38.p14).
HUMAN = dict(
    zip(
        [f"chr{name}" for name in (*range(1, 23), "X", "Y")],
        [
            249,
            242,
            198,
            190,
            182,
            171,
            159,
            145,
            138,
            134,
            135,
            133,
            114,
            107,
            102,
            90,
            83,
            80,
            59,
            64,
            47,
            51,
            156,
            57,
        ],
        strict=True,
    )
)


def deviation(sizes: dict[str, int], sets: dict[str, int], count: int) -> float:
    totals = Counter(dict.fromkeys(range(count), 0))
    for name, number in sets.items():
        totals[number] += sizes[name]
    return sum(abs(total - sum(sizes.values()) / count) for total in totals.values()) / count


def drg_deviation(sizes: dict[str, int], count: int, *, tries: int, seed: int) -> float:
    """The best of DRG's random greedy groupings: a chromosome at random, then as long as it helps the one that brings
    the group closest to an even share. What is left over counts as missing from the last groups."""
    generator, share, best = random.Random(seed), sum(sizes.values()) / count, float("inf")
    for _ in range(tries):
        left = list(sizes.values())
        generator.shuffle(left)
        totals = []
        while left and len(totals) < count:
            total = left.pop()
            while left:
                nearest = min(left, key=lambda size: abs(total + size - share))
                if abs(total + nearest - share) >= abs(total - share):
                    break
                left.remove(nearest)
                total += nearest
            totals.append(total)
        totals += [0] * (count - len(totals))
        best = min(best, sum(abs(total - share) for total in totals) / count)
    return best


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 5, 10])
@pytest.mark.parametrize("kind", ["human", "random", "scaffolds", "skewed"])
def test_at_least_as_even_as_drgs_search(kind: str, count: int) -> None:
    generator = random.Random(7)
    sizes = {
        "human": HUMAN,
        "random": {f"c{i}": generator.randrange(1, 10**5) for i in range(24)},
        "scaffolds": {f"c{i}": int(generator.paretovariate(1.1) * 100) for i in range(80)},
        "skewed": {f"c{i}": int(10**6 / (i + 1) ** 1.3) for i in range(40)},
    }[kind]
    ours = deviation(sizes, deal_contigs(sizes, count, seed=0), count)
    assert ours <= drg_deviation(sizes, count, tries=3000, seed=1) + 1e-9


SIZES = st.lists(st.integers(1, 10**6), min_size=3, max_size=25)


@settings(max_examples=25, deadline=None)
@given(SIZES, st.integers(3, 8), st.integers(0, 5))
def test_every_contig_is_dealt_and_no_set_is_empty(listed: list[int], count: int, seed: int) -> None:
    sizes = {f"c{i}": size for i, size in enumerate(listed)}
    if len(sizes) < count:
        with pytest.raises(UsageError, match="contigs only"):
            deal_contigs(sizes, count, seed=seed)
        return
    sets = deal_contigs(sizes, count, seed=seed)
    assert sets.keys() == sizes.keys()
    assert set(sets.values()) == set(range(count))
    backwards = deal_contigs(dict(reversed(sizes.items())), count, seed=seed)
    assert backwards == sets  # the order of the file does not matter
    largest = [max(size for name, size in sizes.items() if sets[name] == number) for number in range(count)]
    assert largest == sorted(largest, reverse=True)
    # No single move would make the sets more even.
    here = deviation(sizes, sets, count)
    for name in sizes:
        for number in range(count):
            assert deviation(sizes, sets | {name: number}, count) >= here - 1e-6


def test_ten_thousand_contigs() -> None:
    sizes = {f"c{i}": 1 + i % 97 for i in range(10_000)}
    sets = deal_contigs(sizes, 10)
    assert deviation(sizes, sets, 10) <= 1


def region(name: str, chrom: str, line: int) -> Region:
    return Region(chrom, 0, 10, name, line=line)


PATH = Path("x.bed")


def test_names_by_contig() -> None:
    rows = [region("a", "chr1", 1), region("b", "chr2", 2), region("a", "chr1", 3), region("c", "chrX", 4)]
    found = names_by_contig(rows, path=PATH, exclude=["chrX", "chrY"])
    assert found.names == {"chr1": ["a"], "chr2": ["b"]}
    assert found.rows == {"chr1": 2, "chr2": 1}
    assert dict(found.excluded) == {"chrX": 1, "chrY": 0}
    text = fold_text(found.names | {"chr3": ["d", "e"]}, {"chr1": 1, "chr2": 0, "chr3": 1}, 3)
    assert text == "# Set_0\nb\n# Set_1\na d e\n# Set_2\n\n"


@pytest.mark.parametrize(
    ("rows", "exclude", "message"),
    [
        ([("a b", "chr1")], [], "line 1: a fold file cannot hold the name 'a b'"),
        ([("x", "chr1"), ("#a", "chr1")], [], "line 2: a fold file cannot hold"),
        ([("x", "chr1"), ("y", "chr1"), ("x", "chr2")], [], "line 3: 'x' is on chr2, and on chr1 in line 1"),
        ([("x", "chr1"), ("x", "chrX")], ["chrX"], "line 2: 'x' is on chrX"),
        ([("chr2", "chr1"), ("x", "chr2")], [], "line 1: 'chr2' is the name of a row and of a contig"),
        ([("x", "chr1")], ["1"], "--exclude 1: x.bed calls it chr1"),
        ([("x", "1"), ("y", "X")], ["chrX"], "--exclude chrX: x.bed calls it X"),
        ([("x", "chr1")], ["chr1"], "no rows of x.bed are left"),
    ],
)
def test_names_that_a_fold_file_cannot_hold(rows: list[tuple[str, str]], exclude: list[str], message: str) -> None:
    regions = [region(name, chrom, line) for line, (name, chrom) in enumerate(rows, 1)]
    with pytest.raises(InputError, match=message):
        names_by_contig(regions, path=PATH, exclude=exclude)
