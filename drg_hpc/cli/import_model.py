"""drg-import: published and foreign models as MODEL folders."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.cli.import_options import EPILOG, OF_FORMAT, OF_REFERENCE, SUMMARY, AllOptions
from drg_hpc.config import apply_set
from drg_hpc.digests import describe_inputs, versions, who_and_where
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import describe_files, publish_dir, write_json

if TYPE_CHECKING:
    from drg_hpc.models.importers.common import Imported
    from drg_hpc.models.importers.reference import Onehot
    from drg_hpc.models.importers.tracks import TrackNames


def _given(options: AllOptions, name: str) -> bool:
    return bool(getattr(options, name) != AllOptions.model_fields[name].default)


def _refuse_unused(options: AllOptions) -> None:
    """Refuse options that would have no effect."""
    for name in dict.fromkeys(name for names in OF_FORMAT.values() for name in names):
        takers = [form for form, names in OF_FORMAT.items() if name in names]
        if _given(options, name) and options.format not in takers:
            raise UsageError(f"--{name.replace('_', '-')} is for format {' or '.join(takers)}, not {options.format}")
    for name in OF_REFERENCE:
        if _given(options, name) and options.reference is None:
            raise UsageError(f"--{name.replace('_', '-')} needs --reference", fix="give the reference's predictions")


def _one_length(options: AllOptions) -> int | None:
    if len(options.length) > 1:
        raise UsageError(f"--length: format {options.format} has one input, {len(options.length)} lengths are given")
    return options.length[0] if options.length else None


def _drg(options: AllOptions, names: list[str] | None) -> Imported:
    from drg_hpc.models.importers.drg import import_drg

    by_suffix = {path.suffix: path for path in options.files}
    if len(options.files) != 2 or by_suffix.keys() != {".dat", ".pth"}:
        raise UsageError("format drg takes two files, a .dat and a .pth", fix="drg-import drg M.dat M.pth -o MODEL")
    strands = None
    if options.reverse_complement is not None:
        words = options.reverse_complement.lower().split(",")
        if unknown := [word for word in words if word not in ("true", "false")]:
            raise UsageError(f"--reverse-complement: {unknown[0]!r} is neither true nor false")
        strands = [word == "true" for word in words]
    return import_drg(
        by_suffix[".dat"], by_suffix[".pth"], compat=options.compat, reverse_complement=strands, tracks=names,
        inputs=options.inputs or None, heads=options.heads or None, bins=options.bins or 0, allow=options.allow,
    )  # fmt: skip


def _borzoi(options: AllOptions, names: list[str] | None) -> Imported:
    from drg_hpc.models.importers.borzoi import import_borzoi

    return import_borzoi(
        options.files, params=options.params, length=_one_length(options), crop=options.crop, head=options.head,
        tracks=names, allow=options.allow,
    )  # fmt: skip


def _bpnet(options: AllOptions, names: list[str] | None) -> Imported:
    from drg_hpc.models.importers.bpnet import import_bpnet

    length = _one_length(options)
    if length is None:
        raise UsageError("format bpnet needs --length, the bases of the input", fix="--length 2114 in most cases")
    return import_bpnet(
        options.files, length=length, output_length=options.output_length,
        bias_output_length=options.bias_output_length, network=options.network, tracks=names, allow=options.allow,
    )  # fmt: skip


def _torch(options: AllOptions, names: list[str] | None) -> Imported:
    from drg_hpc.config import build
    from drg_hpc.models.config_user import UserConfig
    from drg_hpc.models.importers.torch_file import import_torch

    if options.factory is None or not options.length:
        raise UsageError("format torch needs --factory package.module:name and --length N")
    kwargs: dict[str, Any] = {}
    for assignment in options.kwargs:
        apply_set(kwargs, assignment)
    factory = build(UserConfig, {"factory": options.factory, "kwargs": kwargs}, source="command line")
    return import_torch(
        options.files, factory=factory, lengths=options.length, inputs=options.inputs or None, bins=options.bins,
        link=options.link, tracks=names, allow=options.allow,
    )  # fmt: skip


_IMPORTERS: dict[str, Callable[[AllOptions, list[str] | None], Imported]] = {
    "drg": _drg,
    "borzoi": _borzoi,
    "bpnet": _bpnet,
    "torch": _torch,
}


def _fasta(path: Path) -> Onehot:
    """Sequences of a FASTA file, all of one length."""
    import numpy as np

    from drg_hpc.genome.fasta import read_records
    from drg_hpc.genome.onehot import codes_to_onehot, encode
    from drg_hpc.models.importers.reference import Onehot

    records = list(read_records(path))
    if len({len(record.sequence) for record in records}) != 1:
        raise InputError(f"{path}: sequences of one length are needed, there are {len(records)} of different ones")
    values = np.stack([codes_to_onehot(encode(record.sequence)) for record in records])
    return Onehot(path, values, [record.name for record in records])


def _check(options: AllOptions, imported: Imported) -> dict[str, Any] | None:
    if options.reference is None:
        return None
    from drg_hpc.models.importers.check import check_reference
    from drg_hpc.models.importers.common import describe_sources
    from drg_hpc.models.importers.reference import Reference

    sequences = [path if path.suffix == ".npz" else _fasta(path) for path in options.sequences]
    reference = Reference(options.reference, sequences, options.gradients, options.reference_key)
    result = check_reference(imported.module, reference, tolerance=options.tolerance, scale=options.scale)
    paths = [options.reference, *options.sequences, *([options.gradients] if options.gradients else [])]
    return {"files": describe_sources(paths), **result}


def _require_new(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} exists; nothing is overwritten", fix="choose another -o")


def _recorded(checked: dict[str, Any]) -> dict[str, Any]:
    """What model.json keeps of a comparison: not the differences, which depend on the machine."""
    return {key: checked[key] for key in ("files", "rows", "tolerance", "scale")}


def _publish(options: AllOptions, imported: Imported, checked: dict[str, Any] | None) -> None:
    """Model files and done.json, which appear by one rename."""
    from drg_hpc.models.io import write_model_files

    files = [*options.files, *([options.params] if options.params else [])]
    with publish_dir(options.out) as staging:
        write_model_files(
            staging, module=imported.module, config=imported.config, tracks=imported.module.tracks,
            provenance={"import": imported.provenance} | ({"reference": _recorded(checked)} if checked else {}),
        )  # fmt: skip
        described = describe_inputs({f"file.{number}": path for number, path in enumerate(files)})
        record = {
            "format": "drg-done/1",
            "command": "import",
            "outputs": describe_files(staging),
            "summary": {"tracks": imported.module.tracks, "notes": imported.notes, "reference": checked},
            "params": options.model_dump(mode="json"),
            "inputs": {name: {"path": item["path"], "sha256": item["sha256"]} for name, item in described.items()},
            "versions": versions(),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "by": who_and_where(),
        }
        write_json(staging / "done.json", record)
        _require_new(options.out)


def _with_partners(imported: Imported, tracks: TrackNames | None) -> None:
    if tracks is not None and tracks.partners is not None:
        imported.module.strand_partners = list(tracks.partners)


def _said(checked: dict[str, Any]) -> list[str]:
    return [
        f"{what} agree with the reference: largest difference {checked[what]['largest_difference']:.3g}, "
        f"{checked[what]['share_of_tolerance']:.2g} of what is allowed"
        for what in ("predictions", "gradients")
        if what in checked
    ]


def _action(options: AllOptions) -> Result:
    _require_new(options.out)
    _refuse_unused(options)
    import torch

    from drg_hpc.models.importers.tracks import track_names

    tracks = track_names(options.tracks)
    torch.manual_seed(0)  # tensors that --allow lets be missing keep initial values
    imported = _IMPORTERS[options.format](options, list(tracks.names) if tracks else None)
    _with_partners(imported, tracks)
    checked = _check(options, imported)
    _publish(options, imported, checked)
    module = imported.module
    shown = f"{len(module.tracks)} tracks" + (f" of {module.bins} bins" if module.bins else "")
    return {
        "message": f"model: {options.out}, {imported.config.architecture}, {shown}, link {module.link}",
        "lines": [*imported.notes, *(_said(checked) if checked else [])],
        "out": str(options.out),
        "tracks": len(module.tracks),
        "reference": checked,
    }


def main() -> NoReturn:
    """drg-import."""
    run_command(prog="drg-import", summary=SUMMARY, options=AllOptions, action=_action, epilog=EPILOG)
