"""Baselines: contents by counting letters, and least squares by numpy's solver on the rows that have targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_stores import write_store

from drg_hpc.errors import InputError
from drg_hpc.prediction import rows
from drg_hpc.prediction.baselines import Features, contents, fit_baselines
from drg_hpc.prediction.rows import Rows
from drg_hpc.prediction.streaming import collect
from drg_hpc.store.reader import DatasetStore, open_dataset

ROWS, LENGTH, BINS = 90, 48, 6


def letters(codes: np.ndarray) -> str:
    return "".join("ACGTN"[code] for code in codes)


def by_hand(text: str, start: int, stop: int) -> tuple[float, float]:
    """GC and CpG of a part of a sequence; a CG that begins in its last base ends in the next part."""
    part = text[start:stop]
    pairs = sum(text[i : i + 2] == "CG" for i in range(start, stop))
    return (part.count("G") + part.count("C")) / len(part), pairs / len(part)


def make(folder: Path, *, bins: int, tracks: int = 2, second_input: int = 0) -> tuple[DatasetStore, np.ndarray]:
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 5, (ROWS, LENGTH))
    target = rng.normal(size=(ROWS, tracks, *([bins] if bins else [])))
    target[rng.random(target.shape) < 0.15] = np.nan
    write_store(folder / "store", codes, target, valid=20, second_input=second_input)
    return open_dataset(folder / "store"), codes


def test_contents_are_counted(tmp_path: Path) -> None:
    store, codes = make(tmp_path, bins=BINS)
    found = contents(store.sequences(range(ROWS)), BINS)
    for row in (0, 17, 89):
        for number in range(BINS):
            start = number * LENGTH // BINS
            np.testing.assert_allclose(found[row, number], by_hand(letters(codes[row]), start, start + LENGTH // BINS))


def test_features_of_bins_in_the_middle(tmp_path: Path) -> None:
    store, codes = make(tmp_path, bins=BINS)
    features = Features(store, bins=4, span=24)({"seq": store.sequences(range(ROWS))})
    assert features.shape == (ROWS, 4, 5)
    text = letters(codes[3])
    for number in range(4):
        here = by_hand(text, 12 + 6 * number, 18 + 6 * number)
        np.testing.assert_allclose(features[3, number], [1, *by_hand(text, 0, LENGTH), *here])
    with pytest.raises(InputError, match=r"5 bins of .* do not divide their 48 bases"):
        Features(store, bins=5, span=0)


@pytest.mark.parametrize(("bins", "second_input"), [(BINS, 0), (0, 0), (0, 30), (1, 0)])
def test_both_are_fitted_on_the_training_rows_alone(tmp_path: Path, bins: int, second_input: int) -> None:
    store, _ = make(tmp_path, bins=bins, second_input=second_input)
    places, inputs = [("main", 1), ("main", 0)], list(store.inputs)
    train = Rows(store, store.split_rows("train"), places=places, inputs=inputs)
    assert 0 < len(train) < ROWS
    linear, mean = fit_baselines(train, span=0)
    held = Rows(store, store.split_rows("valid"), places=places, inputs=inputs)
    features = Features(store, bins=bins, span=0)
    x = features({name: store.input_sequences(name, train.rows) for name in inputs})
    assert x.shape[2] == 1 + 2 * len(inputs) + 2 * (bins > 0)
    y = train.targets(train.rows).astype(np.float64).reshape(len(train), 2, -1)
    at = 0
    for block in held.blocks():
        predicted = [each.outputs({each.name: each.raw(block)}, slice(0, 2)) for each in (linear, mean)]
        assert predicted[0].shape == block.target.shape == predicted[1].shape
        here = features(block.sequences)
        for track in range(2):
            there = ~np.isnan(y[:, track])
            weights = np.linalg.lstsq(x[there], y[:, track][there], rcond=None)[0]
            expected = here @ weights
            np.testing.assert_allclose(predicted[0][:, track].reshape(expected.shape), expected, atol=1e-8)
            average = np.nanmean(y[:, track], axis=0)
            np.testing.assert_allclose(predicted[1][:, track].reshape(-1, len(average)), [average] * len(here))
        at += len(block.rows)
    assert at == len(held)


def test_a_track_without_training_values_has_no_baseline(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(60, 2))
    target[:, 1] = np.nan
    write_store(tmp_path / "store", rng.integers(0, 4, (60, 20)), target, valid=10)
    store = open_dataset(tmp_path / "store")
    train = Rows(store, store.split_rows("train"), places=[("main", 0), ("main", 1)], inputs=["seq"])
    for baseline in fit_baselines(train, span=0):
        for block in train.blocks():
            found = baseline.outputs({baseline.name: baseline.raw(block)}, slice(0, 2))
            assert np.isfinite(found[:, 0]).all() and np.isnan(found[:, 1]).all()


@pytest.mark.parametrize("bins", [0, BINS])
def test_threads_and_runs_of_tracks_do_not_matter(tmp_path: Path, bins: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = make(tmp_path, bins=bins, tracks=5)
    places = [("main", track) for track in (3, 0, 4, 1, 2)]
    train, held = (Rows(store, store.split_rows(name), places=places, inputs=["seq"]) for name in ("train", "valid"))
    found = []
    for values, threads in ((1 << 21, 1), (1, 3)):
        monkeypatch.setattr(rows, "_CHUNK_VALUES", values)
        truth, outputs = collect(held, fit_baselines(train, span=0), threads=threads)
        assert all(each.finite.all() for each in outputs)
        found.append([truth.values, truth.largest, *(each.moments(slice(None)) for each in outputs)])
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)  # sums in another order
    assert truth.values.shape[0] == len(held)
    np.testing.assert_array_equal(truth.values, store.targets(held.rows)[:, [3, 0, 4, 1, 2]])


def test_no_training_rows_are_refused(tmp_path: Path) -> None:
    store, _ = make(tmp_path, bins=0)
    none = Rows(store, store.split_rows("test"), places=[("main", 0)], inputs=["seq"])
    with pytest.raises(InputError, match="no rows in split 'train'"):
        fit_baselines(none, span=0)
