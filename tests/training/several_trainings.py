"""Trainings one after the other in the same ranks, since starting those costs more than a small training.

Run as a script it is one rank: ``several_trainings.py JOBS.json``, with torchrun's variables in the environment.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from drg_hpc.errors import DrgError
from drg_hpc.files import write_atomic
from drg_hpc.training.config import TrainOptions
from drg_hpc.training.run import train


def train_on_ranks(ranks: int, jobs: dict[str, dict[str, Any]], folder: Path) -> list[dict[str, str]]:
    """Train with some options each, by name; for each rank what became of them: ``done``, or the error."""
    work = folder / f"on{ranks}"
    work.mkdir()
    file = work / "jobs.json"
    file.write_text(json.dumps(jobs, default=str))
    shared = os.environ | {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    shared["PYTHONPATH"] = os.pathsep.join(sys.path)
    logs = [work / f"rank{rank}.log" for rank in range(ranks)]
    started = []
    for rank, log in enumerate(logs):
        with log.open("w") as stream:
            started.append(
                subprocess.Popen(
                    [sys.executable, __file__, str(file)],
                    env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                    stdout=stream, stderr=stream, text=True,
                )
            )  # fmt: skip
    try:
        ended = _wait(started)
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert ended, "\n".join(f"rank {rank}:\n{log.read_text()[-3000:]}" for rank, log in enumerate(logs))
    return [json.loads((work / f"rank{rank}.json").read_text()) for rank in range(ranks)]


def _wait(started: list[subprocess.Popen[str]]) -> bool:
    """Whether all end well in time; not waiting for the others of one that does not."""
    last = time.monotonic() + 900
    while time.monotonic() < last:
        codes = [process.poll() for process in started]
        if any(codes) or None not in codes:
            return not any(codes)
        time.sleep(0.1)
    return False


def _port(folder: Path, name: str, rank: int) -> int:
    """The port of a training. Rank 0 takes a free one when it needs it: one taken earlier may be another's by then."""
    file = folder / f"{name}.port"
    if rank == 0:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = int(found.getsockname()[1])
        write_atomic(file, str(port))
        return port
    while not file.exists():
        time.sleep(0.01)
    return int(file.read_text())


def _main() -> None:
    found: dict[str, str] = {}
    file, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    for name, options in json.loads(file.read_text()).items():
        os.environ["MASTER_PORT"] = str(_port(file.parent, name, rank))
        try:
            train(TrainOptions.model_validate(options))
            found[name] = "done"
        except DrgError as error:
            found[name] = f"{type(error).__name__}: {error}"
    (file.parent / f"rank{rank}.json").write_text(json.dumps(found))
    os._exit(0)  # as drg-train does: see training/distributed.py


if __name__ == "__main__":
    _main()
