"""One training from options to a finished MODEL folder."""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from drg_hpc.errors import UsageError
from drg_hpc.models.compute import device_model, prepare_torch
from drg_hpc.models.io import load_into
from drg_hpc.models.registry import build
from drg_hpc.rng import row_key
from drg_hpc.store.cache import open_cache
from drg_hpc.store.header import describe_store, find_store, require_kind
from drg_hpc.training.config import Recipe, TrainOptions, parse_duration, settle
from drg_hpc.training.data import TrainingData, require_partners, select_tracks, strand_partners
from drg_hpc.training.distributed import Group, join
from drg_hpc.training.folder import CHECKPOINTS, begin, leave_nothing, locked, prepare
from drg_hpc.training.loop import Rows, Trainer
from drg_hpc.training.losses import choose_loss
from drg_hpc.training.outputs import write_history, write_outputs
from drg_hpc.training.step import Stepper
from drg_hpc.training.stop import StopRequests

log = logging.getLogger(__name__)


def _threads(options: TrainOptions) -> int:
    if options.threads is not None:
        return options.threads
    text = os.environ.get("OMP_NUM_THREADS", "1").split(",")[0]
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"OMP_NUM_THREADS = {text!r} is not a number of threads", fix="set it, or use --threads")
    return int(text)


def _make_trainer(
    options: TrainOptions, recipe: Recipe, *, group: Group, header: dict[str, Any], store: Path, stop: StopRequests
) -> Trainer:
    cache = open_cache(store, options.cache_dir)
    tracks = select_tracks(header["tracks"], recipe.tracks)
    names = [header["tracks"][i] for i in tracks]
    partners = strand_partners(header["track_info"], tracks)
    flipping = recipe.data.reverse_complement > 0
    data = TrainingData(
        cache,
        tracks=tracks,
        partners=require_partners(partners, names) if flipping else range(len(tracks)),
        device=group.device,
    )
    train_rows = data.split(recipe.data.train, key="data.train")
    valid_rows = data.split(recipe.data.valid, key="data.valid")
    loss = choose_loss(
        recipe.train.loss,
        architecture=recipe.model.architecture,
        bins=header["bins"],
        facts=data.scan(train_rows),
        count_weight=recipe.train.count_weight,
    )
    length = next(iter(header["inputs"].values()))
    torch.manual_seed(row_key(recipe.seed, 0, "initial-weights"))
    model = build(recipe.model, length=length, n_tracks=len(tracks), bins=header["bins"], link=loss.link)
    model.tracks, model.strand_partners = names, partners
    model.to(group.device)
    if group.main:
        log.info(
            "training %s on %d rows (%d for validation), %d tracks, loss %s, %d ranks on %s, %d threads each",
            recipe.model.architecture, len(train_rows), len(valid_rows), len(tracks), loss.name,
            group.world, device_model(group.device), torch.get_num_threads(),
        )  # fmt: skip
    return Trainer(
        group=group,
        stepper=Stepper(group=group, model=model, data=data, loss=loss, recipe=recipe),
        data=data,
        rows=Rows(train=train_rows, valid=valid_rows, units=data.units(train_rows, loss)),
        loss=loss,
        recipe=recipe,
        checkpoints=options.checkpoints,
        folder=options.out / CHECKPOINTS,
        stop=stop,
        on_epoch=lambda history: write_history(options.out, history),
    )


def train(options: TrainOptions) -> Path:
    """Train, or go on training, into ``options.out``; every rank calls it.

    Returns
    -------
    the MODEL folder, complete

    Raises
    ------
    UsageError : options that clash, or differ from those MODEL was started with
    InputError : store, splits, targets or device that cannot be used
    CorruptError : store or model damaged
    Stopped : stopped by a STOP file, a signal or a limit, with a checkpoint
    Diverged : the loss is not finite any more
    """
    started = time.monotonic()
    recipe = settle(options)
    max_seconds = None if options.max_time is None else parse_duration(options.max_time)
    stop = StopRequests(options.out, started=started, max_seconds=max_seconds, max_steps=options.max_steps)
    header = require_kind(options.store, "dataset")
    store = find_store(options.store)
    threads = _threads(options)
    prepare_torch(threads)
    with stop.listening(), join(options.device) as group, ExitStack() as stack:
        identity = describe_store(store)

        def enter() -> dict[str, Any]:
            stack.enter_context(locked(options.out))
            stack.callback(leave_nothing, options.out)
            found = prepare(options.out, recipe=recipe, store=identity, resume=options.resume)
            stop.clear_file()
            return found

        found = group.on_main(enter)
        if found["action"] == "done":
            if group.main:
                log.info("%s is complete: nothing to do", options.out)
            return options.out
        trainer = _make_trainer(options, recipe, group=group, header=header, store=store, stop=stop)
        if found["checkpoint"] is None:
            group.on_main(lambda: begin(options.out, recipe, identity))
        else:
            trainer.restore(Path(found["checkpoint"]))
            if group.main:
                log.info("going on from step %d (epoch %d)", trainer.state.step, trainer.state.epoch + 1)
        trainer.fit()
        load_into(trainer.model, trainer.best_weights, source=options.out)
        run = {
            "ranks": group.world,
            "threads": threads,
            "devices": {device_model(group.device): group.world},
            "seconds": {"job": round(time.monotonic() - started, 3)},
        }

        def finish() -> None:
            write_outputs(
                options.out,
                model=trainer.model,
                recipe=recipe,
                tracks=trainer.model.tracks,
                state=trainer.state,
                store=identity,
                run=run,
            )

        group.on_main(finish)
        return options.out
