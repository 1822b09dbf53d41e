"""Which attributions a seqlet run was called on."""

from __future__ import annotations

from pathlib import Path

from drg_hpc.errors import InputError
from drg_hpc.files import read_json
from drg_hpc.results.seqlets import find_seqlets
from drg_hpc.runs.outputs import PLAN


def attributions_of(seqlets: Path) -> Path:
    """The attribution file of a seqlet run, as its plan names it.

    Raises
    ------
    InputError : the seqlets lie in no run, or the attributions are no longer there
    """
    plan = find_seqlets(seqlets).parent / PLAN
    if not plan.is_file():
        raise InputError(f"{seqlets} lies in no run, so its attributions are not known", fix="give the run's folder")
    path = Path(read_json(plan)["inputs"]["attributions"]["path"])
    if not path.is_file():
        raise InputError(f"the attributions of {seqlets} are no longer at {path}", fix="put them back")
    return path
