from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from drg_hpc.errors import InputError
from drg_hpc.experiments.variant_scores import Bins, against_backgrounds, aligned, largest_of, profile_scores
from drg_hpc.experiments.variant_windows import make_window
from drg_hpc.genome.onehot import encode
from drg_hpc.genome.vcf import Variant

CONTIG = "ACGTTGCATGCCATGGACTTACGGATCCNATG"
LENGTH = 10


class Genome:
    """A contig as letters; N beyond its ends."""

    def codes(self, contig: str, start: int, end: int) -> NDArray[np.uint8]:
        return encode("".join(CONTIG[i] if 0 <= i < len(CONTIG) else "N" for i in range(start, end)).encode())


def around(text: str, at: int, chars: int = LENGTH) -> str:
    """Letters of a window that has base ``at`` of a text in its middle."""
    return "".join(text[i] if 0 <= i < len(text) else "N" for i in range(at - chars // 2, at - chars // 2 + chars))


@pytest.mark.parametrize(
    ("start", "ref", "alt"),
    [(12, "A", "G"), (0, "A", "T"), (31, "G", "C"), (0, "AC", "A"), (30, "TG", "T"), (31, "G", "GAA"), (14, "G", "GTT"),
     (13, "TGGAC", "T"), (10, "CC", "GA"), (28, "C", "CA")],
)  # fmt: skip
def test_windows_are_of_either_sequence(start: int, ref: str, alt: str) -> None:
    ref = CONTIG[start : start + len(ref)].replace("N", "C")
    variant = Variant("c", start, "v", ref, alt, 1)
    whole = CONTIG[:start] + ref + CONTIG[start + len(ref) :]
    changed = CONTIG[:start] + alt + CONTIG[start + len(ref) :]
    window = make_window(Genome(), variant, length=LENGTH, path=Path("x.vcf"))
    middle = variant.trimmed().start
    for found, text in zip(window.sequences(), (whole, changed), strict=True):
        np.testing.assert_array_equal(found, encode(around(text, middle).encode()))


def test_reference_mismatch_has_the_line() -> None:
    with pytest.raises(InputError, match=r"x.vcf: line 7: REF of v is AC, the genome has CA at c:12; take the assem"):
        make_window(Genome(), Variant("c", 11, "v", "AC", "A", 7), length=LENGTH, path=Path("x.vcf"))


def test_backgrounds_keep_the_alleles_and_the_pairs() -> None:
    variant = Variant("c", 12, "v", "AT", "GCC", 1)
    window = make_window(Genome(), variant, length=20, path=Path("x.vcf"))
    found = [window.shuffled(seed=3, row=5, copy=copy) for copy in range(4)]
    for ref, alt in found:
        np.testing.assert_array_equal(ref[10:12], encode(b"AT"))
        np.testing.assert_array_equal(alt[10:13], encode(b"GCC"))
        np.testing.assert_array_equal(ref[:10], alt[:10])
        np.testing.assert_array_equal(ref[12:19], alt[13:])
    again = window.shuffled(seed=3, row=5, copy=2)
    np.testing.assert_array_equal(again[1], found[2][1])
    assert len({alt.tobytes() for _, alt in found}) > 1


@pytest.mark.parametrize("at", [0, 3, 10, 11])
@pytest.mark.parametrize("moved", [1, 2, 5])
def test_bins_of_an_insertion_come_back(at: int, moved: int) -> None:
    ref = np.random.default_rng(at).random((2, 12))
    inserted = np.full((2, moved), 9.0)
    alt = np.concatenate([ref[:, : at + 1], inserted, ref[:, at + 1 :]], axis=1)[:, :12]
    found, both = aligned(alt, at=at, moved=moved)
    expected = ref.copy()
    expected[:, at] += 9.0 * min(moved, 11 - at)
    np.testing.assert_allclose(found[:, both], expected[:, both])
    assert both.tolist() == [b <= at or b + moved < 12 for b in range(12)]


@pytest.mark.parametrize("at", [0, 3, 8])
@pytest.mark.parametrize("lost", [1, 3])
def test_bins_of_a_deletion_come_back(at: int, lost: int) -> None:
    longer = np.random.default_rng(at).random((2, 12 + lost))
    ref, alt = longer[:, :12], np.delete(longer, np.s_[at + 1 : at + 1 + lost], axis=1)
    found, both = aligned(alt, at=at, moved=-lost)
    expected = ref.copy()
    expected[:, at + 1 : at + 1 + lost] = 0
    np.testing.assert_array_equal(found, expected)
    assert both.all()


def test_variants_beside_the_bins() -> None:
    profile = np.arange(12.0)[None]
    found, both = aligned(profile, at=-1, moved=2)
    np.testing.assert_array_equal(found[:, both], profile[:, 2:])
    found, both = aligned(profile, at=-1, moved=-2)
    np.testing.assert_array_equal(found[:, both], profile[:, :10])
    found, both = aligned(profile, at=12, moved=5)
    np.testing.assert_array_equal(found, profile)
    assert both.all()


def test_bins_of_the_middle() -> None:
    bins = Bins.of(length=100, span=64, count=8)
    assert [bins.holding(base) for base in (0, 17, 18, 25, 26, 81, 82, 99)] == [-1, -1, 0, 0, 1, 7, 8, 8]
    assert [bins.moved(gained) for gained in (3, 5, 8, -7, -20)] == [0, 1, 1, -1, -2]


def test_scores_by_their_formulas() -> None:
    rng = np.random.default_rng(0)
    ref, alt = rng.random((3, 7)), rng.random((3, 7))
    found = profile_scores(ref, alt, ["SAD", "logSAD", "D2"])
    for track in range(3):
        pairs = list(zip(ref[track].tolist(), alt[track].tolist(), strict=True))
        np.testing.assert_allclose(found["SAD"][track], sum(a for _, a in pairs) - sum(r for r, _ in pairs))
        np.testing.assert_allclose(found["logSAD"][track], sum(np.log2((a + 1) / (r + 1)) for r, a in pairs))
        np.testing.assert_allclose(found["D2"][track], sum((a - r) ** 2 for r, a in pairs) ** 0.5)


def test_z_and_p() -> None:
    effect = np.array([[2.0, -1.0, 1.0]])
    others: NDArray[Any] = np.random.default_rng(1).normal(size=(20, 1, 3))
    others[..., 2] = 0.5
    found = {name: each[0] for name, each in against_backgrounds(effect, others, sizes=np.ones((1, 3))).items()}
    z = (effect - others.mean(axis=0))[0, :2] / others.std(axis=0, ddof=1)[0, :2]
    np.testing.assert_allclose(found["z"][:2], z)
    for number in range(2):
        # the test of one value against the others with a common variance, of which the one tells nothing
        whole = [*others[:, 0, number]]
        spread = np.var(whole, ddof=1) * (1 + 1 / len(whole))
        t = (effect[0, number] - np.mean(whole)) / spread**0.5
        np.testing.assert_allclose(found["p"][number], 2 * stats.t.sf(abs(t), len(whole) - 1))
    drawn = np.random.default_rng(2).normal(size=(4, 20_000, 1))
    p = against_backgrounds(drawn[0], drawn[1:], sizes=np.ones((20_000, 1)))["p"]
    for level in (0.001, 0.05, 0.5):
        assert abs(np.mean(p < level) - level) < 4 * (level / 20_000) ** 0.5, "uniform, also with three shuffles"
    assert np.isnan(found["z"][2]) and np.isnan(found["p"][2]), "backgrounds that are all alike"


@pytest.mark.parametrize("compare", ["subtract", "divide", "log2fc"])
def test_rounding_has_no_z(compare: str) -> None:
    """Alleles that change nothing, but for the last bits of values around 300 or a thousandth; and ones that do."""
    rng = np.random.default_rng(2)
    ref = np.array([300.0, 1e-3]) * rng.uniform(0.5, 1, (40, 3, 1))
    alt = ref * (1 + 1e-7 * rng.normal(size=ref.shape))
    alt[:, 2] = ref[:, 2] * rng.uniform(0.99, 1.01, (40, 1))
    made = {"subtract": alt - ref, "divide": alt / ref, "log2fc": np.log2(alt / ref)}[compare]
    sizes = largest_of(ref, alt, made, compare=compare)
    found = against_backgrounds(made[0], made, sizes=sizes)
    assert np.isnan(found["z"]).tolist() == np.isnan(found["p"]).tolist() == [[True] * 2, [True] * 2, [False] * 2]
