"""Tables of settings: multiplied out, named, and each a recipe."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.errors import DrgError, InputError, UsageError
from drg_hpc.training.config import Recipe, TrainOptions, settle
from drg_hpc.training.grid import Settings, fold_splits, read_grid, with_folds
from drg_hpc.training.sweep import common_values, recipe_with, require_same_files


def grid(folder: Path, text: str) -> list[Settings]:
    (folder / "grid.toml").write_text(text)
    return read_grid(folder / "grid.toml")


def base(**values: Any) -> Recipe:
    return settle(TrainOptions.model_validate({"store": "s", "out": "o", **values}))


def recipe(one: Settings, *, folds: int = 0, **values: Any) -> Recipe:
    return recipe_with(common_values(base(**values)), one, folds=folds, source=f"grid.toml: {one.name}")


def test_product_runs_and_seeds(tmp_path: Path) -> None:
    text = """
    seed = [3, 4]
    [grid]
    "optim.lr" = [1e-3, 3e-5]
    model.conv_channels = [[], [64, 32]]
    [[run]]
    name = "deep"
    batch-size = 7
    [run.optim]
    schedule = "cosine"
    """
    found = grid(tmp_path, text)
    assert [one.name for one in found] == [
        f"{name}_seed-{seed}"
        for name in (
            "lr-0.001_conv_channels-none", "lr-0.001_conv_channels-64x32", "lr-3e-05_conv_channels-none",
            "lr-3e-05_conv_channels-64x32", "deep",
        )
        for seed in (3, 4)
    ]  # fmt: skip
    assert found[3].values == {"optim.lr": 1e-3, "model.conv_channels": [64, 32], "seed": 4}
    assert found[9].values == {"train.batch_size": 7, "optim.schedule": "cosine", "seed": 4}


def test_seeds_alone_and_folds(tmp_path: Path) -> None:
    found = with_folds(grid(tmp_path, "seed = [0, 5]"), 3)
    assert [(one.name, one.fold) for one in found] == [
        (f"seed-{seed}_fold-{fold}", fold) for seed in (0, 5) for fold in range(3)
    ]
    made = recipe(found[5], folds=3, data={"jitter_pad": True})
    assert (made.seed, made.data.train, made.data.valid, made.data.jitter_pad) == (5, "fold:1", "fold:2", True)


@pytest.mark.parametrize("count", [3, 4, 10])
def test_fold_i_validates_and_the_next_tests(count: int) -> None:
    for fold in range(count):
        splits = fold_splits(fold, count)
        assert splits["valid"] == f"fold:{fold}"
        assert splits["test"] == f"fold:{(fold + 1) % count}"
        trained = [int(text) for text in splits["train"].removeprefix("fold:").split(",")]
        assert sorted([*trained, fold, (fold + 1) % count]) == list(range(count))


NAMES = {
    "a-name": '[[run]]\nname = "lr-1"\n"optim.lr" = 1.5\n[grid]\n"optim.lr" = [1]\n',
    "settings": '[grid]\n"optim.lr" = [0.1]\n[[run]]\nname = "x"\nlr = 0.1\n',
    "values": "[grid]\nlr = [1.0, 1.0]\n",
}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lr = [0.1]", r"unknown key 'lr'.*\[grid\]"),
        ("[grdi]\nlr = [0.1]", "did you mean 'grid'"),
        ('[grid]\n"optim.lr" = 0.1', "optim.lr = 0.1: a list of values"),
        ("[grid]\nlr = []", "a list of values"),
        ("[grid]\nlr = [inf]", "inf is no setting"),
        ("[grid]\nlr = [2026-01-01]", "2026-01-01 is no setting"),
        ('[grid]\nlr = [0.1]\n"optim.lr" = [0.2]', "optim.lr is given twice"),
        ("[[run]]\nlr = 0.1", r"\[\[run\]\] 1: name = None"),
        ('[[run]]\nname = "a/b"', "'a/b'"),
        ('[[run]]\nname = "a,b"', "'a,b'"),
        ('[[run]]\nname = "."', "'.'"),
        ("[run]\nlr = 0.1", r"must be written as \[\[run\]\]"),
        ("grid = 3", r"\[grid\]"),
        ("[grid]", "asks for no training"),
        ("", "asks for no training"),
        ("seed = 3", "seed = 3: a list"),
        (NAMES["a-name"], "two trainings are called 'lr-1'"),
        (NAMES["settings"], "lr-0.1 and x have the same settings"),
        (NAMES["values"], "two trainings are called 'lr-1.0'"),
        (f"[grid]\nseed = {list(range(101))}\nepochs = {list(range(100))}", "10100 trainings"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        grid(tmp_path, text)


def test_not_toml_and_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not valid TOML"):
        grid(tmp_path, "[grid")
    with pytest.raises(InputError, match="no such"):
        read_grid(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"optim.lrr": 0.1}, r"unknown key 'optim\.lrr'; did you mean 'lr'"),
        ({"optimizer.lr": 0.1}, "unknown key 'optimizer'; did you mean 'optim'"),
        ({"optim.lr": -1.0}, r"optim\.lr = -1\.0: must be"),
        ({"model.kernel": 3}, r"unknown key 'model\.kernel'; did you mean 'kernels'"),
        ({"device": "cpu"}, "unknown key 'device'"),
        ({"seed.x": 1}, "seed is not a table"),
        ({"tracks": 3}, "tracks = 3"),
        ({"model.architecture": "bassset"}, "did you mean 'basset'"),
        ({"model.architecture": "basset", "model.kernels": 5}, r"unknown key 'model\.kernels'"),
    ],
)
def test_a_setting_that_is_none_is_named_with_its_training(values: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=f"grid.toml: mine: .*{told}"):
        recipe(Settings("mine", values))


def test_settings_win_over_flags_and_tables() -> None:
    made = recipe(Settings("x", {"optim.lr": 0.5, "train.epochs": 2}), lr=0.1, epochs=9, train={"patience": 1})
    assert (made.optim.lr, made.train.epochs, made.train.patience) == (0.5, 2, 1)
    assert recipe(Settings("x"), lr=0.1, epochs=9, seed=4) == base(lr=0.1, epochs=9, seed=4)


def test_what_is_said_by_default_follows_the_choice() -> None:
    made = recipe(Settings("x", {"optim.name": "sgd"}), optim={"lr": 0.3})
    assert made.optim == base(optim={"name": "sgd", "lr": 0.3}).optim
    other = recipe(Settings("x", {"model.architecture": "basset"}), model={"kernels": 5, "dropout": 0.1})
    assert other.model == base(model={"architecture": "basset"}).model
    kept = recipe(Settings("x", {"model.dropout": 0.5}), model={"architecture": "drg-cnn", "kernels": 5})
    assert kept.model == base(model={"kernels": 5, "dropout": 0.5}).model


def test_files_are_the_same_for_all(tmp_path: Path) -> None:
    common = base(data={"weights": "w.tsv"})
    for values in ({"data.weights": "other.tsv"}, {"init.motifs": "m.meme"}, {"data.mix": [{"store": "t"}]}):
        made = recipe_with(common_values(common), Settings("x", values), folds=0, source="grid.toml")
        with pytest.raises(UsageError, match=rf"x: {next(iter(values))}\S* is a file"):
            require_same_files(common, {"x": made}, source="grid.toml")
    same = recipe_with(common_values(common), Settings("x", {"seed": 3}), folds=0, source="grid.toml")
    require_same_files(common, {"x": same}, source="grid.toml")


VALUES = st.one_of(
    st.integers(-5, 10**6), st.floats(allow_nan=False, allow_infinity=False), st.booleans(),
    st.text("abXYZ09._-/ ,=é", max_size=12), st.lists(st.integers(1, 99), max_size=3),
)  # fmt: skip


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return f"'{value}'" if isinstance(value, str) else repr(value)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["optim.lr", "model.lr", "train.loss", "data.jitter"]),
                       st.lists(VALUES, min_size=1, max_size=3), min_size=1, max_size=3))  # fmt: skip
def test_names_are_folders_and_every_combination_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, lists: dict[str, list[Any]]
) -> None:
    text = "[grid]\n" + "".join(f'"{key}" = {toml(values)}\n' for key, values in lists.items())
    assert tomllib.loads(text)["grid"] == lists
    try:
        found = grid(tmp_path_factory.mktemp("grid"), text)
    except DrgError as error:
        assert "two trainings are called" in str(error) or "have the same settings" in str(error)
        return
    combinations = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    assert [one.values for one in found] == combinations
    for one in found:
        assert not set(one.name) & set("/, \0")
        assert one.name not in (".", "..")
        assert len(one.name.encode()) <= 100
    assert len({one.name for one in found}) == len(found)
