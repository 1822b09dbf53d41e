"""drg-evaluate: metrics, tables and curves of models on one split of a store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.digests import describe_input, digest, input_identity, versions, who_and_where
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import changed_files, describe_files, publish_dir, read_json, write_json
from drg_hpc.models.header import MODEL_MEMBERS, listed_paths, model_paths, read_model_header
from drg_hpc.prediction.config import EvaluateOptions
from drg_hpc.prediction.held_out import HELD_OUT
from drg_hpc.prediction.notes import notes
from drg_hpc.prediction.setup import Setup, names_of, set_up
from drg_hpc.prediction.streaming import collect
from drg_hpc.prediction.tables import Bootstrap, write_tables
from drg_hpc.runs.outputs import resolve_output
from drg_hpc.store.header import describe_store
from drg_hpc.store.reader import open_dataset

log = logging.getLogger(__name__)

FORMAT = "drg-evaluation/2"
Draw = Callable[[Path, Mapping[str, Path]], None]
Inputs = dict[str, dict[str, Any]]


def evaluate(options: EvaluateOptions, *, draw: Draw | None = None) -> Path:
    """Predict a split, compare with its targets, and publish the results as a folder.

    Parameters
    ----------
    draw : called with the folder and the models by name, to add figures to the tables in it

    Returns
    -------
    the folder: metrics.json, tracks.tsv, regions.tsv, classes.tsv, of several predictors comparison.tsv, curves.npz,
    done.json. A folder that holds the evaluation of the same inputs is left as it is.

    Raises
    ------
    UsageError : the folder holds something else; the same model twice; not as many runs as models, nor one
    InputError : model, store and predictions do not belong together; no rows in the split; no class for a track
    """
    models = model_paths(options.model)
    runs = _runs(options.predictions, len(models))
    if options.split == HELD_OUT and (runs or options.baselines):
        raise UsageError(f"--split {HELD_OUT} goes with neither --predictions nor --baselines", fix="leave them out")
    inputs = _inputs(options, models, runs)
    asked = {"format": FORMAT, "split": options.split, "rc_average": options.rc_average}
    asked |= {"ensemble": options.ensemble and len(models) > 1, "baselines": options.baselines}
    if options.bootstrap:
        drawn = {"replicates": options.bootstrap, "seed": options.seed, "by": options.bootstrap_by}
        asked["bootstrap"] = drawn
    identity = asked | {"inputs": {name: input_identity(record) for name, record in inputs.items()}}
    if _already_there(options.out, digest(identity)):
        log.info("%s already holds this evaluation: nothing to do", options.out)
        return options.out
    store = open_dataset(options.store)
    for model in models:
        _note_other_store(model, options, inputs["store"])
    setup = set_up(options, store, models=models, runs=runs, inputs=inputs)
    header = identity | {"inputs_digest": digest(identity), "scale": "output", "rows": len(setup.source)}
    header["model_names"] = dict(zip((k for k in inputs if k.startswith("model")), names_of(models), strict=True))
    with publish_dir(options.out) as folder:
        units = _contigs(setup) if options.bootstrap_by == "contig" else None
        bootstrap = Bootstrap(options.bootstrap, options.seed, units)
        _write(folder, setup, header=header, bootstrap=bootstrap, threads=options.threads)
        if draw is not None:
            draw(folder, dict(zip(names_of(models), models, strict=True)))
        _write_facts(folder, inputs, setup.facts)
    return options.out


def _runs(text: Path | None, models: int) -> list[Path]:
    """Runs of predictions: none, one a model, or one of the mean of all.

    Raises
    ------
    UsageError : another number
    """
    if text is None:
        return []
    found = listed_paths(text)
    if len(found) not in (1, models):
        fix = "give one for each model, or one of their mean"
        raise UsageError(f"--predictions: {len(found)} runs for {models} models", fix=fix)
    return found


def _inputs(options: EvaluateOptions, models: list[Path], runs: list[Path]) -> Inputs:
    """Descriptions by name; of several models ``model1``, ``model2``, …, as drg-predict names them."""

    def named(name: str, paths: list[Path]) -> Iterator[tuple[str, Path]]:
        return ((name if len(paths) == 1 else f"{name}{number}", path) for number, path in enumerate(paths, start=1))

    found = {}
    for key, model in named("model", models):
        read_model_header(model)
        found[key] = describe_input(model, MODEL_MEMBERS)
    found["store"] = describe_store(options.store)
    for key, run in named("predictions", runs):
        found[key] = describe_input(resolve_output(run, "out.h5"))
    if options.classes is not None:
        found["classes"] = describe_input(options.classes)
    return found


def _note_other_store(model: Path, options: EvaluateOptions, store: dict[str, Any]) -> None:
    """Warn where nothing says that the model has not seen these rows: the store is not that of its training."""
    done = model / "done.json"
    record = read_json(done) if done.is_file() else {}
    trained = record.get("inputs", {}).get("store", {})
    if trained and trained["sha256"] != store["sha256"]:
        log.warning(
            "%s is not the store that %s was trained on (%s): nothing says that rows of split %r were held out",
            options.store, model, trained["path"], options.split,
        )  # fmt: skip


def _already_there(folder: Path, wanted: str) -> bool:
    """Whether ``folder`` holds this very evaluation; anything else in it is refused."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    metrics = folder / "metrics.json"
    if metrics.is_file() and read_json(metrics).get("inputs_digest") == wanted:
        if faults := changed_files(folder, read_json(folder / "done.json")["outputs"]):
            raise CorruptError(f"{folder}: {', '.join(faults)}", fix="restore it, or remove the folder and run again")
        return True
    what = "another evaluation" if metrics.is_file() else "something else"
    raise UsageError(f"{folder} holds {what}", fix="choose another -o; nothing is overwritten")


def _contigs(setup: Setup) -> NDArray[np.int64]:
    """Number of each row's contig.

    Raises
    ------
    InputError : all rows are of one
    """
    found, names = pd.factorize(setup.source.store.regions["chrom"].iloc[setup.source.rows])
    if len(names) < 2:
        raise InputError("--bootstrap-by contig: all regions are of one contig", fix="--bootstrap-by region")
    return found.astype(np.int64)


def _write(folder: Path, setup: Setup, *, header: dict[str, Any], bootstrap: Bootstrap, threads: int) -> None:
    source = setup.source
    with np.errstate(invalid="ignore", over="ignore"):  # outputs without bounds: said in notes
        truth, outputs = collect(source, setup.predictors, threads=threads)
    said = setup.notes + notes(truth, outputs)
    for line in said[len(setup.notes) :]:
        log.warning("%s", line)
    with np.errstate(invalid="ignore", over="ignore"):
        write_tables(
            folder,
            header=header | {"notes": said},
            regions=source.store.regions.iloc[source.rows].assign(row=source.rows),
            tracks=setup.tracks,
            groups=setup.groups,
            truth=truth,
            outputs=outputs,
            bootstrap=bootstrap,
        )


def _write_facts(folder: Path, inputs: Inputs, facts: dict[str, Any]) -> None:
    """done.json: who, where, with what; not part of the result."""
    paths = {name: record["path"] for name, record in inputs.items()}
    outputs = describe_files(folder)
    write_json(
        folder / "done.json",
        {"command": "evaluate", "outputs": outputs, "inputs": paths, "versions": versions(), "by": who_and_where()}
        | facts,
    )
