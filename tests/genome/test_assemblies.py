from __future__ import annotations

import pytest

from drg_hpc.errors import InputError
from drg_hpc.genome.assemblies import ASSEMBLIES, check_assembly

# Sums of UCSC's chrom.sizes over the main contigs (hg19 without chrM), which a wrong digit would change.
TOTALS = {
    "hg38": (25, 3_088_286_401),
    "hg19": (24, 3_095_677_412),
    "mm10": (22, 2_725_537_669),
    "mm39": (22, 2_723_431_143),
    "sacCer3": (17, 12_157_105),
}


def test_totals() -> None:
    assert {name: (len(table), sum(table.values())) for name, table in ASSEMBLIES.items()} == TOTALS


@pytest.mark.parametrize("name", ASSEMBLIES)
def test_right_lengths_pass_and_any_wrong_one_is_named(name: str) -> None:
    lengths = ASSEMBLIES[name]
    check_assembly(name, lengths)
    check_assembly(name, {contig.removeprefix("chr"): length for contig, length in lengths.items() if contig != "chrM"})
    check_assembly(name, {**lengths, "chrUn_KI270302v1": 2274})
    for contig, length in lengths.items():
        with pytest.raises(
            InputError, match=f"contig {contig} has length {length + 1}, the genome's {contig} {length}"
        ):
            check_assembly(name, {**lengths, contig: length + 1})


def test_assemblies_are_told_apart() -> None:
    for name, lengths in ASSEMBLIES.items():
        for other in ASSEMBLIES.keys() - {name}:
            with pytest.raises(InputError):
                check_assembly(other, lengths)
    with pytest.raises(InputError, match="shares no contig"):
        check_assembly("hg38", {"scaffold_1": 1000})
