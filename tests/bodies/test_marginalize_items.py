"""What is put in by drg-marginalize: names of motifs and pairs, clashes of names, and motifs that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from bodies.marginal_runs import MOTIFS, PAIR

from drg_hpc.bodies.marginalize_items import find_designs
from drg_hpc.bodies.marginalize_options import Options
from drg_hpc.errors import DrgError, InputError, UsageError
from drg_hpc.experiments.marginal_designs import Designs

LENGTH = 60


def jaspar(path: Path, motifs: dict[str, str]) -> Path:
    """A file of motifs of one base each position; keys are the first and the second name."""
    rows = ((name, [[7 * (base == letter) + 1 for base in word] for letter in "ACGT"]) for name, word in motifs.items())
    with path.open("w") as file:
        for name, four in rows:
            print(f">{name}", file=file)
            for letter, row in zip("ACGT", four, strict=True):
                print(letter, "[", *row, "]", file=file)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two databases that share MA2.1, one with a motif that is longer than the backgrounds."""
    one = {"MA1.1 CTCF": "ACGTT", "MA2.1 STAT1": "GGGTA", "MA3.1 LONG": "ACGT" * 20}
    other = {"MA2.1 STAT1": "GGGTA", "MA4.1 JUN": "TGACTCA"}
    return [jaspar(tmp_path / "one.txt", one), jaspar(tmp_path / "other.txt", other)]


def designs(files: list[Path], length: int = LENGTH, **chosen: object) -> Designs:
    given = {"model": Path("m"), "out": Path("o"), "motif_db": files} | chosen
    return find_designs(Options.model_validate(given), length=length)


def refused(error: type[DrgError], files: list[Path], **chosen: object) -> str:
    with pytest.raises(error) as caught:
        designs(files, **chosen)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pairs_take_second_names_and_leave_out_the_other_motifs(files: list[Path]) -> None:
    found = designs(files, by="spacing", pairs=["CTCF", "JUN", "MA4.1", "CTCF"])
    assert [item.name for item in found.items] == ["MA1.1", "MA4.1"]
    assert found.pairs == ((0, 1), (1, 0))
    found = designs(files, by="spacing", pairs=["box", "CTCF"], sequences=["box=TTT", "other=ACG"])
    assert [item.name for item in found.items] == ["MA1.1", "box"] and found.pairs == ((1, 0),)


def test_an_unknown_name_of_a_pair_lists_few(tmp_path: Path) -> None:
    many = jaspar(tmp_path / "many.txt", {f"MA{i:04}.1 TF{i}": "ACGTT" for i in range(300)})
    text = refused(InputError, [many], by="spacing", pairs=["xyzzy", "TF3"])
    assert text.startswith("no motif 'xyzzy' among the 300 of what is put in (--pairs); it has MA0000.1, ")
    assert len(text) < 200
    assert "nearest: TF12, " in refused(InputError, [many], by="spacing", pairs=["TF3", "tf12"])


def test_one_name_of_two_motifs(files: list[Path]) -> None:
    both = f"{files[0]} and {files[1]} both have a motif 'MA2.1'; give one of the files"
    assert refused(InputError, files) == refused(InputError, files, motifs=["STAT1"]) == both
    assert refused(InputError, files, by="spacing", pairs=["STAT1", "CTCF"]) == both
    text = "--motifs: MA1.1 is named twice; give it once, by its first or its second name"
    assert refused(UsageError, files, motifs=["CTCF", "MA1.1"]) == text
    assert [item.name for item in designs(files, motifs=["CTCF", "JUN"]).items] == ["MA1.1", "MA4.1"]


def test_motifs_that_do_not_fit(files: list[Path]) -> None:
    words = "MA3.1 has 80 positions, the model takes 60 bases; "
    assert refused(UsageError, files[:1]) == words + "name some that fit with --motifs: 2 of 3 do"
    assert refused(UsageError, files, motifs=["LONG"]) == words + "leave it out"
    assert refused(UsageError, files[:1], by="spacing", pairs=["LONG", "CTCF"]) == words + "leave it out"


def test_all_motifs_of_a_file(files: list[Path]) -> None:
    assert designs([MOTIFS], motifs=["all"]) == designs([MOTIFS]) and len(designs([MOTIFS])) == 10
    for names in (["all", *PAIR], [*PAIR, "all"], ["all", "all"]):
        assert refused(UsageError, [MOTIFS], motifs=names).endswith(": all stands by itself; --motifs all, or names")
    assert refused(UsageError, [files[1], files[1]]) == f"--motif-db: {files[1]} is given twice; give it once"
