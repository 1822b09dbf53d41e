"""What is submitted: packing, offsets at MaxArraySize, dependencies, and nothing that a job already holds."""

from __future__ import annotations

import dataclasses
import json
import shutil
import stat
import sys
from pathlib import Path

import pytest
from support import drg, error_line

from drg_hpc.bodies import selftest_plan
from drg_hpc.cli.submit import submitted_result
from drg_hpc.config import ClusterFlags, megabytes_of
from drg_hpc.errors import InputError
from drg_hpc.runs import site
from drg_hpc.runs.launch import again, chain, history, scheduler
from drg_hpc.runs.launch.sbatch import Job
from drg_hpc.runs.launch.slurm import preview
from drg_hpc.runs.launch.submission import (
    Submission,
    job_name,
    pack,
    parse_job_name,
    run_key,
    submissions,
    submitting,
)
from drg_hpc.runs.plan import Plan, read_plan, write_plan
from drg_hpc.runs.spec import Stage

Row = tuple[str, str, str, str, str]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    options = selftest_plan.Options(out=tmp_path / "my run", rows=64 * 25, shards=25)
    return write_plan(selftest_plan.plan_shards(options), options.out)


class Recorder:
    """Stands in for sbatch."""

    name = "slurm"

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, job: Job, submission: Submission) -> str:
        self.jobs.append(job)
        return str(100 + len(self.jobs))


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """What squeue says."""
    rows: list[Row] = []
    monkeypatch.setattr(scheduler, "queued_jobs", lambda: rows)
    monkeypatch.setattr(scheduler, "max_array_size", lambda: 10)
    monkeypatch.setattr(scheduler, "max_minutes", lambda partition: None)
    monkeypatch.setattr(scheduler, "cancel", lambda jobs: rows.append(("cancelled", ",".join(jobs), "", "", "")))
    return rows


def test_arrays_are_cut_at_the_largest_index_and_chained(plan: Plan, queue: list[Row]) -> None:
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
        ("finish", "merge", "0", None, "afterany:101:102:103:104:105"),
    ]
    assert (result.shards, result.merge) == (26, "106")
    assert stat.S_IMODE((plan.folder / "jobs").stat().st_mode) == 0o700
    (written,) = submissions(plan)
    assert written.tasks["rows"] == [[i] for i in range(25)]
    assert (written.folder / "rows.ids").read_text().splitlines()[24] == "24"


def test_what_jobs_hold_is_not_submitted_again(plan: Plan, queue: list[Row]) -> None:
    chain.submit_missing(plan, Recorder(), settings=ClusterFlags(pack=2))
    held = submissions(plan)[0].tasks["rows"]
    queue[:] = [
        (
            "11",
            "0",
            "RUNNING",
            "None",
            job_name(plan, 1, "work", "rows", 10),
        ),  # task 10: index and offset
        ("12", "", "PENDING", "None", job_name(plan, 1, "finish", "merge")),
        ("13", "0", "RUNNING", "None", "drg-other-00000000-0001-work-rows-0"),
        ("14", "1", "RUNNING", "None", "somebody's job"),
    ]
    recorder = Recorder()
    result = chain.submit_missing(plan, recorder, settings=ClusterFlags(pack=1))
    assert result.queued == len(held[10])
    again = [i for ids in submissions(plan)[1].tasks["rows"] for i in ids]
    assert again == [i for i in range(25) if i not in held[10]]
    assert recorder.jobs[-1].after == "afterany:101:102:11:103:104:105"
    assert queue[-1] == ("cancelled", "12", "", "", "")  # the new merge comes after everything


def test_nothing_is_submitted_when_everything_is_queued(plan: Plan, queue: list[Row]) -> None:
    chain.submit_missing(plan, Recorder(), settings=ClusterFlags(pack=1))
    queue[:] = [("1", str(i), "PENDING", "None", job_name(plan, 1, "work", "rows")) for i in range(25)]
    queue += [("2", "0", "RUNNING", "None", job_name(plan, 1, "work", "total"))]
    queue += [("3", "", "PENDING", "None", job_name(plan, 1, "finish", "merge"))]
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
    asked, had = ClusterFlags(cpus=2), ClusterFlags(cpus=2, mem="1G", time="1:00:00")
    assert history.grown(asked, had, {history.MEMORY}, keep=set()) == ClusterFlags(cpus=2, mem="2048M")
    assert history.grown(asked, had, {history.TIME}, keep=set()) == ClusterFlags(cpus=2, time="120")
    assert history.grown(asked, had, {history.MEMORY, history.TIME}, keep={"mem", "time"}) == asked
    assert history.grown(asked, had, {history.LOST, history.FAILED}, keep=set()) == asked


