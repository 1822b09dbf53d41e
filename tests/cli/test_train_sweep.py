"""drg-train --folds and --grid on the command line: dry runs, plans, refusals, progress."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bodies.sweeps import make_store
from support import drg, drg_json, error_line
from test_light import bare

RECIPE = """
[model]
kernels = 6
pool_size = 5
hidden = [8]
[train]
epochs = 2
batch_size = 50
"""
GRID = """
seed = [0, 1]
[grid]
"optim.lr" = [0.01, 0.03]
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DRG_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "grid.toml").write_text(GRID)
    return make_store(tmp_path / "store.zarr", folds=3)


def sweep(store: Path, *more: object) -> list[object]:
    recipe = ["--config", store.parent / "recipe.toml", "--device", "cpu"]
    return [store, "-o", store.parent / "run", *recipe, "--grid", store.parent / "grid.toml", *more]


def test_a_dry_run_says_what_it_will_cost_and_writes_nothing(store: Path) -> None:
    told = drg_json("drg-train", *sweep(store, "--folds", "all", "--launch", "slurm", "--dry-run", "--mem", "3G"))
    assert told["shards"] == {"train": 12}
    assert told["cost"]["mem"] == "3G"
    assert any("#SBATCH --array=0-11" in script for script in told["scripts"])
    text = drg("drg-train", *sweep(store, "--folds", 3, "--dry-run")).stdout
    assert "12 trainings (4 settings x 3 folds), one process each: lr-0.01_seed-0_fold-0, " in text
    assert "cost: at most " in text
    assert not (store.parent / "run").exists()


def test_planning_needs_no_heavy_library_and_says_what_it_cannot_count(store: Path) -> None:
    told = bare("drg-train", *sweep(store, "--plan-only")).stderr
    assert "cost: not counted, torch is not installed here" in told
    status = drg_json("drg-status", store.parent / "run", exit_code=4)
    assert (status["command"], status["stages"][0]["missing"]) == ("train", "0-3")
    again = drg("drg-train", *sweep(store, "--plan-only")).stderr  # the same plan, counted or not
    assert "cost: at most" in again


@pytest.mark.slow
def test_the_whole_command_and_its_parts(store: Path) -> None:
    run = store.parent / "run"
    done = drg("drg-train", *sweep(store, "--workers", 2, "--shards", 2))
    assert done.stdout.strip() == f"wrote: {run / 'models'}, {run / 'summary.tsv'}"
    header = json.loads((run / "models/lr-0.01_seed-0/model.json").read_text())
    macs = header["operations"]["macs_per_row"]
    total = 4 * 2 * macs * (3 * 240 + 60)  # trainings, epochs; forward and backward for 240 rows, forward for 60
    assert f"cost: at most {total:.2g} multiply-adds" in done.stderr
    assert f"{total / 4:.2g} ({macs:.2g} a row, forward)" in done.stderr
    assert drg("drg-train", *sweep(store, "--shards", 2)).stdout.startswith("already complete")
    names = sorted(path.name for path in (run / "models").iterdir())
    assert names == ["lr-0.01_seed-0", "lr-0.01_seed-1", "lr-0.03_seed-0", "lr-0.03_seed-1"]
    facts = drg_json("drg-inspect", run, "--verify")
    assert (facts["kind"], facts["command"]) == ("run", "train")
    assert drg_json("drg-inspect", run / "models" / names[0], "--verify")["kind"] == "model"
    predicted = drg_json("drg-predict", run / "models" / names[0], store, "--split", "fold:1", "-o", run.parent / "p")
    assert predicted["summary"]["rows"] == 100


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--launch", "slurm"], "--launch is for many trainings; add --folds or --grid"),
        (["--dry-run"], "--dry-run is for many trainings"),
        (["--mem", "4G"], "--mem is for many trainings"),
        (["--folds", "3", "--max-steps", "5"], "--max-steps is for a single training"),
        (["--folds", "3", "--max-time", "5m"], "--max-time is for a single training"),
        (["--folds", "3", "--resume", "never"], "--resume never is for a single training"),
        (["--folds", "3", "--log", "jsonl"], "--log is for a single training"),
        (["--folds", "three"], "folds = 'three': must be the number of the store's folds"),
    ],
)
def test_options_that_do_nothing_are_refused(store: Path, arguments: list[str], told: str) -> None:
    done = drg("drg-train", store, "-o", store.parent / "m", *arguments, exit_code=2)
    assert told in error_line(done)
    assert not (store.parent / "m").exists()


def test_not_under_torchrun(store: Path) -> None:
    done = drg("drg-train", *sweep(store), exit_code=2, WORLD_SIZE="2", RANK="0", LOCAL_RANK="0")
    assert "not under torchrun" in error_line(done)
    assert "under torchrun only" not in done.stderr
