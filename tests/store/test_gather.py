"""Windows of cached rows: kernels, several stores as one, and one-hot on the device, against plain NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_stores import write_store

from drg_hpc.errors import InputError
from drg_hpc.genome.onehot import codes_to_onehot, reverse_complement
from drg_hpc.store.cache import open_cache
from drg_hpc.store.device import one_hot, present, turn_targets
from drg_hpc.store.gather import gather_codes, gather_onehot
from drg_hpc.store.header import read_header
from drg_hpc.store.mixture import Mixture, require_alike


def windows(source: np.ndarray, rows: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Slices of rows between endless unknown bases."""
    reach = length + int(np.abs(starts).max(initial=0))
    padded = np.pad(source, ((0, 0), (reach, reach)), constant_values=4)
    return np.stack([padded[r, reach + s : reach + s + length] for r, s in zip(rows, starts, strict=True)])


def onehot(codes: np.ndarray, turned: np.ndarray) -> np.ndarray:
    codes = np.where(turned[:, None], reverse_complement(codes), codes)
    return codes_to_onehot(codes).transpose(0, 2, 1).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**31), st.integers(0, 40))
def test_kernels(stored: int, length: int, seed: int, reach: int) -> None:
    generator = np.random.default_rng(seed)
    source = generator.integers(0, 5, (6, stored), dtype=np.uint8)
    source.flags.writeable = False
    rows, starts = generator.integers(0, 6, 20), generator.integers(-reach, reach + 1, 20)
    turned, places = generator.random(20) < 0.5, generator.permutation(20)
    expected = windows(source, rows, starts, length)
    codes, letters = np.full((20, length), 9, np.uint8), np.full((20, 4, length), 9, np.float32)
    gather_codes(source, rows, starts, codes, places)
    gather_onehot(source, rows, starts, turned, letters, places)
    np.testing.assert_array_equal(codes[places], expected)
    np.testing.assert_array_equal(letters[places], onehot(expected, turned))
    here, flags = torch.from_numpy(codes), torch.from_numpy(turned[np.argsort(places)])
    assert torch.equal(one_hot(here, flags), torch.from_numpy(letters))
    assert torch.equal(one_hot(here), torch.from_numpy(onehot(codes, np.zeros(20, bool))))


def test_targets_of_the_other_strand() -> None:
    values, turned = torch.arange(24.0).reshape(4, 2, 3), torch.tensor([True, False, True, False])
    swapped = torch.tensor([1, 0])
    found = turn_targets(values, turned, swapped)
    assert torch.equal(found[::2], values[::2].flip(1, 2))
    assert torch.equal(found[1::2], values[1::2])
    assert torch.equal(turn_targets(values, turned, None)[0], values[0].flip(1))
    flat = values[..., 0]
    assert torch.equal(turn_targets(flat, turned, None), flat)
    assert torch.equal(turn_targets(flat, turned, swapped)[0], flat[0].flip(0))
    holes = torch.tensor([[1.0, torch.nan]])
    assert present(holes, None).tolist() == [[True, False]]
    assert present(holes, torch.tensor([[False, True]])).tolist() == [[False, False]]


def _store(path: Path, rows: int, **more: object) -> Path:
    generator = np.random.default_rng(rows)
    targets = generator.normal(size=(rows, 3)).astype(np.float16).astype(np.float32)
    targets[generator.random(targets.shape) < 0.2] = np.nan
    flank = int(str(more.get("flank", 0)))
    codes = generator.integers(0, 5, (rows, 20 + 2 * flank))
    return write_store(path, codes, targets, valid=5, **more)  # type: ignore[arg-type]


def test_several_stores_read_as_one(tmp_path: Path) -> None:
    paths = [
        _store(tmp_path / "a.zarr", 30, flank=4, second_modality=0),
        _store(tmp_path / "b.zarr", 17, flank=2, second_modality=0, dtype="float16"),
    ]
    require_alike([(path, read_header(path)) for path in paths])
    caches = [open_cache(path, tmp_path) for path in paths]
    mixture = Mixture(caches)
    assert (mixture.offsets.tolist(), mixture.flanks, mixture.masked) == ([0, 30, 47], {"seq": 2}, True)
    np.testing.assert_array_equal(mixture.split_rows(1, "valid"), np.arange(42, 47))
    rows = np.random.default_rng(1).integers(0, 47, 200)
    shifts = np.random.default_rng(2).integers(-2, 3, 200)
    out = np.empty((200, 20), np.uint8)
    mixture.codes("seq", rows, shifts, out)
    values, mask = np.empty((200, 3), mixture.dtype), np.empty((200, 3), bool)
    for name, tracks, columns in (("main", [2, 0], np.array([2, 0])), ("more", None, slice(1, 2))):
        mixture.targets(name, rows, tracks, values, columns)
        mixture.mask(name, rows, tracks, mask, columns)
    assert values.dtype == np.float32
    for i, row in enumerate(rows):
        cache, local = (caches[0], row) if row < 30 else (caches[1], row - 30)
        start = cache.inputs["seq"].flank + shifts[i]
        np.testing.assert_array_equal(out[i], cache.codes["seq"][local, start : start + 20])
        main, more = cache.targets["main"][local], cache.targets["more"][local]
        np.testing.assert_array_equal(values[i], [main[0], more[0], main[2]])
        there = cache.mask["main"]
        assert there is not None
        np.testing.assert_array_equal(mask[i], [there[local, 0], True, there[local, 2]])


def test_stores_that_hold_other_things_are_refused(tmp_path: Path) -> None:
    main = _store(tmp_path / "a.zarr", 30)
    others = {
        r"its inputs are seq of 20 bp, rna of 9 bp, not seq of 20 bp": _store(tmp_path / "b.zarr", 30, second_input=9),
        r"its tracks are main/t0, main/t1, main/t2, more/extra in 5 bins, not main/t0, main/t1, main/t2": _store(
            tmp_path / "c.zarr", 30, second_modality=5
        ),
    }
    for message, other in others.items():
        with pytest.raises(InputError, match=f"{other.name} cannot be mixed with .*a.zarr: {message}"):
            require_alike([(main, read_header(main)), (other, read_header(other))])
