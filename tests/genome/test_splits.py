from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.folds import fold_text
from drg_hpc.genome.splits import (
    Splitter,
    balanced_folds,
    by_contigs,
    count_splits,
    from_file,
    from_params,
    split_notes,
    to_params,
)

ROWS = [("a", "chr1"), ("b", "chr1"), ("c", "chr2"), ("d", "chr3"), ("e", "")]


def test_contigs() -> None:
    splitter = by_contigs(["chr2"], ["chr3"])
    assert count_splits(splitter, ROWS, copies=2) == {"train": 4, "valid": 2, "test": 2, "excluded": 2}
    assert from_params(to_params(splitter)).assign("c", "chr2") == ("valid", -1)
    with pytest.raises(UsageError, match="both"):
        by_contigs(["chr2"], ["chr2"])
    with pytest.raises(
        InputError, match=r"the test split \(chr99\) has no rows; contigs of the rows: chr1, chr2, chr3"
    ):
        count_splits(by_contigs(["chr2"], ["chr99"]), ROWS)


def test_table_of_names_and_contigs(tmp_path: Path) -> None:
    path = tmp_path / "split.tsv"
    path.write_text("name\tsplit\na\tvalidation\nchr1\ttrain\nc\ttest\nd\texcluded\n")
    splitter = from_file(path, None)
    assert [splitter.assign(*row)[0] for row in ROWS] == ["valid", "train", "test", "excluded", "excluded"]
    with pytest.raises(UsageError, match="--fold 1"):
        from_file(path, 1)
    path.write_text("a\ttrain\nb\tother\n")
    with pytest.raises(InputError, match="line 2"):
        from_file(path, None)
    path.write_text("a\ttrain\na\ttest\n")
    with pytest.raises(InputError, match="line 2: 'a' is in train and test"):
        from_file(path, None)


def test_fold_file(tmp_path: Path) -> None:
    path = tmp_path / "folds.txt"
    path.write_text("# Set_0\na b\n# Set_1\nchr2\n# Set_2\nd\n")
    splitter = from_file(path, 2)
    assert [splitter.assign(*row) for row in ROWS] == [
        ("test", 0), ("test", 0), ("train", 1), ("valid", 2), ("excluded", -1),
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"say which|3 sets"):
        from_file(path, None)
    with pytest.raises(UsageError, match="sets 0 to 2"):
        from_file(path, 3)
    path.write_text("# Set_0\na\n# Set_1\na\n")
    with pytest.raises(InputError, match="line 4: 'a' is in sets 0 and 1"):
        from_file(path, 0)


def test_fold_files_with_comments_many_lines_and_crlf(tmp_path: Path) -> None:
    path = tmp_path / "folds.txt"
    path.write_bytes(
        b"\xef\xbb\xbf# made by hand\r\n\r\n# Set_1\r\na b\r\n  c\r\n#Set_2\r\n# a note\r\nd\r\n# Set_3\r\n"
    )
    splitter = from_file(path, 0)
    assert splitter.count == 3
    assert [splitter.assign(name, "")[0] for name in "abcde"] == ["valid", "valid", "valid", "test", "excluded"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no names"),
        ("# only a comment\n", "no names"),
        ("# Set_0\n# Set_1\n# Set_2\n", "no names"),
        ("a b\n# Set_0\nc\n# Set_1\n# Set_2\n", "line 1: names before"),
        ("# Set_0\na\n# Set_2\nb\n", "line 3: set 2 where set 1 is due"),
        ("# Set_0\na\n# Set_0\nb\n", "line 3: set 0 where set 1 is due"),
        ("# Set_0\na\n# Set_1\nb\n", "2 sets; at least 3"),
        ("\n# Set_0\na\n\n# Set_1\nb c a\n# Set_2\n", "line 6: 'a' is in sets 0 and 1"),
        ("name\tsplit\n", "no names"),
        ("a\ttrain\nname\tsplit\n", "line 2: a row is a name and"),
        ("a\ttran\nb\ttest\n", "line 1: a row is a name and"),
        ("a\tb\ttrain\n", "line 1: a row is a name and"),
        ("a\n", "line 1: a row is a name and"),
        ("\ttrain\n", "line 1: a row is a name and"),
        (",train\n", "line 1: a row is a name and"),
        ("# note\na train\n\na valid\n", "line 4: 'a' is in train and valid"),
    ],
)
def test_faulty_split_files_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "split.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        from_file(path, 0 if "Set_" in text else None)


