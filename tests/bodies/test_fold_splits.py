"""Rows chosen by fold, ``fold:0,2``, in stores and caches made with folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stores import shard

from drg_hpc.errors import InputError
from drg_hpc.store.cache import open_cache
from drg_hpc.store.header import folds_of, read_header, split_count
from drg_hpc.store.reader import open_dataset
from tests.prediction.small_world import write_fasta


@pytest.mark.parametrize("shards", [1, 2])
def test_folds_are_counted_and_found(tmp_path: Path, shards: int) -> None:
    fasta = write_fasta(tmp_path / "x.fa", rows=90, length=50)
    run = shard("sequences", tmp_path / "run", sequences=fasta, negatives="dinuc:1", folds=3, fold=1, shards=shards)
    store, header = open_dataset(run), read_header(run)
    folds = store.regions["fold"].to_numpy()
    assert header["folds"] == [60, 60, 60] == [int((folds == fold).sum()) for fold in range(3)]
    cache = open_cache(run, tmp_path / "cache")
    for split, wanted in {"fold:0": [0], "fold:2,0": [0, 2], "fold:0,1,2": [0, 1, 2]}.items():
        rows = np.flatnonzero(np.isin(folds, wanted))
        assert split_count(header, split) == len(rows)
        np.testing.assert_array_equal(store.split_rows(split), rows)
        np.testing.assert_array_equal(cache.split_rows(split), rows)
    np.testing.assert_array_equal(store.split_rows("fold:1"), store.split_rows("valid"))
    np.testing.assert_array_equal(store.split_rows("fold:2"), store.split_rows("test"))
    np.testing.assert_array_equal(store.split_rows("fold:0"), store.split_rows("train"))


def test_rows_that_are_not_kept_are_in_no_fold(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "x.fa", rows=30, length=50)
    names = [line[1:] for line in fasta.read_text().splitlines() if line[0] == ">"]
    (tmp_path / "labels.tsv").write_text("name\ta\n" + "".join(f"{name}\t1\n" for name in names[:20]))
    run = shard("sequences", tmp_path / "run", sequences=fasta, counts=[tmp_path / "labels.tsv"], folds=3, fold=0)
    assert sum(read_header(run)["folds"]) == 20
    cache = open_cache(run, tmp_path / "cache")
    assert sum(len(cache.split_rows(f"fold:{fold}")) for fold in range(3)) == 20


def test_faults(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "x.fa", rows=30, length=50)
    plain = shard("sequences", tmp_path / "plain", sequences=fasta, negatives="dinuc:1", valid="chr1")
    with pytest.raises(InputError, match="in no folds; shard with --folds K --fold I"):
        split_count(read_header(plain), "fold:0")
    run = shard("sequences", tmp_path / "run", sequences=fasta, negatives="dinuc:1", folds=3, fold=1)
    with pytest.raises(InputError, match="no fold 3; folds of the store: 0 to 2"):
        open_dataset(run).split_rows("fold:1,3")
    for text in ("fold:", "fold:a", "fold:1,", "fold:-1", "fold:1 2"):
        with pytest.raises(InputError, match="write folds like fold:3"):
            folds_of(text)
    assert folds_of("folds") is None
    assert folds_of("fold:2,2,1") == (1, 2)
