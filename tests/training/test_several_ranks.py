"""What several ranks do together: batch norm over all of them, pieces, averages, and stopping at the same step.

One start of two ranks and one of three do all trainings; single ranks, for comparison, run in this process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_stores import write_store
from training.several_trainings import train_on_ranks

from drg_hpc.errors import Stopped
from drg_hpc.models.io import load_model
from drg_hpc.store.reader import open_dataset
from drg_hpc.training.config import TrainOptions
from drg_hpc.training.run import train

BASSET = {"architecture": "basset", "channels": [6, 4], "sizes": [7, 3], "pools": [3, 2], "hidden": [8], "dropout": 0.1}
TOWER = {"architecture": "dilated-residual", "channels": 6, "layers": 2, "stem_size": 7, "profile_size": 5,
         "batch_norm": True, "output": "values"}  # fmt: skip
CNN = {"kernels": 6, "kernel_size": 7, "pool_size": 5, "hidden": [8], "dropout": 0.2}
BATCHES = {"epochs": 4, "batch_size": 30, "loss": "mse"}
pytestmark = pytest.mark.slow


def _store(path: Path, rows: int, valid: int, *, bins: int = 0, spoilt: int | None = None) -> Path:
    generator = np.random.default_rng(3)
    codes = generator.integers(0, 4, (rows, 40))
    shape = (rows, 2, bins) if bins else (rows, 2)
    share = ((codes == 2) | (codes == 1)).mean(1)
    targets = (share.reshape(-1, *[1] * (len(shape) - 1)) * 3 + generator.normal(0, 0.3, shape)).astype(np.float32)
    targets[generator.random(shape) < 0.2] = np.nan
    if spoilt is not None:
        targets[spoilt] = 2e19
    return write_store(path, codes, targets, valid=valid)


class Trained:
    """Trainings on one, two and three ranks, in folders ``NAME.RANKS``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plain = _store(folder / "plain.zarr", 171, 30)
        self.profile = _store(folder / "profile.zarr", 27, 6, bins=8)
        self.spoilt = _store(folder / "spoilt.zarr", 171, 30, spoilt=77)
        jobs = self._jobs()
        for name, (ranks, values) in jobs.items():
            if ranks == 1:
                self._alone(name, values)
        self.outcomes = {
            ranks: train_on_ranks(
                ranks, {name: {**v, "out": self.out(name, r)} for name, (r, v) in jobs.items() if r == ranks}, folder
            )
            for ranks in (2, 3)
        }

    def _jobs(self) -> dict[str, tuple[int, dict[str, Any]]]:
        shared = {"device": "cpu", "cache_dir": str(self.folder / "cache"), "optim": {"lr": 0.01},
                  "log": {"measure": False}, "data": {"reverse_complement": 0.5}}  # fmt: skip
        found: dict[str, tuple[int, dict[str, Any]]] = {}

        def add(name: str, ranks: tuple[int, ...], store: Path, model: dict[str, Any], **more: Any) -> None:
            train_table = {**BATCHES, **more.pop("train", {})}
            for count in ranks:
                values = {**shared, "store": str(store), "model": model, "train": train_table, **more}
                found[f"{name}.{count}"] = (count, values)

        add("norm", (1, 2, 3), self.plain, BASSET, max_steps=20)
        add("company", (1, 3), self.profile, TOWER, max_steps=20, train={"batch_size": 2})
        add("pieces1", (1, 2, 3), self.plain, CNN, max_steps=8)
        add("pieces2", (2, 3), self.plain, CNN, max_steps=8, train={"accumulate": 2})
        add("pieces5", (2, 3), self.plain, CNN, max_steps=8, train={"accumulate": 5})
        add("normpieces", (2,), self.profile, TOWER, train={"batch_size": 5, "accumulate": 2, "epochs": 1})
        add("ema", (2,), self.plain, BASSET, train={"ema": 0.9, "epochs": 2})
        add("own", (2,), self.plain, BASSET, train={"sync_batch_norm": False, "epochs": 2})
        add("ownema", (2,), self.plain, BASSET, train={"sync_batch_norm": False, "epochs": 2, "ema": 0.9})
        again = {"checkpoint_activations": True}
        add("again", (1, 2), self.plain, BASSET, max_steps=6, train=again)
        add("spoilt", (2,), self.spoilt, CNN, checkpoints={"every": 1}, train={"accumulate": 2})
        for part in range(4):
            add(f"part{part}", (2,), self.plain, BASSET, max_steps=3, train={"ema": 0.9, "epochs": 2})
        return found

    def out(self, name: str, ranks: int) -> str:
        kind = "parts" if name.startswith("part") else name.partition(".")[0]
        return str(self.folder / f"{kind}.{ranks}")

    def _alone(self, name: str, values: dict[str, Any]) -> None:
        try:
            train(TrainOptions.model_validate({**values, "out": self.out(name, 1)}))
        except Stopped:
            pass

    def newest(self, name: str) -> dict[str, torch.Tensor]:
        return load_file(max((self.folder / name / "checkpoints").iterdir()) / "weights.safetensors")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    patch = pytest.MonkeyPatch()
    patch.setenv("OMP_NUM_THREADS", "1")
    yield Trained(tmp_path_factory.mktemp("ranks"))
    patch.undo()


