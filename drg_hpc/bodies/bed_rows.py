"""Rows that are regions of a genome store: windows of the model's lengths, made as by ``drg-shard regions``. Light."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drg_hpc.bodies.region_inputs import parse_input
from drg_hpc.bodies.region_rows import RegionRows, read_rows, reasons_of
from drg_hpc.bodies.row_options import ROWS
from drg_hpc.bodies.selected import ROW_MEMORY, Selection
from drg_hpc.bodies.where_rows import Where
from drg_hpc.config import nearest
from drg_hpc.digests import describe_inputs
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.region_files import format_of
from drg_hpc.models.header import model_inputs
from drg_hpc.store.header import describe_store, genome_contigs


def select_regions(
    text: str, genome: Path, model: Mapping[str, Any], *, stranded: bool, where: Where | None,
    limit: int | None,
) -> Selection:  # fmt: skip
    """All regions of a file, or of one file for each input of the model, kept or not.

    Parameters
    ----------
    text : ``FILE``, or for a model of several inputs ``NAME=FILE,NAME=FILE``
    stranded : those on ``-`` are reverse-complemented

    Raises
    ------
    UsageError : an input without a file, or a file without an input; the condition does not fit the columns
    InputError : a file that is missing or faulty, not a genome store, or no region that can be used among those
        that are left after ``where`` and ``limit``
    """
    files = _files(text, model_inputs(model))
    contigs = genome_contigs(genome)
    params = _params(files, model_inputs(model), stranded=stranded)
    for path in files.values():
        if not path.is_file():
            raise InputError(f"no such file: {path}", fix="check the path")
    keyed = {entry["file"]: files[entry["name"]] for entry in params["inputs"]}
    found = read_rows(params, keyed, contigs)
    chosen = where.of_regions(found.rows) if where else None
    rows = found.rows[:limit] if chosen is None else [found.rows[row] for row in chosen.rows]
    if not any(row.kept for row in rows):
        raise InputError(
            f"none of the {len(rows)} rows that are left of {files[params['inputs'][0]['name']]} can be used: "
            f"{reasons_of(rows)}",
            fix="choose others with --where, or more with --limit",
        )
    whole = Selection(
        "regions",
        {ROWS: describe_store(genome), **describe_inputs(keyed)},
        len(rows),
        None,
        extra={"regions": params},
        unkept=not all(row.kept for row in rows),
        memory=ROW_MEMORY * len(found.rows) * len(files),
        notes=tuple(found.notes),
        regions=rows if chosen is None else found.rows,
    )
    return whole if chosen is None else whole.only(chosen)


def _files(given: str, inputs: Mapping[str, int]) -> dict[str, Path]:
    """File of each input of the model, in its order."""
    if len(inputs) == 1 and ("=" not in given or Path(given).exists()):
        return {next(iter(inputs)): Path(given)}
    found: dict[str, Path] = {}
    for text in given.split(","):
        if "=" not in text:
            raise UsageError(
                f"--regions {given}: the model has {len(inputs)} inputs: {', '.join(inputs)}",
                fix="give NAME=FILE for each, separated by commas",
            )
        name, path, length = parse_input(text)
        if name not in inputs:
            raise UsageError(f"--regions {text}: the model has no input {name!r}", fix=nearest(name, inputs))
        if name in found or length not in (None, inputs[name]):
            what = "a file already" if name in found else f"{inputs[name]} bases"
            raise UsageError(f"--regions {text}: input {name!r} has {what}")
        found[name] = path
    if missing := [name for name in inputs if name not in found]:
        raise UsageError(f"--regions: no file for the model's input {missing[0]!r}", fix="give NAME=FILE for each")
    return {name: found[name] for name in inputs}


def _params(files: Mapping[str, Path], inputs: Mapping[str, int], *, stranded: bool) -> dict[str, Any]:
    """As :func:`drg_hpc.bodies.region_inputs.region_params` makes them. Without a known extension a file is a BED."""
    entries = []
    for name, path in files.items():
        try:
            form = format_of(path)
        except UsageError:
            form = "bed"
        key = "regions" if len(files) == 1 else f"regions_{name}"
        anchor = "summit" if form == "narrowPeak" else "centre"
        entries.append({"name": name, "file": key, "format": form, "length": inputs[name], "anchor": anchor})
    return {
        "inputs": entries, "feature": "gene", "spliced": False, "select": [], "name_by": None, "one_based": False,
        "blacklists": 0, "stranded": stranded, "strict": False, "flank": 0,
    }  # fmt: skip


def planned_regions(
    params: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]], contigs: Mapping[str, int]
) -> RegionRows:
    """The rows that :func:`select_regions` found, from a plan's ``params["regions"]`` and its inputs.

    Raises
    ------
    InputError : as in the plan
    """
    files = {entry["file"]: Path(inputs[entry["file"]]["path"]) for entry in params["inputs"]}
    return read_rows(params, files, contigs)
