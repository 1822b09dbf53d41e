"""Mixed stores, jitter, weights and caches in whole trainings: resumed bitwise, refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training.trainings import drive, options, weights

from drg_hpc.errors import CorruptError, DrgError, InputError, Stopped, UsageError
from drg_hpc.store.cache import open_cache
from drg_hpc.store.mixture import Mixture
from drg_hpc.store.reader import open_dataset
from drg_hpc.training.augment import Augmentation, choose_shifts
from drg_hpc.training.config import TrainOptions, parse_size
from drg_hpc.training.data import TrainingData
from drg_hpc.training.distributed import Group
from drg_hpc.training.loader import Loader, Samples
from drg_hpc.training.run import train
from drg_hpc.training.sources import cache_limit

Maker = Callable[..., Path]
CPU = torch.device("cpu")


def data_of(*paths: Path, tracks: int = 1, **more: Any) -> TrainingData:
    mixture = Mixture([open_cache(path) for path in paths])
    return TrainingData(mixture, tracks=range(tracks), partners=range(tracks), device=CPU, **more)


def test_one_hot_here_or_on_the_device_are_the_same(make_store: Maker) -> None:
    path = make_store(90, kind="counts", tracks=3, bins=4, nan=0.2, dtype="float16", flank=3)
    rows, generator = np.arange(80), np.random.default_rng(0)
    flips, shifts = generator.random(80) < 0.5, generator.integers(-3, 4, 80)
    here, there = (
        data_of(path, tracks=3, onehot_here=onehot_here).batch(rows, flips=flips, shifts=shifts)
        for onehot_here in (True, False)
    )
    for name in ("sequence", "target", "valid"):
        assert torch.equal(getattr(here, name), getattr(there, name)), name
    assert here.target.dtype == torch.float32


def test_several_inputs_make_a_list(make_store: Maker) -> None:
    path = make_store(40, second_input=9)
    rows = np.array([3, 1, 1])
    sequences = data_of(path).batch(rows, flips=np.array([False, True, False])).sequence
    assert isinstance(sequences, list)
    for found, whole in zip(sequences, open_dataset(path).sequences(rows), strict=True):
        assert torch.equal(found[[0, 2]], torch.from_numpy(whole[[0, 2]]))
        assert torch.equal(found[1], torch.from_numpy(whole[1]).flip(0, 1))


def test_shifts_belong_to_rows_and_are_uniform() -> None:
    rows = np.arange(30_000)
    shifts = choose_shifts(1, 2, rows, 3)
    assert np.array_equal(choose_shifts(1, 2, rows[::-1], 3), shifts[::-1])
    counts = np.bincount(shifts + 3)
    assert len(counts) == 7
    assert counts.min() > 30_000 / 7 * 0.93
    repeats = np.ones(len(rows), np.int64)
    assert (choose_shifts(1, 2, rows, 3, repeats) != shifts).mean() > 0.8
    assert np.array_equal(choose_shifts(1, 2, rows, 3, repeats * 0), shifts)


def test_jitter_takes_real_bases(make_store: Maker) -> None:
    """The same row repeated in an epoch is moved differently; windows are those of the wider stored sequence."""
    path = make_store(50, flank=5)
    whole = open_dataset(path).codes(0, 50, flank=True)
    rows, repeats = np.repeat(np.arange(50), 6), np.tile(np.arange(6), 50)
    loader = Loader(data_of(path), augmentation=Augmentation(3, jitter=5), group=Group(0, 1, CPU))
    with loader.batches([Samples(rows, repeats)], epoch=2) as batches:
        found = next(batches).whole.batch.sequence
    assert isinstance(found, torch.Tensor)
    shifts = choose_shifts(3, 2, rows, 5, repeats)
    expected = np.stack([whole[row, 5 + shift : 45 + shift] for row, shift in zip(rows, shifts, strict=True)])
    np.testing.assert_array_equal(found.argmax(1).numpy(), expected)
    assert len({*shifts[:6]}) > 1


def test_ranks_gather_their_share_of_the_same_batch(make_store: Maker) -> None:
    path = make_store(60, flank=4, kind="real", tracks=2, nan=0.3)
    rows = np.random.default_rng(0).permutation(60)[:17]

    def parts(world: int) -> tuple[torch.Tensor, torch.Tensor]:
        keys, sequences = [], []
        for rank in range(world):
            varied = Augmentation(3, 0.5, 4)
            loader = Loader(data_of(path, tracks=2), augmentation=varied, group=Group(rank, world, CPU))
            with loader.batches([Samples(rows)], epoch=1) as batches:
                part = next(batches).whole
            assert isinstance(part.batch.sequence, torch.Tensor)
            keys.append(part.keys)
            sequences.append(part.batch.sequence)
        return torch.cat(keys), torch.cat(sequences)

    for one, several in zip(parts(1), parts(3), strict=True):
        assert torch.equal(one, several)


def mixed(make_store: Maker, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A store and the [data] table of a training with everything on."""
    store = make_store(310, flank=4)
    other = make_store(130, flank=6, dtype="float16", name="other.zarr", seed=8)
    mix = [{"store": str(other), "weight": 2.0}]
    return store, {"reverse_complement": 0.5, "jitter": 4, "balance": "bound", "mix": mix}


