"""sbatch scripts are a pure function of job and settings: pinned by golden files, and nothing named reaches a shell."""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.config import ClusterFlags, build, megabytes_of, minutes_of
from drg_hpc.errors import UsageError
from drg_hpc.runs.launch.sbatch import Job, grace_s, script
from drg_hpc.runs.launch.submission import Submission
from drg_hpc.runs.launch.submitit import _parameters

GOLDEN = Path(__file__).parent / "golden"
ODD = '/s/it\'s; $(x) "q" 100%'
PLAIN = Job("drg-run-1a2b3c4d-0001-finish-merge-0", "/scratch/run", ("/scratch/run", "1", "finish", "merge", "0"))
CASES: dict[str, tuple[Job, ClusterFlags]] = {
    "plain": (PLAIN, ClusterFlags()),
    "array": (
        Job(
            "drg-run-1a2b3c4d-0001-work-rows-1001", "/scratch/run", ("/scratch/run", "1", "work", "rows", "1001"),
            tasks=40, after="afterok:17",
        ),
        ClusterFlags(
            partition="gpu", account="lab", qos="long", time="4:00:00", gpus=2, gres="gpu:a100", cpus=8, mem="64G",
            max_running=16, slurm_arg=["constraint=a100|h100", "exclusive"],
            setup=["module load cuda/12.4", "export NCCL_DEBUG=WARN"],
        ),
    ),
    "odd": (
        Job("drg-a_b-1a2b3c4d-0001-work-rows-0", ODD, (ODD, "1", "work", "rows", "0")),
        ClusterFlags(account="a b'; `touch x`", time="2"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    job, flags = CASES[name]
    text = script(
        job, flags, python="/venv/bin/python", environment={"PYTHONPATH": "/src dir"} if name == "odd" else None
    )
    assert text == (GOLDEN / f"{name}.sbatch").read_text()


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(blacklist_categories=("C", "Z"), max_codepoint=0x2FF), min_size=1, max_size=12))
def test_a_shell_gets_every_word_as_it_is(word: str) -> None:
    job = Job("name", f"/s/{word}", (f"/s/{word}", "1", "work", "rows", "0"))
    lines = script(job, ClusterFlags(account=word), python="printf").splitlines()
    given_words = shlex.split(lines[-1])
    assert given_words == ["exec", "printf", "-P", "-m", "drg_hpc.runs.launch.task", *job.call]
    directives = [line for line in lines if line.startswith("#SBATCH")]
    assert f"--account={word}" in [part for line in directives for part in shlex.split(line.removeprefix("#SBATCH"))]


def test_bash_takes_the_odd_script_apart_as_meant(tmp_path: Path) -> None:
    job, flags = CASES["odd"]
    (tmp_path / "show").write_text('#!/bin/sh\nfor word in "$@"; do echo "<$word>"; done\n')
    (tmp_path / "show").chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script(job, flags, python=str(tmp_path / "show"))], cwd=tmp_path, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert f"<{job.folder}>" in done.stdout.splitlines()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90),
        ("1:30", 2),
        ("1:30:00", 90),
        ("2-12", 3600),
        ("1-00:30", 1470),
        ("x", None),
        ("0", None),
        ("1:2:3:4", None),
    ],
)
def test_times_as_slurm_reads_them(text: str, minutes: int | None) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize(
    ("text", "mib"), [("800", 800), ("1.5G", 1536), ("2T", 2 << 20), ("100K", 1), ("8GB", None), ("", None)]
)
def test_sizes_as_slurm_reads_them(text: str, mib: int | None) -> None:
    assert megabytes_of(text) == mib


def test_warning_time_fits_short_limits() -> None:
    assert [grace_s(ClusterFlags(time=text)) for text in ("1", "2", "60")] == [30, 60, 60]


@pytest.mark.parametrize(
    "values",
    [
        {"time": "soon"},
        {"mem": "much"},
        {"partition": "a\nb"},
        {"slurm_arg": ["--x=1"]},
        {"slurm_arg": ["a=\n"]},
        {"slurm_arg": ["time=9"]},
        {"slurm_arg": ["job-name=mine"]},
        {"gpus": -1},
    ],
)
def test_values_that_no_script_can_hold_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        build(ClusterFlags, values, source="test")


def test_memory_per_cpu_stands_for_memory() -> None:
    job = Job("drg-x", "/run", ("/run", "1", "work", "rows", "0"))
    text = script(job, ClusterFlags(mem="4G", slurm_arg=["mem-per-cpu=2G"]), python="/python")
    assert "--mem-per-cpu=2G" in text and "--mem=" not in text
    settings = ClusterFlags(mem="4G", slurm_arg=["mem-per-cpu=2G"])
    submission = Submission(Path("/run/jobs/0001"), 1, "submitit", settings, None, settings, "auto", 1, 0, {})
    assert "mem" not in _parameters(job, submission)


def test_the_users_dependency_comes_to_ours() -> None:
    flags = ClusterFlags(slurm_arg=["dependency=afterok:9"])
    job = Job("drg-x", "/run", ("/run", "1", "work", "rows", "0"), after="afterany:1:2")
    assert "#SBATCH --dependency=afterany:1:2,afterok:9\n" in script(job, flags, python="/python")
    alone = dataclasses.replace(job, after=None)
    assert "#SBATCH --dependency=afterok:9\n" in script(alone, flags, python="/python")
    submission = Submission(Path("/run/jobs/0001"), 1, "submitit", flags, None, flags, "auto", 1, 0, {})
    assert _parameters(job, submission)["additional_parameters"]["dependency"] == "afterany:1:2,afterok:9"


def test_arrays_of_a_stage_share_what_may_run() -> None:
    job = Job("drg-x", "/run", ("/run", "1", "work", "rows", "0"), tasks=40, arrays=3)
    assert "--array=0-39%3\n" in script(job, ClusterFlags(max_running=10), python="/python")
    assert "--array=0-39%1\n" in script(job, ClusterFlags(max_running=2), python="/python")
