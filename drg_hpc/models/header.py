"""Read a model's description without torch: what plans need to know about sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.files import read_json

FORMAT = "drg-model/1"
MODEL_MEMBERS = ("model.json", "weights.safetensors")
_KEYS = ("architecture", "config", "inputs", "tracks", "bins", "link", "operations", "weights")


def read_model_header(path: Path) -> dict[str, Any]:
    """The content of ``MODEL/model.json``.

    Keys: format, architecture, config, inputs {"seq": length}, tracks [names], bins (0: one value per track),
    link, operations {"macs_per_row"}, weights {"bytes", "sha256"}, provenance.

    Raises
    ------
    InputError : no model there, or another format
    CorruptError : keys are missing
    """
    path = Path(path)
    if not (path / "model.json").is_file():
        unfinished = (path / "training.json").is_file()
        fix = "its training is not finished: run drg-train again" if unfinished else "give a folder made by drg-train"
        raise InputError(f"no model in {path}: model.json is missing", fix=fix)
    header = read_json(path / "model.json")
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else type(header).__name__
        raise InputError(f"{path}/model.json has format {found!r}, this version reads {FORMAT!r}")
    if missing := [key for key in _KEYS if key not in header]:
        raise CorruptError(f"{path}/model.json lacks {', '.join(missing)}", fix="train or import the model again")
    return header


def model_length(header: dict[str, Any]) -> int:
    """Input length in bases of a model with one sequence input."""
    return int(header["inputs"]["seq"])
