"""Read a model's description without torch: what plans need to know about sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import read_json

FORMAT = "drg-model/2"
MODEL_MEMBERS = ("model.json", "weights.safetensors")
_KEYS = (
    "architecture", "config", "inputs", "heads", "tracks", "strand_partners", "bins", "span", "link",
    "operations", "weights",
)  # fmt: skip


def read_model_header(path: Path) -> dict[str, Any]:
    """The content of ``MODEL/model.json``.

    Keys: format, architecture, config, inputs [{name, length}] in order, heads [{name, tracks (how many), link}],
    tracks [names], strand_partners [index or None], bins (0: one value per track), span (bases in the middle that they
    are of; 0: all), link (of all tracks, or ``mixed``), operations (see
    :func:`drg_hpc.models.operations.describe_operations`), weights {"bytes", "sha256"},
    provenance.

    Raises
    ------
    InputError : no model there, or another format
    CorruptError : keys are missing
    """
    path = Path(path)
    if not (path / "model.json").is_file():
        fix = "give a folder made by drg-train"
        if (path / "training.json").is_file():
            fix = "its training is not finished: run drg-train again"
        elif (path / "models").is_dir():
            fix = f"it is a run of several trainings: give one of {path / 'models'}"
        raise InputError(f"no model in {path}: model.json is missing", fix=fix)
    header = read_json(path / "model.json")
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else type(header).__name__
        raise InputError(f"{path}/model.json has format {found!r}, this version reads {FORMAT!r}")
    if missing := [key for key in _KEYS if key not in header]:
        raise CorruptError(f"{path}/model.json lacks {', '.join(missing)}", fix="train or import the model again")
    return header


def listed_paths(text: Path) -> list[Path]:
    """Paths separated by commas; a path that is there as it stands is one path.

    Raises
    ------
    UsageError : nothing before, after or between commas
    """
    if text.exists():
        return [text]
    parts = [part.strip() for part in str(text).split(",")]
    if not all(parts):
        raise UsageError(f"{str(text)!r}: no name beside a comma", fix="one comma between two names")
    return [Path(part) for part in parts]


def model_paths(text: Path) -> list[Path]:
    """The model folders that ``MODEL[,MODEL…]`` names; a run of drg-train with several stands for all of them. A path
    that is there as it stands is one path.

    Raises
    ------
    UsageError : one path twice, or none
    """
    found = []
    for path in listed_paths(text):
        inner = path / "models"
        several = inner.is_dir() and not (path / "model.json").is_file()
        found += sorted(inner.iterdir(), key=lambda p: (len(p.name), p.name)) if several else [path]
    if not found:
        raise UsageError(f"no model in {str(text)!r}", fix="give MODEL, or several separated by commas")
    if len({path.absolute() for path in found}) < len(found):
        raise UsageError(f"{text}: one model twice", fix="give each once")
    return found


def model_inputs(header: Mapping[str, Any]) -> dict[str, int]:
    """Length in bases of each input, by name, in order."""
    return {str(entry["name"]): int(entry["length"]) for entry in header["inputs"]}


def model_length(header: Mapping[str, Any]) -> int:
    """Input length in bases of a model with one sequence input.

    Raises
    ------
    InputError : it has several
    """
    inputs = model_inputs(header)
    if len(inputs) != 1:
        shown = ", ".join(f"{name} ({length})" for name, length in inputs.items())
        raise InputError(f"the model has {len(inputs)} inputs: {shown}; a model of one input is needed here")
    return next(iter(inputs.values()))


def _of_tracks(header: Mapping[str, Any], key: str) -> list[str]:
    return [str(head[key]) for head in header["heads"] for _ in range(int(head["tracks"]))]


def track_links(header: Mapping[str, Any]) -> list[str]:
    """Link of each track."""
    return _of_tracks(header, "link")


def track_heads(header: Mapping[str, Any]) -> list[str]:
    """Name of each track's head."""
    return _of_tracks(header, "name")


def other_strand(partners: Sequence[int | None], tracks: Sequence[int], names: Sequence[str]) -> list[int]:
    """For each of ``tracks``, the track that holds the same quantity in the reverse complement of a sequence.

    Raises
    ------
    UsageError : the model does not have the track of the other strand
    """
    found = []
    for track in tracks:
        partner = partners[track]
        if partner is None:
            raise UsageError(
                f"no average over strands for track {names[track]!r}: the model lacks the track of its other strand",
                fix="leave out --rc-average, or train on both tracks",
            )
        found.append(partner)
    return found
