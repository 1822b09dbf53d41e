"""drg-inspect: say what a store, run, model or HDF5 file is, with its provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.config import Options, flag, positional
from drg_hpc.errors import CorruptError, InputError
from drg_hpc.files import human_bytes, read_json, sha256_file, walk_files
from drg_hpc.runs.outputs import DONE, PLAN


class InspectOptions(Options):
    """Options of drg-inspect."""

    path: Path = positional(help="store, run, model or HDF5 file")
    verify: bool = flag(False, help="read every byte and check every checksum")


def _flatten(values: dict[str, Any], prefix: str = "") -> list[str]:
    lines: list[str] = []
    for key, value in values.items():
        if isinstance(value, dict) and value and len(str(value)) > 80:
            lines.append(f"{prefix}{key}:")
            lines += _flatten(value, prefix + "  ")
        elif isinstance(value, list) and len(value) > 8:
            lines.append(f"{prefix}{key}: {', '.join(map(str, value[:5]))}, … ({len(value)} in all)")
        elif isinstance(value, list):
            lines.append(f"{prefix}{key}: {', '.join(map(str, value))}")
        else:
            lines.append(f"{prefix}{key}: {value}")
    return lines


def _inspect_run(path: Path, *, verify: bool) -> dict[str, Any]:
    from drg_hpc.runs.plan import read_plan
    from drg_hpc.runs.status import run_status

    plan = read_plan(path)
    status = run_status(plan, full=verify)
    facts: dict[str, Any] = {
        "kind": "run",
        "command": plan.command,
        "merged": status.merged,
        "stages": {s.name: f"{s.done} of {s.shards} shards" for s in status.stages},
        "parameters": {k: v for k, v in plan.params.items() if len(str(v)) < 200},
        "inputs": {name: record["path"] for name, record in plan.inputs.items()},
        "threads per worker": plan.threads,
        "plan digest": plan.digest,
    }
    if (path / DONE).is_file():
        done = read_json(path / DONE)
        facts["outputs"] = {
            k: f"{human_bytes(v['bytes'])}, sha256 {v['sha256'][:16]}…" for k, v in done["outputs"].items()
        }
        facts["made"] = {"time": done["time"], "hosts": done["hosts"], "seconds of work": done["seconds"]["work"]}
        facts["by"] = " ".join(done["by"]["command_line"])
        facts["versions"] = done["versions"]
        facts["exit_code"] = status.exit_code
    if status.fault or status.exit_code == 5:
        faults = [f"{s.name}/{i:05d}: {why}" for s in status.stages for i, why in s.damaged.items()]
        raise CorruptError(
            f"{path}: {status.fault or '; '.join(faults)}", fix=f"drg-work {path}, then drg-merge {path}"
        )
    if verify:
        _verify_outputs(path)
    return facts


def _verify_outputs(run: Path) -> None:
    store = run / "out.zarr"
    if store.is_dir():
        from drg_hpc.store.reader import verify_store

        verify_store(store)


def _inspect_store(path: Path, *, verify: bool) -> dict[str, Any]:
    from drg_hpc.store.header import read_header

    header = read_header(path)
    files = walk_files(path)
    size = sum((path / name).stat().st_size for name in files)
    if verify:
        from drg_hpc.store.reader import verify_store

        verify_store(path)
    facts = {"kind": f"{header['kind']} store", "on disk": f"{human_bytes(size)} in {len(files)} files"}
    return facts | {key: value for key, value in header.items() if key != "kind"}


def _inspect_model(path: Path, *, verify: bool) -> dict[str, Any]:
    from drg_hpc.models.header import read_model_header

    header = dict(read_model_header(path))
    weights = path / "weights.safetensors"
    if verify and sha256_file(weights) != header["weights"]["sha256"]:
        raise CorruptError(f"{weights} does not match the sha256 in model.json", fix="restore or train the model again")
    if (path / DONE).is_file():
        done = read_json(path / DONE)
        header["made"] = {key: done[key] for key in ("time", "ranks", "versions", "by") if key in done}
    return {"kind": "model"} | header


def _inspect_hdf5(path: Path, *, verify: bool) -> dict[str, Any]:
    from drg_hpc.results.contents import describe_hdf5

    return {"kind": "HDF5 file"} | describe_hdf5(path, verify=verify)


def inspect_path(path: Path, *, verify: bool) -> dict[str, Any]:
    """What ``path`` is, as plain values."""
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    if (path / PLAN).is_file():
        return _inspect_run(path, verify=verify)
    if (path / "zarr.json").is_file():
        return _inspect_store(path, verify=verify)
    if (path / "model.json").is_file():
        return _inspect_model(path, verify=verify)
    if path.is_file() and path.suffix in (".h5", ".hdf5"):
        return _inspect_hdf5(path, verify=verify)
    raise InputError(f"{path} is not a store, run, model or HDF5 file")


def _action(options: InspectOptions) -> Result:
    facts = inspect_path(options.path, verify=options.verify)
    code = facts.pop("exit_code", 0)
    message = f"{facts['kind']}: {options.path}" + (" (every checksum verified)" if options.verify else "")
    return {"message": message, "lines": _flatten(facts), "exit_code": code, **facts}


def main() -> NoReturn:
    """drg-inspect."""
    run_command(
        prog="drg-inspect", summary="Say what a store, run, model or HDF5 file is, with its provenance.",
        options=InspectOptions, action=_action,
    )  # fmt: skip