def test_tables_by_tab_blanks_or_comma(tmp_path: Path) -> None:
    path = tmp_path / "split.txt"
    path.write_text("# note\nregion,Partition\na b,1\ttrain\nc   VAL\nd,x,test\n e\texcluded \n")
    splitter = from_file(path, None)
    assert splitter.splits == {"a b,1": "train", "c": "valid", "d,x": "test", "e": "excluded"}


NAMES = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=8).filter(
    lambda name: name[0] != "#" and name.split() == [name]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(NAMES, max_size=5), min_size=3, max_size=6), st.data())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, sets: list[list[str]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("folds") / "folds.txt"
    names = {str(number): listed for number, listed in enumerate(sets)}
    path.write_text(fold_text(names, {name: int(name) for name in names}, len(sets)))
    fold = data.draw(st.integers(0, len(sets) - 1))
    where: dict[str, set[int]] = {}
    for number, listed in enumerate(sets):
        for name in listed:
            where.setdefault(name, set()).add(number)
    if not where or any(len(found) > 1 for found in where.values()):
        with pytest.raises(InputError, match=r"no names|in sets"):
            from_file(path, fold)
        return
    splitter = from_file(path, fold)
    for name, (number,) in where.items():
        wanted = {fold: "valid", (fold + 1) % len(sets): "test"}.get(number, "train")
        assert splitter.assign(name, "chr1") == (wanted, number)
    assert splitter.assign("no such name", "") == ("excluded", -1)


LINES = st.sampled_from(
    ["# Set_0", "# Set_1", "# Set_2", "#", "a", "b c", "a\ttrain", "b\ttest", "name,split", "\x00", "é"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES | st.text(max_size=20), max_size=8), st.none() | st.integers(0, 3))
def test_any_text_has_a_defined_answer(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], fold: int | None
) -> None:
    path = tmp_path_factory.mktemp("split") / "split.txt"
    path.write_bytes("\n".join(lines).encode("utf-8", "replace"))
    try:
        splitter = from_file(path, fold)
    except (InputError, UsageError) as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
        return
    assert splitter.mode in ("folds", "names")
    assert splitter.folds or splitter.splits
    assert splitter.assign("a", "")[0] in ("train", "valid", "test", "excluded")


def test_notes_count_rows_in_no_set_and_names_of_no_row() -> None:
    rows = [("a", "chr1"), ("b", "chr1"), ("c", "chr2"), ("d", "chr3")]
    folds = Splitter("folds", {}, {"a": 0, "chr2": 1, "x": 2, "y": 2, "z": 1, "q": 0}, 0, 3)
    assert split_notes(folds, rows, what="F") == [
        "2 rows are in no set of F and are excluded, such as b",
        "4 names of F are of no row: x, y, z …",
    ]
    assert split_notes(by_contigs(["chr1"], ["chr99"]), rows, what="--valid and --test") == [
        "1 names of --valid and --test are of no row: chr99"
    ]
    assert split_notes(Splitter("none", {}, {}), rows, what="") == []
    assert split_notes(balanced_folds({"chr1": 2, "chr2": 1, "chr3": 1}, 3, 0), rows, what="") == []


CONTIGS = st.dictionaries(st.text("chr0123", min_size=1), st.integers(1, 10**6), min_size=3, max_size=40)


@settings(deadline=None, max_examples=30)
@given(CONTIGS, st.integers(3, 8))
def test_balanced_folds(contigs: dict[str, int], count: int) -> None:
    if len(contigs) < count:
        with pytest.raises(UsageError, match="contigs only"):
            balanced_folds(contigs, count, 0)
        return
    splitter = balanced_folds(contigs, count, 1)
    sizes = Counter[int]()
    for name, rows in contigs.items():
        split, fold = splitter.assign("row", name)
        sizes[fold] += rows
        assert split == {1: "valid", 2: "test"}.get(fold, "train")
    assert set(sizes) == set(range(count))
    assert max(sizes.values()) - min(sizes.values()) <= max(contigs.values())


def test_rows_without_coordinates_do_not_train_when_contigs_are_held_out() -> None:
    splitter = by_contigs(["chr8"], ["chr9"])
    assert splitter.assign("peak_on_chr9_7", "") == ("excluded", -1)
    assert splitter.assign("x", "chr9")[0] == "test"
    assert splitter.assign("x", "chr1")[0] == "train"
