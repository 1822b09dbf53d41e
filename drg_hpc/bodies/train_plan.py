"""Plan of drg-train --folds and --grid: one stage whose shards are trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import field_validator

from drg_hpc.config import FanoutOptions, flag
from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.config import AnyConfig, config_from_json
from drg_hpc.models.header import read_model_header
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards
from drg_hpc.store.dataset_layout import inputs_of
from drg_hpc.store.header import fold_counts, split_count
from drg_hpc.training.config import Recipe, TrainOptions, initial_table, log_table, recorded, settle
from drg_hpc.training.grid import Settings, fold_splits, read_grid, with_folds
from drg_hpc.training.inputs import check_stores, describe_models, describe_stores, locate_stores
from drg_hpc.training.sweep import common_values, recipe_with, require_same_files

SUMMARY = "Train many models as one run."
_BASE_MEMORY = 900 << 20  # interpreter with torch, zarr and pandas
_GUESSED_BYTES = 64 << 20  # of a network nobody has counted
Stores = Sequence[tuple[Path, dict[str, Any]]]


class Options(TrainOptions, FanoutOptions):  # type: ignore[misc]  # threads: none given is another thing than one
    """Options of drg-train, for one training and for many."""

    group = "many trainings as one run: -o is then a RUN, with a model for each in RUN/models"

    folds: str | None = flag(
        None,
        help="a training for each of the store's K folds: fold i validates, i + 1 tests (after the last the first), "
        "the others train",
        metavar="K|all",
    )
    grid: Path | None = flag(
        None,
        help="a training for each combination of the lists in its table [grid], such as 'optim.lr' = [0.001, 0.003], "
        "and for each [[run]], which has a name; seed = [0, 1, 2] repeats them with each seed, --folds on each fold",
        metavar="TOML",
    )

    @field_validator("folds", mode="before")
    @classmethod
    def _check_folds(cls, value: Any) -> Any:
        if value is None or str(value) == "all" or (str(value).isdigit() and not isinstance(value, bool)):
            return None if value is None else str(value)
        raise ValueError("must be the number of the store's folds, or all")


def is_sweep(options: Options) -> bool:
    """Whether many trainings are asked for.

    Raises
    ------
    UsageError : an option that is for the other case only
    """
    if options.folds is None and options.grid is None:
        for name in FanoutOptions.model_fields:
            if name not in TrainOptions.model_fields and name in options.model_fields_set:
                raise UsageError(f"--{name.replace('_', '-')} is for many trainings", fix="add --folds or --grid")
        return False
    given = {
        "--max-time": options.max_time is not None,
        "--max-steps": options.max_steps is not None,
        "--resume never": options.resume == "never",
        "--log": log_table(options).to != "none",
    }
    for name, is_given in given.items():
        if is_given:
            raise UsageError(f"{name} is for a single training", fix="leave it out, or leave out --folds and --grid")
    return True


def plan_shards(options: Options) -> RunSpec:
    """Multiply the settings out, check each against the store, and describe the trainings.

    Raises
    ------
    UsageError : settings that are none, that clash, or that do not fit the store
    InputError : no store, no such folds, rows or files
    """
    stores = locate_stores(options.store, options.data)
    header = stores[0][1]
    folds = _fold_count(options, header)
    base = settle(options, model=_architecture(options))
    settings = [Settings("")] if options.grid is None else read_grid(options.grid)
    trainings = with_folds(settings, folds) if folds else settings
    recipes = _recipes(base, trainings, folds=folds, source=str(options.grid or "--folds"))
    inputs = describe_stores(stores, base.data) | describe_models(base)
    for name, recipe in recipes.items():
        _named_check(name, stores, recipe)
    shards = block_shards(len(trainings), shards=options.shards, shard_size=options.shard_size, block=1, default_size=1)
    estimate, costs = _estimate(recipes, stores, shards=len(shards))
    counts = [f"{len(settings)} settings"] * (options.grid is not None) + [f"{folds} folds"] * (folds > 0)
    return RunSpec(
        command="train",
        params={
            "names": [one.name for one in trainings],
            "settings": {one.name: dict(one.values) for one in trainings},
            "splits": {one.name: fold_splits(one.fold, folds) for one in trainings if one.fold is not None},
            "recipes": {name: recorded(recipe, inputs) for name, recipe in recipes.items()},
            "seed": options.seed,
        },
        inputs=inputs,
        stages=(Stage("train", shards),),
        threads=options.threads or 1,
        estimate=estimate,
        notes=(f"{len(trainings)} trainings ({' x '.join(counts)}), one process each: {_shown(list(recipes))}", *costs),
        aside={
            "cache_dir": None if options.cache_dir is None else str(options.cache_dir.absolute()),
            "cache_size": options.cache_size,
            "checkpoints": options.checkpoints.model_dump(mode="json"),
            "log": log_table(options).model_dump(mode="json"),
        },
    )


def _fold_count(options: Options, header: Mapping[str, Any]) -> int:
    """Folds of the sweep, 0 without ``--folds``."""
    if options.folds is None:
        return 0
    counts = fold_counts(header)
    if options.folds not in ("all", str(len(counts))):
        raise InputError(
            f"--folds {options.folds}: the rows of {options.store} are in {len(counts)} folds",
            fix=f"--folds all, or shard again with --folds {options.folds} --fold 0",
        )
    return len(counts)


def _architecture(options: TrainOptions) -> AnyConfig | None:
    """That of ``init.model``."""
    path = initial_table(options).model
    if path is None:
        return None
    return config_from_json(read_model_header(path)["config"], source=f"{path}/model.json")


def _recipes(base: Recipe, trainings: Sequence[Settings], *, folds: int, source: str) -> dict[str, Recipe]:
    common = common_values(base)
    recipes = {one.name: recipe_with(common, one, folds=folds, source=f"{source}: {one.name}") for one in trainings}
    require_same_files(base, recipes, source=source)
    return recipes


def _named_check(name: str, stores: Stores, recipe: Recipe) -> None:
    try:
        check_stores(stores, recipe.data)
    except (InputError, UsageError) as error:
        raise type(error)(f"{name}: {error.what}", fix=error.fix) from None


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def _estimate(recipes: Mapping[str, Recipe], stores: Stores, *, shards: int) -> tuple[Estimate, list[str]]:
    """Size of the run, and lines on its cost: counted where torch is here, as no JSON holds the size of a network that
    has never been trained."""
    header = stores[0][1]
    files, lengths = 20 * len(recipes) + 2 * shards + 8, [item.length for item in inputs_of(header)]
    guess = Estimate(8 * _GUESSED_BYTES * len(recipes), files, 4 * _BASE_MEMORY)
    try:
        from drg_hpc.bodies.train_cost import count_networks, training_bytes, training_macs
    except ModuleNotFoundError as error:
        return guess, [f"cost: not counted, {error.name} is not installed here; memory and bytes are a guess"]
    networks, why = count_networks(recipes, header)
    if not networks:
        return guess, [f"cost: not counted ({why}); memory and bytes are a guess"]
    macs = {
        name: training_macs(
            networks[name],
            recipe,
            train_rows=sum(split_count(each, recipe.data.train) for _, each in stores),
            valid_rows=split_count(header, recipe.data.valid),
        )
        for name, recipe in recipes.items()
    }
    total, largest = sum(macs.values()), max(macs, key=lambda name: macs[name])
    estimate = Estimate(
        bytes=sum(7 * network.bytes + (1 << 20) for network in networks.values()),
        files=files,
        memory=_BASE_MEMORY + max(training_bytes(networks[name], recipes[name], lengths) for name in recipes),
    )
    return estimate, [
        f"cost: at most {total:.2g} multiply-adds in all epochs, {2 * total / 3.6e15:.2g} hours at 1 TFLOP/s; the "
        f"largest training, {largest}, {macs[largest]:.2g} ({networks[largest].macs_per_row:.2g} a row, forward)"
    ]
