"""drg-clean: remove what killed attempts left behind, and, when the output verifies, the parts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from drg_hpc.errors import CorruptError, IncompleteError
from drg_hpc.files import read_json, remove_tree, walk_files, write_json
from drg_hpc.runs import parts
from drg_hpc.runs.merge import output_fault
from drg_hpc.runs.outputs import DONE
from drg_hpc.runs.plan import Plan


@dataclass
class Cleaned:
    """Folders removed and bytes they held."""

    folders: int = 0
    bytes: int = 0


def _staging(plan: Plan) -> Iterator[Path]:
    """Private folders: attempts, merges and deletions under way or left by a kill."""
    for stage in plan.stages:
        for folders in parts.list_parts(plan, stage).attempts.values():
            yield from folders
    for folder in (plan.folder, plan.folder / "stages", *(plan.folder / "parts" / s.name for s in plan.stages)):
        if folder.is_dir():
            for prefix in (".merge.", ".old.", ".deleting.", *(f".{s.name}." for s in plan.stages)):
                yield from folder.glob(f"{prefix}*")


def _age_hours(folder: Path) -> float:
    beat = folder / parts.HEARTBEAT
    newest = beat if beat.exists() else folder
    return (time.time() - newest.stat().st_mtime) / 3600


def _remove(folder: Path, cleaned: Cleaned) -> None:
    cleaned.bytes += sum((folder / name).stat().st_size for name in walk_files(folder))
    cleaned.folders += 1
    remove_tree(folder)


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
    for folder in _staging(plan):
        try:
            if _age_hours(folder) >= older_than_h:
                _remove(folder, cleaned)
        except FileNotFoundError:
            continue  # its owner has just ended
    if not remove_parts:
        return cleaned
    done = plan.folder / DONE
    if not done.is_file():
        raise IncompleteError(f"run is not merged: {plan.folder}", fix=f"drg-merge {plan.folder} first; parts are kept")
    record = read_json(done)
    fault = output_fault(plan, record, hashes=True)
    if fault:
        raise CorruptError(f"{plan.folder}: {fault}; parts are kept", fix=f"drg-merge {plan.folder} writes it again")
    write_json(done, record | {"parts_removed": True})
    for stage in plan.stages:
        _remove(plan.folder / "parts" / stage.name, cleaned)
    if (plan.folder / "damaged").is_dir():
        _remove(plan.folder / "damaged", cleaned)
    return cleaned
