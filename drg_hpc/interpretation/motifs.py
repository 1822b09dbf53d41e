"""drg-motifs: from a file of seqlets to a folder of named motifs, published by one rename.

``DIR/motifs.json`` says what the folder is and what it was made from; doing the same again changes nothing.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc import digests
from drg_hpc.errors import UsageError
from drg_hpc.files import describe_files, read_json, write_json
from drg_hpc.genome.motifs import read_meme
from drg_hpc.interpretation.averages import FoundMotif, average, best_information, consensus, conserved_positions
from drg_hpc.interpretation.centres import unit_windows
from drg_hpc.interpretation.cluster_effects import split_clusters, table_effects
from drg_hpc.interpretation.clusters import ClusterRule, cluster_windows
from drg_hpc.interpretation.config import MotifsOptions, check_method
from drg_hpc.interpretation.effect_files import write_effect_files
from drg_hpc.interpretation.effects_config import EffectFlags, effect_params
from drg_hpc.interpretation.motif_files import NamedMotif, write_motif_files
from drg_hpc.interpretation.motif_folder import is_there, place_of, publish, require_room
from drg_hpc.interpretation.motif_input import check_seqlets, why_nothing
from drg_hpc.interpretation.naming import best_matches
from drg_hpc.interpretation.pool import Pool
from drg_hpc.results.seqlets import Seqlets, find_seqlets, read_seqlets
from drg_hpc.runs.here import Here
from drg_hpc.runs.outputs import check_recorded

log = logging.getLogger(__name__)
FORMAT = "drg-motifs/1"
_CENTRED = ("hypothetical", "corrected")
_PARAMS = (
    "method", "min_seqlets", "max_seqlets", "by_chance", "similarity", "merge", "metric", "min_overlap", "trim",
    "min_information", "min_positions", "max_q", "seed", "linkage", "neighbours", "resolution", "split_by_effects",
    "device",
)  # fmt: skip


def find_motifs(options: MotifsOptions, pool: Pool | None = None) -> Path:
    """Cluster, average, name; returns the folder written.

    Parameters
    ----------
    pool : who compares windows; None: this process

    Raises
    ------
    InputError : no seqlets file (a BED, a run of another command), values that are no numbers, a faulty database, no
        folder can be made there, or the disk is full
    CorruptError : the seqlets, or the folder that is there, are damaged
    UsageError : parameters that do not fit the file, or a folder made from something else is in the way
    """
    started = time.monotonic()
    check_method(options)
    out = place_of(options.out)
    source = find_seqlets(options.seqlets)
    inputs = _described(options, source)
    header = _header(options, inputs)
    if is_there(out, header):
        log.info("already made from the same seqlets and parameters: %s", options.out)
        if not read_json(out / "motifs.json")["motifs"]:
            log.warning("%s", why_nothing(read_seqlets(source), options))
        return options.out
    seqlets = read_seqlets(source)
    check_seqlets(seqlets, source)
    require_room(out, len(seqlets.table))
    named = name_motifs(motifs_of(seqlets, options, pool, source=source), options)
    by = {"inputs": {name: record["path"] for name, record in inputs.items()}, "by": digests.who_and_where()}
    facts = {"command": "motifs", **by, "versions": digests.versions()}
    with publish(out, header) as folder:
        rows = write_motif_files(folder, named, attributes=header)
        if isinstance(options, EffectFlags) and options.effects:
            write_effect_files(folder, named, seqlets, options, attributes=header)
        header |= {"seqlets": len(seqlets.table), "motifs": rows}
        write_json(folder / "motifs.json", header | {"files": describe_files(folder)})
        seconds = round(time.monotonic() - started, 3)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        write_json(folder / "done.json", {**facts, "seconds": {"work": seconds}, "time": now})
    if not rows:
        log.warning("%s", why_nothing(seqlets, options))
    return options.out


def _described(options: MotifsOptions, source: Path) -> dict[str, dict[str, Any]]:
    """The input files; databases are parsed, as a faulty one should not be met after all the work."""
    inputs = {"seqlets": digests.describe_input(source)}
    check_recorded(source, sha256=str(inputs["seqlets"]["sha256"]))
    for i, path in enumerate(options.database):
        inputs[f"database_{i}"] = digests.describe_input(path)
        read_meme(path)
    return inputs


def _header(options: MotifsOptions, inputs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What determines the result."""
    params = {name: getattr(options, name) for name in _PARAMS} | effect_params(options)
    names = {"databases": [path.name for path in options.database]}
    identity = {name: record["sha256"] for name, record in inputs.items()}
    whole = digests.digest({"format": FORMAT, "params": params, "inputs": identity, **names})
    return {"format": FORMAT, "params": params, "inputs": identity, **names, "digest": whole}


