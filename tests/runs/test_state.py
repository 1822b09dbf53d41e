"""The state of resumable shards: one attempt at a time, dead ones replaced, and nothing written by who has lost it."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, drg

from drg_hpc.bodies import selftest_plan
from drg_hpc.runs import parts, state
from drg_hpc.runs.clean import clean_run
from drg_hpc.runs.heartbeat import HEARTBEAT, STALE_S, has_ended, owner
from drg_hpc.runs.plan import Plan, write_plan
from drg_hpc.runs.status import run_status

NEVER: Any = lambda: False  # noqa: E731


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    options = selftest_plan.Options(out=tmp_path / "run", rows=192)
    return write_plan(selftest_plan.plan_shards(options), options.out)


def a_dead_pid() -> int:
    """Of a process that has ended and been waited for."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    return child.pid


def left_by(plan: Plan, text: str, *, age_s: float = 0.0) -> Path:
    """The state of shard 0 in the hands of somebody who does not let go."""
    with state.hold(plan, plan.stages[1].shards[0], done=NEVER) as mine:
        assert mine is not None
        (mine / "data").write_text("kept")
    held = state.state_folder(plan, 0) / ("e" * 32)
    os.rename(state.state_folder(plan, 0) / state.FREE, held)
    (held / HEARTBEAT).write_text(text)
    then = time.time() - age_s
    os.utime(held / HEARTBEAT, (then, then))
    return held


def test_the_next_attempt_finds_what_the_last_one_left(plan: Plan) -> None:
    first, second = plan.stages[1].shards[:2]
    with state.hold(plan, first, done=NEVER) as mine, state.hold(plan, second, done=NEVER) as other:
        assert mine is not None and other is not None
        assert list(mine.iterdir()) == [mine / HEARTBEAT]
        (mine / "data").write_text("kept")
        assert not (other / "data").exists()
    with pytest.raises(RuntimeError), state.hold(plan, first, done=NEVER) as mine:
        raise RuntimeError
    with state.hold(plan, first, done=NEVER) as again:
        assert again is not None and again != mine
        assert (again / "data").read_text() == "kept"
        state.drop(plan, first.id)
    assert not state.state_folder(plan, 0).exists()
    with state.hold(plan, first, done=lambda: True) as nothing:
        assert nothing is None
    assert [path.name for path in (plan.folder / "state").iterdir()] == ["00001"]


def test_a_second_attempt_waits_for_the_first(plan: Plan) -> None:
    shard, order = plan.stages[1].shards[0], []

    def second() -> None:
        with state.hold(plan, shard, done=NEVER) as mine:
            assert mine is not None
            order.append((mine / "data").read_text())

    with state.hold(plan, shard, done=NEVER) as mine:
        assert mine is not None
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(1.5)
        order.append("first")
        (mine / "data").write_text("second")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_dead_process_of_this_machine_is_replaced_at_once(plan: Plan) -> None:
    words = owner().split()
    held = left_by(plan, " ".join([*words[:3], str(a_dead_pid())]))
    started = time.monotonic()
    with state.hold(plan, plan.stages[1].shards[0], done=NEVER) as mine:
        assert mine is not None
        assert (mine / "data").read_text() == "kept"
    assert time.monotonic() - started < STALE_S / 4
    assert not held.exists()


def test_who_may_live_elsewhere_is_replaced_only_when_silent(plan: Plan) -> None:
    elsewhere = f"{socket.gethostname()} another-boot pid:[1] {a_dead_pid()}"
    left_by(plan, elsewhere, age_s=STALE_S - 20)
    asked = iter([False, False, True])
    with state.hold(plan, plan.stages[1].shards[0], done=lambda: next(asked)) as mine:
        assert mine is None
    held = state.state_folder(plan, 0) / ("e" * 32)
    then = time.time() - STALE_S - 5
    os.utime(held / HEARTBEAT, (then, then))
    with state.hold(plan, plan.stages[1].shards[0], done=NEVER) as mine:
        assert mine is not None


def test_who_has_ended_is_told_from_who_has_not() -> None:
    words = owner().split()
    assert not has_ended(owner())
    assert has_ended(" ".join([*words[:3], str(a_dead_pid())]))
    assert not has_ended(" ".join([words[0], "other", words[2], str(a_dead_pid())]))
    assert not has_ended("")
    child = subprocess.Popen([sys.executable, "-c", ""])
    time.sleep(1.0)  # a zombie by now
    assert has_ended(" ".join([*words[:3], str(child.pid)]))
    child.wait()