def test_what_followed_from_the_plan_follows_anew(plan: Plan, queue: list[Row]) -> None:
    chain.submit_missing(plan, Recorder(), settings=ClusterFlags(partition="x"))
    (first,) = submissions(plan)
    assert (first.workers, first.settings.cpus, first.asked.cpus) == (1, 1, None)
    more = chain.next_submission(plan, "slurm", settings=first.asked, workers=4, held=chain.queued(plan))
    assert (more.workers, more.settings.cpus, more.settings.partition) == (4, 4, "x")
    few, many = (megabytes_of(each.settings.mem or "") or 0 for each in (first, more))
    assert many >= few


@pytest.mark.parametrize(("gpus", "workers", "count"), [(2, None, 2), (1, 4, 4), (0, 3, 3), (0, None, 1)])
def test_workers_of_a_task(plan: Plan, gpus: int, workers: int | None, count: int) -> None:
    on_gpu = dataclasses.replace(plan, command="attr")
    settings, found = chain.complete_settings(ClusterFlags(gpus=gpus), on_gpu, workers=workers)
    assert (found, settings.cpus, settings.gpus) == (count, count, gpus)


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
    texts = preview(plan, settings=ClusterFlags(pack=5), array_size=3)
    assert ["--array=0-2" in text or "--array=0-1" in text for text in texts] == [False, False, True, True, False]
    assert not (plan.folder / "jobs").exists()


def test_a_machine_without_slurm_says_so(tmp_path: Path) -> None:
    only = str(Path(sys.executable).parent)
    done = drg("drg-selftest", "-o", tmp_path / "run", "--launch", "slurm", exit_code=3, PATH=only)
    assert "no sbatch on PATH" in error_line(done)
    assert not (tmp_path / "run").exists()


def test_site_file_gives_defaults_and_flags_win(tmp_path: Path) -> None:
    file, config = tmp_path / "site.toml", tmp_path / "config.toml"
    file.write_text('[cluster]\npartition = "slow"\naccount = "lab"\ntime = "30"\n')
    config.write_text('[cluster]\ntime = "40"\nmem = "2G"\n')
    done = drg(
        "drg-selftest", "-o", tmp_path / "run", "--dry-run", "--launch", "slurm", "--config", config,
        "--partition", "fast", "--json", DRG_SITE=str(file),
    )  # fmt: skip
    text = json.loads(done.stdout)["scripts"][0]
    for line in ("--partition=fast", "--account=lab", "--time=40", "--mem=2G"):
        assert f"#SBATCH {line}\n" in text
    file.write_text("[cluster]\npartitoin = 'x'\n")
    failed = drg("drg-selftest", "-o", tmp_path / "run", "--dry-run", exit_code=2, DRG_SITE=str(file))
    assert "did you mean 'partition'?" in error_line(failed)