def motifs_of(
    seqlets: Seqlets, options: MotifsOptions, pool: Pool | None = None, *, source: Path | None = None
) -> list[FoundMotif]:
    """Unnamed motifs of both signs, strongest first.

    Parameters
    ----------
    source : the file that ``seqlets`` are from, so that the pool's workers read it themselves

    Raises
    ------
    UsageError : more overlap is asked for than the windows are wide, or modisco-lite is wanted and not there
    """
    if options.method == "modisco":
        from drg_hpc.interpretation.modisco_method import modisco_motifs

        return modisco_motifs(seqlets, options)
    pool = pool or Here()
    width = seqlets.sequence.shape[2] if len(seqlets.table) else options.min_overlap
    if options.min_overlap > width:
        raise UsageError(f"--min-overlap {options.min_overlap} is more than the seqlets' windows of {width}")
    rule = ClusterRule(
        similarity=options.similarity,
        merge=options.merge,
        min_overlap=options.min_overlap,
        min_size=options.min_seqlets,
        sample=options.max_seqlets,
        seed=options.seed,
        metric=options.metric,
        method=options.method,
        linkage=options.linkage,
        by_chance=options.by_chance,
        device=options.device,
        neighbours=options.neighbours,
        resolution=options.resolution,
    )
    effects = None if options.split_by_effects is None else table_effects(seqlets.table)
    attribution = seqlets.table["attribution"].to_numpy(np.float32)
    found: list[FoundMotif] = []
    for sign in (1, -1):
        rows = np.flatnonzero(seqlets.table["sign"].to_numpy() == sign)
        units = unit_profiles(seqlets, sign)
        task = None if source is None or isinstance(pool, Here) else pool.submit(_read_units, source, sign)
        clusters = cluster_windows(units, attribution[rows], rule, pool=pool, task=task)
        if effects is not None and options.split_by_effects is not None:
            cut = options.split_by_effects
            clusters = split_clusters(clusters, effects[rows], max_distance=cut, min_size=options.min_seqlets)
        sequence, contribution = seqlets.sequence[rows], seqlets.contribution[rows]
        for cluster in clusters:
            motif = average(
                cluster, sequence=sequence, contribution=contribution, attribution=attribution[rows], sign=sign,
                trim=options.trim,
            )  # fmt: skip
            informative = best_information(motif.core_pfm) >= options.min_information
            if informative and conserved_positions(motif.core_pfm) >= options.min_positions:
                found.append(replace(motif, members=rows[motif.members]))
        made = sum(motif.sign == sign for motif in found)
        word = "positive" if sign > 0 else "negative"
        left_out = len(clusters) - made
        log.info("%d %s seqlets: %d motifs, %d uninformative groups left out", len(rows), word, made, left_out)
    return sorted(found, key=lambda motif: (-motif.strength, int(motif.members[0])))


def _read_units(source: Path, sign: int) -> NDArray[np.float32]:
    """What the workers compare; a task."""
    return unit_profiles(read_seqlets(source), sign)


def unit_profiles(seqlets: Seqlets, sign: int) -> NDArray[np.float32]:
    """What windows of one sign are compared by, (n, 4, W) of norm 1.

    Four-base forms that are centred, else the contribution of the base that is there: raw and global forms carry an
    arbitrary constant per position, which would drown the motif. Positions whose base contributes in the other
    direction are left out: a window often reaches into a strong motif of the other sign next door, and negative seqlets
    would then be grouped by their positive neighbour.
    """
    rows = np.flatnonzero(seqlets.table["sign"].to_numpy() == sign)
    form = seqlets.contribution[rows]
    there = form * seqlets.sequence[rows]
    along = (there.sum(axis=1, keepdims=True) * sign > 0).astype(np.float32)
    if seqlets.attributes.get("form") in _CENTRED:
        return unit_windows(form * along)
    return unit_windows(there * along)


def name_motifs(motifs: list[FoundMotif], options: MotifsOptions) -> list[NamedMotif]:
    """Search the databases, turn every motif to its match's strand, and number them per sign by strength.

    A motif without a match is turned so that its consensus comes first in the alphabet.
    """
    matches = best_matches([motif.core_pfm for motif in motifs], options.database, threads=options.threads)
    named, number = [], {1: 0, -1: 0}
    for motif, match in zip(motifs, matches, strict=True):
        window = motif.pfm.shape[1]
        other = motif.turned(window)
        trusted = match is not None and match.q <= options.max_q
        turn = match.strand == "-" if trusted and match else consensus(other.core_pfm) < consensus(motif.core_pfm)
        if turn:
            motif, match = other, match.turned(motif.end - motif.start) if match else None
        name = f"{'pos' if motif.sign > 0 else 'neg'}_{number[motif.sign]}"
        number[motif.sign] += 1
        named.append(NamedMotif(name, motif, match, consensus(motif.core_pfm)))
    return named
