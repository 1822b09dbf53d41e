"""What shared file systems, colleagues and unlucky timing do to a run."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import Once, argv, drg, drg_json, environment, error_line

from drg_hpc.errors import DiskFullError
from drg_hpc.files import disk_full, replace_path
from drg_hpc.runs.heartbeat import HEARTBEAT, beating, clock, last_beat

ROWS = 640


def make(run: Path, *more: object, exit_code: int = 0, **changes: str) -> subprocess.CompletedProcess[str]:
    return drg("drg-selftest", "-o", run, "--rows", ROWS, "--shards", 4, *more, exit_code=exit_code, **changes)


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def run(once: Once, tmp_path: Path) -> Path:
    made = once("hostile", lambda folder: make(folder / "run"))
    return Path(shutil.copytree(made / "run", tmp_path / "run"))


def test_folder_removed_and_rebuilt_under_a_worker_is_not_published(tmp_path: Path) -> None:
    folder = tmp_path / "attempt"
    folder.mkdir()
    with pytest.raises(OSError, match="removed while"), beating(folder):
        shutil.rmtree(folder)
        (folder / "made" / "anew").mkdir(parents=True)  # as zarr does
    with beating(folder):
        assert clock(tmp_path / "clock") - last_beat(folder) < 5
    assert not (folder / HEARTBEAT).exists()


def test_clean_leaves_a_merge_that_is_under_way(run: Path) -> None:
    staging = run / f".merge.{'0' * 32}"
    staging.mkdir()
    os.utime(staging, (1, 1))
    with beating(staging):
        assert drg_json("drg-clean", run)["removed"] == 0
    os.utime(staging, (1, 1))
    assert drg_json("drg-clean", run)["removed"] == 1


def test_same_size_damage_in_a_folder_output_is_found(tmp_path: Path) -> None:
    fasta = tmp_path / "s.fa"
    fasta.write_text("".join(f">chr1:{i}-{i + 40}\n{'ACGTTGCAAC' * 4}\n" for i in range(100)))
    store = tmp_path / "store"
    drg("drg-shard", "sequences", fasta, "--negatives", "dinuc:1", "-o", store)
    chunk = next(p for p in sorted((store / "out.zarr" / "inputs").rglob("*")) if p.is_file() and "c" in p.parts)
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 1
    chunk.unlink()  # a new inode: the part, which shares the old one, stays whole
    chunk.write_bytes(raw)
    drg("drg-status", store, "--full", exit_code=5)
    assert "parts are kept" in error_line(drg("drg-clean", store, "--parts", exit_code=5))
    drg("drg-merge", store)
    drg("drg-inspect", store, "--verify")
    drg("drg-clean", store, "--parts")
    assert drg_json("drg-work", store)["done"] == 0


def test_three_different_plans_at_once_never_mix(tmp_path: Path) -> None:
    for round_ in range(4):
        run = tmp_path / f"run{round_}"
        command = ["-o", run, "--rows", ROWS, "--shards", 4, "--workers", 1]
        racers = {
            seed: subprocess.Popen(
                argv("drg-selftest", *command, "--seed", seed), env=environment(), stderr=subprocess.PIPE, text=True
            )
            for seed in (1, 2, 3)
        }
        codes = {seed: (process.communicate(timeout=60)[1], process.returncode)[1] for seed, process in racers.items()}
        winner = json.loads((run / "done.json").read_text())["params"]["seed"]
        assert {seed: code for seed, code in codes.items() if code == 0} == {winner: 0}
        assert set(codes.values()) == {0, 2}


def test_identical_launchers_at_once_all_succeed(tmp_path: Path) -> None:
    command = argv("drg-selftest", "-o", tmp_path / "run", "--rows", ROWS, "--shards", 4, "--workers", 1)
    racers = [subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(60) for process in racers] == [0, 0, 0]


def test_planner_killed_before_its_end_does_not_block_the_folder(tmp_path: Path) -> None:
    make(tmp_path / "run", exit_code=-9, DRG_FAILPOINTS="plan.before_link")
    make(tmp_path / "run")


def test_careless_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make(tmp_path / "run")
        make(tmp_path / "run")
    finally:
        os.umask(before)
    assert (tmp_path / "run").stat().st_mode & 0o002 == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"plan": 3}', '{"parts_removed": true}'])
def test_damaged_done_file_means_not_merged(run: Path, text: str) -> None:
    whole = sha(run / "out.h5")
    (run / "done.json").write_text(text)
    assert drg_json("drg-status", run)["merged"] is False
    drg("drg-clean", run, "--parts", exit_code=4)
    make(run)
    assert sha(run / "out.h5") == whole
    assert drg_json("drg-status", run)["merged"] is True


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}"])
def test_damaged_record_of_a_stage_is_made_again(run: Path, text: str) -> None:
    (run / "stages" / "total.receipt").write_text(text)
    inodes = [p.stat().st_ino for p in sorted((run / "parts" / "rows").iterdir())]
    drg("drg-merge", run)
    assert [p.stat().st_ino for p in sorted((run / "parts" / "rows").iterdir())] == inodes


def test_stray_or_wrong_reduced_files_do_not_condemn_the_next_stage(run: Path) -> None:
    inodes = [p.stat().st_ino for p in sorted((run / "parts" / "rows").iterdir())]
    (run / "stages" / "total.npz").write_bytes(b"stray")
    drg("drg-merge", run)
    shutil.rmtree(run / "parts" / "total" / "00000")
    (run / "stages" / "total.json").write_text('{"total": 3}')
    assert "stage rows" not in error_line(drg("drg-merge", run, exit_code=4))
    drg("drg-work", run)
    drg("drg-merge", run)
    assert [p.stat().st_ino for p in sorted((run / "parts" / "rows").iterdir())] == inodes


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.EIO])
def test_unreadable_receipt_is_not_damage(run: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    from drg_hpc.errors import InputError
    from drg_hpc.runs import merge, parts
    from drg_hpc.runs.plan import read_plan

    def fail(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    plan = read_plan(run)
    monkeypatch.setattr(parts, "read_json", fail)
    with pytest.raises(InputError, match="cannot read part"):
        merge.merge_run(plan)
    assert len(list((run / "parts" / "rows").iterdir())) == 4


def test_a_part_replaced_meanwhile_is_not_set_aside(run: Path) -> None:
    from drg_hpc.runs import parts
    from drg_hpc.runs.plan import read_plan

    plan = read_plan(run)
    stage = plan.stages[1]
    folder = run / "parts" / "rows" / "00001"
    judged = parts.Fault("damaged when it was looked at", folder.stat().st_ino)
    folder.rename(run / "damaged" / "by-somebody-else")
    assert parts.set_aside(plan, stage, stage.shards[1], judged) is None
    shutil.copytree(run / "damaged" / "by-somebody-else", folder)
    assert parts.set_aside(plan, stage, stage.shards[1], judged) is None
    assert folder.exists()


def test_odd_names_are_no_parts(run: Path) -> None:
    (run / "parts" / "rows" / "00002").rename(run / "parts" / "rows" / "000002")
    assert drg("drg-status", run, "--missing", exit_code=4).stdout.strip() == "2"


@pytest.mark.parametrize("key", ["seconds", "host", "versions", "notes", "device", "attempt", "rows"])
def test_receipts_that_lack_something_are_damage(run: Path, key: str) -> None:
    path = run / "parts" / "rows" / "00000" / "receipt.json"
    receipt = json.loads(path.read_text())
    del receipt[key]
    path.write_text(json.dumps(receipt))
    assert repr(key) in error_line(drg("drg-merge", run, exit_code=5))


def test_modules_in_the_current_folder_are_not_imported(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('imported the wrong module')\n")
    done = subprocess.run(
        [sys.executable, "-P", *argv("drg-selftest", "-o", "run")[1:]],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name", ["with space", "semi;colon", "quo'te", "uni\N{GREEK SMALL LETTER ALPHA}", "-dash", "per%cent"]
)
def test_hostile_folder_names(tmp_path: Path, name: str) -> None:
    run = tmp_path / name
    make(run, "--plan-only")
    text = drg("drg-status", run, exit_code=4).stdout.splitlines()[-1]
    import shlex

    assert shlex.split(text)[2] == str(run)
    make(run)


@pytest.mark.parametrize("place", ["/dev/null", "{}/file/run", "{}/" + "x" * 300])
def test_impossible_places_are_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    done = drg("drg-selftest", "-o", place.format(tmp_path), exit_code=2 if place == "/dev/null" else 3)
    assert error_line(done)


def test_hdf5_errors_of_a_full_disk_are_recognised(tmp_path: Path) -> None:
    text = (
        "Can't decrement id ref count (unable to truncate file, errno = 28, error message = 'No space left on device')"
    )
    assert isinstance(disk_full(RuntimeError(text), tmp_path), DiskFullError)
    assert isinstance(disk_full(OSError(errno.EDQUOT, "quota"), tmp_path), DiskFullError)
    assert disk_full(RuntimeError("errno = 5"), tmp_path) is None
    assert disk_full(ValueError("errno = 28,"), tmp_path) is None


def test_replacing_a_folder_leaves_no_debris(tmp_path: Path) -> None:
    for text in ("1", "2"):
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "x").write_text(text)
        replace_path(tmp_path / "new", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "x").read_text() == "2"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_disk_that_fills_anywhere_is_exit_3(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False).returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        for left in (4, 40, 110, 200, 420, 800):
            run = disk / "run"
            make(run, "--row-bytes", 1200, "--plan-only")
            free = os.statvfs(disk).f_bavail * 4096
            (disk / "ballast").write_bytes(b"x" * max(0, free - left * 1024))
            for command in (
                ("drg-work", run),
                ("drg-selftest", "-o", run, "--rows", ROWS, "--shards", 4, "--row-bytes", 1200),
            ):
                done = drg(*command, exit_code=3)
                assert "out of space" in error_line(done) or "not enough space" in error_line(done)
                assert len(done.stderr.splitlines()) < 12
            (disk / "ballast").unlink()
            make(run, "--row-bytes", 1200)
            shutil.rmtree(run)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
