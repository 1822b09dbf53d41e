"""Attributions in the forms that other programs read, at the merge of a run or afterwards."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from drg_hpc.errors import DiskFullError, InputError
from drg_hpc.genome.export import Contigs, Written
from drg_hpc.results.exports_arrays import track_file, write_drg, write_finemo, write_modisco
from drg_hpc.results.exports_genome import regions_bed, track_bigwig
from drg_hpc.results.reader import Attributions, list_inputs, read_attributions

log = logging.getLogger(__name__)

_BED = "regions.bed"


def write_exports(
    path: Path, kinds: Sequence[str], out: Path, *, contigs: Contigs | None = None
) -> dict[str, dict[str, Any]]:
    """Write attributions as some kinds into a new folder.

    ``regions.bed``; folders ``bigwig``, ``modisco``, ``finemo`` with a file for each track, ``drg``. Of several inputs
    each has its own below ``inputs/NAME/`` (``drg`` holds all where their lengths are equal). A kind that the rows do
    not allow, such as a bigWig file of sequences without coordinates, is left out with a warning: a run is not lost for
    it.

    Parameters
    ----------
    path : RUN, or its out.h5
    kinds : of :data:`~drg_hpc.results.export_kinds.KINDS`
    contigs : name -> length, in the order of the genome; bigWig needs it

    Returns
    -------
    kind -> what was written in numbers and ``left_out``, of several inputs that of each by name in ``inputs``, or the
    ``reason`` why it was not; for done.json.
    """
    out.mkdir()
    done: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        names = list_inputs(path) or (None,)
        inputs = [stack.enter_context(read_attributions(path, name)) for name in names]
        for kind in kinds:
            try:
                done[kind] = _write_kind(kind, inputs, out, contigs)
            except DiskFullError:
                raise
            except InputError as error:
                log.warning("no %s was written: %s", kind, error)
                for target, _ in _targets(kind, inputs, out):
                    _remove(target)
                done[kind] = {"reason": str(error)}
    return done


def _write_kind(kind: str, inputs: list[Attributions], out: Path, contigs: Contigs | None) -> dict[str, Any]:
    """Write a kind; what done.json says of it."""
    written: dict[str, dict[str, Any]] = {}
    targets = _targets(kind, inputs, out)
    for target, group in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        found = export_kind(kind, group, target, contigs=contigs)
        written[str(group[0].input)] = {**found.counts, "left_out": dict(found.left_out)}
    return {"inputs": written} if len(targets) > 1 else next(iter(written.values()))


def _targets(kind: str, inputs: list[Attributions], out: Path) -> list[tuple[Path, list[Attributions]]]:
    """(file or folder, inputs that go into it) of a kind."""
    name = _BED if kind == "bed" else kind
    if len(inputs) == 1 or (kind == "drg" and len({found.length for found in inputs}) == 1):
        return [(out / name, inputs)]
    return [(out / "inputs" / str(found.input) / name, [found]) for found in inputs]


def _remove(target: Path) -> None:
    """What there is of a file or folder."""
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def export_kind(
    kind: str,
    inputs: Sequence[Attributions],
    out: Path,
    *,
    contigs: Contigs | None = None,
    tracks: Sequence[str] | None = None,
) -> Written:
    """Write one kind of one file.

    Parameters
    ----------
    inputs : one, or for drg several
    out : a file to make for bed, else a folder
    tracks : names, None for all

    Raises
    ------
    InputError : the rows or the stored arrays do not allow it
    """
    found = inputs[0]
    if kind == "bed":
        return regions_bed(out, found.regions, contigs)
    chosen = list(found.tracks) if tracks is None else list(tracks)
    if not (chosen and found.by_base):
        raise InputError(f"{found.path} holds no attributions by base", fix="only bed is possible")
    if kind == "modisco":
        return write_modisco(found, out, chosen)
    if kind == "finemo":
        return write_finemo(found, out, chosen, contigs)
    if kind == "drg":
        return write_drg(inputs, out, chosen)
    assert kind == "bigwig"
    return _bigwigs(found, out, chosen, contigs)


def _bigwigs(found: Attributions, out: Path, tracks: Sequence[str], contigs: Contigs | None) -> Written:
    if contigs is None:
        raise InputError("the lengths of contigs are not known", fix="drg-export with --genome STORE or chrom.sizes")
    out.mkdir(exist_ok=True)
    written = [track_bigwig(out / f"{track_file(found, track)}.bw", contigs, found, track) for track in tracks]
    return Written({**written[0].counts, "tracks": len(tracks)}, written[0].left_out)
