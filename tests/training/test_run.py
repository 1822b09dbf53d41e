"""Whole trainings in this process: outputs, resuming, refusals, stops, damage."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support import ROOT, drg, drg_json, error_line
from training.trainings import SMALL, drive, history, options, weights

from drg_hpc.errors import CorruptError, DrgError, InputError, Stopped, UsageError
from drg_hpc.models.io import load_model
from drg_hpc.store.reader import open_dataset
from drg_hpc.training.run import train

Maker = Callable[..., Path]


def test_learns_and_commits(make_store: Maker, tmp_path: Path) -> None:
    store = make_store(1500, valid=300)
    more = {"train": {"epochs": 8, "batch_size": 50}, "model": {**SMALL["model"], "kernels": 16, "dropout": 0.0}}
    model = train(options(store, tmp_path / "m", **more))
    metrics = json.loads((model / "metrics.json").read_text())
    assert metrics["valid"]["auroc"] > 0.9
    done = json.loads((model / "done.json").read_text())
    assert set(done["outputs"]) == {"model.json", "weights.safetensors", "tracks.tsv", "history.tsv", "metrics.json"}
    assert done["summary"]["valid"] == metrics["valid"]
    module = load_model(model)
    assert (module.tracks, module.link) == (["bound"], "logit")
    data = open_dataset(store)
    rows = data.split_rows("valid")
    with torch.no_grad():
        logits = module(torch.from_numpy(data.sequences(rows))).double().numpy()
    labels = data.targets(rows)
    loss = np.mean(np.log1p(np.exp(-np.where(labels > 0.5, logits, -logits))))
    assert loss == pytest.approx(metrics["valid"]["loss"], rel=1e-5)  # the weights on disk are those scored
    header = (model / "history.tsv").read_text().splitlines()[0].split("\t")
    assert header == ["epoch", "step", "lr", "train_loss", "valid_loss", "auprc", "auroc"]
    best = min(float(row[4]) for row in history(model)[1:])
    assert best == pytest.approx(metrics["valid"]["loss"], rel=1e-5)


@pytest.mark.parametrize("every", [1, 2, 5])
def test_stopped_after_any_step_is_bitwise_the_same(make_store: Maker, tmp_path: Path, every: int) -> None:
    store = make_store(310)  # five steps an epoch, validation after the last of them
    whole = train(options(store, tmp_path / "whole"))
    stops = drive(store, tmp_path / "parts", max_steps=every)
    assert stops >= 10 // every
    assert weights(tmp_path / "parts") == weights(whole)
    assert history(tmp_path / "parts") == history(whole)
    for name in ("model.json", "metrics.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize("optim", [{"name": "sgd", "schedule": "plateau"}, {"name": "adamw", "schedule": "none"}])
def test_other_optimizers_resume_bitwise(make_store: Maker, tmp_path: Path, optim: dict[str, Any]) -> None:
    store = make_store(200, kind="real", tracks=2, nan=0.2)
    whole = train(options(store, tmp_path / "whole", optim=optim))
    drive(store, tmp_path / "parts", optim=optim, max_steps=2, checkpoints={"every": 3})
    assert weights(tmp_path / "parts") == weights(whole)


@pytest.mark.parametrize("loss", ["multinomial", "poisson", "mse"])
def test_profile_model(make_store: Maker, tmp_path: Path, loss: str) -> None:
    store = make_store(120, valid=20, kind="counts", tracks=2, bins=8, nan=0.1, partners=[1, 0])
    model = {"architecture": "dilated-residual", "channels": 6, "layers": 2, "stem_size": 7, "profile_size": 5}
    out = train(options(store, tmp_path / "m", model=model, train={"epochs": 1, "batch_size": 30, "loss": loss}))
    module = load_model(out)
    assert module(torch.zeros(2, 4, 40)).shape == (2, 2, 8)
    assert module.link == "log"


def test_track_subset(make_store: Maker, tmp_path: Path) -> None:
    store = make_store(120, valid=20, kind="real", tracks=3)
    out = train(options(store, tmp_path / "m", tracks="t2,t0"))
    assert load_model(out).tracks == ["t2", "t0"]
    assert (out / "tracks.tsv").read_text() == "index\tname\n0\tt2\n1\tt0\n"


def test_done_is_left_alone_and_changes_are_refused(make_store: Maker, tmp_path: Path) -> None:
    store, out = make_store(), tmp_path / "m"
    train(options(store, out))
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name != ".lock"}
    train(options(store, out))
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name != ".lock"} == before
    with pytest.raises(UsageError, match=r"optim\.lr = 0\.5 \(was 0\.01\)"):
        train(options(store, out, lr=0.5))
    with pytest.raises(UsageError, match="--resume is never"):
        train(options(store, out, resume="never"))
    (out / "weights.safetensors").write_bytes(b"")
    with pytest.raises(CorruptError, match=r"weights\.safetensors changed"):
        train(options(store, out))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seed": 1}, "seed = 1 (was 0)"),
        ({"batch_size": 49}, "train.batch_size = 49 (was 50)"),
        ({"data": {}}, "data.reverse_complement = 0.0 (was 0.5)"),
        ({"model": {**SMALL["model"], "kernels": 7}}, "model.kernels = 7 (was 6)"),
    ],
)
def test_resume_with_changed_option_names_the_key(
    make_store: Maker, tmp_path: Path, changes: dict[str, Any], key: str
) -> None:
    store, out = make_store(), tmp_path / "m"
    with pytest.raises(Stopped):
        train(options(store, out, max_steps=2))
    with pytest.raises(UsageError) as caught:
        train(options(store, out, **changes))
    assert key in str(caught.value)
    assert list((out / "checkpoints").iterdir())


def test_resume_with_another_store_is_refused(make_store: Maker, tmp_path: Path) -> None:
    out = tmp_path / "m"
    with pytest.raises(Stopped):
        train(options(make_store(), out, max_steps=2))
    with pytest.raises(UsageError, match="store = sha256"):
        train(options(make_store(name="other.zarr", seed=6), out))


def test_stop_file_ends_and_is_removed_on_resume(
    make_store: Maker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, out = make_store(), tmp_path / "m"
    with pytest.raises(Stopped):
        train(options(store, out, max_steps=3))

    def appear(record: logging.LogRecord) -> bool:
        if "going on" in record.getMessage():
            (out / "STOP").touch()
        return True

    logger = logging.getLogger("drg_hpc.training.run")
    logger.setLevel(logging.INFO)
    logger.addFilter(appear)
    try:
        with pytest.raises(Stopped, match="STOP file") as caught:
            train(options(store, out))
    finally:
        logger.removeFilter(appear)
    assert caught.value.exit_code == 143
    caplog.set_level(logging.INFO)
    train(options(store, out))
    assert not (out / "STOP").exists()
    assert "STOP of an earlier stop" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_end_with_a_checkpoint(make_store: Maker, tmp_path: Path, number: signal.Signals) -> None:
    store, out = make_store(2000), tmp_path / "m"
    before = signal.getsignal(number)
    long = {"train": {"epochs": 500, "batch_size": 50, "patience": 0}}
    timer = threading.Timer(1.5, os.kill, (os.getpid(), number))
    guard = signal.signal(number, lambda *_: None)  # if it comes before train() listens
    timer.start()
    try:
        with pytest.raises(Stopped, match=number.name):
            train(options(store, out, **long))
    finally:
        timer.cancel()
        signal.signal(number, guard)
    assert signal.getsignal(number) == before
    assert list((out / "checkpoints").iterdir())


def test_max_time(make_store: Maker, tmp_path: Path) -> None:
    with pytest.raises(Stopped, match="--max-time"):
        train(options(make_store(), tmp_path / "m", max_time="0s"))
    assert (tmp_path / "m/checkpoints/step-00000000").is_dir()


@pytest.mark.parametrize("damage", ["byte", "missing", "receipt"])
def test_damaged_newest_checkpoint_is_set_aside(
    make_store: Maker, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, out = make_store(), tmp_path / "m"
    whole = train(options(store, tmp_path / "whole"))
    for _ in range(2):
        with pytest.raises(Stopped):
            train(options(store, out, max_steps=3))
    newest = out / "checkpoints/step-00000006"
    assert newest.is_dir()
    if damage == "byte":
        raw = bytearray((newest / "weights.safetensors").read_bytes())
        raw[-1] ^= 1
        (newest / "weights.safetensors").write_bytes(raw)
    elif damage == "missing":
        (newest / "state.json").unlink()
    else:
        (newest / "receipt.json").write_text("{")
    train(options(store, out))
    assert "step-00000006 is damaged" in caplog.text
    assert len(list((out / "damaged").iterdir())) == 1
    assert weights(out) == weights(whole)


def test_two_checkpoints_are_kept(make_store: Maker, tmp_path: Path) -> None:
    out = train(options(make_store(), tmp_path / "m", checkpoints={"every": 1}))
    assert len(list((out / "checkpoints").iterdir())) == 2


def test_diverged_training_keeps_its_checkpoint(make_store: Maker, tmp_path: Path) -> None:
    store, out = make_store(kind="real"), tmp_path / "m"
    optim = {"name": "sgd", "lr": 1e12, "warmup_steps": 0, "clip_norm": 0}
    with pytest.raises(DrgError, match="diverged at step") as caught:
        train(options(store, out, optim=optim, checkpoints={"every": 1}))
    assert caught.value.exit_code == 6
    newest = max((out / "checkpoints").iterdir())
    assert all(torch.isfinite(t).all() for t in load_file(newest / "weights.safetensors").values())
    assert not (out / "model.json").exists()
    with pytest.raises(InputError, match="not finished"):
        load_model(out)


def test_early_stop(make_store: Maker, tmp_path: Path) -> None:
    optim = {"name": "sgd", "lr": 1e-12}
    tables = {"train": {"epochs": 50, "batch_size": 100, "patience": 2}, "optim": optim}
    out = train(options(make_store(), tmp_path / "m", **tables))
    assert len(history(out)) - 1 < 50


def test_failed_start_leaves_nothing(make_store: Maker, tmp_path: Path) -> None:
    store, out = make_store(valid=0), tmp_path / "m"
    with pytest.raises(InputError, match="no rows in split 'valid'"):
        train(options(store, out))
    assert not out.exists()
    whole = make_store(name="whole.zarr")
    with pytest.raises(UsageError, match="no track 'nope'"):
        train(options(whole, out, tracks="nope"))
    assert not out.exists()
    with pytest.raises(UsageError, match="not a device"):
        train(options(whole, out, device="gpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_cuda_is_never_replaced_by_cpu(make_store: Maker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 are visible"):
        train(options(make_store(), tmp_path / "m", device="cuda"))


def test_foreign_folder_is_refused(make_store: Maker, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        train(options(make_store(), out))
    assert sorted(p.name for p in out.iterdir() if p.name != ".lock") == ["thesis.tex"]


def test_store_cut_off_is_refused(make_store: Maker, tmp_path: Path) -> None:
    store = make_store()
    shutil.rmtree(store / "targets")
    with pytest.raises(CorruptError):
        train(options(store, tmp_path / "m"))
    assert not (tmp_path / "m").exists()


def test_command(make_store: Maker, tmp_path: Path) -> None:
    store, out = make_store(), tmp_path / "m"
    config = tmp_path / "config.toml"
    config.write_text("[model]\nkernels = 4\n[train]\nepochs = 1\n")
    arguments = (store, "-o", out, "--config", config)
    assert drg("drg-train", *arguments).stdout.strip() == f"wrote: {out}"
    assert drg_json("drg-train", *arguments)["skipped"] is True
    wrong = drg("drg-train", *arguments, "--set", "train.epocs=3", exit_code=2)
    assert "did you mean 'epochs'?" in error_line(wrong)
    text = drg("drg-train", "--help").stdout
    assert "kernel_activation" in text
    assert "143 stopped with a checkpoint" in text


def test_a_limit_is_a_result(make_store: Maker, tmp_path: Path) -> None:
    done = drg(
        "drg-train", make_store(120, valid=20), "-o", tmp_path / "m", "--config", ROOT / "configs/ctcf.toml",
        "--max-steps", 2, "--batch-size", 30, exit_code=143,
    )  # fmt: skip
    assert done.stdout.startswith("stopped: --max-steps reached: checkpoint written at step 2 (epoch 1); run the same")
    assert "error" not in done.stderr
