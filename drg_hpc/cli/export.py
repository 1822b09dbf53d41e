"""drg-export: stores and result files as npz, BED, FASTA, bigWig and tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.config import Options, flag, nearest, positional
from drg_hpc.errors import InputError, UsageError

if TYPE_CHECKING:
    from drg_hpc.genome.export import Contigs, Written
    from drg_hpc.store.dataset_reader import DatasetStore

_SUMMARY = "Write a store or a result file in a form that other programs read."
_EPILOG = """\
npz      sequences (seqfeatures, genenames, featurenames) or targets (counts, names, celltypes) as DRG has them
fasta    sequences of a dataset store, or a genome
tsv      targets of one value a track (-o FILE.csv for commas, .gz to pack)
bed      intervals of the kept rows
bigwig   binned targets, attributions of a track to the bases that are there, or another array of a result file by base
         or bin: averaged where regions overlap, in genome direction
modisco  attributions, a folder: sequences.npz and TRACK.npz as modisco motifs -s and -a take them, regions.bed
finemo   attributions, a folder: TRACK.npz as finemo call-hits -r takes it, in genome direction
modisco-motifs  a folder of drg-motifs as the HDF5 file that modisco-lite writes: patterns and their seqlets
motifs   such a file of modisco-lite as a folder of drg-motifs, which drg-report shows, with its seqlets in seqlets.h5
drg      attributions, a folder: attributions.npz (names, values, experiments) and sequences.npz as DRG has them
Rows that are not kept are left out; shuffled sequences are not on the genome and are left out of bed and bigwig.
A run's file is read when it has the size that done.json lists and, up to 1 GiB, the sha256."""

_ARRAYS = ("modisco", "finemo", "drg")
_MOTIFS = ("modisco-motifs", "motifs")


class ExportOptions(Options):
    """Options of drg-export."""

    path: Path = positional(
        help="dataset or genome store, or result file (a RUN, or the file in it)", metavar="STORE|FILE"
    )
    format: Literal["npz", "bed", "fasta", "bigwig", "tsv", "modisco", "finemo", "drg", "modisco-motifs", "motifs"] = (
        flag(help="what to write")
    )
    out: Path = flag(help="file or folder to write; it must not exist", metavar="FILE", short="-o")
    array: str | None = flag(
        None,
        help="inputs/NAME or targets/NAME of a store (default: the only one that fits), or a dataset of a result file",
        metavar="PATH",
    )
    tracks: str | None = flag(None, help="tracks by name (default: all; bigwig takes one)", metavar="A,B")
    input: str | None = flag(None, help="which of several inputs of an attribution file", metavar="NAME")
    split: str = flag("all", help="rows of a dataset store: train, valid, test or all", metavar="NAME")
    seqlets: Path | None = flag(
        None, help="modisco-motifs: seqlets of the motifs (default: where they were)", metavar="SEQLETS"
    )
    length: int | None = flag(
        None,
        help="modisco-motifs: bases of a row (default: from the attributions); motifs: the same, to count places from "
        "the row's start (default: from that of modisco's window)",
        metavar="N",
        ge=1,
    )
    genome: Path | None = flag(
        None, help="genome store or chrom.sizes file, where the store does not know its contigs", metavar="STORE|FILE"
    )


def _chosen(names: Sequence[str], wanted: str | None, what: str) -> list[int]:
    """Numbers of the tracks that are wanted.

    Raises
    ------
    UsageError : no such track
    """
    if wanted is None:
        return list(range(len(names)))
    found = []
    for name in wanted.split(","):
        if name not in names:
            raise UsageError(f"--tracks: no track {name!r} in {what}", fix=nearest(name, names))
        found.append(list(names).index(name))
    return found


def _one(names: Sequence[str], wanted: str | None, what: str) -> int:
    found = _chosen(names, wanted, what)
    if len(found) != 1:
        shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        raise UsageError(f"a bigWig file holds one track, {what} has {shown}", fix="choose one with --tracks")
    return found[0]


def _contigs(path: Path | None) -> Contigs | None:
    if path is None:
        return None
    if path.is_file():
        from drg_hpc.genome.export import read_sizes

        return read_sizes(path)
    from drg_hpc.store.header import genome_contigs

    return genome_contigs(path)


def _array(store: DatasetStore, kind: Literal["inputs", "targets"], array: str | None) -> str:
    """Name of the input or modality that is wanted.

    Raises
    ------
    UsageError : none of that name, or several to choose from
    """
    names = list(store.inputs if kind == "inputs" else store.modalities)
    if array is None and len(names) == 1:
        return names[0]
    paths = [f"{kind}/{name}" for name in names]
    if array is None:
        raise UsageError(f"{store.path} has {', '.join(paths)}", fix="choose one with --array")
    if array not in paths:
        raise UsageError(f"--array {array} does not fit --format", fix=f"one of {', '.join(paths)}")
    return array.partition("/")[2]


