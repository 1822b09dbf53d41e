"""Slurm's commands: what they are asked with, how their answers are read, and what follows when they do not come."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

import pytest

from drg_hpc.errors import InputError
from drg_hpc.runs.launch import scheduler

PARTITIONS = """\
PartitionName=short Default=YES MaxNodes=UNLIMITED MaxTime=01:00:00 MinNodes=0
PartitionName=long Default=NO MaxTime=7-00:00:00
PartitionName=free Default=NO MaxTime=UNLIMITED
"""


class Slurm:
    """Answers in the place of Slurm's commands."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.answers: dict[str, list[tuple[int, str, str]]] = {}

    def __call__(self, command: Sequence[str], *, text: str | None = None) -> subprocess.CompletedProcess[str]:
        self.calls.append(list(command))
        answers = self.answers[command[0]]
        code, out, err = answers.pop(0) if len(answers) > 1 else answers[0]
        return subprocess.CompletedProcess(command, code, out, err)


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Slurm:
    made = Slurm()
    monkeypatch.setattr(scheduler, "_call", made)
    monkeypatch.setattr(scheduler.time, "sleep", lambda seconds: None)
    return made


@pytest.mark.parametrize(
    ("partition", "minutes"),
    [(None, 60), ("short", 60), ("long", 7 * 24 * 60), ("short,long", 7 * 24 * 60), ("free", None),
     ("short,free", None), ("other", None)],
)  # fmt: skip
def test_longest_time_of_a_partition(slurm: Slurm, partition: str | None, minutes: int | None) -> None:
    slurm.answers["scontrol"] = [(0, PARTITIONS, "")]
    assert scheduler.max_minutes(partition) == minutes


def test_queue_is_read_whatever_others_call_their_jobs(slurm: Slurm) -> None:
    text = "1|0|RUNNING|None|drg-a|b\n2|N/A|PENDING|Dependency|x\ny\n"
    slurm.answers["squeue"] = [(0, text, "")]
    assert scheduler.queued_jobs() == [
        ("1", "0", "RUNNING", "None", "drg-a|b"),
        ("2", "", "PENDING", "Dependency", "x"),
    ]
    assert f"--user={os.getuid()}" in slurm.calls[0]


def test_a_busy_controller_is_asked_again_and_nothing_is_submitted_twice(slurm: Slurm) -> None:
    busy = (1, "", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    slurm.answers = {"sbatch": [busy, busy, (0, "17\n", "")], "squeue": [(0, "", "")]}
    assert scheduler.patiently("drg-x", lambda: scheduler.sbatch("#!/bin/sh\n")) == "17"
    slurm.answers = {"sbatch": [busy], "squeue": [(0, "18|N/A|PENDING|Priority|drg-x\n", "")]}
    slurm.calls.clear()
    assert scheduler.patiently("drg-x", lambda: scheduler.sbatch("#!/bin/sh\n")) == "18"
    assert [call[0] for call in slurm.calls] == ["sbatch", "squeue"]


def test_a_refusal_is_final_and_so_is_silence(slurm: Slurm) -> None:
    slurm.answers = {"sbatch": [(1, "", "sbatch: error: invalid partition specified: x")], "squeue": [(0, "", "")]}
    with pytest.raises(InputError, match="invalid partition"):
        scheduler.patiently("drg-x", lambda: scheduler.sbatch("#!/bin/sh\n"))
    assert len(slurm.calls) == 1
    slurm.answers = {"squeue": [(1, "", "slurm_load_jobs error: Unable to contact slurm controller")]}
    slurm.calls.clear()
    with pytest.raises(InputError, match="squeue does not answer"):
        scheduler.queued_jobs()
    assert len(slurm.calls) == 4


def test_what_the_surroundings_say_does_not_reach_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "SLURM_JOB_ID",
        "SBATCH_JOB_NAME",
        "SBATCH_ARRAY_INX",
        "SBATCH_TIMELIMIT",
        "SBATCH_WAIT",
        "SQUEUE_STATES",
    ):
        monkeypatch.setenv(name, "1")
    for name in ("SLURM_CONF", "SBATCH_ACCOUNT", "SBATCH_PARTITION"):
        monkeypatch.setenv(name, "kept")
    found = scheduler.clean_environment()
    assert {name for name in found if name.startswith(("SLURM", "SBATCH", "SQUEUE"))} == {
        "SLURM_CONF", "SBATCH_ACCOUNT", "SBATCH_PARTITION",
    }  # fmt: skip
    with scheduler.outside_of_jobs():
        assert "SBATCH_JOB_NAME" not in os.environ
    assert os.environ["SBATCH_JOB_NAME"] == "1"
