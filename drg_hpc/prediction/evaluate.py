"""drg-evaluate: metrics, tables and curves of one model on one split of a store."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from drg_hpc.digests import describe_input, digest, input_identity, versions, who_and_where
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import changed_files, describe_files, publish_dir, read_json, write_json
from drg_hpc.log import Progress
from drg_hpc.models.compute import Scale, device_model, prepare_torch
from drg_hpc.models.header import MODEL_MEMBERS, model_length, read_model_header
from drg_hpc.models.io import load_model
from drg_hpc.models.links import apply_link
from drg_hpc.prediction.config import EvaluateOptions
from drg_hpc.prediction.predict import predict_block
from drg_hpc.prediction.tables import write_tables
from drg_hpc.results.reader import Predictions, read_predictions
from drg_hpc.runs.devices import choose_gpus
from drg_hpc.runs.outputs import resolve_output
from drg_hpc.runs.spec import BLOCK_ROWS
from drg_hpc.store.dataset_layout import single_input
from drg_hpc.store.header import describe_store
from drg_hpc.store.reader import DatasetStore, open_dataset

log = logging.getLogger(__name__)

FORMAT = "drg-evaluation/1"


@dataclass(frozen=True)
class Evaluation:
    """What is compared.

    Parameters
    ----------
    regions : table of the rows, with ``row``
    tracks : names
    target, prediction : (rows, tracks[, bins]); the target is NaN where it is missing, the prediction on output scale
    """

    regions: pd.DataFrame
    tracks: list[str]
    target: NDArray[np.float32]
    prediction: NDArray[np.floating[Any]]


def evaluate(options: EvaluateOptions) -> Path:
    """Predict a split, compare with its targets, and publish the results as a folder.

    Returns
    -------
    the folder: metrics.json, tracks.tsv, regions.tsv, curves.npz, done.json. A folder that holds the evaluation of the
    same inputs is left as it is.

    Raises
    ------
    UsageError : the folder holds something else
    InputError : model, store and predictions do not belong together; no rows in the split
    """
    inputs = _inputs(options)
    asked = {"format": FORMAT, "split": options.split, "rc_average": options.rc_average}
    identity = asked | {"inputs": {name: input_identity(record) for name, record in inputs.items()}}
    if _already_there(options.out, digest(identity)):
        log.info("%s already holds this evaluation: nothing to do", options.out)
        return options.out
    store = open_dataset(options.store)
    _note_other_store(options, inputs["store"])
    found, facts = _compare(options, store, inputs)
    header = identity | {"inputs_digest": digest(identity), "scale": "output", "rows": len(found.regions)}
    with publish_dir(options.out) as folder:
        write_tables(
            folder,
            header=header,
            regions=found.regions,
            tracks=found.tracks,
            target=found.target,
            prediction=found.prediction,
        )
        _write_facts(folder, inputs, facts)
    return options.out


def _inputs(options: EvaluateOptions) -> dict[str, dict[str, Any]]:
    read_model_header(options.model)
    inputs = {
        "model": describe_input(options.model, MODEL_MEMBERS),
        "store": describe_store(options.store),
    }
    if options.predictions is not None:
        inputs["predictions"] = describe_input(resolve_output(options.predictions, "out.h5"))
    return inputs


def _note_other_store(options: EvaluateOptions, store: dict[str, Any]) -> None:
    """Warn where nothing says that the model has not seen these rows: the store is not that of its training."""
    done = options.model / "done.json"
    record = read_json(done) if done.is_file() else {}
    trained = record.get("inputs", {}).get("store", {})
    if trained and trained["sha256"] != store["sha256"]:
        log.warning(
            "%s is not the store that %s was trained on (%s): nothing says that rows of split %r were held out",
            options.store, options.model, trained["path"], options.split,
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


def _compare(
    options: EvaluateOptions, store: DatasetStore, inputs: dict[str, dict[str, Any]]
) -> tuple[Evaluation, dict[str, Any]]:
    rows = store.split_rows(options.split)
    if len(rows) == 0:
        raise InputError(f"split {options.split!r} of {options.store} has no rows", fix="choose another with --split")
    header = read_model_header(options.model)
    if options.predictions is None:
        tracks = [str(name) for name in header["tracks"]]
        _check_fit(header, store, options)
        values, facts = _predict(options, store, rows)
    else:
        made = read_predictions(options.predictions)
        rows = _check_predictions(made, options, inputs, rows)
        _check_mean(made, options, str(header["link"]))
        tracks, facts = made.tracks, {"device": "as predicted"}
        values = made.values
        if made.scale == "link":
            values = _to_output(made.values, str(header["link"]))
    columns = _columns(store, tracks, options)
    target = store.targets(rows)[:, columns]
    if target.shape != values.shape:
        raise InputError(f"predictions have shape {values.shape}, targets of {options.store} {target.shape}")
    regions = store.regions.iloc[rows].assign(row=rows)
    return Evaluation(regions, tracks, target, values), facts


def _check_fit(header: dict[str, Any], store: DatasetStore, options: EvaluateOptions) -> None:
    if model_length(header) != store.length:
        raise InputError(
            f"sequences of {options.store} have {store.length} bases, the model takes {model_length(header)}",
            fix="take the store that the model was trained for",
        )
    if int(header["bins"]) != store.bins:
        raise InputError(f"{options.store} has {store.bins} bins a target, the model {header['bins']}")


def _columns(store: DatasetStore, tracks: list[str], options: EvaluateOptions) -> list[int]:
    if missing := [name for name in tracks if name not in store.tracks]:
        raise InputError(
            f"{options.store} lacks {len(missing)} of the model's {len(tracks)} tracks, the first is {missing[0]!r}",
            fix=f"its tracks: {', '.join(store.tracks[:10])}",
        )
    return [store.tracks.index(name) for name in tracks]


def _device(options: EvaluateOptions) -> str:
    """The device to predict on; the GPU chosen becomes the only visible one."""
    gpus = choose_gpus(options.device, uses_gpu=True)
    if not gpus:
        return "cpu"
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0]
    return "cuda:0"


def _predict(
    options: EvaluateOptions, store: DatasetStore, rows: NDArray[np.int64]
) -> tuple[NDArray[np.floating[Any]], dict[str, Any]]:
    device = _device(options)
    prepare_torch(options.threads)
    module = load_model(options.model, device=device)
    scale: Scale = "output" if options.rc_average else "link"  # a mean over strands is one of outputs
    name = single_input(store.header).name
    found = []
    with Progress(len(rows), "predict") as progress:
        for at in range(0, len(rows), BLOCK_ROWS):
            sequences = store.input_sequences(name, rows[at : at + BLOCK_ROWS])
            found.append(predict_block(module, sequences, scale=scale, rc_average=options.rc_average))
            progress.add(len(sequences))
    values: NDArray[np.floating[Any]] = np.concatenate(found)
    if scale == "link":
        values = _to_output(np.concatenate(found), str(module.link))
    return values, {"device": device_model(device)}


def _check_predictions(
    made: Predictions, options: EvaluateOptions, inputs: dict[str, dict[str, Any]], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The rows that were predicted, after checking that model, store and split are those asked for."""
    for name in ("model", "store"):
        if made.attributes["inputs"][name]["sha256"] != inputs[name]["sha256"]:
            raise InputError(f"{options.predictions} was made with another {name}", fix="run drg-predict again")
    params = made.attributes["params"]
    for name in ("split", "rc_average"):
        if params[name] != getattr(options, name):
            raise InputError(f"{options.predictions} has {name} {params[name]!r}, not {getattr(options, name)!r}",
                             fix=f"give the same --{name.replace('_', '-')}")  # fmt: skip
    if len(made.regions) != len(rows):
        log.warning("%s holds %d of %d rows of the split", options.predictions, len(made.regions), len(rows))
    return made.regions["row"].to_numpy(dtype=np.int64)


def _check_mean(made: Predictions, options: EvaluateOptions, link: str) -> None:
    """The mean over strands is one on the output scale, as when predicting here; a mean of logits is another number."""
    if options.rc_average and made.scale != "output" and link != "identity":
        raise InputError(
            f"{options.predictions} has means over strands of the {made.scale} scale ({link}), "
            "drg-evaluate takes them on the output scale",
            fix="run drg-predict with --rc-average --scale output, or leave --predictions out",
        )


def _to_output(values: NDArray[np.float32], link: str) -> NDArray[np.float64]:
    """In float64: a float32 sigmoid is exactly 1 from a logit of 17 on, and ranks would tie."""
    converted: NDArray[np.float64] = apply_link(torch.from_numpy(values).double(), link).numpy()
    return converted


def _write_facts(folder: Path, inputs: dict[str, dict[str, Any]], facts: dict[str, Any]) -> None:
    """done.json: who, where, with what; not part of the result."""
    paths = {name: record["path"] for name, record in inputs.items()}
    outputs = describe_files(folder)
    write_json(
        folder / "done.json",
        {"command": "evaluate", "outputs": outputs, "inputs": paths, "versions": versions(), "by": who_and_where()}
        | facts,
    )