def _export_dataset(store: DatasetStore, options: ExportOptions) -> Written:
    from drg_hpc.store.export import DatasetExport

    export, out = DatasetExport(store, options.split), options.out
    if options.format in ("fasta", "bed") or (
        options.format == "npz" and not (options.array or "").startswith("targets")
    ):
        name = _array(store, "inputs", options.array)
        if options.tracks:
            raise UsageError("--tracks is for targets", fix="--array targets/NAME")
        if options.format == "bed":
            return export.bed(out, name, _contigs(options.genome))
        return export.fasta(out, name) if options.format == "fasta" else export.sequences_npz(out, name)
    modality = _array(store, "targets", options.array)
    names, what = store.modalities[modality].names, f"targets/{modality}"
    if options.format == "bigwig":
        return export.bigwig(out, modality, _one(names, options.tracks, what), _contigs(options.genome))
    tracks = _chosen(names, options.tracks, what)
    return export.table(out, modality, tracks) if options.format == "tsv" else export.counts_npz(out, modality, tracks)


def _export_genome(options: ExportOptions) -> Written:
    from drg_hpc.store.export import genome_fasta
    from drg_hpc.store.reader import GenomeStore, open_store

    store = open_store(options.path)
    assert isinstance(store, GenomeStore)
    if options.format != "fasta":
        raise UsageError(f"{options.path} is a genome store, it has no {options.format}", fix="--format fasta")
    return genome_fasta(store, options.out)


def _export_results(options: ExportOptions) -> Written:
    from drg_hpc.cli.export_results import result_arrays, result_bed, result_bigwig
    from drg_hpc.runs.outputs import check_recorded, resolve_output

    if options.format in ("npz", "fasta", "tsv"):
        fix = f"--format bed, bigwig, {', '.join(_ARRAYS)}"
        raise UsageError(f"{options.path} is a result file, it has no {options.format}", fix=fix)
    if options.split != "all":
        raise UsageError("--split is for dataset stores", fix="leave it out")
    check_recorded(resolve_output(options.path, "out.h5"))
    contigs = _contigs(options.genome)
    if options.format == "bed":
        return result_bed(options.path, options.out, contigs, input=options.input)
    if options.format in _ARRAYS:
        return result_arrays(
            options.path, options.out, options.format, input=options.input, contigs=contigs,
            tracks=lambda names: _chosen(names, options.tracks, "it"),
        )  # fmt: skip
    if contigs is None:
        raise UsageError("a result file does not know its contigs", fix="give --genome STORE or chrom.sizes")
    return result_bigwig(
        options.path, options.out, contigs, input=options.input, array=options.array,
        chosen=options.tracks is not None, track=lambda names: _one(names, options.tracks, "it"),
    )  # fmt: skip


def _kind(path: Path) -> str:
    """genome, dataset or results."""
    from drg_hpc.runs.outputs import read_done
    from drg_hpc.store.header import read_header

    if not path.exists():
        raise InputError(f"no such file or folder: {path}", fix="check the path")
    if path.is_file() or "out.h5" in (read_done(path) or {"outputs": {}})["outputs"]:
        return "results"
    return str(read_header(path)["kind"])


def _export_motifs(options: ExportOptions) -> Written:
    from drg_hpc.interpretation.modisco_export import read_modisco_motifs, write_modisco_motifs

    for name in ("array", "tracks", "input", "genome"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} is not for --format {options.format}", fix="leave it out")
    if options.format == "modisco-motifs":
        return write_modisco_motifs(options.path, options.out, seqlets=options.seqlets, length=options.length)
    if options.seqlets is not None:
        raise UsageError("--seqlets is for --format modisco-motifs", fix="leave it out")
    return read_modisco_motifs(options.path, options.out, length=options.length)


def _export(options: ExportOptions) -> Written:
    if options.format in _MOTIFS:
        return _export_motifs(options)
    for name in ("seqlets", "length"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} is for --format {' and '.join(_MOTIFS)}", fix="leave it out")
    kind = _kind(options.path)
    if kind != "results" and options.format in _ARRAYS:
        raise UsageError(
            f"{options.path} is a store, {options.format} is for attributions", fix="give a run of drg-attr"
        )
    if kind != "results" and options.input is not None:
        raise UsageError(f"{options.path} is a store", fix=f"--array inputs/{options.input}")
    if kind == "genome":
        return _export_genome(options)
    if kind == "results":
        return _export_results(options)
    from drg_hpc.store.reader import open_dataset

    return _export_dataset(open_dataset(options.path), options)


def _action(options: ExportOptions) -> Result:
    done = _export(options)
    counts = ", ".join(f"{count} {what}" for what, count in done.counts.items())
    lines = [f"left out: {count} {reason}" for reason, count in done.left_out.items()]
    facts: dict[str, Any] = {**done.counts, "left_out": dict(done.left_out)}
    return {"message": f"{options.format}: {options.out} ({counts})", "lines": lines, "out": str(options.out), **facts}


def main() -> NoReturn:
    """drg-export."""
    run_command(prog="drg-export", summary=_SUMMARY, options=ExportOptions, action=_action, epilog=_EPILOG)
