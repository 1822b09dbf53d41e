"""What is submitted: packing, offsets at MaxArraySize, dependencies, and nothing that a job already holds."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from support import drg, environment, error_line

from drg_hpc.config import ClusterFlags
from drg_hpc.errors import InputError
from drg_hpc.runs.launch import chain, history, scheduler
from drg_hpc.runs.launch.sbatch import Job
from drg_hpc.runs.launch.slurm import preview
from drg_hpc.runs.launch.submission import Submission, job_name, pack, parse_job_name, submissions, submitting
from drg_hpc.runs.plan import Plan, read_plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    drg("drg-selftest", "-o", tmp_path / "my run", "--rows", 64 * 25, "--shards", 25, "--plan-only")
    return read_plan(tmp_path / "my run")


class Recorder:
    """Stands in for sbatch."""

    name = "slurm"

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, job: Job, submission: Submission) -> str:
        self.jobs.append(job)
        return str(100 + len(self.jobs))


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str, str]]:
    """What squeue says."""
    rows: list[tuple[str, str, str, str]] = []
    monkeypatch.setattr(scheduler, "queued_jobs", lambda: rows)
    monkeypatch.setattr(scheduler, "max_array_size", lambda: 10)
    monkeypatch.setattr(scheduler, "cancel", lambda jobs: rows.append(("cancelled", ",".join(jobs), "", "")))
    return rows


def test_arrays_are_cut_at_the_largest_index_and_chained(plan: Plan, queue: list[tuple[str, str, str, str]]) -> None:
    recorder = Recorder()
    result = chain.submit_missing(plan, recorder, settings=ClusterFlags(pack=1))
    roles = [parse_job_name(job.name) or {} for job in recorder.jobs]
    assert [
        (r["role"], r["stage"], r["first"], job.tasks, job.after) for r, job in zip(roles, recorder.jobs, strict=True)
    ] == [
        ("work", "total", "0", 1, None),
        ("reduce", "total", "0", None, "afterany:101"),
        ("work", "rows", "0", 10, "afterok:102"),
        ("work", "rows", "10", 10, "afterok:102"),
        ("work", "rows", "20", 5, "afterok:102"),
        ("finish", "merge", "0", None, "afterany:103:104:105:102"),
    ]
    assert (result.shards, result.merge) == (26, "106")
    assert stat.S_IMODE((plan.folder / "jobs").stat().st_mode) == 0o700
    (written,) = submissions(plan)
    assert written.tasks["rows"] == [[i] for i in range(25)]
    assert (written.folder / "rows.ids").read_text().splitlines()[24] == "24"


def test_what_jobs_hold_is_not_submitted_again(plan: Plan, queue: list[tuple[str, str, str, str]]) -> None:
    chain.submit_missing(plan, Recorder(), settings=ClusterFlags(pack=2))
    held = submissions(plan)[0].tasks["rows"]
    queue[:] = [
        ("11", "0", "RUNNING", job_name(plan, 1, "work", "rows", 10)),  # task 10: the index and its array's offset
        ("12", "", "PENDING", job_name(plan, 1, "finish", "merge")),
        ("13", "0", "RUNNING", "drg-other-00000000-0001-work-rows-0"),
        ("14", "1", "RUNNING", "somebody's job"),
    ]
    recorder = Recorder()
    result = chain.submit_missing(plan, recorder, settings=ClusterFlags(pack=1))
    assert result.queued == len(held[10])
    again = [i for ids in submissions(plan)[1].tasks["rows"] for i in ids]
    assert again == [i for i in range(25) if i not in held[10]]
    assert recorder.jobs[-1].after == "afterany:11:103:104:105:102"
    assert queue[-1] == ("cancelled", "12", "", "")  # the new merge comes after everything


def test_nothing_is_submitted_when_everything_is_queued(plan: Plan, queue: list[tuple[str, str, str, str]]) -> None:
    chain.submit_missing(plan, Recorder(), settings=ClusterFlags(pack=1))
    queue[:] = [("1", str(i), "PENDING", job_name(plan, 1, "work", "rows")) for i in range(25)]
    queue += [("2", "0", "RUNNING", job_name(plan, 1, "work", "total"))]
    queue += [("3", "", "PENDING", job_name(plan, 1, "finish", "merge"))]
    recorder = Recorder()
    assert chain.submit_missing(plan, recorder, settings=ClusterFlags()).submission is None
    assert recorder.jobs == []


def test_a_jobs_folder_that_others_may_write_to_is_refused(plan: Plan) -> None:
    (plan.folder / "jobs").mkdir()
    (plan.folder / "jobs").chmod(0o770)
    with pytest.raises(InputError, match="closed to others"), submitting(plan):
        pass


def test_world_writable_run_is_refused(plan: Plan) -> None:
    plan.folder.chmod(0o777)
    with pytest.raises(InputError, match="writable by everybody"):
        read_plan(plan.folder)


@pytest.mark.parametrize(
    ("count", "size", "sizes"), [(10, 4, [3, 3, 4]), (3, 5, [3]), (0, 5, []), (4, 1, [1, 1, 1, 1])]
)
def test_packing_is_even(count: int, size: int, sizes: list[int]) -> None:
    packed = pack(list(range(count)), size)
    assert [len(ids) for ids in packed] == sizes
    assert [i for ids in packed for i in ids] == list(range(count))


def test_short_shards_are_packed_by_their_measured_time() -> None:
    flags = ClusterFlags()
    assert chain.pack_size(1000, settings=flags, workers=1, shard_s=None) == 1
    assert chain.pack_size(1000, settings=flags, workers=2, shard_s=10.0) == 60
    assert chain.pack_size(1000, settings=flags, workers=1, shard_s=4000.0) == 1
    assert chain.pack_size(20000, settings=flags, workers=1, shard_s=None) == 4
    assert chain.pack_size(1000, settings=ClusterFlags(pack=7), workers=1, shard_s=10.0) == 7


def test_more_is_asked_for_by_the_stated_rule() -> None:
    flags = ClusterFlags(mem="1G", time="1:00:00")
    assert history.grown(flags, {history.MEMORY}, keep=set()).mem == "2048M"
    assert history.grown(flags, {history.TIME}, keep=set()).time == "120"
    assert history.grown(flags, {history.MEMORY, history.TIME}, keep={"mem", "time"}) == flags
    assert history.grown(flags, {history.LOST, history.FAILED}, keep=set()) == flags


def test_dry_run_prints_the_scripts_and_writes_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["-o", run, "--rows", 640, "--shards", 10, "--dry-run", "--launch", "slurm", "--partition", "low"]
    told = json.loads(drg("drg-selftest", *options, "--json").stdout)
    assert not run.exists()
    assert len(told["scripts"]) == 4
    assert all("#SBATCH --partition=low" in text for text in told["scripts"])
    assert told["cost"]["stages"][1]["tasks"] == 10
    assert told["cost"]["mem"] == "512M"
    told = json.loads(drg("drg-selftest", *options, "--calibrate", "--json").stdout)
    assert told["cost"]["stages"][1]["tasks"] == 1  # ten short shards are one task
    assert not run.exists()


def test_preview_of_a_planned_run_is_what_would_be_submitted(plan: Plan) -> None:
    submission, texts = preview(plan, settings=ClusterFlags(pack=5), array_size=3)
    assert len(submission.tasks["rows"]) == 5
    assert ["--array=0-2" in text or "--array=0-1" in text for text in texts] == [False, False, True, True, False]
    assert not (plan.folder / "jobs").exists()


def test_a_machine_without_slurm_says_so(tmp_path: Path) -> None:
    only = str(Path(os.sys.executable).parent)  # type: ignore[attr-defined]
    done = drg("drg-selftest", "-o", tmp_path / "run", "--launch", "slurm", exit_code=3, PATH=only)
    assert "no sbatch on PATH" in error_line(done)
    assert not (tmp_path / "run").exists()
    assert environment()


def test_site_file_gives_defaults_and_flags_win(tmp_path: Path) -> None:
    site, config = tmp_path / "site.toml", tmp_path / "config.toml"
    site.write_text('[cluster]\npartition = "slow"\naccount = "lab"\ntime = "30"\n')
    config.write_text('[cluster]\ntime = "40"\nmem = "2G"\n')
    done = drg(
        "drg-selftest", "-o", tmp_path / "run", "--dry-run", "--launch", "slurm", "--config", config,
        "--partition", "fast", "--json", DRG_SITE=str(site),
    )  # fmt: skip
    text = json.loads(done.stdout)["scripts"][0]
    for line in ("--partition=fast", "--account=lab", "--time=40", "--mem=2G"):
        assert f"#SBATCH {line}\n" in text
    site.write_text("[cluster]\npartitoin = 'x'\n")
    failed = drg("drg-selftest", "-o", tmp_path / "run", "--dry-run", exit_code=2, DRG_SITE=str(site))
    assert "did you mean 'partition'?" in error_line(failed)


@pytest.mark.parametrize(
    ("record", "log", "told", "reason"),
    [
        ({"state": "done"}, "", "", "lost"),  # it was done, and somebody removed the part
        ({"state": "time", "message": "stopped by SIGUSR1"}, "", "", "time"),
        ({"state": "stopped", "message": "stopped by SIGTERM"}, "", "", "lost"),
        ({"state": "failed", "failed": {"0": "ValueError: odd"}}, "", "", "failed"),
        ({"state": "failed", "code": 1, "message": "a bug"}, "", "", "failed"),
        ({"state": "failed", "code": 3, "message": "torch is not installed here"}, "", "", "input"),
        ({"state": "failed", "failed": {"0": "worker process ended with -9 (out of memory?)"}}, "", "", "memory"),
        ({"state": "failed", "failed": {"0": "MemoryError: 3 GiB"}}, "", "", "memory"),
        ({"state": "running"}, "", "OUT_OF_MEMORY", "memory"),
        ({"state": "running"}, "", "TIMEOUT", "time"),
        ({"state": "running"}, "", "NODE_FAIL", "lost"),
        ({"state": "running"}, "slurmstepd: error: Detected 1 oom-kill event(s)", "", "memory"),
        ({"state": "running"}, "slurmstepd: error: *** JOB 9 CANCELLED AT 1 DUE TO TIME LIMIT ***", "", "time"),
        ({"state": "running"}, "the body says: out of memory", "", "lost"),  # only Slurm's own word counts
        (None, "", "", "unstarted"),
    ],
)
def test_why_a_shard_is_missing(
    plan: Plan, queue: list[tuple[str, str, str, str]], monkeypatch: pytest.MonkeyPatch,
    record: dict[str, object] | None, log: str, told: str, reason: str,
) -> None:  # fmt: skip
    chain.submit_missing(plan, Recorder(), settings=ClusterFlags(pack=5))
    (submission,) = submissions(plan)
    monkeypatch.setattr(scheduler, "final_states", lambda jobs: {job: told for job in jobs if told})
    if record is not None:
        submission.record_path("rows", 0).write_text(json.dumps({"job": "9_0", "host": "n", **record}))
    if log:
        (plan.folder / "logs" / "jobs" / f"{job_name(plan, 1, 'work', 'rows')}.9_0.log").write_text(f"{log}\n")
    verdicts = history.judge(plan, submission, "rows", [0, 7])
    assert verdicts[0].reason == reason
    assert verdicts[7].reason == "unstarted"


def test_bad_input_is_not_submitted_again(
    plan: Plan, queue: list[tuple[str, str, str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    chain.submit_missing(plan, Recorder(), settings=ClusterFlags(pack=5))
    (submission,) = submissions(plan)
    end = {"job": "9_0", "host": "n", "state": "failed", "code": 3, "message": "torch is not installed here"}
    submission.record_path("rows", 0).write_text(json.dumps(end))
    assert chain.submit_again(plan, submission, own_job="7") == 3
    assert "torch is not installed here" in caplog.text and "not submitted again" in caplog.text
    assert len(submissions(plan)) == 1


def test_an_image_that_is_not_there_is_refused(plan: Plan, queue: list[tuple[str, str, str, str]]) -> None:
    recorder = Recorder()
    with pytest.raises(InputError, match=r"no such image: .*nothere\.sif"):
        chain.submit_missing(plan, recorder, settings=ClusterFlags(image=plan.folder / "nothere.sif"))
    assert not recorder.jobs and not submissions(plan)
