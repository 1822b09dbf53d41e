"""Plan of ``drg-shard genome``: FASTA or 2bit files become a genome store. Rows are zarr shards, not bases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from drg_hpc.config import FanoutOptions, flag, positional
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import nearest_existing
from drg_hpc.genome.assemblies import ASSEMBLIES, check_assembly
from drg_hpc.genome.fasta import Contig, Scan, scan_file
from drg_hpc.genome.twobit import is_twobit, scan_twobit
from drg_hpc.runs.spec import Estimate, RunSpec, Shard, Stage, block_shards
from drg_hpc.store.genome_layout import GENOME_SHARD, genome_files, genome_units, is_shared, pieces_of, place_contigs
from drg_hpc.store.header import describe_store, find_store, require_kind
from drg_hpc.store.layout import FORMAT
from drg_hpc.store.manifest import read_manifest

SUMMARY = "Genome (FASTA plain, gzip or bgzip, or 2bit; one file or many) to a one-hot store."
STAGE = "contigs"
STORE_INPUT = "store"
_UNITS_PER_SHARD = 6
_NAMED = 5
_CONTIG_BYTES = 1000
"""What the record of a contig takes in the plan, done.json and the header together."""


class Options(FanoutOptions):
    """Options of drg-shard genome."""

    fasta: list[Path] = positional(
        help="FASTA or 2bit files; a contig name may occur once over all of them", metavar="FASTA"
    )
    contigs: str | None = flag(
        None, help="keep contigs that match one of these comma-separated patterns", metavar="GLOB[,GLOB]"
    )
    assembly: str | None = flag(
        None, help=f"check contig lengths against an assembly: {', '.join(ASSEMBLIES)}", metavar="NAME"
    )
    codec: Literal["packbits", "blosc"] | None = flag(
        None,
        help="packbits (default): smallest and fastest; blosc: only zarr's core codecs, for other readers; "
        "with --append that of the store",
    )
    append: Path | None = flag(
        None,
        help="make a new store that holds this one's contigs (their files are linked, or copied) and those of FASTA",
        metavar="STORE",
    )


@dataclass
class _Genome:
    """Contigs of a run: header records, where each is read from ([file number, places]), the files."""

    records: list[dict[str, Any]] = field(default_factory=list)
    read_from: list[list[Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def _chosen(contigs: Iterable[Contig], patterns: str | None) -> list[Contig]:
    if patterns is None:
        return list(contigs)
    globs = [p.strip() for p in patterns.split(",") if p.strip()]
    return [c for c in contigs if any(fnmatchcase(c.name, glob) for glob in globs)]


def _record(contig: Contig) -> dict[str, Any]:
    return {
        "name": contig.name,
        "length": contig.length,
        "sha256": contig.sha256,
        "n": contig.n,
        "other": contig.other,
        "soft_masked": contig.soft_masked,
        "soft_masked_fraction": round(contig.soft_masked / contig.length, 6),
    }


def _scan(path: Path) -> Scan:
    if path.exists() and not path.is_file():
        raise InputError(
            f"not a file: {path}", fix="give files; what comes from a pipe cannot be read again by workers"
        )
    return scan_twobit(path) if is_twobit(path) else scan_file(path)


def _scan_all(options: Options, old: Mapping[str, Mapping[str, Any]]) -> _Genome:
    """The chosen contigs of all files that are not in the store ``old`` (by name) already."""
    genome = _Genome()
    seen: list[str] = []
    origin: dict[str, Path] = {}
    present: list[str] = []
    for number, path in enumerate(options.fasta):
        scan = _scan(path)
        genome.inputs[f"fasta{number}"] = scan.record
        genome.files.append({"kind": scan.kind, "index": scan.index})
        seen += [contig.name for contig in scan.contigs]
        for contig in _chosen(scan.contigs, options.contigs):
            if contig.name in origin:
                raise InputError(f"contig {contig.name!r} is in {origin[contig.name]} and in {path}")
            origin[contig.name] = path
            if contig.name in old:
                _same(contig, old[contig.name], path, options.append)
                present.append(contig.name)
                continue
            genome.read_from.append([number, contig.places])
            genome.records.append(_record(contig))
    if not origin:
        raise InputError(f"no contig matches --contigs {options.contigs}", fix=f"contigs: {', '.join(seen[:3])} …")
    if not genome.records:
        raise InputError(f"every contig is in {options.append} already, the same bases", fix="nothing to append")
    if present:
        genome.notes.append(f"{len(present)} of the contigs given are in {options.append} already: {_some(present)}")
    return genome


def _same(contig: Contig, record: Mapping[str, Any], path: Path, store: Path | None) -> None:
    if contig.sha256 != record["sha256"]:
        raise InputError(
            f"contig {contig.name!r} of {path} is not the one in {store}: sha256 {contig.sha256[:12]}… "
            f"against {record['sha256'][:12]}…",
            fix="a store's contigs never change; give it another name, or make a new store",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")


def plan_shards(options: Options) -> RunSpec:
    """Scan the files once, light: names, lengths, digests. Shards are runs of zarr shards over all contigs."""
    if options.assembly is not None and options.assembly not in ASSEMBLIES:
        raise UsageError(f"--assembly {options.assembly!r} is not known", fix=f"known: {', '.join(ASSEMBLIES)}")
    old = require_kind(options.append, "genome") if options.append is not None else None
    genome = _scan_all(options, {record["name"]: record for record in old["contigs"]} if old else {})
    header = _header(options, genome, old)
    if options.assembly is not None:
        check_assembly(options.assembly, {record["name"]: record["length"] for record in header["contigs"]})
    if options.append is not None:
        genome.inputs[STORE_INPUT] = describe_store(options.append)
        header["appended_to"].append(genome.inputs[STORE_INPUT]["sha256"])
    before = len(old["contigs"]) if old else 0
    units = genome_units(header, skip=before)
    shards = _shards(options, header, genome, before)
    return RunSpec(
        command="shard-genome",
        params={"header": header, "appended_to": before, "read_from": genome.read_from, "files": genome.files},
        inputs=genome.inputs,
        stages=(Stage(STAGE, shards),),
        threads=options.threads,
        estimate=_estimate(options, header, genome, len(units) + len(shards)),
        notes=(*_notes(header, genome, before), *genome.notes),
    )


def _estimate(options: Options, header: Mapping[str, Any], genome: _Genome, parts: int) -> Estimate:
    """Bytes and files of the store and the run; the old files of a store that cannot be linked are copied."""
    bases = sum(record["length"] for record in genome.records)
    size = int(bases * (0.26 if header["codec"] == "packbits" else 0.44)) + _CONTIG_BYTES * len(header["contigs"])
    if options.append is not None:
        store = find_store(options.append)
        if store.stat().st_dev != nearest_existing(options.out).stat().st_dev:
            size += sum(record["bytes"] for record in read_manifest(store).values())
    return Estimate(size + (1 << 20), genome_files(header) + 2 * parts, 400 << 20)


def _header(options: Options, genome: _Genome, old: Mapping[str, Any] | None) -> dict[str, Any]:
    contigs: list[dict[str, Any]] = list(old["contigs"]) if old else []
    places = place_contigs([(record["name"], record["length"]) for record in genome.records], after=contigs)
    codec = old["codec"] if old else options.codec or "packbits"
    assembly = options.assembly or (old["assembly"] if old else "")
    if options.codec not in (None, codec):
        raise UsageError(f"--codec {options.codec}: the store that is appended to has {codec}", fix="leave it out")
    if old and old["assembly"] not in ("", assembly):
        raise UsageError(f"--assembly {assembly}: the store that is appended to is of {old['assembly']}")
    sources = dict(old["sources"]) if old else {}
    sources |= {f"fasta{len(sources) + i}": record["sha256"] for i, record in enumerate(genome.inputs.values())}
    return {
        "format": FORMAT,
        "kind": "genome",
        "contigs": [*contigs, *({**r, **place} for r, place in zip(genome.records, places, strict=True))],
        "codec": codec,
        "assembly": assembly,
        "sources": sources,
        "appended_to": list(old["appended_to"]) if old else [],
    }


def _shards(options: Options, header: Mapping[str, Any], genome: _Genome, before: int) -> tuple[Shard, ...]:
    """Runs of zarr shards; those of one gzip file, which is only read forwards, stay together."""
    numbers = {(spec.path, index): n for n, (spec, index) in enumerate(genome_units(header, skip=before))}
    size = block_shards(
        len(numbers), shards=options.shards, shard_size=options.shard_size, block=1, default_size=_UNITS_PER_SHARD
    )[0].rows
    reach: dict[int, list[int]] = {}
    for array, index, piece in pieces_of(header, skip=before):
        file = genome.read_from[piece.contig - before][0]
        if genome.files[file]["kind"] == "gzip":
            reach.setdefault(file, []).append(numbers[array, index])
    inside = {unit for found in reach.values() for unit in range(min(found) + 1, max(found) + 1)}
    for file, found in reach.items():
        if max(found) - min(found) >= size:
            genome.notes.append(
                f"{options.fasta[file].name} is gzip, which is read from its start only: {max(found) - min(found) + 1} "
                "zarr shards are one shard of this run; compress it with bgzip to read it in parallel"
            )
    borders = [unit for unit in range(len(numbers) + 1) if unit not in inside]
    starts, ends = [0], []
    for border, following in zip(borders[1:], [*borders[2:], borders[-1]], strict=True):
        if following - starts[-1] > size or border == borders[-1]:
            ends.append(border)
            starts.append(border)
    return tuple(Shard(i, start, end) for i, (start, end) in enumerate(zip(starts, ends, strict=False)))


def _notes(header: Mapping[str, Any], genome: _Genome, before: int) -> list[str]:
    records = genome.records
    packed = sum(is_shared(record["array"]) for record in header["contigs"][before:])
    total = {key: sum(record[key] for record in records) for key in ("length", "n", "other", "soft_masked")}
    found = [
        f"{len(records)} contigs, {total['length']} bases: {total['n']} N, {total['other']} other letters that are not "
        f"A, C, G or T, {total['soft_masked'] / total['length']:.1%} soft-masked",
        f"the store has {genome_files(header)} files; a row of this run is a zarr shard of up to {GENOME_SHARD} bases",
    ]
    if packed:
        found.append(f"{packed} contigs shorter than a zarr shard share an array")
    return found
