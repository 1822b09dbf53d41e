"""Speed beside history, and the log of the steps."""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training.trainings import drive, history, options

from drg_hpc.errors import InputError, Stopped
from drg_hpc.models.io import load_model
from drg_hpc.training.compute_options import products, require_precision
from drg_hpc.training.distributed import Group
from drg_hpc.training.run import train
from drg_hpc.training.throughput import Meter, peak_memory, product_rate

Maker = Callable[..., Path]


def _table(path: Path) -> list[dict[str, str]]:
    head, *rows = (line.split("\t") for line in path.read_text().splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_speed_has_a_file_of_its_own(make_store: Maker, tmp_path: Path) -> None:
    store = make_store()
    out = train(options(store, tmp_path / "m"))
    again = train(options(store, tmp_path / "again", log={"measure": False}))
    assert (out / "history.tsv").read_bytes() == (again / "history.tsv").read_bytes()
    rows = _table(out / "speed.tsv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert set(rows[0]) == {"epoch", "samples_per_s", "data_wait", "flop_share", "memory_mib"}
    assert all(0 < float(row["flop_share"]) < 1 and 0 <= float(row["data_wait"]) <= 1 for row in rows)
    assert all(float(row["memory_mib"]) > 50 for row in rows)
    assert all(row["flop_share"] == "" for row in _table(again / "speed.tsv"))
    assert "speed.tsv" not in json.loads((out / "done.json").read_text())["outputs"]
    drive(store, tmp_path / "parts", max_steps=3)
    assert len(_table(tmp_path / "parts/speed.tsv")) == len(history(tmp_path / "parts")) - 1


def test_shares_are_of_the_measured_rate(make_store: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = train(options(make_store(), tmp_path / "m"))
    model = load_model(out)
    monkeypatch.setattr("drg_hpc.training.throughput.product_rate", lambda device, precision: 1e9)
    meter = Meter(model, group=Group(0, 1, torch.device("cpu")), precision="fp32", measure=True)
    row = meter.row(rows=1000, seconds=2.0, waited=0.5)
    macs = json.loads((out / "model.json").read_text())["operations"]["macs_per_row"]
    assert row["flop_share"] == pytest.approx(500 * 6 * macs / 1e9)
    assert (row["samples_per_s"], row["data_wait"]) == (500, 0.25)
    assert peak_memory(torch.device("cpu")) > 50 * 2**20


def test_rate_of_products() -> None:
    rate = product_rate(torch.device("cpu"), "fp32")
    assert 1e8 < rate < 1e14
    with products("tf32"):
        assert torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_tf32_is_refused_on_a_cpu(make_store: Maker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.precision = 'tf32' is arithmetic of GPUs, this is a CPU"):
        train(options(make_store(), tmp_path / "m", precision="tf32"))
    assert not (tmp_path / "m").exists()
    require_precision("bf16", torch.device("cpu"))


def test_json_lines_go_on_where_the_training_does(make_store: Maker, tmp_path: Path) -> None:
    """Steps that are done again after a stop without a checkpoint stand once."""
    store, log = make_store(310), {"to": "jsonl", "every": 2}
    whole = train(options(store, tmp_path / "whole", log=log))
    out = tmp_path / "parts"
    with pytest.raises(Stopped):
        train(options(store, out, log=log, max_steps=4))
    lines = (out / "log.jsonl").read_text()
    cut = '{"kind": "steps", "st'
    later = lines.splitlines()[-1].replace('"step": 4', '"step": 6')
    (out / "log.jsonl").write_text(f"{lines}{later}\n{cut}")
    train(options(store, out, log=log, log_to="jsonl"))
    found, expected = ([json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
                       for path in (out, whole))  # fmt: skip
    assert [(e["kind"], e["step"]) for e in expected] == [
        ("steps", 2), ("steps", 4), ("epoch", 5), ("steps", 6), ("steps", 8), ("steps", 10), ("epoch", 10),
    ]  # fmt: skip
    assert len(found) == len(expected)
    for mine, other in zip(found, expected, strict=True):
        for key in ("kind", "step", "loss", "lr", "gradient_norm", "train_loss", "valid_loss", "auroc"):
            assert mine.get(key) == other.get(key), (mine, other)
    rows = history(whole)
    assert f"{expected[2]['train_loss']:.6g}" == rows[1][rows[0].index("train_loss")]


def test_tensorboard_gets_the_same_values(make_store: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            assert (folder, purge_step) == (str(tmp_path / "m/tensorboard"), 1)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def flush(self) -> None:
            pass

    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(InputError, match="needs the package tensorboard"):
            train(options(make_store(), tmp_path / "m", log_to="tensorboard"))
        assert not (tmp_path / "m").exists()
    module: Any = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr("drg_hpc.training.step_log.importlib.util.find_spec", lambda name: object())
    out = train(options(make_store(name="other.zarr"), tmp_path / "m", log={"to": "tensorboard", "every": 5}))
    names = {name for name, _, _ in written}
    assert {"steps/loss", "steps/gradient_norm", "epoch/valid_loss", "epoch/auroc", "epoch/samples_per_s"} <= names
    losses = [f"{value:.6g}" for name, value, _ in written if name == "epoch/valid_loss"]
    rows = history(out)
    assert losses == [row[rows[0].index("valid_loss")] for row in rows[1:]]
