"""Plan, work, status, merge, clean through the commands, on the smallest body."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import Once, argv, drg, drg_json, environment, error_line

ROWS = 1000  # 16 blocks, the last one short


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(run: Path, *more: object, shards: int = 4, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
    return drg("drg-selftest", "-o", run, "--rows", ROWS, "--shards", shards, *more, exit_code=exit_code)


@pytest.fixture
def run(once: Once, tmp_path: Path) -> Path:
    made = once("protocol", lambda folder: make(folder / "run"))
    return Path(shutil.copytree(made / "run", tmp_path / "run"))


def part(run: Path, number: int) -> Path:
    return run / "parts" / "rows" / f"{number:05d}"


@pytest.mark.parametrize(
    ("shards", "workers", "row_bytes"), [(1, 1, 64), (3, 3, 64), (7, 1, 64), (1, 1, 40_000), (7, 3, 40_000)]
)
def test_output_does_not_depend_on_sharding_also_beyond_the_chunk_cache(
    tmp_path: Path, shards: int, workers: int, row_bytes: int
) -> None:
    reference, other = tmp_path / "a", tmp_path / "b"
    make(reference, "--row-bytes", row_bytes, shards=5)
    make(other, "--row-bytes", row_bytes, "--workers", workers, shards=shards)
    assert sha(reference / "out.h5") == sha(other / "out.h5")


def test_same_plan_again_is_a_no_op(run: Path) -> None:
    before = (run / "out.h5").stat().st_mtime_ns
    assert "already complete" in make(run).stdout
    assert (run / "out.h5").stat().st_mtime_ns == before


def test_another_plan_is_refused_and_the_key_named(run: Path) -> None:
    line = error_line(make(run, "--seed", 7, exit_code=2))
    assert "params.seed: 0 there, 7 now" in line


def test_another_number_of_shards_is_refused_and_said(run: Path) -> None:
    line = error_line(make(run, shards=2, exit_code=2))
    assert "holds a different plan: stage rows: 4 shards there, 2 now; use the same settings" in line


def test_resources_are_not_part_of_the_plan(run: Path) -> None:
    assert "already complete" in make(run, "--workers", 2).stdout


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("two years of work")
    assert "is not a run" in error_line(make(tmp_path, exit_code=2))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_plan_only_then_named_shards_then_merge(tmp_path: Path) -> None:
    run = tmp_path / "run"
    make(run, "--plan-only")
    status = drg_json("drg-status", run, exit_code=4)
    assert status["stages"][1]["missing"] == "0-3"
    drg("drg-work", run, "--stage", "total")
    drg("drg-work", run, "--stage", "rows", "--shards", "0,2-3")
    assert drg("drg-status", run, "--missing", exit_code=4).stdout.strip() == "1"
    line = error_line(drg("drg-merge", run, exit_code=4))
    assert "1 of 4 missing in stage rows: 1" in line
    drg("drg-work", run)
    drg("drg-merge", run)
    assert drg_json("drg-status", run)["merged"] is True
    make(tmp_path / "whole")
    assert sha(run / "out.h5") == sha(tmp_path / "whole" / "out.h5")


def test_flipped_byte_is_named_and_only_that_shard_redone(run: Path) -> None:
    whole = sha(run / "out.h5")
    data = part(run, 2) / "data.h5"
    raw = bytearray(data.read_bytes())
    raw[len(raw) // 2] ^= 1
    data.write_bytes(raw)
    assert "damaged rows/00002" in drg("drg-status", run, "--full", exit_code=5).stdout
    line = error_line(drg("drg-merge", run, exit_code=5))
    assert "rows/00002: data.h5 does not match its sha256" in line
    others = {n: part(run, n).stat().st_ino for n in (0, 1, 3)}
    assert drg_json("drg-work", run)["done"] == 1
    assert {n: part(run, n).stat().st_ino for n in (0, 1, 3)} == others
    drg("drg-merge", run)
    assert sha(run / "out.h5") == whole
    assert len(list((run / "damaged").iterdir())) == 1


def test_removed_part_is_listed_and_redone(run: Path) -> None:
    shutil.rmtree(part(run, 1))
    assert "missing in stage rows: 1" in error_line(drg("drg-merge", run, exit_code=4))
    assert drg("drg-status", run, "--missing", exit_code=4).stdout.strip() == "1"
    result = drg_json("drg-work", run)
    assert (result["done"], result["present"]) == (1, 0)
    drg("drg-merge", run)


def test_lost_first_stage_comes_back_without_touching_the_second(run: Path) -> None:
    whole = sha(run / "out.h5")
    shutil.rmtree(run / "parts" / "total" / "00000")
    inodes = [part(run, n).stat().st_ino for n in range(4)]
    assert "missing in stage total: 0" in error_line(drg("drg-merge", run, exit_code=4))
    assert drg_json("drg-work", run)["done"] == 1
    drg("drg-merge", run)
    assert sha(run / "out.h5") == whole
    assert [part(run, n).stat().st_ino for n in range(4)] == inodes


@pytest.mark.parametrize("fault", ["receipt cut", "file cut", "file gone", "file added", "other plan", "not an object"])
def test_every_kind_of_damage_is_found_by_work(run: Path, fault: str) -> None:
    folder = part(run, 0)
    receipt = folder / "receipt.json"
    if fault == "receipt cut":
        receipt.write_text(receipt.read_text()[:100])
    elif fault == "file cut":
        (folder / "data.h5").write_bytes((folder / "data.h5").read_bytes()[:-1])
    elif fault == "file gone":
        (folder / "data.h5").unlink()
    elif fault == "file added":
        (folder / "extra").write_text("x")
    elif fault == "not an object":
        receipt.write_text("[]")
    else:
        receipt.write_text(json.dumps(json.loads(receipt.read_text()) | {"plan": "0" * 64}))
    assert drg_json("drg-work", run, "--stage", "rows", "--shards", "0")["done"] == 1
    drg("drg-merge", run)


def test_symlinked_part_is_refused(run: Path, tmp_path: Path) -> None:
    shutil.move(part(run, 3), tmp_path / "elsewhere")
    part(run, 3).symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in drg("drg-status", run, exit_code=5).stdout
    assert "symbolic link" in error_line(drg("drg-merge", run, exit_code=5))
    drg("drg-work", run)
    drg("drg-merge", run)


def test_changed_plan_file_is_noticed(run: Path) -> None:
    plan = run / "plan.json"
    plan.write_text(plan.read_text().replace('"seed":0', '"seed":1'))
    assert "plan was changed" in error_line(drg("drg-work", run, exit_code=5))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format":"drg-run/1"}'])
def test_broken_plan_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    assert "plan" in error_line(drg("drg-status", tmp_path, exit_code=5))


def test_world_writable_run_is_refused(run: Path) -> None:
    run.chmod(0o777)
    assert "writable by everybody" in error_line(drg("drg-work", run, exit_code=3))


@pytest.mark.parametrize("text", ["x", "3-1", "99", "1,,2", "-1"])
def test_bad_shard_lists(run: Path, text: str) -> None:
    assert "--shards" in error_line(drg("drg-work", run, f"--shards={text}", exit_code=2))


def test_stop_signal_leaves_nothing_and_exits_143(tmp_path: Path) -> None:
    run = tmp_path / "run"
    make(run, "--plan-only", "--seconds", 60)
    drg("drg-work", run, "--stage", "total")
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        process = subprocess.Popen(argv("drg-work", run), env=environment(), stderr=subprocess.PIPE, text=True)
        rows = run / "parts" / "rows"
        deadline = time.monotonic() + 30
        while not any(rows.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode == 143, stderr
        assert list(rows.iterdir()) == []


def test_stopping_the_launcher_stops_its_workers(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        argv("drg-selftest", "-o", run, "--rows", ROWS, "--shards", 4, "--seconds", 60, "--workers", 2),
        env=environment(),
    )
    rows = run / "parts" / "rows"
    deadline = time.monotonic() + 30
    while not (rows.is_dir() and any(rows.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert list(rows.iterdir()) == []


def test_fresh_claims_are_taken_last(tmp_path: Path) -> None:
    run = tmp_path / "run"
    make(run, "--plan-only")
    drg("drg-work", run, "--stage", "total")
    claim = run / "parts" / "rows" / f".00000.{'a' * 32}"
    claim.mkdir()
    (claim / ".heartbeat").write_text("elsewhere 1\n")
    drg("drg-work", run)
    times = [(part(run, n) / "receipt.json").stat().st_mtime_ns for n in range(4)]
    assert times[0] == max(times)


def test_two_attempts_with_different_bytes_are_reported(tmp_path: Path) -> None:
    from drg_hpc.runs.attempt import _outcome_of_failed_rename

    target = tmp_path / "00000"
    target.mkdir()
    receipt = {"attempt": "a" * 32, "host": "n1", "shard": 0, "stage": "rows", "files": {"data": {"sha256": "1"}}}
    (target / "receipt.json").write_text(json.dumps(receipt))
    assert _outcome_of_failed_rename(target, receipt) == "done"
    other = receipt | {"attempt": "b" * 32}
    assert _outcome_of_failed_rename(target, other) == "lost"
    import logging

    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("drg_hpc").addHandler(handler)
    try:
        assert _outcome_of_failed_rename(target, other | {"files": {"data": {"sha256": "2"}}}) == "lost"
    finally:
        logging.getLogger("drg_hpc").removeHandler(handler)
    assert "different bytes" in seen[0]


def test_clean_removes_debris_but_parts_only_after_merge(tmp_path: Path) -> None:
    run = tmp_path / "run"
    make(run, "--plan-only")
    debris = run / "parts" / "rows" / f".00001.{'b' * 32}"
    debris.mkdir()
    (debris / "half").write_text("x" * 100)
    assert "run is not merged" in error_line(drg("drg-clean", run, "--parts", exit_code=4))
    assert debris.exists()
    assert drg_json("drg-clean", run, "--older-than", 0)["removed"] == 1
    assert not debris.exists()
    make(run)
    drg("drg-clean", run, "--parts")
    assert not (run / "parts" / "rows").exists()
    assert drg_json("drg-status", run)["merged"] is True
    drg("drg-merge", run)
    (run / "out.h5").write_bytes(b"")
    assert "4 of 4 missing" in error_line(drg("drg-merge", run, exit_code=4))
    make(run)
    drg("drg-merge", run)


def test_clean_parts_refuses_when_the_output_is_damaged(run: Path) -> None:
    raw = bytearray((run / "out.h5").read_bytes())
    raw[-1] ^= 1
    (run / "out.h5").write_bytes(raw)
    assert "parts are kept" in error_line(drg("drg-clean", run, "--parts", exit_code=5))
    assert part(run, 0).exists()
    drg("drg-merge", run)
    drg("drg-clean", run, "--parts")


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    result = drg_json("drg-selftest", "-o", tmp_path / "run", "--rows", ROWS, "--shards", 4, "--dry-run")
    assert result["shards"] == {"total": 1, "rows": 4}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_full_disk_is_one_line_and_leaves_no_part(tmp_path: Path) -> None:
    run = tmp_path / "small"
    run.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(run)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        line = error_line(make(run / "r", "--row-bytes", 100_000, exit_code=3))
        assert "not enough space" in line
        make(run / "r", "--row-bytes", 900, "--plan-only")
        (run / "ballast").write_bytes(b"x" * 2_400_000)
        drg("drg-work", run / "r", "--stage", "total")
        line = error_line(drg("drg-work", run / "r", exit_code=3))
        assert "out of space" in line
        for entry in (run / "r" / "parts" / "rows").iterdir():
            assert not entry.name.startswith("."), "staging left behind"
        (run / "ballast").unlink()
        drg("drg-work", run / "r")
        drg("drg-merge", run / "r")
    finally:
        subprocess.run(["umount", str(run)], check=True)
