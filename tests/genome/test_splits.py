from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.splits import balanced_folds, by_contigs, count_splits, from_file, from_params, to_params

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


CONTIGS = st.dictionaries(st.text("chr0123", min_size=1), st.integers(1, 10**6), min_size=3, max_size=40)


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