def _largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


def test_batch_norm_takes_its_statistics_over_all_ranks(trained: Trained) -> None:
    """20 steps: weights and running statistics of two and three ranks are those of one."""
    one = trained.newest("norm.1")
    assert int(one["layers.conv0_norm.num_batches_tracked"]) == 20
    for ranks in (2, 3):
        assert _largest_difference(trained.newest(f"norm.{ranks}"), one) < 1e-5


def test_ranks_without_a_row_change_no_statistics(trained: Trained) -> None:
    """Batches of two rows on three ranks, and of one row at the end of each epoch."""
    assert _largest_difference(trained.newest("company.3"), trained.newest("company.1")) < 1e-5


def test_activations_computed_again_keep_the_statistics_over_ranks(trained: Trained) -> None:
    assert _largest_difference(trained.newest("again.2"), trained.newest("again.1")) < 1e-6
    assert int(trained.newest("again.2")["layers.conv0_norm.num_batches_tracked"]) == 6


@pytest.mark.parametrize("ranks", [2, 3])
def test_accumulated_pieces_agree_with_one_rank(trained: Trained, ranks: int) -> None:
    one = trained.newest("pieces1.1")
    for pieces in (1, 2, 5):
        assert _largest_difference(trained.newest(f"pieces{pieces}.{ranks}"), one) < 1e-6, pieces


def test_pieces_with_batch_norm_end(trained: Trained) -> None:
    """Ranks with two rows and with three: both take two pieces, or they would wait for each other."""
    assert {outcome["normpieces.2"] for outcome in trained.outcomes[2]} == {"done"}


@pytest.mark.parametrize("name", ["ema", "own", "ownema"])
def test_weights_on_disk_are_those_scored(trained: Trained, name: str) -> None:
    """Averages; batch norm whose statistics differ between ranks until they are validated; averages of such."""
    out = trained.folder / f"{name}.2"
    data = open_dataset(trained.plain)
    rows = data.split_rows("valid")
    with torch.no_grad():
        prediction = load_model(out)(torch.from_numpy(data.sequences(rows))).double().numpy()
    loss = float(np.nanmean((prediction - data.targets(rows)) ** 2))
    assert loss == pytest.approx(json.loads((out / "metrics.json").read_text())["valid"]["loss"], rel=1e-6)


def test_resumed_ranks_are_bitwise_the_same(trained: Trained) -> None:
    """Batch norm over ranks and averages, stopped every three steps."""
    whole, parts = trained.folder / "ema.2", trained.folder / "parts.2"
    assert [outcome.split(":")[0] for outcome in _parts(trained)] == [
        "LimitReached",
        "LimitReached",
        "LimitReached",
        "done",
    ]
    for name in ("weights.safetensors", "history.tsv", "metrics.json", "model.json"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name


def _parts(trained: Trained) -> list[str]:
    return [trained.outcomes[2][0][f"part{part}.2"] for part in range(4)]


def test_a_loss_that_one_rank_cannot_hold_stops_all_at_its_step(trained: Trained) -> None:
    found = {outcome["spoilt.2"] for outcome in trained.outcomes[2]}
    assert len(found) == 1
    text = found.pop()
    assert text.startswith("Diverged: training diverged at step ") and "norm of the gradient nan" in text
    step = int(text.split("at step ")[1].split()[0])
    assert f"checkpoint of step {step} is kept" in text
    newest = max((trained.folder / "spoilt.2/checkpoints").iterdir())
    assert newest.name == f"step-{step:08d}"
    assert all(torch.isfinite(tensor).all() for tensor in trained.newest("spoilt.2").values())
