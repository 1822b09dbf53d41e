"""What a resumable body keeps between its attempts at a shard: ``RUN/state/00017``, in one attempt's hands at a time.

The folder holds the shard's data in one folder below it, called ``free``, or by the attempt that holds it. It changes
hands by renames only: one attempt gets it, and one that was taken for dead finds its own paths gone, so that it can
write nothing into what another one has taken over.
"""

from __future__ import annotations

import errno
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from drg_hpc.errors import DrgError
from drg_hpc.files import failpoint, read_json, remove_tree, write_json
from drg_hpc.runs import parts
from drg_hpc.runs.heartbeat import HEARTBEAT, STALE_S, clock, has_ended, owner, touched
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.signals import check_stop, signals_held
from drg_hpc.runs.spec import Shard

log = logging.getLogger(__name__)

FREE = "free"
PROGRESS = "progress.json"
_POLL_S = 1.0


def state_folder(plan: Plan, shard_id: int) -> Path:
    """Where the state of a shard is."""
    return plan.folder / "state" / parts.part_name(shard_id)


def _beat(held: Path) -> tuple[str, float] | None:
    """Who holds it, and when it was last touched; None when it is gone."""
    try:
        return (held / HEARTBEAT).read_text(), (held / HEARTBEAT).stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None


def _find(outer: Path) -> Path | None:
    """The folder with the data; None when it was not seen, as in the moment of a rename.

    Only that one has a heartbeat: a folder without was made by an attempt that had lost its state, and is debris.
    """
    try:
        found = [path for path in outer.iterdir() if (path / HEARTBEAT).is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found[0] if found else None


def _make(outer: Path) -> None:
    """Make an empty state, unless there is one: a folder can be renamed to the name of an empty one at most."""
    private = outer.with_name(f".new.{outer.name}.{uuid.uuid4().hex}")
    (private / FREE).mkdir(parents=True)
    (private / FREE / HEARTBEAT).write_text("")
    try:
        os.rename(private, outer)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        remove_tree(private)


def _is_dead(held: Path, beat: tuple[str, float], now: float) -> bool:
    return held.name == FREE or now - beat[1] >= STALE_S or has_ended(beat[0])


def _sign(held: Path) -> None:
    """Write our heartbeat, whole, so that a kill leaves none that names nobody."""
    fresh = held / f"{HEARTBEAT}.{uuid.uuid4().hex}"
    fresh.write_text(f"{owner()}\n")
    os.replace(fresh, held / HEARTBEAT)


def _take(held: Path, mine: Path) -> bool:
    """Rename the data to our name; False when another attempt was faster."""
    try:
        _sign(held)  # from now on the others take it for alive
        failpoint("state.before_take")
        os.rename(held, mine)
    except FileNotFoundError:
        if not mine.is_dir():  # a file system in the network may report a failure after success
            return False
    _sign(mine)  # another one may have been about to take it too
    failpoint("state.taken")
    return True


def _acquire(plan: Plan, outer: Path, done: Callable[[], bool]) -> Path | None:
    """Wait for the data of a shard and take it; None when ``done`` says that it is not needed any more."""
    mine = outer / uuid.uuid4().hex
    unseen_since: float | None = None
    told = False
    while not done():
        check_stop()
        if not outer.exists():
            _make(outer)
        held = _find(outer)
        beat = None if held is None else _beat(held)
        if held is None or beat is None:
            unseen_since = unseen_since or time.monotonic()
            if time.monotonic() - unseen_since >= STALE_S:
                log.warning("%s holds no state any more: it is begun anew", outer)
                remove_tree(outer)
            time.sleep(_POLL_S / 10)
            continue
        unseen_since = None
        if _is_dead(held, beat, clock(plan.folder / "logs")):
            if _take(held, mine):
                return mine
            continue
        if not told:
            log.info("shard %s is under way elsewhere (%s): waiting for it", outer.name, (beat[0].split() or ["?"])[0])
            told = True
        time.sleep(_POLL_S)
    return None


@contextmanager
def hold(plan: Plan, shard: Shard, *, done: Callable[[], bool]) -> Iterator[Path | None]:
    """Hold the state of a shard for the block, once no other attempt does.

    Parameters
    ----------
    done : whether the shard has been done meanwhile; nothing is held then

    Yields
    ------
    the folder to keep things in from attempt to attempt, or None
    """
    outer = state_folder(plan, shard.id)
    outer.parent.mkdir(exist_ok=True)
    mine = _acquire(plan, outer, done)
    if mine is None:
        yield None
        return
    try:
        with touched(mine / HEARTBEAT):
            yield mine
    finally:
        with signals_held():
            try:
                os.rename(mine, outer / FREE)
            except FileNotFoundError:
                log.debug("state %s was dropped, or taken over", mine)


def drop(plan: Plan, shard_id: int) -> None:
    """Remove the state of a shard that is done."""
    remove_tree(state_folder(plan, shard_id))


def note_progress(state: Path, text: str) -> None:
    """Say how far a shard is, for drg-status."""
    write_json(state / PROGRESS, {"text": text})


@dataclass(frozen=True)
class ShardState:
    """A shard that has been begun: how far it is, and whether somebody is at it."""

    text: str
    held: bool


def begun(plan: Plan) -> dict[int, ShardState]:
    """Shards that have a state, by id."""
    found: dict[int, ShardState] = {}
    folder = plan.folder / "state"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if not names:
        return found
    now = time.time()
    for name in sorted(name for name in names if name.isdigit()):
        held = _find(folder / name)
        beat = None if held is None else _beat(held)
        if held is None or beat is None:
            continue
        try:
            text = str(read_json(held / PROGRESS)["text"])
        except (DrgError, KeyError, TypeError):
            text = "begun"
        found[int(name)] = ShardState(text, not _is_dead(held, beat, now))
    return found
