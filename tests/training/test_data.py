"""Batches, augmentation, schedule, options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from stores import TINY, shard

from drg_hpc.errors import InputError, UsageError
from drg_hpc.store.cache import open_cache
from drg_hpc.store.mixture import Mixture
from drg_hpc.store.reader import open_dataset
from drg_hpc.training.augment import choose_flips, sample_keys
from drg_hpc.training.config import TrainOptions, parse_duration, settle
from drg_hpc.training.data import TrainingData
from drg_hpc.training.tracks import require_partners, select_tracks, strand_partners

Maker = Callable[..., Path]
CPU = torch.device("cpu")


def test_batches_are_the_stores_rows(make_store: Maker) -> None:
    path = make_store(100, kind="real", tracks=3, nan=0.2)
    store, rows = open_dataset(path), np.array([90, 3, 3, 41])
    batch = TrainingData(Mixture([open_cache(path)]), tracks=[2, 0], partners=[0, 1], device=CPU).batch(rows)
    assert np.array_equal(batch.sequence.numpy(), store.sequences(rows))
    target = np.where(batch.valid.numpy(), batch.target.numpy(), np.nan)
    np.testing.assert_array_equal(target, store.targets(rows)[:, [2, 0]])


def test_reverse_complement_turns_bins_and_exchanges_strands(make_store: Maker) -> None:
    path = make_store(80, kind="counts", tracks=3, bins=4, nan=0.1, partners=[1, 0, 2])
    info = [{"name": n, "strand_partner": p} for n, p in (("t0", 1), ("t1", 0), ("t2", 2))]
    partners = require_partners(strand_partners(info, [0, 1, 2]), ["t0", "t1", "t2"])
    assert partners == [1, 0, 2]
    data = TrainingData(Mixture([open_cache(path)]), tracks=[0, 1, 2], partners=partners, device=CPU)
    rows = np.arange(10, 16)
    plain, turned = data.batch(rows), data.batch(rows, flips=np.array([True, False] * 3))
    assert torch.equal(turned.sequence[1::2], plain.sequence[1::2])
    assert torch.equal(turned.target[1::2], plain.target[1::2])
    assert torch.equal(turned.sequence[::2], plain.sequence[::2].flip(1, 2))
    for name in ("target", "valid"):
        assert torch.equal(getattr(turned, name)[::2], getattr(plain, name)[::2][:, partners].flip(-1))
    assert strand_partners(info, [2, 0]) == [0, None]
    with pytest.raises(UsageError, match="'t0' without the track of its other strand"):
        require_partners([0, None], ["t2", "t0"])


def test_turned_rows_are_those_of_the_other_strand_on_real_cage(tmp_path: Path) -> None:
    """A row turned in training is what drg-shard --stranded makes of the same interval on the - strand: CAGE + and -
    change places, bins run the other way."""
    genome = shard("genome", tmp_path / "genome", fasta=[TINY / "genome.fa.gz"])
    intervals = [line.split("\t")[:3] for line in (TINY / "windows.bed").read_text().splitlines()]
    stores = {}
    for strand in "+-":
        regions = tmp_path / f"{strand}.bed"
        rows = ["\t".join([c, str(int(s) + 640), str(int(s) + 4736), c, "0", strand]) for c, s, _ in intervals]
        regions.write_text("\n".join(rows) + "\n")
        stores[strand] = shard(
            "regions", tmp_path / strand, genome=genome, regions=regions, tracks=TINY / "targets.tsv", bin=32,
            stranded=True,
        )  # fmt: skip
    header = open_dataset(stores["+"]).header
    tracks = list(range(len(header["tracks"])))
    partners = require_partners(strand_partners(header["track_info"], tracks), header["tracks"])
    plus, minus = header["tracks"].index("CNhs12184+"), header["tracks"].index("CNhs12184-")
    assert (partners[plus], partners[minus]) == (minus, plus)
    data = TrainingData(Mixture([open_cache(stores["+"])]), tracks=tracks, partners=partners, device=CPU)
    everyone = np.arange(len(intervals))
    turned, other = data.batch(everyone, flips=np.ones(len(everyone), bool)), open_dataset(stores["-"])
    assert np.array_equal(turned.sequence.numpy(), other.sequences(everyone))
    np.testing.assert_array_equal(turned.target.numpy(), other.targets(everyone))
    assert float(turned.target[:, [plus, minus]].abs().sum()) > 0
    assert not torch.equal(turned.target[:, plus], turned.target[:, minus])


def test_keys_belong_to_rows() -> None:
    rows = np.arange(2000)
    keys = sample_keys(1, 2, rows, "dropout")
    assert len(set(keys.tolist())) == 2000
    assert np.array_equal(sample_keys(1, 2, rows[::-1], "dropout"), keys[::-1])
    assert not np.array_equal(sample_keys(1, 3, rows, "dropout"), keys)
    flips = choose_flips(1, 2, rows, 0.25)
    assert 0.2 < flips.mean() < 0.3
    assert not choose_flips(1, 2, rows, 0.0).any()
    assert choose_flips(1, 2, rows, 1.0).all()


def test_scan_and_missing_splits(make_store: Maker) -> None:
    data = TrainingData(Mixture([open_cache(make_store(50, kind="binary"))]), tracks=[0], partners=[0], device=CPU)
    (facts,) = data.scan(np.arange(50))
    assert facts.binary
    assert facts.non_negative
    with pytest.raises(InputError, match=r"no rows in split 'test' \(data\.valid\)"):
        data.split("test", key="data.valid")
    empty = TrainingData(
        Mixture([open_cache(make_store(50, nan=1.0, name="empty.zarr"))]), tracks=[0], partners=[0], device=CPU
    )
    with pytest.raises(InputError, match="every target"):
        empty.scan(np.arange(50))


def test_tracks_by_name() -> None:
    info = [{"name": name, "modality": "x" if name < "c" else "y"} for name in "abcd"]
    assert select_tracks(info, "all") == [0, 1, 2, 3]
    assert select_tracks(info, "b, a") == [1, 0]
    assert select_tracks(info, "d,b,c, a") == [1, 0, 3, 2]  # those of a modality next to each other
    with pytest.raises(UsageError, match="no track 'e'"):
        select_tracks(info, "a,e")
    with pytest.raises(UsageError, match="twice"):
        select_tracks(info, "a,a")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5h", 5400), ("0:01:30", 90), ("1-00:00:01", 86401)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_flags_win_over_tables() -> None:
    options = TrainOptions(
        store=Path("s"), out=Path("m"), epochs=3, lr=0.5, train={"epochs": 9, "batch_size": 4},  # type: ignore[arg-type]
        model={"kernels": 7},  # type: ignore[arg-type]
    )  # fmt: skip
    recipe = settle(options)
    assert (recipe.train.epochs, recipe.train.batch_size, recipe.optim.lr) == (3, 4, 0.5)
    assert recipe.model.architecture == "drg-cnn"
    with pytest.raises(ValidationError):
        TrainOptions(store=Path("s"), out=Path("m"), max_time="soon")