@pytest.mark.parametrize(
    ("record", "log", "told", "reason"),
    [
        ({"state": "done"}, "", "", "lost"),  # it was done, and somebody removed the part
        ({"state": "time", "message": "stopped by SIGUSR1"}, "", "", "time"),
        ({"state": "stopped", "message": "stopped by SIGTERM"}, "", "", "lost"),
        ({"state": "failed", "failed": {"0": "ValueError: odd"}}, "", "", "failed"),
        ({"state": "failed", "failed": {"0": "diverged"}, "final": [0]}, "", "", "failed for good"),
        ({"state": "failed", "code": 1, "message": "a bug"}, "", "", "failed"),
        ({"state": "failed", "code": 3, "message": "torch is not installed here"}, "", "", "input"),
        ({"state": "failed", "failed": {"0": "worker process ended with -9 (out of memory?)"}}, "", "", "memory"),
        ({"state": "failed", "failed": {"0": "MemoryError: 3 GiB"}}, "", "", "memory"),
        ({"state": "failed", "failed": {"0": "OutOfMemoryError: CUDA out of memory. Tried"}}, "", "", "failed"),
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
    plan: Plan, queue: list[Row], monkeypatch: pytest.MonkeyPatch,
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


def test_bad_input_is_not_submitted_again(plan: Plan, queue: list[Row], caplog: pytest.LogCaptureFixture) -> None:
    chain.submit_missing(plan, Recorder(), settings=ClusterFlags(pack=5))
    (submission,) = submissions(plan)
    end = {"job": "9_0", "host": "n", "state": "failed", "code": 3, "message": "torch is not installed here"}
    submission.record_path("rows", 0).write_text(json.dumps(end))
    assert again.submit_again(plan, submission, own_job="7") == 3
    assert "torch is not installed here" in caplog.text and "not submitted again" in caplog.text
    assert len(submissions(plan)) == 1


@pytest.mark.parametrize(("lost", "code", "submitted"), [(False, 6, 1), (True, 4, 2)])
def test_what_failed_for_good_is_not_submitted_again_for_its_own_sake(
    plan: Plan, queue: list[Row], monkeypatch: pytest.MonkeyPatch, lost: bool, code: int, submitted: int
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(again, "launcher_for", lambda name: recorder)
    chain.submit_missing(plan, recorder, settings=ClusterFlags(pack=25))
    (submission,) = submissions(plan)
    for stage in plan.stages:  # all but shard 3 of the last stage, and perhaps 4, are done
        for shard in stage.shards:
            if stage is plan.stages[0] or shard.id not in (3, 4 if lost else 3):
                (plan.folder / "parts" / stage.name / f"{shard.id:05d}").mkdir()
    end = {"job": "9_0", "host": "n", "state": "failed", "code": 6, "failed": {"3": "diverged at step 7"}, "final": [3]}
    submission.record_path("rows", 0).write_text(json.dumps(end))
    assert again.submit_again(plan, submission, own_job="7") == code
    assert len(submissions(plan)) == submitted


def test_an_image_that_is_not_there_is_refused(plan: Plan, queue: list[Row]) -> None:
    recorder = Recorder()
    with pytest.raises(InputError, match=r"no such image: .*nothere\.sif"):
        chain.submit_missing(plan, recorder, settings=ClusterFlags(image=plan.folder / "nothere.sif"))
    assert not recorder.jobs and not submissions(plan)


@pytest.mark.parametrize(
    ("record", "told", "reason"),
    [
        ({"state": "killed", "code": -9, "message": "ended with -9"}, "", "memory"),
        ({"state": "running"}, "OUT_OF_MEMORY", "memory"),
        ({"state": "running"}, "TIMEOUT", "time"),
        ({"state": "running"}, "", None),  # it runs
        ({"state": "failed", "code": 4, "message": "ended with 4"}, "", None),  # something was missing
        (None, "", None),
    ],
)
@pytest.mark.parametrize("name", ["merge", "reduce.total"])
def test_a_merge_that_ran_out_of_something_is_given_more(
    plan: Plan, queue: list[Row], monkeypatch: pytest.MonkeyPatch, name: str,
    record: dict[str, object] | None, told: str, reason: str | None,
) -> None:  # fmt: skip
    chain.submit_missing(plan, Recorder(), settings=ClusterFlags(pack=5))
    (submission,) = submissions(plan)
    monkeypatch.setattr(scheduler, "final_states", lambda jobs: {job: told for job in jobs if told})
    if record is not None:
        submission.record_path(name, 0).write_text(json.dumps({"job": "9", "host": "n", **record}))
    found = history.judge_merges(plan, submission)
    assert {key: verdict.reason for key, verdict in found.items()} == ({name: reason} if reason else {})
    reasons, lines = again.why_missing(plan)
    assert (reason in reasons) == (reason is not None)
    assert any(line.startswith(f"{name}: ") for line in lines) == (reason is not None)


def test_binds_add_up_and_no_image_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.toml").write_text('[cluster]\nimage = "/x/drg.sif"\nbind = ["/data"]\n')
    monkeypatch.setenv("DRG_SITE", str(tmp_path / "site.toml"))
    found = site.cluster_settings(ClusterFlags(bind=["/more", "/data"]), ClusterFlags(bind=["/mine"]))
    assert found.bind == ["/data", "/mine", "/more"]
    assert found.image == Path("/x/drg.sif")
    assert site.cluster_settings(ClusterFlags(image=Path("none")), ClusterFlags()).image is None


def test_scratch_of_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.toml").write_text('scratch = "$FAST/x"\n')
    monkeypatch.setenv("DRG_SITE", str(tmp_path / "site.toml"))
    monkeypatch.setenv("FAST", str(tmp_path))
    assert site.node_scratch() == tmp_path / "x"
    monkeypatch.delenv("FAST")
    with pytest.raises(InputError, match="names a variable that is not set"):
        site.node_scratch()


def test_calibrate_goes_with_a_dry_run(tmp_path: Path) -> None:
    done = drg("drg-selftest", "-o", tmp_path / "run", "--calibrate", exit_code=2)
    assert "--calibrate goes with --dry-run" in error_line(done)
    assert not (tmp_path / "run").exists()


def test_the_merge_waits_for_every_stage(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a shard of the first stage is missing, the later stages are there and reduced."""
    first, last = plan.stages
    three = dataclasses.replace(plan, stages=(first, Stage("mid", last.shards), last))
    monkeypatch.setattr(chain, "is_reduced", lambda plan, stage: stage.name == "mid")
    submission = chain.next_submission(plan, "slurm", settings=ClusterFlags(), workers=1, held=chain.Queued())
    some = dataclasses.replace(submission, tasks={first.name: [[0]]})
    recorder = Recorder()
    chain.submit_chain(three, recorder, some, chain.Queued(work={"mid": ["7"]}), array_size=10)
    assert [job.after for job in recorder.jobs] == [
        None, "afterany:101", "afterok:102,afterany:7", "afterany:101:102:7:103"
    ]  # fmt: skip


def test_half_a_chain_is_taken_back(plan: Plan, queue: list[Row]) -> None:
    class Refusing(Recorder):
        def submit(self, job: Job, submission: Submission) -> str:
            if len(self.jobs) == 2:
                raise InputError("sbatch refused the job: QOSMaxSubmitJobPerUserLimit")
            return super().submit(job, submission)

    with pytest.raises(InputError, match="QOSMax"):
        chain.submit_missing(plan, Refusing(), settings=ClusterFlags())
    assert queue[-1] == ("cancelled", "101,102", "", "", "")
    assert submissions(plan) == []
    chain.submit_missing(plan, Recorder(), settings=ClusterFlags())
    assert [each.number for each in submissions(plan)] == [2]


def test_one_run_by_any_spelling_of_its_path(plan: Plan) -> None:
    link = plan.folder.with_name("link")
    link.symlink_to(plan.folder)
    assert run_key(read_plan(link)) == run_key(plan) == run_key(read_plan(plan.folder / ".." / plan.folder.name))


def test_more_time_than_the_partition_allows(plan: Plan, queue: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "max_minutes", lambda partition: 60)
    with pytest.raises(InputError, match=r"--time 61 is more than partition x allows \(60 minutes\)"):
        chain.submit_missing(plan, Recorder(), settings=ClusterFlags(time="61", partition="x"))
    assert not submissions(plan)
    chain.submit_missing(plan, Recorder(), settings=ClusterFlags(time="60", partition="x"))
    had, asked = ClusterFlags(time="40"), ClusterFlags()
    assert history.grown(asked, had, {history.TIME}, keep=set(), longest=60).time == "60"
    assert history.grown(asked, ClusterFlags(time="60"), {history.TIME}, keep=set(), longest=60).time == "120"


def test_jobs_that_will_not_start_are_named(plan: Plan, queue: list[Row]) -> None:
    chain.submit_missing(plan, Recorder(), settings=ClusterFlags(pack=25))
    queue[:] = [("1", "0", "PENDING", "PartitionTimeLimit", job_name(plan, 1, "work", "rows"))]
    queue += [("2", "0", "PENDING", "Resources", job_name(plan, 1, "work", "total"))]
    queue += [("3", "", "PENDING", "Dependency", job_name(plan, 1, "finish", "merge"))]
    result = chain.submit_missing(plan, Recorder(), settings=ClusterFlags())
    assert result.stuck == {"1": "PartitionTimeLimit"}
    assert "job 1 will not start by itself (PartitionTimeLimit)" in submitted_result(plan, result)["message"]


def test_records_and_receipts_that_cannot_be_read(
    plan: Plan, queue: list[Row], caplog: pytest.LogCaptureFixture
) -> None:
    drg("drg-work", plan.folder)
    for receipt in sorted(plan.folder.glob("parts/rows/*/receipt.json"))[:3]:
        receipt.unlink()
    shutil.rmtree(plan.folder / "parts" / "rows" / "00024")
    chain.submit_missing(plan, Recorder(), settings=ClusterFlags())
    (submission,) = submissions(plan)
    (submission.folder / "rows.ids").unlink()
    assert submissions(plan) == []
    assert "submission 1 cannot be read" in caplog.text
