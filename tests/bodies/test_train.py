"""drg-train --folds and --grid: the models of trainings by themselves, whoever makes them, however often stopped."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bodies.sweeps import FILES, SMALL, alone, digests, make_store, planned, table
from small_stores import write_store
from support import argv, drg, environment

from drg_hpc.bodies.train_work import Body
from drg_hpc.errors import InputError, ShardsFailedError, UsageError
from drg_hpc.runs import parts, state
from drg_hpc.runs.attempt import do_shard
from drg_hpc.runs.merge import merge_run
from drg_hpc.runs.plan import Plan, read_plan
from drg_hpc.runs.status import run_status
from drg_hpc.runs.work import work_run

GRID = """
seed = [0, 3]
[grid]
"model.kernels" = [4, 6]
[[run]]
name = "sgd"
"optim.name" = "sgd"
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRG_CACHE_DIR", str(tmp_path / "cache"))


def grid(folder: Path, text: str = GRID) -> Path:
    (folder / "grid.toml").write_text(text)
    return folder / "grid.toml"


def test_each_fold_is_the_training_that_its_splits_make_alone(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store.zarr", folds=3)
    plan = planned(store, tmp_path / "run", folds="3")
    work_run(plan, device="cpu")
    done = merge_run(plan)
    for fold, (train, test) in enumerate([("fold:2", "fold:1"), ("fold:0", "fold:2"), ("fold:1", "fold:0")]):
        data = {**SMALL["data"], "train": train, "valid": f"fold:{fold}"}
        model = alone(store, tmp_path / f"alone{fold}", data=data)
        made = tmp_path / "run/models" / f"fold-{fold}"
        assert sorted(path.name for path in made.iterdir()) == list(FILES)
        for name in FILES:
            assert (made / name).read_bytes() == (model / name).read_bytes(), name
        row = table(tmp_path / "run")[fold]
        assert (row["name"], row["valid"], row["test"]) == (f"fold-{fold}", f"fold:{fold}", test)
        metrics = json.loads((model / "metrics.json").read_text())
        assert float(row["valid_loss"]) == pytest.approx(metrics["valid"]["loss"], rel=1e-5)
        assert done["summary"]["models"][f"fold-{fold}"]["valid"] == metrics["valid"]
    assert list(done["outputs"]) == ["models", "summary.tsv"]
    assert not any((tmp_path / "run/state").iterdir())


def test_each_setting_is_the_training_that_it_makes_alone(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store.zarr")
    plan = planned(store, tmp_path / "run", grid=grid(tmp_path), lr=0.02)
    work_run(plan, device="cpu")
    merge_run(plan)
    rows = table(tmp_path / "run")
    assert [row["name"] for row in rows] == [
        f"{name}_seed-{seed}" for name in ("kernels-4", "kernels-6", "sgd") for seed in (0, 3)
    ]
    assert [(row["model.kernels"], row["optim.name"]) for row in rows[::2]] == [
        ("4", "adamw"), ("6", "adamw"), ("6", "sgd"),
    ]  # fmt: skip
    for name, changes in {
        "kernels-4_seed-3": {"model": {**SMALL["model"], "kernels": 4}, "seed": 3, "lr": 0.02},
        "sgd_seed-0": {"optim": {"lr": 0.02, "name": "sgd"}},
    }.items():
        model = alone(store, tmp_path / name, **changes)
        for file in FILES:
            assert (tmp_path / "run/models" / name / file).read_bytes() == (model / file).read_bytes(), (name, file)


def test_bytes_do_not_depend_on_shards_order_or_who_went_before(tmp_path: Path) -> None:
    store, found = make_store(tmp_path / "store.zarr"), []
    kernels = grid(tmp_path, "[grid]\n'model.kernels' = [4, 6, 8]\n")
    for number, (shards, order) in enumerate([(None, 1), (2, -1), (1, 1)]):
        run = tmp_path / f"run{number}"
        plan = planned(store, run, grid=kernels, shards=shards, epochs=1)
        for shard in plan.stages[0].shards[::order]:
            work_run(plan, device="cpu", stage=plan.stages[0], shards=[shard])
        merge_run(plan)
        assert len(plan.stages[0].shards) == (shards or 3)
        found.append(digests(run / "models") | {"summary.tsv": digests(run)["summary.tsv"]})
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 3 * len(FILES) + 1


def begun(run: Path) -> list[Path]:
    """Checkpoints of the shards that are under way."""
    return sorted(run.glob("state/*/*/trainings/*/checkpoints/step-*"))


def start(run: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(argv("drg-work", run), env=environment(), text=True, stderr=subprocess.PIPE)


def until(ready: Callable[[], Any], worker: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not ready():
        assert worker.poll() is None, worker.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.005)


LONG: dict[str, Any] = {"train": {"epochs": 25, "batch_size": 20, "patience": 0}, "checkpoints": {"every": 10}}


def test_a_killed_training_goes_on_from_its_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, run = make_store(tmp_path / "store.zarr", rows=400), tmp_path / "run"
    seeds = grid(tmp_path, "seed = [1]")
    whole = planned(store, tmp_path / "whole", grid=seeds, **LONG)
    work_run(whole, device="cpu")
    merge_run(whole)
    plan = planned(store, run, grid=seeds, **LONG)
    for number in (signal.SIGKILL, signal.SIGTERM):
        before = [path.name for path in begun(run)]
        worker = start(run)
        until(lambda: any(path.name not in before for path in begun(run)), worker)  # noqa: B023
        worker.send_signal(number)
        _, told = worker.communicate(timeout=60)
        assert ("going on from step" in told) is bool(before)
        if number == signal.SIGKILL:
            assert worker.returncode == -9
        else:
            assert worker.returncode == 143
            assert "stopped by SIGTERM: checkpoint written" in told
            assert len(list((run / "parts/train").glob(".00000.*"))) == 1  # that of the kill
        (stage,) = run_status(plan).stages
        assert stage.missing == [0]
        assert stage.begun[0].held is False
    caplog.set_level("INFO", "drg_hpc")
    work_run(plan, device="cpu")
    (line,) = [record.getMessage() for record in caplog.records if "going on from step" in record.getMessage()]
    assert 0 < int(line.split()[4]) < 25 * 17
    merge_run(plan)
    assert digests(run / "models") == digests(tmp_path / "whole/models")
    assert (run / "summary.tsv").read_bytes() == (tmp_path / "whole/summary.tsv").read_bytes()
    assert not any((run / "state").iterdir())


def test_a_signal_that_comes_at_the_very_end_stops_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from drg_hpc.bodies import train_work
    from drg_hpc.errors import Stopped
    from drg_hpc.runs.signals import stop_on_signals

    store, run = make_store(tmp_path / "store.zarr"), tmp_path / "run"
    plan = planned(store, run, folds="all")

    def late(progress: Any, text: str) -> None:
        if "epoch 2 of 2" in text:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(train_work, "note_progress", late)
    with stop_on_signals(), pytest.raises(Stopped, match="SIGTERM"):
        work_run(plan, device="cpu")
    assert len(parts.missing_shards(plan, plan.stages[0])) == 4
    monkeypatch.undo()
    monkeypatch.setenv("DRG_CACHE_DIR", str(tmp_path / "cache"))
    assert list(run.glob("state/00000/*/trainings/fold-0/done.json"))  # it was whole, and is taken as it is
    work_run(plan, device="cpu")


def test_a_twin_waits_and_finds_the_shard_done(tmp_path: Path) -> None:
    store, seeds = make_store(tmp_path / "store.zarr"), grid(tmp_path, "seed = [1]")
    first, second = (planned(store, tmp_path / name, grid=seeds, epochs=1) for name in ("first", "second"))
    work_run(first, device="cpu")
    stage, told = second.stages[0], []
    with state.hold(second, stage.shards[0], done=lambda: False):
        twin = threading.Thread(
            target=lambda: told.append(do_shard(second, stage, stage.shards[0], body=Body(second), device="cpu"))
        )
        twin.start()
        time.sleep(1.0)
        assert [len(folders) for folders in parts.list_parts(second, stage).attempts.values()] == [1]
        shutil.copytree(tmp_path / "first/parts/train/00000", tmp_path / "second/parts/train/00000")
        twin.join(10)
    assert told == ["present"]
    assert not parts.list_parts(second, stage).attempts


def test_one_that_diverges_fails_for_good_and_the_others_go_on(tmp_path: Path) -> None:
    store, run = make_store(tmp_path / "store.zarr", real=True), tmp_path / "run"
    text = '[grid]\n"optim.lr" = [1e12, 0.01, 0.02]\n'
    plan = planned(store, run, grid=grid(tmp_path, text), optim={"name": "sgd"})
    with pytest.raises(ShardsFailedError) as caught:
        work_run(plan, device="cpu")
    assert "shards 0 failed for good; shard 0: lr-1000000000000.0: training diverged at step" in str(caught.value)
    assert caught.value.exit_code == 6
    assert [shard.id for shard in parts.missing_shards(plan, plan.stages[0])] == [0]
    assert (run / "parts/train/00001/lr-0.01/weights.safetensors").is_file()
    assert "diverged" in state.begun(plan)[0].text
    assert len(list((run / "logs").glob("train.00000.*"))) == 1  # not tried again
    done = drg("drg-train", store, "-o", tmp_path / "local", "--grid", tmp_path / "grid.toml", "--epochs", 2,
               "--set", "optim.name=sgd", "--workers", 1, "--device", "cpu", exit_code=6)  # fmt: skip
    assert "failed for good" in done.stderr
    assert "lower optim.lr" in done.stderr
    local = read_plan(tmp_path / "local")
    assert [shard.id for shard in parts.missing_shards(local, local.stages[0])] == [0]


def plan_shown(plan: Plan) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads((plan.folder / "plan.json").read_text())
    return shown


def test_how_it_is_done_is_no_part_of_the_plan(tmp_path: Path) -> None:
    store, run = make_store(tmp_path / "store.zarr"), tmp_path / "run"
    first = planned(store, run, folds="4")
    again = planned(store, run, folds="all", checkpoints={"every": 7}, cache_dir=tmp_path / "c", cache_size="1G")
    assert first.digest == again.digest
    assert plan_shown(again)["aside"] == {
        "cache_dir": str(tmp_path / "c"), "cache_size": "1G", "checkpoints": {"every": 7, "keep": 2},
        "log": {"to": "none", "every": 50, "measure": False},
    }  # fmt: skip
    assert str(tmp_path) not in json.dumps(first.params)
    with pytest.raises(UsageError, match=r"params\.recipes\.fold-0\.optim\.lr: 0\.01 there, 0\.5 now"):
        planned(store, run, folds="4", lr=0.5)


def test_faults_are_told_before_anything_is_written(tmp_path: Path) -> None:
    store, run = make_store(tmp_path / "store.zarr"), tmp_path / "run"
    plain = make_store(tmp_path / "plain.zarr", folds=0)
    with pytest.raises(InputError, match=r"--folds 10: the rows of .* are in 4 folds; --folds all, or shard again"):
        planned(store, run, folds="10")
    with pytest.raises(InputError, match=r"are in no folds; shard with --folds K"):
        planned(plain, run, folds="4")
    with pytest.raises(UsageError, match=r"grid.toml: lr-0.1: unknown key 'optim.lrr'; did you mean 'lr'"):
        planned(store, run, grid=grid(tmp_path, '[[run]]\nname = "lr-0.1"\noptim.lrr = 0.1\n'))
    with pytest.raises(UsageError, match=r"pool_size-1000: .*1000"):
        planned(store, run, grid=grid(tmp_path, "[grid]\n'model.pool_size' = [5, 1000]\n"))
    with pytest.raises(InputError, match=r"train-fold-9: no fold 9"):
        planned(store, run, grid=grid(tmp_path, "[grid]\n'data.train' = ['fold:9', 'fold:0']\n"))
    with pytest.raises(UsageError, match=r"jitter-3: data.jitter = 3"):
        planned(store, run, grid=grid(tmp_path, "[grid]\n'data.jitter' = [0, 3]\n"))
    with pytest.raises(UsageError, match="no track 'nope'"):
        planned(store, run, grid=grid(tmp_path, "[grid]\ntracks = ['nope']\n"))
    assert not run.exists()


def test_a_bias_model_is_found_by_workers(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    codes, counts = generator.integers(0, 4, (90, 64)), generator.poisson(3, (90, 1, 16)).astype(np.float32)
    store = write_store(tmp_path / "store.zarr", codes, counts, valid=20)
    network: dict[str, Any] = {"architecture": "dilated-residual", "channels": 4, "layers": 1, "profile_size": 5}
    bias = alone(store, tmp_path / "bias", model=network, epochs=1)
    changes = {"model": {**network, "bias_model": bias}, "epochs": 1}
    plan = planned(store, tmp_path / "run", grid=grid(tmp_path, "[grid]\n'model.channels' = [4, 6]"), **changes)
    assert set(plan.inputs) == {"store", "bias"}
    assert str(tmp_path) not in json.dumps(plan.params)
    work_run(plan, device="cpu")
    merge_run(plan)
    model = alone(store, tmp_path / "alone", **changes)
    for name in FILES:
        assert (tmp_path / "run/models/channels-4" / name).read_bytes() == (model / name).read_bytes(), name
    text = f"[[run]]\nname = 'x'\nmodel.bias_model = '{tmp_path / 'alone'}'\n"
    with pytest.raises(UsageError, match=r"x: model.bias_model is a file"):
        planned(store, tmp_path / "other", grid=grid(tmp_path, text), **changes)


def test_stores_and_files_are_found_by_workers(tmp_path: Path) -> None:
    store, other = make_store(tmp_path / "store.zarr"), make_store(tmp_path / "other.zarr", rows=200)
    (tmp_path / "weights.tsv").write_text("".join(f"r{row}\t{1 + row % 3}\n" for row in range(300)))
    first = alone(store, tmp_path / "first")
    data = {**SMALL["data"], "weights": tmp_path / "weights.tsv", "mix": [{"store": other, "weight": 2.0}]}
    changes: dict[str, Any] = {"data": data, "init": {"model": first}}
    plan = planned(store, tmp_path / "run", grid=grid(tmp_path, "seed = [1]"), **changes)
    assert set(plan.inputs) == {"store", "mix.0", "weights", "init"}
    work_run(plan, device="cpu")
    merge_run(plan)
    model = alone(store, tmp_path / "alone", seed=1, **changes)
    for name in FILES:
        assert (tmp_path / "run/models/seed-1" / name).read_bytes() == (model / name).read_bytes(), name
