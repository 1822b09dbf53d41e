"""Trainings one after the other in the same ranks, since starting those costs more than a small training.

Run as a script it is one rank: ``several_trainings.py JOBS.json``, with torchrun's variables in the environment.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from drg_hpc.errors import DrgError
from drg_hpc.training.config import TrainOptions
from drg_hpc.training.run import train


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def train_on_ranks(ranks: int, jobs: dict[str, dict[str, Any]], folder: Path) -> list[dict[str, str]]:
    """Train with some options each, by name; for each rank what became of them: ``done``, or the error."""
    file = folder / "jobs.json"
    values = {name: {"port": _free_port(), "options": options} for name, options in jobs.items()}
    file.write_text(json.dumps(values, default=str))
    shared = os.environ | {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    shared["PYTHONPATH"] = os.pathsep.join(sys.path)
    started = [
        subprocess.Popen(
            [sys.executable, __file__, str(file)],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(ranks)
    ]  # fmt: skip
    try:
        outputs = [process.communicate(timeout=240) for process in started]
    finally:
        for process in started:
            process.kill()
    assert all(process.returncode == 0 for process in started), "\n".join(error for _, error in outputs)
    return [json.loads(output.splitlines()[-1]) for output, _ in outputs]


def _main() -> None:
    found: dict[str, str] = {}
    for name, job in json.loads(Path(sys.argv[1]).read_text()).items():
        os.environ["MASTER_PORT"] = str(job["port"])
        try:
            train(TrainOptions.model_validate(job["options"]))
            found[name] = "done"
        except DrgError as error:
            found[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(found), flush=True)
    os._exit(0)  # as drg-train does: see training/distributed.py


if __name__ == "__main__":
    _main()
