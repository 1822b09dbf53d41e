"""One training from options to a finished MODEL folder."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drg_hpc.errors import UsageError
from drg_hpc.models.base import ModelShape
from drg_hpc.models.compute import device_model, prepare_torch
from drg_hpc.models.io import load_into
from drg_hpc.models.registry import build
from drg_hpc.rng import row_key
from drg_hpc.store.dataset_layout import inputs_of
from drg_hpc.store.header import require_bins, require_span
from drg_hpc.training.augment import Augmentation
from drg_hpc.training.compute_options import require_precision
from drg_hpc.training.config import Recipe, TrainOptions, initial_table, log_table, parse_duration, recorded, settle
from drg_hpc.training.data import TrainingData
from drg_hpc.training.distributed import Group, join, single
from drg_hpc.training.evaluate import Validator
from drg_hpc.training.folder import CHECKPOINTS, begin, leave_nothing, locked, prepare
from drg_hpc.training.heads import in_modalities, plan_losses
from drg_hpc.training.initial import Initial, find_initial, start
from drg_hpc.training.loader import Loader
from drg_hpc.training.loop import Rows, Trainer
from drg_hpc.training.outputs import write_history, write_outputs
from drg_hpc.training.sources import Stores, find_stores, make_sampler, open_mixture
from drg_hpc.training.state import TrainState
from drg_hpc.training.step import Stepper
from drg_hpc.training.step_log import StepLog, require_writer
from drg_hpc.training.stop import StopRequests
from drg_hpc.training.throughput import Meter
from drg_hpc.training.tracks import require_partners, select_tracks, strand_partners

log = logging.getLogger(__name__)


def _threads(options: TrainOptions) -> int:
    if options.threads is not None:
        return options.threads
    text = os.environ.get("OMP_NUM_THREADS", "1").split(",")[0]
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"OMP_NUM_THREADS = {text!r} is not a number of threads", fix="set it, or use --threads")
    return int(text)


def _make_trainer(
    options: TrainOptions, recipe: Recipe, *, group: Group, stores: Stores, initial: Initial, stop: StopRequests,
    on_epoch: Callable[[TrainState], None],
) -> Trainer:  # fmt: skip
    header, table = stores.header, recipe.data
    bins = require_bins(header)
    tracks = select_tracks(header["track_info"], recipe.tracks)
    names = [header["tracks"][i] for i in tracks]
    partners = strand_partners(header["track_info"], tracks)
    mixture = group.first_on_node(lambda: open_mixture(stores, options))
    data = TrainingData(
        mixture,
        tracks=tracks,
        partners=require_partners(partners, names) if table.reverse_complement > 0 else range(len(tracks)),
        device=group.device,
    )
    parts = [data.split(table.train, key="data.train", number=number) for number in range(len(stores.paths))]
    train_rows, valid_rows = np.concatenate(parts), data.split(table.valid, key="data.valid")
    modalities = in_modalities(header["track_info"], tracks)
    facts = data.scan(train_rows, [modality.tracks for modality in modalities])
    losses = plan_losses(recipe, modalities, bins=bins, facts=facts)
    inputs = {item.name: item.length for item in inputs_of(header)}
    span = require_span(header)
    torch.manual_seed(row_key(recipe.seed, 0, "initial-weights"))
    model = build(recipe.model, ModelShape(inputs, losses.heads, bins, span))
    model.tracks, model.strand_partners = names, partners
    start(model, recipe.model, initial, main=group.main)
    model.to(group.device)
    if group.main:
        log.info(
            "training %s on %d rows (%d for validation), %d tracks, loss %s, %d ranks on %s, %d threads each",
            recipe.model.architecture, len(train_rows), len(valid_rows), len(tracks), losses.described,
            group.world, device_model(group.device), torch.get_num_threads(),
        )  # fmt: skip
    validator = Validator(
        data,
        valid_rows,
        objective=losses.validation,
        scores=losses.scores,
        links=model.links,
        group=group,
        batch_size=-(-recipe.train.batch_size // group.world),
    )

    def epoch_ended(state: TrainState) -> None:
        write_history(options.out, state)
        on_epoch(state)

    logged = log_table(options)
    return Trainer(
        group=group,
        stepper=Stepper(group=group, model=model, objective=losses.objective, recipe=recipe),
        loader=Loader(
            data, augmentation=Augmentation(recipe.seed, table.reverse_complement, table.jitter), group=group
        ),
        validator=validator,
        rows=Rows(
            train=train_rows,
            units=data.units(train_rows, losses.objective),
            sampler=make_sampler(stores, mixture, parts, table, seed=recipe.seed),
        ),
        objective=losses.objective,
        recipe=recipe,
        checkpoints=options.checkpoints,
        folder=options.out / CHECKPOINTS,
        stop=stop,
        meter=Meter(model, group=group, precision=recipe.train.precision, measure=logged.measure),
        step_log=StepLog(logged, options.out, objective=losses.objective, group=group),
        on_epoch=epoch_ended,
    )


def train(
    options: TrainOptions, *, alone: bool = False, on_epoch: Callable[[TrainState], None] = lambda state: None
) -> Path:
    """Train, or go on training, into ``options.out``; every rank calls it.

    Parameters
    ----------
    alone : one process, whatever the environment says of ranks, in a folder that the caller makes sure is its own; a
        stop signal that comes too late to stop the training is passed on
    on_epoch : called on rank 0 after each epoch, its history written

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
    max_seconds = None if options.max_time is None else parse_duration(options.max_time)
    stop = StopRequests(options.out, started=started, max_seconds=max_seconds, max_steps=options.max_steps)
    threads = _threads(options)
    prepare_torch(threads)
    ranks = nullcontext(single(options.device)) if alone else join(options.device)
    with stop.listening(pass_on=alone), ranks as group, ExitStack() as stack:

        def look() -> tuple[Stores, Initial]:
            require_precision(options.precision or options.train.precision, group.device)
            require_writer(log_table(options).to)
            return find_stores(options.store, options.data), find_initial(initial_table(options))

        stores, initial = group.first_on_node(look)
        recipe = settle(options, model=initial.config)
        inputs = stores.inputs | initial.inputs
        record = recorded(recipe, inputs)

        def enter() -> dict[str, Any]:
            if alone:
                options.out.mkdir(exist_ok=True)
            else:
                stack.enter_context(locked(options.out))
                stack.callback(leave_nothing, options.out)
            found = prepare(options.out, recipe=record, store=stores.inputs["store"], resume=options.resume)
            stop.clear_file()
            return found

        found = group.on_main(enter)
        if found["action"] == "done":
            if group.main:
                log.info("%s is complete: nothing to do", options.out)
            return options.out
        trainer = _make_trainer(
            options, recipe, group=group, stores=stores, initial=initial, stop=stop, on_epoch=on_epoch
        )
        if found["checkpoint"] is None:
            group.on_main(lambda: begin(options.out, record, stores.inputs["store"]))
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
                config=recipe.model,
                recipe=record,
                tracks=trainer.model.tracks,
                state=trainer.state,
                inputs=inputs,
                run=run,
            )

        group.on_main(finish)
        return options.out
