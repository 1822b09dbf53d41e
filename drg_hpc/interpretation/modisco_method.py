"""``drg-motifs --method modisco``: modisco-lite on the attributions that the seqlets were called on.

modisco-lite finds seqlets of its own. A motif's averages are those of its pattern; its members are the seqlets of our
file that lie over one of the pattern's, of the same sign: the one that shares most bases with it.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import UsageError
from drg_hpc.interpretation.averages import FoundMotif
from drg_hpc.interpretation.config import MotifsOptions
from drg_hpc.interpretation.modisco_patterns import motif_of
from drg_hpc.results.exports_arrays import track_file, write_modisco
from drg_hpc.results.modisco_file import Pattern, read_patterns
from drg_hpc.results.reader import read_attributions
from drg_hpc.results.seqlet_origin import attributions_of
from drg_hpc.results.seqlets import Seqlets

log = logging.getLogger(__name__)

Members = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]


def find_modisco() -> list[str]:
    """The command line of modisco-lite: beside this Python, else on PATH.

    Raises
    ------
    UsageError : it is not installed
    """
    if importlib.util.find_spec("modiscolite") is not None:
        beside = Path(sys.executable).with_name("modisco")
        if beside.is_file():
            return [str(beside)]
    found = shutil.which("modisco")
    if found is None:
        raise UsageError(
            "--method modisco needs modisco-lite, which is not installed",
            fix="pip install modisco-lite, or put its command modisco on PATH",
        )
    return [found]


def modisco_motifs(seqlets: Seqlets, options: MotifsOptions) -> list[FoundMotif]:
    """Motifs of modisco-lite, strongest first; those with fewer members than ``min_seqlets`` are left out.

    Each track that has seqlets is searched by itself, in whole rows.

    Raises
    ------
    UsageError : modisco-lite is not installed, or ends with an error
    InputError : the attributions are gone, or have no form of all four bases
    """
    command = find_modisco()
    path = attributions_of(options.seqlets)
    found: list[FoundMotif] = []
    tracks = seqlets.table["track"].to_numpy(np.int64)
    input_name = seqlets.attributes["params"].get("input")
    with tempfile.TemporaryDirectory() as scratch, read_attributions(path, input_name) as source:
        kept = np.flatnonzero(source.kept)
        for number in np.unique(tracks):
            name = str(seqlets.attributes["tracks"][number])
            folder = Path(scratch) / str(number)
            write_modisco(source, folder, [name])
            contributions = folder / f"{track_file(source, name)}.npz"
            out = _run(command, folder, contributions, length=source.length, seqlets=options.max_seqlets)
            own = np.flatnonzero(tracks == number)
            motifs = [_motif(pattern, seqlets, own, kept, trim=options.trim) for pattern in read_patterns(out).patterns]
            found += [motif for motif in motifs if len(motif.members) >= options.min_seqlets]
    return sorted(found, key=lambda motif: (-motif.strength, int(motif.members[0])))


def _run(command: list[str], folder: Path, contributions: Path, *, length: int, seqlets: int) -> Path:
    """Run modisco-lite; its result. An odd length goes without its last base."""
    out = folder / "out.h5"
    line = [*command, "motifs", "-s", str(folder / "sequences.npz"), "-a", str(contributions)]
    line += ["-n", str(seqlets), "-w", str(length // 2 * 2), "-o", str(out)]
    log.info("running %s", " ".join(line))
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode or not out.is_file():
        said = (done.stderr.strip() or done.stdout.strip() or "nothing was said").splitlines()[-1]
        raise UsageError(f"modisco motifs ended with {done.returncode}: {said}", fix="run drg-motifs --method linkage")
    return out


def _motif(
    pattern: Pattern, seqlets: Seqlets, own: NDArray[np.int64], kept: NDArray[np.int64], *, trim: float
) -> FoundMotif:
    """A pattern with the seqlets of ours that lie over its own."""
    rows = kept[pattern.row]
    members, offset, flipped = match_members(
        seqlets, own, sign=pattern.sign, row=rows, start=pattern.start, end=pattern.end,
        flipped=pattern.flipped,
    )  # fmt: skip
    attribution = seqlets.table["attribution"].to_numpy(np.float64)[members]
    return motif_of(pattern, trim=trim, members=members, offset=offset, flipped=flipped, attribution=attribution)


def match_members(
    seqlets: Seqlets,
    own: NDArray[np.int64],
    *,
    sign: int,
    row: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    flipped: NDArray[np.bool_],
) -> Members:
    """Seqlets over given places: members, ascending; start of their (turned) windows relative to the place; turned.

    Parameters
    ----------
    own : numbers of the seqlets to choose from
    sign : of the seqlets
    row, start, end, flipped : of the places; the first of several that want a seqlet has it
    """
    table = seqlets.table
    chosen = own[table["sign"].to_numpy()[own] == sign]
    by_row: dict[int, list[int]] = {}
    rows = table["row"].to_numpy(np.int64)
    for number in chosen.tolist():
        by_row.setdefault(int(rows[number]), []).append(number)
    first, last = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    window = seqlets.sequence.shape[2]
    taken: dict[int, tuple[int, bool]] = {}
    for place, low, high, turned in zip(row.tolist(), start.tolist(), end.tolist(), flipped.tolist(), strict=True):
        shared = [(min(last[n], high) - max(first[n], low), -n) for n in by_row.get(place, ()) if n not in taken]
        if not shared or max(shared)[0] <= 0:
            continue
        number = -max(shared)[1]
        at = int((first[number] + last[number]) // 2 - window // 2)
        taken[number] = (high - at - window if turned else at - low, turned)
    members = np.array(sorted(taken), np.int64)
    offset = np.array([taken[n][0] for n in members.tolist()], np.int64)
    return members, offset, np.array([taken[n][1] for n in members.tolist()], np.bool_)
