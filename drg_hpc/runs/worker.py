"""A worker process of the local launcher: reads ``STAGE SHARD`` on stdin, answers one JSON line each on stdout.

A fresh interpreter (never a fork), with its threads pinned before any numerical library is imported.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from drg_hpc import log as logs
from drg_hpc.errors import EXIT_DONE, EXIT_STOPPED, DrgError, Stopped
from drg_hpc.runs.attempt import describe_error, do_shard, ends_run
from drg_hpc.runs.plan import check_inputs, pin_threads, read_plan
from drg_hpc.runs.signals import check_stop, signals_held, stop_on_signals


def _serve(folder: Path, device: str, *, questions: TextIO, answers: TextIO) -> int:
    """Do shards until there are no more questions; returns the exit code."""

    def answer(**fields: Any) -> None:
        with signals_held():  # half an answer would be none
            answers.write(json.dumps(fields) + "\n")
            answers.flush()

    shard_id: int | None = None
    try:
        plan = read_plan(folder)
        pin_threads(plan.threads)
        check_inputs(plan)
        from drg_hpc.runs.bodies import load_body

        body = load_body(plan)
        for line in questions:
            name, _, number = line.partition(" ")
            stage, shard_id = plan.stage(name), int(number)
            try:
                outcome = do_shard(plan, stage, stage.shards[shard_id], body=body, device=device)
                answer(shard=shard_id, outcome=outcome)
            except Exception as error:
                if isinstance(error, BrokenPipeError) or ends_run(error):
                    raise
                answer(shard=shard_id, **describe_error(error))
            check_stop()
    except BrokenPipeError:
        return EXIT_STOPPED  # the launcher is gone; what was done is done
    except (DrgError, ModuleNotFoundError) as error:
        told = describe_error(error)
        answer(shard=shard_id, **told)
        return int(told["code"])
    return EXIT_DONE


def main() -> None:
    """``python -m drg_hpc.runs.worker RUN DEVICE VERBOSITY``."""
    folder, device, verbosity = sys.argv[1:4]
    # Libraries that print or read must not break the protocol: it keeps the old stdin and stdout to itself.
    questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    logs.setup(int(verbosity))
    with stop_on_signals():
        try:
            code = _serve(Path(folder), device, questions=questions, answers=answers)
        except (BrokenPipeError, Stopped):
            code = EXIT_STOPPED
        try:
            sys.stderr.flush()
        finally:  # whatever comes now, such as a stop signal after an error that was told
            # parts are published or gone; libraries left by a full disk or a stop may crash at their end
            os._exit(code)


if __name__ == "__main__":
    main()
