"""Ways to compute a step: in pieces, with activations computed again, compiled; and steps that cannot be taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_stores import write_store
from support import drg, error_line
from torch import nn
from training.trainings import SMALL, drive, options, weights

from drg_hpc.errors import Stopped, UsageError
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel
from drg_hpc.training.data import Batch
from drg_hpc.training.distributed import Group
from drg_hpc.training.loader import Piece, TrainBatch
from drg_hpc.training.loop import Diverged
from drg_hpc.training.recompute import recompute_activations
from drg_hpc.training.run import train

Maker = Callable[..., Path]
BASSET = {"architecture": "basset", "channels": [6, 4], "sizes": [7, 3], "pools": [3, 2], "hidden": [8], "dropout": 0.1}
TOWER = {"architecture": "dilated-residual", "channels": 6, "layers": 3, "stem_size": 7, "profile_size": 5,
         "batch_norm": True}  # fmt: skip


def newest(out: Path, file: str = "weights") -> dict[str, torch.Tensor]:
    return load_file(max((out / "checkpoints").iterdir()) / f"{file}.safetensors")


def after(store: Path, out: Path, steps: int, **tables: Any) -> dict[str, torch.Tensor]:
    """Weights after some steps."""
    with pytest.raises(Stopped):
        train(options(store, out, max_steps=steps, **tables))
    return newest(out)


def largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


def test_accumulated_pieces_give_the_same_step(make_store: Maker, tmp_path: Path) -> None:
    """The last batch has 31 rows, some targets are missing: pieces differ in size and units."""
    store = make_store(191, valid=10, kind="real", tracks=3, nan=0.3)
    found = [
        after(store, tmp_path / f"m{n}", 6, train={"epochs": 3, "batch_size": 50, "accumulate": n}) for n in (1, 2, 5)
    ]
    assert largest_difference(found[0], found[1]) < 1e-6
    assert largest_difference(found[0], found[2]) < 1e-6


def test_every_rank_has_the_same_number_of_pieces() -> None:
    """10 rows on 4 ranks, and 2 rows on 3: ranks that lack a row for a piece take part with one that does not count."""
    for rows, world, count in ((10, 4, 5), (2, 3, 5), (7, 3, 2), (1, 3, 1)):
        pieces = []
        for rank in range(world):
            share = Group(rank, world, torch.device("cpu")).share(rows)
            mine = np.arange(rows)[share] if share.start < share.stop else np.array([0])
            values = torch.from_numpy(mine).float()[:, None]
            piece = Piece(Batch(values[:, None].expand(-1, 4, 2), values, values >= 0), torch.from_numpy(mine))
            whole = piece if share.start < share.stop else piece.part(slice(0, 0))
            pieces.append(TrainBatch(whole, -(-rows // world)).pieces(count))
        assert len({len(some) for some in pieces}) == 1
        assert len(pieces[0]) == min(count, -(-rows // world))
        counted = [piece for some in pieces for piece in some if piece.counted]
        assert sorted(int(key) for piece in counted for key in piece.keys) == list(range(rows))
        for piece in (piece for some in pieces for piece in some if not piece.counted):
            assert len(piece.keys) == 1 and not piece.batch.valid.any()


@pytest.mark.parametrize("model", [BASSET, TOWER, SMALL["model"] | {"hidden": [8, 8]}])
def test_activations_computed_again_change_nothing(make_store: Maker, tmp_path: Path, model: dict[str, Any]) -> None:
    """Dropout, and batch norm whose running statistics count a batch once; bitwise."""
    bins = 8 if model is TOWER else 0
    store = make_store(200, valid=40, kind="counts" if bins else "real", bins=bins, tracks=2)
    plain = train(options(store, tmp_path / "plain", model=model))
    again = train(
        options(store, tmp_path / "again", model=model, train={**SMALL["train"], "checkpoint_activations": True})
    )
    assert weights(again) == weights(plain)
    assert (again / "history.tsv").read_bytes() == (plain / "history.tsv").read_bytes()


class _Tower(SequenceModel):
    """Six convolutions, in one chain or in three blocks."""

    def __init__(self, *, named: bool) -> None:
        super().__init__(ModelShape({"seq": 20}, (HeadShape("main", 4),)))
        self._named = named
        pairs = [nn.Sequential(nn.Conv1d(4, 4, 1), nn.GELU(), nn.Conv1d(4, 4, 1)) for _ in range(3)]
        self.layers: Any = nn.ModuleList(pairs) if named else nn.Sequential(*(each for pair in pairs for each in pair))

    def checkpoint_blocks(self) -> list[nn.Module]:
        return list(self.layers) if self._named else []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers if self._named else [self.layers]:
            x = layer(x)
        return x.mean(-1)


@pytest.mark.parametrize("named", [True, False])
def test_blocks_run_twice_and_hold_less(named: bool) -> None:
    """The last layer of a block need not run again: its output is not asked for."""
    torch.manual_seed(0)
    model, plain = _Tower(named=named), _Tower(named=named)
    plain.load_state_dict(model.state_dict())
    runs, held = list[int](), list[int]()
    for layer in model.modules():
        if isinstance(layer, nn.Conv1d):
            layer.register_forward_hook(lambda *_: runs.append(1))
    assert recompute_activations(model) == 3
    x = torch.randn(2, 4, 20)
    for module in (plain, model):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: s.append(t.numel()) or t, lambda t: t):
            loss = module(x).square().sum()
        held.append(sum(sizes))
        loss.backward()
    assert len(runs) == 6 + 3
    assert held[1] < held[0] / 2
    for a, b in zip(plain.parameters(), model.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)  # type: ignore[arg-type]
    with torch.no_grad():
        model(x)
    assert len(runs) == 6 + 3 + 6


def test_settings_that_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        options(Path("s"), Path("m"), train={"compile": True, "checkpoint_activations": True})
    model = SequenceModel(ModelShape.single(8, 1))
    with pytest.raises(UsageError, match="no chain of layers"):
        recompute_activations(model)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_overflows_stops_at_its_step(make_store: Maker, tmp_path: Path, accumulate: int) -> None:
    """The squared error of one target is infinite in float32, its gradient is not."""
    generator = np.random.default_rng(4)
    targets = generator.normal(size=(191, 1)).astype(np.float32)
    targets[173] = 2e19  # drawn in the second step of the first epoch
    store, out = tmp_path / "store.zarr", tmp_path / "m"
    write_store(store, generator.integers(0, 4, (191, 40)), targets, valid=10)
    table: dict[str, Any] = {
        "train": {"epochs": 2, "batch_size": 50, "loss": "mse", "accumulate": accumulate},
        "optim": {"lr": 0.01, "clip_norm": 0.0}, "checkpoints": {"every": 1},
    }  # fmt: skip
    with pytest.raises(Diverged, match=r"at step (\d) \(epoch 1\): norm of the gradient nan; checkpoint of step \1 is"):
        train(options(store, out, **table))
    assert all(torch.isfinite(tensor).all() for tensor in newest(out).values())


def test_a_batch_of_one_row_has_no_variance(make_store: Maker, tmp_path: Path) -> None:
    store = make_store(111, valid=10)  # 101 rows: the last of the batches is a single one
    with pytest.raises(UsageError, match="batch norm: a batch has one value per channel"):
        train(options(store, tmp_path / "m", model=BASSET))


def test_bf16_steps_and_float32_validation(make_store: Maker, tmp_path: Path) -> None:
    store = make_store(200, valid=40)
    plain, half = (
        after(store, tmp_path / precision, 4, precision=precision, model=BASSET) for precision in ("fp32", "bf16")
    )
    assert 0 < largest_difference(plain, half) < 0.1
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in half.values())


@pytest.mark.slow
def test_compiled_training(make_store: Maker, tmp_path: Path) -> None:
    """The same names and nearly the same weights, dropout included; resumed bitwise."""
    store = make_store(260, valid=60)
    table = {"train": {"epochs": 2, "batch_size": 50, "compile": True}, "data": {"samples": 150}}
    compiled = train(options(store, tmp_path / "compiled", **table))
    plain = train(options(store, tmp_path / "plain", **table | {"train": {"epochs": 2, "batch_size": 50}}))
    assert 0 < largest_difference(newest(compiled), newest(plain)) < 1e-5
    assert drive(store, tmp_path / "parts", **table, max_steps=2) >= 2
    assert weights(tmp_path / "parts") == weights(compiled)


@pytest.mark.slow
def test_a_missing_compiler_is_said_in_one_line(make_store: Maker, tmp_path: Path) -> None:
    done = drg(
        "drg-train", make_store(), "-o", tmp_path / "m", "--device", "cpu", "--set", "train.compile=true", exit_code=3,
        CXX=str(tmp_path / "no-compiler"), TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "compiled"),
    )  # fmt: skip
    assert "train.compile: InvalidCxxCompiler" in error_line(done)
    assert "set train.compile = false" in error_line(done)
