"""Planning a dataset store: all that is known before any work. Shared by shard-sequences and shard-regions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from drg_hpc.bodies.split_options import SplitOptions, describe_split, make_splitter, split_params
from drg_hpc.config import flag
from drg_hpc.digests import describe_input
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.counts import MatrixInfo, join_hint, scan_matrix
from drg_hpc.genome.negatives import Negatives
from drg_hpc.genome.regions import Region
from drg_hpc.genome.splits import Splitter, count_folds, count_splits
from drg_hpc.runs.spec import Estimate, RunSpec, Stage, block_shards
from drg_hpc.store import dataset_layout as layout
from drg_hpc.store.dataset_layout import Input, Modality
from drg_hpc.store.layout import FORMAT

STAGE = "rows"
BOUND = "bound"
_ALL_TRAIN = (
    "no split flags, so all rows are train; drg-train needs rows to validate on: give --valid CONTIGS, "
    "--split-file FILE, or --folds K --fold I"
)


class DatasetOptions(SplitOptions):
    """Flags of every command that makes a dataset store."""

    group = "labels"

    counts: list[str] = flag(
        [],
        help="labels by row name: TSV or CSV (names in column 1, tracks in the header), DRG .npz, .parquet; several "
        "become modalities, named by their files or NAME=FILE, and rows that are not in all of them have kept=false",
        metavar="[NAME=]MATRIX",
    )
    target_dtype: Literal["float32", "float16"] = flag("float32", help="how targets are stored")

    @field_validator("counts", mode="before")
    @classmethod
    def _paths_as_text(cls, value: Any) -> Any:
        return [str(item) for item in value] if isinstance(value, list) else value


@dataclass
class Labels:
    """Targets of a dataset.

    Attributes
    ----------
    modalities : what is stored
    sources : for each modality where it comes from, plain values: ``kind`` bound, matrix or bigwig, and what else
        determines the values
    matrices : each matrix by its path; rows that are not in all of them have no labels
    inputs : the files they come from
    """

    modalities: list[Modality] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    matrices: dict[str, MatrixInfo] = field(default_factory=dict)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def plain_track(name: str, group: str, number: int) -> dict[str, Any]:
    """A track without strand or transform."""
    return {"name": name, "group": group, "strand_partner": number, "transform": "identity"}


def bound_labels(negatives: Negatives | None) -> Labels:
    """The single track ``bound``: 1 for the sequences given, 0 for their negatives.

    Raises
    ------
    UsageError : there are no negatives either
    """
    if negatives is None:
        raise UsageError("no labels: no counts, tracks or negatives", fix="give some, such as --negatives dinuc:1")
    return Labels([Modality(layout.MODALITY, (plain_track(BOUND, BOUND, 0),))], [{"kind": BOUND}])


def matrix_labels(given: Sequence[str], *, allow_missing: bool, dtype: str, alone: bool) -> Labels:
    """Labels joined by row name from one or more matrices, ``FILE`` or ``NAME=FILE``; each is a modality.

    Parameters
    ----------
    alone : there are no other modalities, so that a single matrix without a name is ``main``

    Raises
    ------
    InputError : a faulty matrix
    UsageError : two modalities of one name
    """
    labels = Labels()
    for number, text in enumerate(given):
        named, path = _named(text)
        info = scan_matrix(path, allow_missing=allow_missing)
        name = named or (layout.MODALITY if alone and len(given) == 1 else _stem(path))
        group = named or _stem(path)
        tracks = tuple(plain_track(track, group, i) for i, track in enumerate(info.tracks))
        labels.modalities.append(Modality(name, tracks, info.bins, dtype))
        labels.sources.append({"kind": "matrix", "input": f"counts{number}", "allow_missing": allow_missing})
        labels.inputs[f"counts{number}"] = describe_input(path)
        labels.matrices[str(path)] = info
    return labels


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    return (name, Path(path)) if equals and not Path(text).exists() else ("", Path(text))


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


def join_labels(parts: Iterable[Labels]) -> Labels:
    """All modalities of several sources. A track name that occurs in two gets its modality's name added.

    Raises
    ------
    UsageError : two modalities of one name
    """
    joined = Labels()
    for part in parts:
        for modality in part.modalities:
            name = modality.name
            if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
                raise UsageError(f"modality {name!r}: letters, digits, - and _ only", fix="name it: NAME=FILE")
            if name in (known.name for known in joined.modalities):
                raise UsageError(f"two modalities are called {name!r}", fix="name them: --counts NAME=FILE")
            joined.modalities.append(modality)
        joined.sources += part.sources
        joined.matrices |= part.matrices
        joined.inputs |= part.inputs
        joined.notes += part.notes
    names = [name for modality in joined.modalities for name in modality.names]
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if twice:
        joined.modalities = [_renamed(modality, twice) for modality in joined.modalities]
        joined.notes.append(f"{len(twice)} track names occur in two modalities and are stored as TRACK_MODALITY")
    return joined


def _renamed(modality: Modality, twice: set[str]) -> Modality:
    tracks = (
        {**track, "name": f"{track['name']}_{modality.name}"} if track["name"] in twice else track
        for track in modality.tracks
    )
    return replace(modality, tracks=tuple(tracks))


def without_labels(rows: Sequence[Region], matrices: Mapping[str, Iterable[str]]) -> list[Region]:
    """The same rows; one that a matrix has no labels for is not kept.

    Parameters
    ----------
    matrices : path -> row names
    """
    names = {path: frozenset(known) for path, known in matrices.items()}
    found = []
    for row in rows:
        lacking = [file for file, known in names.items() if row.kept and row.name not in known]
        found.append(replace(row, kept=False, reason=f"no labels in {Path(lacking[0]).name}") if lacking else row)
    return found


def label_notes(rows: Sequence[Region], labels: Labels, *, strict: bool) -> list[str]:
    """What became of the join by name, a line per matrix.

    Raises
    ------
    InputError : a matrix has labels for no row, or, with ``strict``, not for all
    """
    notes = []
    wanted = {row.name for row in rows if row.kept}
    for file, info in labels.matrices.items():
        known = set(info.names)
        lacking = [row.name for row in rows if row.kept and row.name not in known]
        if lacking and (strict or len(lacking) == sum(row.kept for row in rows)):
            shown = ", ".join(lacking[:3]) + (" …" if len(lacking) > 3 else "")
            raise InputError(
                f"{file} has no labels for {len(lacking)} of {sum(row.kept for row in rows)} rows: {shown}",
                fix=join_hint(info, wanted),
            )
        if lacking:
            notes.append(f"{len(lacking)} rows have no labels in {file} (kept=false), such as {lacking[0]}")
        if unused := len(known - wanted):
            notes.append(f"{unused} rows of {file} are not used")
    return notes


@dataclass(frozen=True)
class Geometry:
    """Rows of a dataset and their size."""

    rows: int
    per_row: int
    shard: int
    chunk: int

    @classmethod
    def of(cls, rows: int, inputs: Sequence[Input], modalities: Sequence[Modality]) -> Geometry:
        """Row-shard size from the bytes of a row."""
        per_row = layout.row_bytes(inputs, modalities)
        return cls(rows, per_row, *layout.row_geometry(per_row))


def plan_dataset(
    command: str,
    options: SplitOptions,
    rows: Sequence[Region],
    *,
    inputs: Sequence[Input],
    labels: Labels,
    negatives: Negatives | None,
    sources: Mapping[str, dict[str, Any]],
    header: Mapping[str, Any],
    params: Mapping[str, Any],
    memory: int,
    before: Sequence[Stage] = (),
    notes: Sequence[str] = (),
) -> RunSpec:
    """The run that writes ``rows`` (the positives; their negatives follow them) as a dataset store.

    Parameters
    ----------
    inputs, labels : what every row holds
    sources : files and stores the run reads, besides those of the labels
    header, params : what the command adds to the store's header and to the plan
    memory : bytes that a worker needs besides its shard
    before : stages that come before the rows

    Raises
    ------
    InputError : a requested split is empty
    """
    copies = 1 + (negatives.per_row if negatives else 0)
    kept = [row for row in rows if row.kept]
    splitter = make_splitter(options, kept)
    counts = count_splits(splitter, ((row.name, row.chrom) for row in kept), copies=copies)
    size = Geometry.of(len(rows) * copies, inputs, labels.modalities)
    all_sources = dict(sources) | labels.inputs
    if options.split_file is not None:
        all_sources["split_file"] = describe_input(options.split_file)
    split = split_params(options, splitter)
    full_header = {
        "format": FORMAT,
        "kind": "dataset",
        "rows": size.rows,
        "positives": len(rows),
        "negatives": f"{negatives.kind}:{negatives.per_row}" if negatives else "",
        "kept": len(kept) * copies,
        "splits": counts,
        "folds": count_folds(splitter, ((row.name, row.chrom) for row in kept), copies=copies),
        **layout.contents(inputs, labels.modalities),
        "labels": labels.sources,
        "seed": options.seed,
        "split": split,
        "row_shard": size.shard,
        "row_chunk": size.chunk,
        "sources": {name: record["sha256"] for name, record in sorted(all_sources.items())},
        **header,
    }
    shards = block_shards(
        size.rows, shards=options.shards, shard_size=options.shard_size, block=size.shard, default_size=size.shard
    )
    found = _notes(size, inputs, labels, counts, splitter, rows)
    return RunSpec(
        command=command,
        params={"header": full_header, "split": split, **params},
        inputs=all_sources,
        stages=(*before, Stage(STAGE, shards)),
        threads=options.threads,
        estimate=_estimate(size, full_header, len(shards), memory),
        notes=(*found, *describe_split(options, splitter, list(rows)), *labels.notes, *notes),
    )


def _estimate(size: Geometry, header: Mapping[str, Any], shards: int, memory: int) -> Estimate:
    """Bytes and files of the run, and memory of a worker: codes, one-hot and packed copies of a row-shard."""
    arrays = layout.dataset_arrays(header)
    stored = sum(item.stored for item in layout.inputs_of(header))
    return Estimate(
        bytes=size.rows * (size.per_row + 64),
        files=sum(spec.shard_count for spec in arrays) + len(arrays) + 2 * shards + 40,
        memory=(256 << 20) + memory + size.shard * (8 * stored + 6 * size.per_row),
    )


def _notes(
    size: Geometry,
    inputs: Sequence[Input],
    labels: Labels,
    counts: Mapping[str, int],
    splitter: Splitter,
    rows: Sequence[Region],
) -> list[str]:
    bases = " and ".join(f"{item.length} bases" for item in inputs)
    tracks = sum(len(modality.tracks) for modality in labels.modalities)
    described = ", ".join(f"{count} {name}" for name, count in counts.items())
    found = [f"{size.rows} rows of {bases}, {tracks} tracks: {described}"]
    if splitter.mode == "none":
        found.append(_ALL_TRAIN)
    if lost := sum(not row.kept for row in rows):
        found.append(f"{lost} of {len(rows)} rows have kept=false; kept.tsv says why")
    return found
