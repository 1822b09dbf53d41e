"""drg-inspect: say what a store, run, model, result folder or HDF5 file is, with its provenance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.cli.inspect_kernels import is_kernels, kernel_facts
from drg_hpc.cli.inspect_store import store_facts, store_lines
from drg_hpc.config import Options, flag, positional
from drg_hpc.errors import CorruptError, InputError
from drg_hpc.files import human_bytes, read_json, sha256_file
from drg_hpc.runs.outputs import DONE, PLAN, check_files

_ALL, _NONE = "every checksum verified", "it holds no checksums, nothing was verified"


class InspectOptions(Options):
    """Options of drg-inspect."""

    path: Path = positional(help="store, run, model, evaluation, motif folder, unfinished training or HDF5 file")
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
    store = path / "out.zarr"  # looked at first, since it can say which of its files are damaged
    held = {"store": store_facts(store, verify=verify)} if store.is_dir() else {}
    status = run_status(plan, full=verify)
    facts: dict[str, Any] = {
        "kind": "run" if status.merged else "unmerged run",
        "command": plan.command,
        "merged": status.merged,
        "stages": {s.name: f"{s.done} of {s.shards} shards" for s in status.stages},
        "parameters": {k: v for k, v in plan.params.items() if len(str(v)) < 200},
        "inputs": {name: record["path"] for name, record in plan.inputs.items()},
        "threads per worker": plan.threads,
        "plan digest": plan.digest,
        "verified": _ALL if status.merged else "the parts that are present verified; there is no output yet",
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
    return facts | held | (kernel_facts(path) if status.merged and plan.command == "kernels" else {})


def _inspect_model(path: Path, *, verify: bool) -> dict[str, Any]:
    from drg_hpc.models.header import read_model_header

    header = dict(read_model_header(path))
    weights = path / "weights.safetensors"
    if verify and (path / DONE).is_file():
        check_files(path, read_json(path / DONE).get("outputs", {}), whole=True)
    if verify and sha256_file(weights) != header["weights"]["sha256"]:
        raise CorruptError(f"{weights} does not match the sha256 in model.json", fix="restore or train the model again")
    return {"kind": "model"} | header | _made(path, "time", "ranks", "versions", "by")


def _made(path: Path, *keys: str) -> dict[str, Any]:
    """Who made a folder, where and with what, from its done.json."""
    if not (path / DONE).is_file():
        return {}
    done = read_json(path / DONE)
    return {"made": {key: done[key] for key in keys if key in done}}


def _inspect_motifs(path: Path, *, verify: bool) -> dict[str, Any]:
    header = _read_ours(path / "motifs.json", "drg-motifs/")
    files = header.pop("files", {})
    if verify:
        check_files(path, files, whole=True)
    motifs = header.pop("motifs", [])
    named = [f"{row['motif']} {row['consensus']} ({row['n_seqlets']} seqlets)" for row in motifs]
    facts = {"kind": "motif folder"} | header | {"motifs": named, "files": sorted(files)}
    return facts | _made(path, "inputs", "time", "versions", "by")


def _inspect_evaluation(path: Path, *, verify: bool) -> dict[str, Any]:
    header = _read_ours(path / "metrics.json", "drg-evaluation/")
    for key in ("tracks", "models"):
        header[key] = [record["name"] for record in header.get(key, [])]
    for key in ("classes", "comparison"):  # tables with files of their own
        header.pop(key, None)
    facts = {"kind": "evaluation", "verified": _NONE} | header
    return facts | _made(path, "inputs", "device", "versions", "by")


def _inspect_training(path: Path, *, verify: bool) -> dict[str, Any]:
    """A training that has not come to its end: what it is made from, and the checkpoints it can go on from."""
    record = _read_ours(path / "training.json", "drg-training/")
    checkpoints = sorted((path / "checkpoints").glob("step-*"))
    if verify:
        from drg_hpc.training.checkpoints import find_fault

        for checkpoint in checkpoints:
            if fault := find_fault(checkpoint):
                raise CorruptError(f"{checkpoint}: {fault}", fix="drg-train sets it aside and takes an older one")
    history = path / "history.tsv"
    return {
        "kind": "unfinished training",
        "next": "run the same drg-train command again to go on",
        "checkpoints": [checkpoint.name for checkpoint in checkpoints],
        "epochs finished": len(history.read_text().splitlines()) - 1 if history.is_file() else 0,
        "store": record["store"],
        "recipe": record["recipe"],
    }


def _read_ours(path: Path, wanted: str) -> dict[str, Any]:
    """A JSON record whose ``format`` begins as ``wanted``; a file of that name may be anyone's."""
    record = read_json(path)
    if not isinstance(record, dict) or not str(record.get("format")).startswith(wanted):
        raise InputError(f"{path} was not written by a drg command of this version")
    return dict(record)


def _inspect_hdf5(path: Path, *, verify: bool) -> dict[str, Any]:
    from drg_hpc.results.contents import describe_hdf5

    found = describe_hdf5(path, verify=verify)
    return {"kind": "HDF5 file"} | found | (kernel_facts(path) if is_kernels(found["attributes"]) else {})


# What a folder is, by the file that only its kind has; a model has a metrics.json and a training.json too.
_KINDS: dict[str, Callable[..., dict[str, Any]]] = {
    PLAN: _inspect_run,
    "zarr.json": store_facts,
    "model.json": _inspect_model,
    "motifs.json": _inspect_motifs,
    "training.json": _inspect_training,
    "metrics.json": _inspect_evaluation,
}


def inspect_path(path: Path, *, verify: bool) -> dict[str, Any]:
    """What ``path`` is, as plain values; ``verified`` says what ``verify`` has covered where it is not everything."""
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    for name, inspect in _KINDS.items():
        if (path / name).is_file():
            return inspect(path, verify=verify)
    if path.is_file() and path.suffix in (".h5", ".hdf5"):
        return _inspect_hdf5(path, verify=verify)
    raise InputError(f"{path} is not a store, run, model, evaluation, motif folder, unfinished training or HDF5 file")


def _lines(facts: dict[str, Any]) -> list[str]:
    if facts["kind"].endswith(" store"):
        return store_lines(facts)
    if "store" not in facts:
        return _flatten(facts)
    run = _flatten({key: value for key, value in facts.items() if key != "store"})
    return ["store:", *(f"  {line}" for line in store_lines(facts["store"])), *run]


def _action(options: InspectOptions) -> Result:
    facts = inspect_path(options.path, verify=options.verify)
    code, verified = facts.pop("exit_code", 0), facts.pop("verified", _ALL)
    message = f"{facts['kind']}: {options.path}" + (f" ({verified})" if options.verify else "")
    return {"message": message, "lines": _lines(facts), "exit_code": code, **facts}


def main() -> NoReturn:
    """drg-inspect."""
    run_command(
        prog="drg-inspect",
        summary="Say what a store, run, model, result folder or HDF5 file is, with its provenance.",
        options=InspectOptions,
        action=_action,
    )