def test_one_that_was_replaced_can_write_nothing_into_the_state(plan: Plan) -> None:
    shard = plan.stages[1].shards[0]
    with state.hold(plan, shard, done=NEVER) as late:
        assert late is not None
        then = time.time() - STALE_S - 5
        (late / HEARTBEAT).write_text("elsewhere another-boot pid:[1] 1\n")
        os.utime(late / HEARTBEAT, (then, then))  # it slept; its clock has not ticked yet
        with state.hold(plan, shard, done=NEVER) as mine:
            assert mine is not None
            with pytest.raises(FileNotFoundError):
                (late / "data").write_text("late")
            late.mkdir()  # as a library does that makes the folders it needs
            (late / "data").write_text("late")
            (mine / "data").write_text("mine")
        (late / "data").unlink()
        late.rmdir()
    with state.hold(plan, shard, done=NEVER) as again:
        assert again is not None
        assert (again / "data").read_text() == "mine"


def test_a_folder_made_by_a_late_one_is_taken_for_what_it_is(plan: Plan) -> None:
    shard, outer = plan.stages[1].shards[0], state.state_folder(plan, 0)
    with state.hold(plan, shard, done=NEVER) as mine:
        assert mine is not None
        (mine / "data").write_text("kept")
    (outer / ("a" * 32) / "checkpoints").mkdir(parents=True)
    with state.hold(plan, shard, done=NEVER) as again:
        assert again is not None
        assert (again / "data").read_text() == "kept"


def test_status_tells_how_far_shards_are_and_clean_removes_what_is_of_no_use(plan: Plan) -> None:
    shards = plan.stages[1].shards
    with state.hold(plan, shards[2], done=NEVER) as mine:
        assert mine is not None
        state.note_progress(mine, "epoch 3 of 9")
        begun = run_status(plan).stages[1].begun
        assert (begun[2].text, begun[2].held) == ("epoch 3 of 9", True)
    with state.hold(plan, shards[0], done=NEVER):
        pass
    assert {number: found.held for number, found in run_status(plan).stages[1].begun.items()} == {0: False, 2: False}
    (parts.stage_folder(plan, plan.stages[1]) / "00000").mkdir()  # it counts as done until somebody looks into it
    assert set(run_status(plan).stages[1].begun) == {2}
    clean_run(plan, older_than_h=0)
    assert [path.name for path in (plan.folder / "state").iterdir()] == ["00002"]


COUNT = """
import os, sys, time
from pathlib import Path
from drg_hpc.runs import state
from drg_hpc.runs.plan import read_plan
from drg_hpc.errors import Stopped
from drg_hpc.runs.signals import stop_on_signals
plan = read_plan(Path(sys.argv[1]))
try:
    with stop_on_signals():
        while True:
            with state.hold(plan, plan.stages[1].shards[0], done=lambda: False) as mine:
                path = mine / "count"
                count = int(path.read_text()) if path.exists() else 0
                with open(mine / "log", "a") as log:
                    log.write(f"{count} {os.getpid()}\\n")
                    log.flush()
                time.sleep(0.004)
                fresh = mine / "fresh"
                fresh.write_text(str(count + 1))
                os.replace(fresh, path)
except Stopped:
    os._exit(143)
"""


@pytest.mark.slow
def test_racing_attempts_that_are_killed_never_hold_a_state_together(plan: Plan) -> None:
    """Each holder counts one up: two at once, or one that goes on after it lost the state, would write a number twice
    without a kill in between."""
    points = "state.before_take:0.03,state.taken:0.03"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DRG_FAILPOINTS": points}

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", COUNT, str(plan.folder)], env=environment)

    chance, workers, kills = random.Random(4), [start() for _ in range(3)], 0
    deadline = time.monotonic() + 60
    while kills < 40 and time.monotonic() < deadline:
        time.sleep(chance.uniform(0.05, 0.4))
        index = chance.randrange(3)
        workers[index].send_signal(chance.choice([signal.SIGKILL, signal.SIGTERM]))
        for number, worker in enumerate(workers):
            if worker.poll() is not None or number == index:
                assert worker.wait() in (-signal.SIGKILL, -signal.SIGTERM, 143)
                kills += 1
                workers[number] = start()
    for worker in workers:
        worker.kill()
        worker.wait()
    with state.hold(plan, plan.stages[1].shards[0], done=NEVER) as mine:
        assert mine is not None
        counted = [line.split() for line in (mine / "log").read_text().splitlines()]
        last = int((mine / "count").read_text())
    numbers = [int(number) for number, _ in counted]
    assert last >= 10
    assert sorted(set(numbers)) == list(range(max(numbers) + 1))
    assert all(b - a in (0, 1) for a, b in itertools.pairwise(numbers))
    again = [(a, b) for a, b in itertools.pairwise(counted) if a[0] == b[0]]
    assert all(a[1] != b[1] for a, b in again)  # only where the one before was killed
    assert len(again) <= kills


def test_clean_with_parts_leaves_no_state(plan: Plan) -> None:
    drg("drg-work", plan.folder)
    drg("drg-merge", plan.folder)
    with state.hold(plan, plan.stages[1].shards[0], done=NEVER):
        pass
    clean_run(plan, remove_parts=True, older_than_h=0)
    assert not (plan.folder / "state").exists()
