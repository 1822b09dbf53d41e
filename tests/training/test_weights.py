"""Weights of rows: the file, its faults, and the balance of classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.errors import InputError, UsageError
from drg_hpc.store.cache import open_cache
from drg_hpc.training.weights import class_weights, file_weights, read_weights

Maker = Callable[..., Path]
STORE = Path("store")


def write(folder: Path, text: str) -> Path:
    path = folder / "weights.tsv"
    path.write_text(text, newline="")
    return path


def test_weights_file(tmp_path: Path) -> None:
    path = write(tmp_path, "# name weight\nchr1:1-2\t2.5\r\n\nwith space\t0\nplain 1e-3\n")
    assert read_weights(path) == {"chr1:1-2": 2.5, "with space": 0.0, "plain": 0.001}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\t1\nb\n", r":2: 'b' is not a name and a weight"),
        ("a\t1\t2\n", r":1: .* is not a name and a weight"),
        ("a\tone\n", r":1: .* is not a name and a weight"),
        ("a\t-1\n", r":1: weight -1 of 'a' is not 0 or more"),
        ("a\tnan\n", r":1: weight nan of 'a'"),
        ("a\tinf\n", r":1: weight inf of 'a'"),
        ("a\t1\na\t2\n", r":2: 'a' has a weight already"),
        ("\t1\n", r":1: .* is not a name"),
    ],
)
def test_faults_of_the_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_weights(write(tmp_path, text))


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("w") / "weights.tsv"
    path.write_bytes(data)
    try:
        found = read_weights(path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert all(np.isfinite(weight) and weight >= 0 for weight in found.values())


def test_rows_by_name_and_negatives_by_their_positive(tmp_path: Path) -> None:
    regions = pd.DataFrame({"name": ["a", "b", "a_dinuc0", "b_dinuc0"], "parent": [0, 1, 0, 1]})
    path = write(tmp_path, "a\t3\nb\t0\nb_dinuc0\t7\nelsewhere\t1\n")
    assert file_weights(path, regions, np.array([3, 2, 0, 1]), store=STORE).tolist() == [7, 3, 3, 0]
    with pytest.raises(InputError, match="every training row of store has weight 0"):
        file_weights(path, regions, np.array([1]), store=STORE)
    with pytest.raises(InputError, match="no weight for 1 of 2 training rows of store, the first is 'b'"):
        file_weights(write(tmp_path, "a\t3\n"), regions, np.array([0, 1]), store=STORE)
    with pytest.raises(InputError, match="no such file"):
        read_weights(tmp_path / "none")


def test_classes(make_store: Maker) -> None:
    cache = open_cache(make_store(200, kind="binary", nan=0.2))
    rows = np.arange(10, 150)
    labels, mask = cache.targets["main"][rows, 0], cache.mask["main"]
    assert mask is not None
    weights = class_weights(cache, "bound", rows, store=STORE)
    there = mask[rows, 0]
    assert (weights[~there] == 0).all() and not there.all()
    assert weights[there & (labels == 1)].sum() == pytest.approx(0.5)
    assert weights[there & (labels == 0)].sum() == pytest.approx(0.5)
    with pytest.raises(UsageError, match="no track 'nope'"):
        class_weights(cache, "nope", rows, store=STORE)
    ones = rows[there & (labels == 1)]
    with pytest.raises(InputError, match="'bound' needs training rows of 0 and of 1, store has 1"):
        class_weights(cache, "bound", ones, store=STORE)


def test_tracks_that_have_no_classes(make_store: Maker) -> None:
    real = open_cache(make_store(50, kind="real", name="real.zarr"))
    with pytest.raises(InputError, match="needs training rows of 0 and of 1"):
        class_weights(real, "bound", np.arange(50), store=STORE)
    binned = open_cache(make_store(50, kind="counts", bins=4, name="bins.zarr"))
    with pytest.raises(UsageError, match="is in bins"):
        class_weights(binned, "bound", np.arange(50), store=STORE)
