"""Motif folders as files of modisco-lite, and the other way round."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from drg_hpc import digests
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import describe_files, new_file, publish_dir, read_json, require_space, write_json
from drg_hpc.genome.export import Written
from drg_hpc.interpretation.modisco_patterns import motifs_of_patterns, pattern_of
from drg_hpc.interpretation.motif_files import write_motif_files
from drg_hpc.interpretation.motif_folder import require_place
from drg_hpc.results.modisco_file import read_patterns, write_patterns
from drg_hpc.results.motifs import read_motifs
from drg_hpc.results.seqlet_origin import attributions_of
from drg_hpc.results.seqlet_source import source_sizes
from drg_hpc.results.seqlets import Seqlets, find_seqlets, read_seqlets, write_seqlets
from drg_hpc.runs.outputs import check_files, check_recorded

TRIM = 0.2
_FORMAT = "drg-motifs/1"


def write_modisco_motifs(folder: Path, out: Path, *, seqlets: Path | None = None, length: int | None = None) -> Written:
    """Write the motifs of a folder of drg-motifs as modisco-lite would.

    Parameters
    ----------
    seqlets : that the motifs were made of, by default where they were
    length : bases of a row, where the seqlets' attributions are gone

    Raises
    ------
    InputError : no motif folder, or seqlets or attributions that are not where they were
    UsageError : other seqlets than those of the motifs, or another length than the attributions have
    CorruptError : files of the folder, or of the seqlets' run, are not those that were written
    """
    if not (folder / "motifs.json").is_file():
        raise InputError(f"{folder} is not a motif folder", fix="give what drg-motifs wrote")
    header = read_json(folder / "motifs.json")
    check_files(folder, header["files"])
    source = find_seqlets(seqlets if seqlets is not None else _seqlets_of(folder))
    sha256 = str(digests.describe_input(source)["sha256"])
    check_recorded(source, sha256=sha256)
    if sha256 != header["inputs"]["seqlets"]:
        raise UsageError(f"{folder} was made from other seqlets than {source}", fix="give them with --seqlets")
    found = read_seqlets(source)
    window = _row_length(source, found, length)
    patterns = [pattern_of(record, found) for record in read_motifs(folder)]
    with new_file(out) as private:
        write_patterns(private, patterns, window=window)
    return Written({"motifs": len(patterns), "seqlets": sum(len(pattern.row) for pattern in patterns)}, {})


def _row_length(seqlets: Path, found: Seqlets, given: int | None) -> int:
    try:
        known = int(source_sizes(attributions_of(seqlets), found.attributes["params"].get("input"))["length"])
    except (InputError, CorruptError):
        if given is None:
            raise
        return given
    if given not in (None, known):
        raise UsageError(f"--length {given}: the rows that the seqlets of {seqlets} lie in have {known} bases",
                         fix="leave it out")  # fmt: skip
    return known


def _seqlets_of(folder: Path) -> Path:
    done = folder / "done.json"
    path = Path(read_json(done)["inputs"]["seqlets"]) if done.is_file() else None
    if path is None or not path.exists():
        raise InputError(f"the seqlets of {folder} are not where they were", fix="give them with --seqlets")
    return path


def read_modisco_motifs(path: Path, out: Path, *, length: int | None = None) -> Written:
    """Write a file of modisco-lite as a folder of motifs, with its seqlets in ``seqlets.h5``.

    Parameters
    ----------
    length : bases of a row; by default coordinates stay those of modisco's window

    Raises
    ------
    InputError, CorruptError : nothing there, no file of patterns, or no patterns in it
    UsageError : ``out`` exists, or ``length`` is less than modisco's window
    """
    if path.is_dir():
        what = "a motif folder already" if (path / "motifs.json").is_file() else "a folder"
        raise InputError(f"{path} is {what}, an HDF5 file of modisco-lite is wanted", fix="give its .h5 file")
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} exists", fix="choose another -o, or remove it first")
    found = read_patterns(path)
    if not found.patterns:
        raise InputError(f"{path} holds no patterns", fix="there is nothing to export")
    if length is not None and found.window is None:
        raise InputError(
            f"{path} does not say its window_size, places in a row are not known", fix="leave out --length"
        )
    if length is not None and length < (found.window or 0):
        raise UsageError(f"--length {length} is less than the window of {path}, {found.window}")
    shift = 0 if length is None else length // 2 - (found.window or 0) // 2
    read = motifs_of_patterns(found.patterns, trim=TRIM, shift=shift)
    record = digests.describe_input(path)
    require_place(out)
    windows = read.seqlets.contribution.nbytes + read.seqlets.sequence.nbytes
    require_space(out, need_bytes=windows, need_files=8)
    with publish_dir(out, replace=False) as folder:
        write_seqlets(folder / "seqlets.h5", read.seqlets)
        inputs = {"modisco": record["sha256"], "seqlets": digests.describe_input(folder / "seqlets.h5")["sha256"]}
        params = {"method": "modisco-lite", "trim": TRIM, "max_q": 0.05, "shift": shift}
        header: dict[str, Any] = {"format": _FORMAT, "params": params, "inputs": inputs, "databases": []}
        header["digest"] = digests.digest(header)
        rows = write_motif_files(folder, read.motifs, attributes=header)
        header |= {"seqlets": len(read.seqlets.table), "motifs": rows}
        write_json(folder / "motifs.json", header | {"files": describe_files(folder)})
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        given = {"modisco": record["path"], "seqlets": str(out.absolute() / "seqlets.h5")}
        facts = {"command": "motifs", "inputs": given, "by": digests.who_and_where(), "versions": digests.versions()}
        write_json(folder / "done.json", {**facts, "seconds": {}, "time": now})
    return Written({"motifs": len(rows), "seqlets": len(read.seqlets.table)}, {})
