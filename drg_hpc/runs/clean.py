"""drg-clean: remove what killed attempts left behind, and, when the output verifies, the parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from drg_hpc.errors import CorruptError, IncompleteError
from drg_hpc.files import remove_tree, walk_files, write_json
from drg_hpc.runs import parts, state
from drg_hpc.runs.heartbeat import clock, last_beat
from drg_hpc.runs.merge import output_fault
from drg_hpc.runs.outputs import DONE, committed
from drg_hpc.runs.plan import Plan


@dataclass
class Cleaned:
    """Files and folders removed, and the bytes they held."""

    removed: int = 0
    bytes: int = 0


def _staging(plan: Plan) -> Iterator[Path]:
    """Private files and folders: attempts, merges, writes and deletions under way or left by a kill."""
    parts_folder, stages_folder = plan.folder / "parts", plan.folder / "stages"
    stage_names = [stage.name for stage in plan.stages]
    places = (plan.folder, parts_folder, stages_folder, plan.folder / "state")
    for place in (*places, *(parts_folder / name for name in stage_names)):
        if place.is_dir():
            yield from place.glob(".[!.]*")


def _useless_states(plan: Plan) -> Iterator[Path]:
    """States of shards that are done, which a kill between the part's appearance and their removal has left."""
    done = parts.list_parts(plan, plan.stages[-1]).done
    for shard_id, found in state.begun(plan).items():
        if shard_id in done and not found.held:
            yield state.state_folder(plan, shard_id)


def _remove(path: Path, cleaned: Cleaned) -> None:
    if path.is_dir() and not path.is_symlink():
        cleaned.bytes += sum((path / name).lstat().st_size for name in walk_files(path))
    else:
        cleaned.bytes += path.lstat().st_size
    cleaned.removed += 1
    remove_tree(path)


def clean_run(plan: Plan, *, remove_parts: bool = False, older_than_h: float = 1.0) -> Cleaned:
    """Remove debris of a run.

    Parameters
    ----------
    remove_parts : also remove parts and damaged parts; only when every byte of the outputs verifies
    older_than_h : leave private folders whose heartbeat is younger than this many hours

    Raises
    ------
    IncompleteError : ``remove_parts`` before the run was merged
    CorruptError : ``remove_parts`` and an output does not match done.json
    """
    cleaned = Cleaned()
    now = clock(plan.folder / "logs")
    for path in _staging(plan):
        try:
            if max(0.0, now - last_beat(path)) >= older_than_h * 3600:
                _remove(path, cleaned)
        except FileNotFoundError:
            continue  # its owner has just ended
    for path in _useless_states(plan):
        _remove(path, cleaned)
    if not remove_parts:
        return cleaned
    record = committed(plan.folder)
    if record is None:
        raise IncompleteError(f"run is not merged: {plan.folder}", fix=f"drg-merge {plan.folder} first; parts are kept")
    fault = output_fault(plan, record, hashes=True)
    if fault:
        raise CorruptError(f"{plan.folder}: {fault}; parts are kept", fix=f"drg-merge {plan.folder} writes it again")
    write_json(plan.folder / DONE, record | {"parts_removed": True})
    folders = [plan.folder / "parts" / stage.name for stage in plan.stages]
    for folder in (*folders, plan.folder / "damaged", plan.folder / "state"):
        if folder.is_dir():
            _remove(folder, cleaned)
    return cleaned
