"""MEME files: every motif is read, faults name their line, what is written is read back exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drg_hpc.errors import InputError
from drg_hpc.genome.motifs import Motif, format_meme, read_meme, write_meme

EXAMPLE = Path(__file__).parents[2] / "examples" / "motifs" / "hocomoco_v12_core.meme"
HEAD = "MEME version 4\n\nALPHABET= ACGT\n\n"
MATRIX = "letter-probability matrix:"
ROWS = "0.1 0.2 0.3 0.4\n0.25 0.25 0.25 0.25\n"


def test_whole_hocomoco_is_read() -> None:
    text = EXAMPLE.read_text()
    motifs = read_meme(EXAMPLE)
    assert len(motifs) == text.count("MOTIF ") == 1443
    assert motifs[-1].name == "ZSCA4.H12CORE.0.SM.B" and motifs[-1].width == 17 and motifs[-1].nsites == 7754
    assert motifs[0].name == "AHR.H12CORE.0.P.B"
    np.testing.assert_allclose(motifs[0].pfm[:, 0], [0.175473579, 0.306081755, 0.390827517, 0.127617149], atol=1e-9)
    assert all(np.allclose(motif.pfm.sum(axis=0), 1, atol=0.01) for motif in motifs)


@pytest.mark.parametrize(
    "body",
    [
        f"MOTIF a first one\n{MATRIX} alength= 4 w= 2 nsites= 20 E= 0\n{ROWS}MOTIF b\n{MATRIX} w=2\n{ROWS.rstrip()}",
        f"MOTIF\ta\tfirst one\r\n\r\n{MATRIX} alength= 4\r\n{ROWS}\nURL x\nMOTIF b\n{MATRIX}\n\n{ROWS}",
    ],
)
def test_variants_of_the_format(tmp_path: Path, body: str) -> None:
    path = tmp_path / "m.meme"
    path.write_text(HEAD + body)
    motifs = read_meme(path)
    assert [motif.name for motif in motifs] == ["a", "b"]
    assert motifs[0].alternate == "first one"
    np.testing.assert_array_equal(motifs[1].pfm, [[0.1, 0.25], [0.2, 0.25], [0.3, 0.25], [0.4, 0.25]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello\n", "not a MEME file"),
        (HEAD, "no motif"),
        (HEAD + "MOTIF a\nletter-probability matrix: w= 3\n" + ROWS, "line 8: motif a: matrix ends after 2 rows of 3"),
        (HEAD + "MOTIF a\nletter-probability matrix: w= 1\n0.5 0.5\n", "line 7: motif a: 2 numbers"),
        (HEAD + "MOTIF a\nletter-probability matrix: w= 1\n0.5 x 0 0.5\n", "line 7: motif a: not a row"),
        (
            HEAD + "MOTIF a\nletter-probability matrix: w= 1\n0.5 nan 0 0.5\n",
            "line 7: motif a: not counts or probabilities",
        ),
        (HEAD + "MOTIF a\nletter-probability matrix: w= 1\n0.5 0 0 0\n", "line 7: motif a: probabilities sum to 0.500"),
        (HEAD + "MOTIF a\nletter-probability matrix: alength= 20 w= 1\n" + ROWS, "line 6: motif a: alength= 20"),
        (HEAD + "MOTIF a\nletter-probability matrix: w= x\n" + ROWS, "line 6: w= 'x' is not a number"),
        (HEAD + "MOTIF a\nMOTIF b\n", "line 5: motif a has no"),
        (HEAD + "MOTIF\n", "line 5: MOTIF without a name"),
        (HEAD + "letter-probability matrix: w= 2\n" + ROWS, "line 5: a matrix without"),
        (HEAD + f"MOTIF a\n{MATRIX} w= 2\n{ROWS}\nMOTIF a\n{MATRIX} w= 2\n{ROWS}", "line 10: motif a stands twice"),
        ("MEME version 4\nALPHABET= ACDEFGHIKLMNPQRSTVWY\n", "line 2: alphabet"),
    ],
)
def test_faults_name_their_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.meme"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_meme(path)
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such motif file"):
        read_meme(tmp_path / "none.meme")
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="not UTF-8"):
        read_meme(tmp_path / "b")


names = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=12)
weights = hnp.arrays(np.float64, st.tuples(st.just(4), st.integers(1, 12)), elements=st.floats(1e-9, 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names, weights, st.floats(0, 1e6)), min_size=1, max_size=4, unique_by=lambda item: item[0]))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, items: list[tuple[str, np.ndarray, float]]) -> None:
    motifs = [Motif(name, values / values.sum(axis=0), nsites=sites) for name, values, sites in items]
    path = tmp_path_factory.mktemp("meme") / "m.meme"
    write_meme(path, motifs)
    back = read_meme(path)
    assert [motif.name for motif in back] == [motif.name for motif in motifs]
    for left, right in zip(motifs, back, strict=True):
        np.testing.assert_array_equal(left.pfm, right.pfm)
        assert right.nsites == pytest.approx(left.nsites, rel=1e-12)


@pytest.mark.parametrize("name", ["", "a b", "a\n"])
def test_unusable_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="not a usable motif name"):
        format_meme([Motif(name, np.full((4, 2), 0.25))])
