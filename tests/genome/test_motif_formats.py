"""Motif collections in every format are read alike, told apart by themselves, and faults name their line."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support import EXAMPLES

from drg_hpc.errors import InputError
from drg_hpc.genome.motif_formats import find_motifs, read_raw
from drg_hpc.genome.motifs import read_meme, read_motifs

ENCODE = EXAMPLES / "motifs" / "encode_motifs.txt"
Counts = np.ndarray  # (4, width), rows A, C, G, T


def jaspar(items: dict[str, Counts]) -> str:
    lines = []
    for name, counts in items.items():
        lines.append(f">{name}\tsecond {name}")
        lines += [
            f"{letter}  [{' '.join(map(repr, row.tolist()))} ]" for letter, row in zip("ACGT", counts, strict=True)
        ]
    return "\n".join(lines) + "\n"


def jaspar_plain(items: dict[str, Counts]) -> str:
    """Without letters and brackets, blank lines between."""
    return "\n".join(
        f">{name} second {name}\n" + "".join("\t".join(map(repr, row.tolist())) + "\n" for row in counts)
        for name, counts in items.items()
    )


def transfac(items: dict[str, Counts]) -> str:
    lines = ["VV  TRANSFAC MATRIX TABLE", "XX", "//"]
    for name, counts in items.items():
        lines += [
            f"AC  {name}",
            "XX",
            f"ID  second {name}",
            "DE  AC is not a tag here",
            "P0      T      G      C      A",
        ]
        for i, column in enumerate(counts.T.tolist(), 1):
            lines.append(f"{i:02d} {column[3]!r} {column[2]!r} {column[1]!r} {column[0]!r} {'N' if i % 2 else ''}")
        lines += ["XX", "CC  01 is a comment", "//"]
    return "\r\n".join(lines) + "\r\n"


def encode(items: dict[str, Counts]) -> str:
    rows = []
    for name, counts in items.items():
        rows.append(f">{name}\tsecond {name}\n")
        for column in (counts / counts.sum(axis=0)).T.tolist():
            rows.append(f"N {' '.join(map(repr, column))}\n")
    return "".join(rows)


def hocomoco(items: dict[str, Counts]) -> str:
    return "".join(
        f">{name}\n" + "".join("\t".join(map(repr, column)) + "\n" for column in counts.T.tolist())
        for name, counts in items.items()
    )


def meme(items: dict[str, Counts]) -> str:
    text = "MEME version 4\n\n"
    for name, counts in items.items():
        text += f"MOTIF {name} second {name}\nletter-probability matrix: alength= 4\n"
        text += "".join(" ".join(map(repr, c)) + "\n" for c in (counts / counts.sum(axis=0)).T.tolist()) + "\n"
    return text


WRITERS: dict[str, Callable[[dict[str, Counts]], str]] = {
    "meme": meme, "jaspar": jaspar, "jaspar_plain": jaspar_plain, "transfac": transfac, "encode": encode,
    "hocomoco": hocomoco,
}  # fmt: skip
names = st.text("ABCabc123_.:-", min_size=1, max_size=8).filter(lambda name: name[0].isalpha())
matrices = hnp.arrays(np.float64, st.tuples(st.just(4), st.integers(5, 12)), elements=st.floats(0.01, 1000))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(names, matrices, min_size=1, max_size=4), st.sampled_from(sorted(WRITERS)), st.booleans())
def test_every_format_is_told_and_read(
    tmp_path_factory: pytest.TempPathFactory, items: dict[str, Counts], form: str, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("motifs") / "m"
    text = WRITERS[form](items).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    found = read_motifs(path)
    assert [motif.name for motif in found] == list(items)
    for motif, counts in zip(found, items.values(), strict=True):
        np.testing.assert_allclose(motif.pfm, counts / counts.sum(axis=0), rtol=1e-12)
        if form != "hocomoco":
            assert motif.alternate.split()[0] == "second"
        if form in ("jaspar", "jaspar_plain", "transfac", "hocomoco"):
            assert motif.nsites == pytest.approx(max(counts.sum(axis=0).max(), 20 * (counts.sum(axis=0).max() <= 1.05)))
    forced = read_raw(path, form.removesuffix("_plain"))  # type: ignore[arg-type]
    assert [raw.rows for raw in forced] == [tuple(map(tuple, motif.pfm.T.tolist())) for motif in found]


TOKENS = (
    ">", ">a", "\n", " ", "MEME version 4\n", "MOTIF m", "letter-probability matrix:", " w= 1", "A", "C", "G", "T", "N",
    "[", "]", "P0", "P0 A C G T", "01", "//", "AC  x", "0.25 0.25 0.25 0.25", "1 2 3 4", "-1", "\t", "#", "nan", "é",
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=25).map("".join))
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "m"
    path.write_text(text)
    for form in ("auto", "jaspar", "transfac", "encode", "hocomoco"):
        try:
            for motif in read_raw(path, form):  # type: ignore[arg-type]
                assert motif.name and motif.rows and all(abs(sum(row) - 1) < 0.06 for row in motif.rows)
        except InputError as error:
            assert "\n" not in str(error)


def test_the_encode_example() -> None:
    """Against its lines, read by hand."""
    motifs = read_motifs(ENCODE)
    assert [motif.name for motif in motifs[:2]] == ["STAT_known2", "CTCF_known1"]
    assert motifs[0].width == 21 and motifs[1].width == 19 and len(motifs) == 10
    np.testing.assert_array_equal(motifs[1].pfm[:, 0], [0.095290, 0.318729, 0.083242, 0.502738])
    assert motifs[1].alternate == "CTCF_1\tCTCF_jaspar_MA0139.1"


def test_meme_is_told_too() -> None:
    path = EXAMPLES / "motifs" / "hocomoco_v12_core.meme"
    told, named = read_motifs(path), read_meme(path)
    assert len(told) == 1443
    assert all(a.name == b.name and np.array_equal(a.pfm, b.pfm) for a, b in zip(told, named, strict=True))


SQUARE = ">a\n1 2 3 4\n5 6 7 8\n9 1 2 3\n4 5 6 7\n"


def test_squares_alone_are_ambiguous(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_text(SQUARE)
    with pytest.raises(InputError, match="hocomoco and jaspar cannot be told apart; say which it is with --motif-form"):
        read_raw(path)
    np.testing.assert_allclose(read_motifs(path, "jaspar")[0].pfm[:, 0], np.array([1, 5, 9, 4]) / 19)
    np.testing.assert_allclose(read_motifs(path, "hocomoco")[0].pfm[:, 0], np.array([1, 2, 3, 4]) / 10)
    path.write_text(SQUARE + ">b\n1 2 3 4\n5 6 7 8\n9 1 2 3\n4 5 6 7\n1 1 1 1\n")
    assert read_motifs(path)[1].width == 5  # five rows of four: positions


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a motif file of a known format.*formats: meme jaspar transfac encode hocomoco"),
        ("hello there\n", "first line 'hello there'"),
        (">a\n", "line 1: motif a has no matrix"),
        (">\n1 2 3 4\n", "line 1: '>' without a name"),
        (">a\nA [1 2]\nC [1 2]\nG [1 2]\n", "line 1: motif a: 3 rows, one for each"),
        (">a\nA [1 2]\nC [1 2]\nG [1 2]\nG [1 2]\n", "line 1: motif a: rows are of ACGG"),
        (">a\nA [1 2]\nC [1 2]\nG [1]\nT [1 2]\n", "line 4: motif a: 1 numbers in a row, 2 expected"),
        (">a\nA [1 0]\nC [1 0]\nG [1 0]\nT [1 0]\n", "line 1: motif a: position 2 has no counts"),
        (">a\nA [1 x]\nC [1 0]\nG [1 0]\nT [1 0]\n", "line 2: motif a: not a row of numbers"),
        (">a\nN 0.1 0.2 0.3 0.4\nN 0.1 0.2 0.3\n>b\nN 1 0 0 0\n", "line 3: motif a: 3 numbers in a row"),
        (">a\nN 0.1 0.2 0.3 0.1\n", "line 2: motif a: probabilities sum to 0.700, not 1"),
        (">a\nN 1 0 0 0\n0.1 0.2 0.3 0.4\n>b\nN 1 0 0 0\n", "line 3: motif a: a row is a letter and four numbers"),
        (">a\n1.2 -3 0 1\n0 1 0 1\n", "line 2: motif a: a negative number.*log odds cannot be read"),
        (">a\n1 2 3 4\n1 2 3 nan\n", "line 3: motif a: not counts or probabilities"),
        (">a\n1 2 3 4\n>a\n1 2 3 4\n", "line 3: motif a stands twice .first on line 1."),
        ("AC  x\nP0 A C G\n", "line 2: columns 'A C G', wanted A, C, G and T"),
        ("XX\nP0 A C G T\n01 1 2 3 4\n//\n", "line 2: a matrix without AC, ID or NA"),
        ("AC  x\nP0 A C G T\n01 1 2 3\n//\n", "line 3: motif x: 3 numbers in a row"),
        ("AC  x\nP0 A C G T\n//\n", "line 2: motif x has no matrix"),
        ("AC  x\n01 1 2 3 4\n", "line 2: a row of a matrix before its line P0"),
        ("AC  x\nNA  y\n//\n", "no motif in .* .read as transfac."),
    ],
)
def test_faults_name_their_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_raw(path)
    assert "\n" not in str(caught.value)


def test_motifs_are_found_by_either_name(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_text("".join(f"AC  M{i}\nID  {name}\nP0 A C G T\n1 1 2 3 4\n//\n" for i, name in enumerate("ABB")))
    motifs = read_raw(path)
    assert [raw.name for raw in find_motifs(motifs, ["M1", "A"], path=path)] == ["M1", "M0"]
    with pytest.raises(InputError, match=r"2 motifs of .* are called 'B'; choose one: M1, M2"):
        find_motifs(motifs, ["B"], path=path)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("STAT_know2", "nearest: STAT_known2"),
        ("ctcf", "nearest: CTCF_disc1, CTCF_known1"),
        ("ctcf_known1", "nearest: CTCF_known1"),
        ("Zzz", "it has STAT_known2, CTCF_known1"),
    ],
)
def test_an_unknown_motif_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"no motif '{name}' among the 10 of .*; {nearest}"):
        find_motifs(read_raw(ENCODE), [name], path=ENCODE)