def test_mixed_drawn_and_moved_resumes_bitwise(make_store: Maker, tmp_path: Path) -> None:
    store, data = mixed(make_store, tmp_path)
    whole = train(options(store, tmp_path / "whole", data=data))
    assert drive(store, tmp_path / "parts", data=data, max_steps=3) > 3
    assert weights(tmp_path / "parts") == weights(whole)
    done = json.loads((whole / "done.json").read_text())
    assert set(done["inputs"]) == {"store", "mix.0"}
    assert done["params"]["data"]["mix"] == [{"store": done["inputs"]["mix.0"]["sha256"], "weight": 2.0}]
    assert done["summary"]["steps"] == 2 * 7  # two epochs of 320 samples: 250 and 70 training rows


def test_weights_file_and_samples_resume_bitwise(make_store: Maker, tmp_path: Path) -> None:
    store, table = make_store(200), tmp_path / "w.tsv"
    table.write_text("".join(f"r{i}\t{i % 3}\n" for i in range(200)))
    data = {"weights": str(table), "samples": 333}
    whole = train(options(store, tmp_path / "whole", data=data))
    assert drive(store, tmp_path / "parts", data=data, max_steps=3) > 2
    assert weights(tmp_path / "parts") == weights(whole)
    with pytest.raises(Stopped):
        train(options(store, tmp_path / "m", data=data, max_steps=2))
    moved = Path(shutil.copy(table, tmp_path / "same.tsv"))
    with pytest.raises(Stopped):
        train(options(store, tmp_path / "m", data={**data, "weights": str(moved)}, max_steps=1))
    table.write_text(table.read_text().replace("r7\t1", "r7\t2"))
    with pytest.raises(UsageError, match=r"data\.weights = '.*' \(was '"):
        train(options(store, tmp_path / "m", data=data))


def test_resume_with_another_mixed_store_is_refused(make_store: Maker, tmp_path: Path) -> None:
    store, data = mixed(make_store, tmp_path)
    with pytest.raises(Stopped):
        train(options(store, tmp_path / "m", data=data, max_steps=2))
    other = make_store(130, flank=6, name="third.zarr", seed=9)
    with pytest.raises(UsageError, match=r"data\.mix = "):
        train(options(store, tmp_path / "m", data={**data, "mix": [{"store": str(other), "weight": 2.0}]}))


@pytest.mark.parametrize(
    ("made", "data", "error", "message"),
    [
        ({}, {"jitter": 2}, UsageError, r"data\.jitter = 2, but .* holds 0 bases on either side.*--flank 2"),
        ({"flank": 3}, {"jitter": 4}, UsageError, r"data\.jitter = 4, but .* holds 3 bases"),
        (
            {"flank": 9, "kind": "counts", "bins": 4}, {"jitter": 5}, UsageError,
            r"by up to 10 bases against each other, and bins of targets are 10; data\.jitter = 4 or less",
        ),
        ({}, {"balance": "nope"}, UsageError, "no track 'nope'"),
        ({"second_input": 9}, {}, UsageError, r"one sequence a row, the store has 2: seq \(40\), rna \(9\)"),
        ({"second_modality": 5}, {}, InputError, "differ in bins"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_on(
    make_store: Maker, tmp_path: Path, made: dict[str, Any], data: dict[str, Any], error: type[DrgError], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(options(make_store(120, valid=20, **made), tmp_path / "m", data=data))
    assert not (tmp_path / "m").exists()


def test_padding_when_asked_for(make_store: Maker, tmp_path: Path) -> None:
    train(options(make_store(120, flank=1), tmp_path / "m", data={"jitter": 3, "jitter_pad": True}))


def test_several_modalities_train_side_by_side(make_store: Maker, tmp_path: Path) -> None:
    out = train(options(make_store(120, kind="real", tracks=2, second_modality=0), tmp_path / "m"))
    assert (out / "tracks.tsv").read_text() == "index\tname\n0\tt0\n1\tt1\n2\textra\n"


@pytest.mark.parametrize("file", ["inputs/seq/c/0/0/0", "targets/main/c/0/0"])
def test_damage_after_a_training_is_seen_by_the_next(make_store: Maker, tmp_path: Path, file: str) -> None:
    store = make_store(120)
    with pytest.raises(Stopped):
        train(options(store, tmp_path / "m", max_steps=1))
    raw = bytearray((store / file).read_bytes())
    raw[len(raw) // 2] ^= 1
    (store / file).write_bytes(raw)
    for out in ("m", "other"):
        with pytest.raises(CorruptError, match=file):
            train(options(store, tmp_path / out))


def test_damage_of_a_mixed_store(make_store: Maker, tmp_path: Path) -> None:
    store, data = mixed(make_store, tmp_path)
    (tmp_path / "other.zarr/inputs/seq/c/0/0/0").unlink()
    with pytest.raises(CorruptError, match=r"other\.zarr/inputs/seq/c/0/0/0"):
        train(options(store, tmp_path / "m", data=data))


@pytest.mark.parametrize(
    ("text", "size"), [("50G", 50 << 30), ("1.5 MiB", 3 << 19), ("7", 7), ("2TB", 2 << 40), ("8k", 8192)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_cache_limit(make_store: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = TrainOptions(store=Path("s"), out=Path("m"))
    assert cache_limit(plain) is None
    monkeypatch.setenv("DRG_CACHE_SIZE", "2K")
    assert cache_limit(plain) == 2048
    assert cache_limit(TrainOptions(store=Path("s"), out=Path("m"), cache_size="1G")) == 1 << 30
    with pytest.raises(InputError, match=r"needs .*, more than --cache-size 2\.0 KiB; raise --cache-size"):
        train(options(make_store(120), tmp_path / "m"))
    monkeypatch.setenv("DRG_CACHE_SIZE", "big")
    with pytest.raises(UsageError, match="DRG_CACHE_SIZE = 'big': not a size"):
        train(options(make_store(120, name="b.zarr"), tmp_path / "m"))
