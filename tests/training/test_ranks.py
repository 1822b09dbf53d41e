"""Several processes under torchrun, as a user starts them; single ones, for comparison, in this process."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support import Once, environment
from training.several_trainings import train_on_ranks

from drg_hpc.training.config import TrainOptions
from drg_hpc.training.run import train
from drg_hpc.training.stop import LimitReached

Maker = Callable[..., Path]
# Tables of the configuration file that all trainings here share.
CONFIG = """
seed = 3
device = "cpu"
[model]
kernels = 8
kernel_size = 7
pool_size = 5
conv_channels = [8]
hidden = [16, 8]
dropout = 0.2
[data]
reverse_complement = 0.5
[optim]
lr = 0.01
clip_norm = 1.0
schedule = "cosine"
[train]
epochs = 2
batch_size = 32
"""


def command(ranks: int, store: Path, out: Path, *extra: object) -> list[str]:
    config = out.parent / "config.toml"
    config.write_text(CONFIG)
    start = [sys.executable, "-m"]
    if ranks > 1:
        start += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), "-m"]
    return [*start, "drg_hpc.cli.train", str(store), "-o", str(out), "--config", str(config), *map(str, extra)]


def run(ranks: int, store: Path, out: Path, *extra: object) -> subprocess.CompletedProcess[str]:
    line = command(ranks, store, out, *extra)
    return subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=240, check=False)


def settings(store: Path, out: Path, **more: Any) -> dict[str, Any]:
    """What ``command`` says, as options."""
    return {**tomllib.loads(CONFIG), "store": str(store), "out": str(out), **more}


def alone(store: Path, out: Path, **more: Any) -> None:
    """One rank, until done or its limit."""
    try:
        train(TrainOptions.model_validate(settings(store, out, **more)))
    except LimitReached:
        pass


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def newest(out: Path) -> Path:
    return max((out / "checkpoints").iterdir())


def finish(ranks: int, store: Path, out: Path, *extra: object) -> list[str]:
    """Run again and again until done; standard error of each job."""
    errors = []
    for _ in range(20):
        done = run(ranks, store, out, *extra)
        errors.append(done.stderr)
        if done.returncode == 0:
            return errors
        assert "--max-steps reached" in done.stdout, done.stderr
    raise AssertionError("does not end")


def stores(make_store: Maker, *, mixed: bool) -> tuple[Path, dict[str, Any]]:
    """7 steps an epoch; the last batch has 27 rows. Mixed: two stores, drawn by class, windows moved."""
    if not mixed:
        return make_store(250, valid=31, flank=3, name="plain.zarr"), {}
    other = make_store(106, valid=6, flank=3, name="other.zarr", seed=9, dtype="float16")
    table = {"mix": [{"store": str(other), "weight": 2.5}], "balance": "bound", "jitter": 3}
    return make_store(150, valid=31, flank=3), table


def same_bytes(parts: Path, whole: Path) -> None:
    for name in ("weights.safetensors", "model.json", "metrics.json"):
        assert digest(parts / name) == digest(whole / name), name
    for name in ("weights.safetensors", "optimizer.safetensors", "best.safetensors"):
        assert digest(newest(parts) / name) == digest(newest(whole) / name), name


@pytest.mark.slow
def test_resume_is_bitwise(make_store: Maker, tmp_path: Path) -> None:
    store, table = stores(make_store, mixed=True)
    (other,) = table["mix"]
    values = table | {"mix": f'[{{store = "{other["store"]}", weight = {other["weight"]}}}]'}
    more = [word for key, value in values.items() for word in ("--set", f"data.{key}={value}")]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert len(finish(3, store, whole, *more)) == 1
    assert len(finish(3, store, parts, "--max-steps", 4, *more)) > 3
    same_bytes(parts, whole)


@pytest.mark.slow
def test_resume_in_the_same_processes_is_bitwise(make_store: Maker, tmp_path: Path) -> None:
    """The same on two ranks that stop and go on without being started again."""
    jobs: dict[str, dict[str, Any]] = {}
    for name, mixed in (("plain", False), ("mixed", True)):
        store, table = stores(make_store, mixed=mixed)
        data = tomllib.loads(CONFIG)["data"] | table
        jobs[f"{name} whole"] = settings(store, tmp_path / f"{name}_whole", data=data)
        for part in range(4):
            jobs[f"{name} {part}"] = settings(store, tmp_path / f"{name}_parts", data=data, max_steps=4)
    for outcomes in train_on_ranks(2, jobs, tmp_path):
        found = [outcomes[job].split(":")[0] for job in jobs]
        assert found == ["done", "LimitReached", "LimitReached", "LimitReached", "done"] * 2
    for name in ("plain", "mixed"):
        same_bytes(tmp_path / f"{name}_parts", tmp_path / f"{name}_whole")


def _after(ranks: int, store: Path, out: Path, steps: int, *extra: object) -> dict[str, torch.Tensor]:
    if ranks == 1 and not extra:
        alone(store, out, max_steps=steps)
    else:
        done = run(ranks, store, out, "--max-steps", steps, *extra)
        assert "--max-steps reached" in done.stdout, done.stderr
    return load_file(newest(out) / "weights.safetensors")


@pytest.mark.slow
def test_ranks_agree_after_20_steps(make_store: Maker, tmp_path: Path) -> None:
    """Dropout and reverse complements included: both belong to the row."""
    store = make_store(900, valid=30)
    one = _after(1, store, tmp_path / "one", 20)
    for ranks in (2, 3):
        other = _after(ranks, store, tmp_path / f"r{ranks}", 20)
        for name, tensor in one.items():
            torch.testing.assert_close(other[name], tensor, rtol=1e-5, atol=1e-5, msg=f"{ranks} ranks: {name}")


@pytest.mark.slow
def test_missing_targets_and_more_ranks_than_rows(make_store: Maker, tmp_path: Path) -> None:
    store = make_store(45, valid=2, kind="real", tracks=2, nan=0.3)  # last batch: 11 rows; validation: 2 rows
    # the last batch of the epoch has one row
    alone(store, tmp_path / "one", max_steps=22, train={"epochs": 2, "batch_size": 2})
    one = load_file(newest(tmp_path / "one") / "weights.safetensors")
    three = _after(3, store, tmp_path / "three", 22, "--set", "train.batch_size=2")
    for name, tensor in one.items():
        torch.testing.assert_close(three[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.slow
def test_another_number_of_ranks_goes_on(make_store: Maker, tmp_path: Path) -> None:
    """Begun with 2 ranks, gone on with 1, 3 and 1: the weights after 20 steps, and the scores at the end, are those of
    1 rank that was never disturbed."""
    store, out, undisturbed = make_store(900, valid=100), tmp_path / "m", tmp_path / "undisturbed"
    _after(2, store, out, 5)
    _after(1, store, out, 7)
    here, there = _after(3, store, out, 8), _after(1, store, undisturbed, 20)
    for name, tensor in there.items():
        torch.testing.assert_close(here[name], tensor, rtol=1e-5, atol=1e-5, msg=name)
    scores = []
    for folder in (out, undisturbed):
        alone(store, folder)
        scores.append(json.loads((folder / "metrics.json").read_text())["valid"])
    for name in ("loss", "auroc", "auprc"):
        assert scores[0][name] == pytest.approx(scores[1][name], abs=0.002), name


@pytest.mark.slow
def test_errors_of_rank_0_reach_all_and_are_said_once(make_store: Maker, tmp_path: Path) -> None:
    store, out = make_store(250, valid=31), tmp_path / "m"
    alone(store, out, max_steps=3)
    done = run(2, store, out, "--lr", 0.5)
    assert done.returncode != 0
    assert len(re.findall(r"drg-train: error: .*optim\.lr = 0\.5 \(was 0\.01\)", done.stderr)) == 1
    file = store / "inputs/seq/c/0/0/0"
    raw = bytearray(file.read_bytes())
    raw[30] ^= 1
    file.write_bytes(raw)
    done = run(2, store, tmp_path / "n")
    assert len(re.findall(r"drg-train: error: .*inputs/seq/c/0/0/0 does not match its sha256", done.stderr)) == 1


def _wait_for(path: Path, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 240  # ends what hangs
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


LONGER = ("--epochs", 6, "--set", "checkpoints.every=10")


@pytest.fixture
def undisturbed(make_store: Maker, once: Once) -> Path:
    """A store, and what two ranks make of it that nobody disturbs."""

    def make(folder: Path) -> None:
        store = shutil.copytree(make_store(800, valid=31), folder / "store.zarr")
        done = run(2, store, folder / "whole", *LONGER)
        assert done.returncode == 0, done.stderr

    return once("ranks", make)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["STOP", "SIGTERM", "SIGKILL"])
def test_stopped_from_outside(undisturbed: Path, tmp_path: Path, how: str) -> None:
    """Stopped or killed while running, then resumed: the same weights as undisturbed."""
    store, out = undisturbed / "store.zarr", tmp_path / "m"
    process = subprocess.Popen(command(2, store, out, *LONGER), env=environment(), stderr=subprocess.PIPE, text=True)
    _wait_for(out / "checkpoints/step-00000010", process)
    if how == "STOP":
        (out / "STOP").touch()
    elif how == "SIGTERM":
        process.terminate()  # torchrun passes it on
    else:
        for pid in [*_children(process.pid), process.pid]:  # the ranks are in sessions of their own
            os.kill(pid, signal.SIGKILL)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode != 0
    if how != "SIGKILL":
        assert "checkpoint written at step" in stderr
    assert not (out / "done.json").exists()
    assert run(2, store, out, *LONGER).returncode == 0
    assert not (out / "STOP").exists()
    assert digest(out / "weights.safetensors") == digest(undisturbed / "whole/weights.safetensors")


def test_tasks_of_srun_without_torchrun_are_refused(make_store: Maker, tmp_path: Path) -> None:
    line = command(1, make_store(), tmp_path / "m")
    env = environment(SLURM_STEP_NUM_TASKS="4")
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "srun started 4 tasks" in done.stderr
