"""Plan of ``drg-shard genome``: one or many FASTA files become a genome store. Rows are zarr shards, not bases."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from drg_hpc.config import FanoutOptions, flag, positional
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.assemblies import ASSEMBLIES, check_assembly
from drg_hpc.genome.fasta import Contig, scan
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards
from drg_hpc.store import genome_layout
from drg_hpc.store.layout import FORMAT

SUMMARY = "Genome FASTA (one file or many; plain, gzip, bgzip) to a one-hot store."
STAGE = "contigs"
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


class Options(FanoutOptions):
    """Options of drg-shard genome."""

    fasta: list[Path] = positional(help="FASTA files; a contig name may occur once over all of them", metavar="FASTA")
    contigs: str | None = flag(
        None, help="keep contigs that match one of these comma-separated patterns", metavar="GLOB[,GLOB]"
    )
    assembly: str | None = flag(
        None, help=f"check contig lengths against an assembly: {', '.join(ASSEMBLIES)}", metavar="NAME"
    )
    codec: Literal["packbits", "blosc"] = flag(
        "packbits", help="packbits: smallest; blosc: only zarr's core codecs, for other readers"
    )


def array_path(name: str, number: int) -> str:
    """Where a contig lies in the store: by its name, or by number where a name is no safe file name."""
    safe = set(name) <= _PLAIN and not name.startswith((".", "__")) and len(name) <= 100
    return f"contigs/{name}" if safe else f"contigs/contig-number-{number:05d}"


def _chosen(contigs: Iterable[Contig], patterns: str | None) -> list[Contig]:
    if patterns is None:
        return list(contigs)
    globs = [p.strip() for p in patterns.split(",") if p.strip()]
    return [c for c in contigs if any(fnmatchcase(c.name, glob) for glob in globs)]


def _scan_all(options: Options) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Header records of the chosen contigs, and where each is read from: {file, offset}."""
    records: list[dict[str, Any]] = []
    sources: dict[str, dict[str, Any]] = {}
    seen: list[str] = []
    for number, path in enumerate(options.fasta):
        found = scan(path)
        seen += [contig.name for contig in found]
        for contig in _chosen(found, options.contigs):
            if contig.name in sources:
                first = options.fasta[sources[contig.name]["file"]]
                raise InputError(f"contig {contig.name!r} is in {first} and in {path}")
            sources[contig.name] = {"file": number, "offset": contig.offset}
            records.append(
                {
                    "name": contig.name,
                    "length": contig.length,
                    "sha256": contig.sha256,
                    "unknown": contig.other,
                    "soft_masked": contig.soft_masked,
                    "array": array_path(contig.name, len(records)),
                }
            )
    if not records:
        raise InputError(f"no contig matches --contigs {options.contigs}", fix=f"contigs: {', '.join(seen[:3])} …")
    return records, sources


def plan_shards(options: Options) -> RunSpec:
    """Scan the files once, light: names, lengths, digests. Shards are runs of zarr shards over all contigs."""
    if options.assembly is not None and options.assembly not in ASSEMBLIES:
        raise UsageError(f"--assembly {options.assembly!r} is not known", fix=f"known: {', '.join(ASSEMBLIES)}")
    records, sources = _scan_all(options)
    if options.assembly is not None:
        check_assembly(options.assembly, {record["name"]: record["length"] for record in records})
    inputs = {f"fasta{number}": describe_input(path) for number, path in enumerate(options.fasta)}
    header = {
        "format": FORMAT,
        "kind": "genome",
        "contigs": records,
        "codec": options.codec,
        "assembly": options.assembly or "",
        "sources": {name: record["sha256"] for name, record in inputs.items()},
    }
    units = sum(1 for _ in genome_layout.genome_units(header))
    bases = sum(record["length"] for record in records)
    per_base = 0.25 if options.codec == "packbits" else 0.42
    return RunSpec(
        command="shard-genome",
        params={"header": header, "read_from": sources},
        inputs=inputs,
        stages=(
            Stage(
                STAGE,
                block_shards(units, shards=options.shards, shard_size=options.shard_size, block=1, default_size=16),
            ),
        ),
        threads=options.threads,
        estimate=Estimate(int(bases * per_base * 1.1) + (1 << 20), 2 * units + 3 * len(records) + 10, 512 << 20),
        notes=(
            f"{len(records)} contigs, {bases} bases, {sum(r['unknown'] for r in records)} of them not A, C, G or T, "
            f"{sum(r['soft_masked'] for r in records)} soft-masked; "
            f"a row of this run is a zarr shard of up to {genome_layout.GENOME_SHARD} bases",
        ),
    )
