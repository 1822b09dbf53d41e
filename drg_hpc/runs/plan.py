"""plan.json: what a run will do, written once. The same plan again changes nothing; another one is refused."""

from __future__ import annotations

import errno
import json
import os
import shlex
import stat
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drg_hpc import digests
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import counted, failpoint, fsync_dir, require_space, safe_join, write_atomic, write_json, write_new
from drg_hpc.runs.outputs import PLAN
from drg_hpc.runs.spec import Estimate, RunSpec, Shard, Stage

FORMAT = "drg-run/1"
_FOLDERS = ("parts", "stages", "logs", "damaged")


@dataclass(frozen=True)
class Plan:
    """A plan as it stands in a run folder."""

    folder: Path
    command: str
    params: dict[str, Any]
    inputs: dict[str, dict[str, Any]]
    stages: tuple[Stage, ...]
    threads: int
    estimate: Estimate
    digest: str
    aside: Mapping[str, Any] = field(default_factory=dict)

    def stage(self, name: str) -> Stage:
        """The stage called ``name``.

        Raises
        ------
        UsageError : there is none
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise UsageError(f"no stage {name!r} in {self.folder}", fix=f"stages: {', '.join(s.name for s in self.stages)}")

    def result_attributes(self) -> dict[str, Any]:
        """What determined the result, for the root of result files; nothing of when, where or how it ran."""
        return {
            "command": self.command,
            "params": self.params,
            "seed": self.params["seed"],
            "threads": self.threads,
            "inputs": {name: {"sha256": record["sha256"]} for name, record in self.inputs.items()},
        }

    def stage_file(self, stage: Stage) -> Path | None:
        """The reduced file that ``stage`` starts from: that of the stage before it, if it exists."""
        index = self.stages.index(stage)
        record = read_reduction(self.folder, self.stages[index - 1].name) if index else None
        return None if record is None else record.file


@dataclass(frozen=True)
class Reduction:
    """Record of a stage's reduced file: its name, its sha256, and the digest of the parts it was made from."""

    file: Path
    sha256: str
    parts: str


def read_reduction(folder: Path, stage: str) -> Reduction | None:
    """The record of a stage's reduced file; None when there is none, or not a whole one, or no file."""
    try:
        record = json.loads((folder / "stages" / f"{stage}.receipt").read_bytes())
        found = Reduction(safe_join(folder / "stages", record["file"]), str(record["sha256"]), str(record["parts"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return found if found.file.is_file() else None


def write_reduction(folder: Path, stage: str, record: Reduction) -> None:
    """Commit a stage's reduced file."""
    values = {"file": record.file.name, "sha256": record.sha256, "parts": record.parts}
    write_json(folder / "stages" / f"{stage}.receipt", values)


def _identity(spec: RunSpec | Plan) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "command": spec.command,
        "params": dict(spec.params),
        "inputs": {name: digests.input_identity(dict(record)) for name, record in spec.inputs.items()},
        "threads": spec.threads,
        "stages": [{"name": s.name, "shards": [[x.start, x.stop] for x in s.shards]} for s in spec.stages],
    }


def _differences(old: Any, new: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else key)
    elif old != new:
        yield f"{prefix}: {_short(old)} there, {_short(new)} now"


def _cut(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How stages of plans differ."""
    names = [" ".join(stage["name"] for stage in stages) for stages in (old, new)]
    if names[0] != names[1]:
        yield f"stages: {names[0]} there, {names[1]} now"
        return
    for one, other in zip(old, new, strict=True):
        counts = len(one["shards"]), len(other["shards"])
        if counts[0] != counts[1]:
            yield f"stage {one['name']}: {counted(counts[0], 'shard')} there, {counts[1]} now"
        elif one != other:
            yield f"stage {one['name']}: other rows in its {counted(counts[0], 'shard')}"


def _short(value: Any) -> str:
    if isinstance(value, list | dict) and len(value) > 4:
        return f"{len(value)} items"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _private(folder: Path) -> None:
    """Refuse a run that anybody may write to: its files are trusted by every worker."""
    for place in (folder, folder / "parts", folder / "stages"):
        mode = place.stat().st_mode if place.is_dir() else 0
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise InputError(
                f"run folder is writable by everybody: {place}", fix=f"chmod o-w {shlex.quote(str(place))}"
            )


def _is_free(folder: Path) -> bool:
    """Whether a run may be planned here: nothing there, or only what a planner killed before its end leaves."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir() if not path.name.startswith(f".{PLAN}.")}
    return names <= set(_FOLDERS) and not any((folder / "parts").glob("*/*"))


def _make_folders(folder: Path, stages: tuple[Stage, ...]) -> None:
    wanted = [folder, *(folder / name for name in _FOLDERS), *(folder / "parts" / stage.name for stage in stages)]
    for place in wanted:
        if not place.is_dir():
            place.mkdir(parents=place == folder, exist_ok=True)
            place.chmod(place.stat().st_mode & ~stat.S_IWOTH)
    fsync_dir(folder / "parts")


def _publish_plan(folder: Path, record: dict[str, Any]) -> None:
    """Write plan.json unless somebody else has done so in this moment: the first one stands."""
    text = json.dumps(record, sort_keys=True, allow_nan=False, separators=(",", ":")) + "\n"
    private = folder / f".{PLAN}.{uuid.uuid4().hex}"
    try:
        write_new(private, text)
        failpoint("plan.before_link")
        os.link(private, folder / PLAN)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        os.replace(private, folder / PLAN)  # no hard links here; the reader compares what stands
    finally:
        private.unlink(missing_ok=True)
    fsync_dir(folder)


def write_plan(spec: RunSpec, folder: Path) -> Plan:
    """Create the run folder with its plan, or find the same plan already there.

    Raises
    ------
    UsageError : the folder holds another plan (the differing keys are named) or something else
    InputError : not enough space or inodes; folder not writable
    """
    identity = _identity(spec)
    if not (folder / PLAN).exists():
        if not _is_free(folder):
            raise UsageError(f"{folder} exists and is not a run", fix="choose another -o; nothing is overwritten")
        if not any(stage.shards for stage in spec.stages):
            raise InputError(f"nothing to do for {folder}: no rows were selected", fix="check the input and --split")
        require_space(folder, need_bytes=spec.estimate.bytes, need_files=spec.estimate.files)
        _make_folders(folder, spec.stages)
        _publish_plan(folder, _record(spec, identity))
    plan = read_plan(folder)
    there, now = _identity(plan), json.loads(json.dumps(identity))
    found = [*_differences(there | {"stages": None}, now | {"stages": None}), *_cut(there["stages"], now["stages"])]
    if found:
        more = f" (and {len(found) - 4} more)" if len(found) > 4 else ""
        raise UsageError(
            f"{folder} holds a different plan: {'; '.join(found[:4])}{more}",
            fix="use the same settings and inputs, or another -o",
        )
    aside = json.loads(json.dumps(dict(spec.aside)))
    if plan.aside != aside or {n: r["path"] for n, r in plan.inputs.items()} != {
        n: r["path"] for n, r in spec.inputs.items()
    }:
        # The same content elsewhere, or another way to get there: workers must know.
        write_atomic(folder / PLAN, json.dumps(_record(spec, identity), sort_keys=True, separators=(",", ":")) + "\n")
        plan = read_plan(folder)
    return plan


def preview_plan(spec: RunSpec, folder: Path) -> Plan:
    """The plan that :func:`write_plan` would write, without writing it."""
    identity = _identity(spec)
    return Plan(
        folder=folder.absolute(), command=spec.command, params=dict(spec.params),
        inputs={name: dict(record) for name, record in spec.inputs.items()}, stages=spec.stages, threads=spec.threads,
        estimate=spec.estimate, digest=digests.digest(identity), aside=dict(spec.aside),
    )  # fmt: skip


def _record(spec: RunSpec, identity: dict[str, Any]) -> dict[str, Any]:
    """plan.json: what determines the result and its digest, then what does not."""
    return {
        **identity,
        "digest": digests.digest(identity),
        "inputs": {name: dict(value) for name, value in spec.inputs.items()},
        "estimate": vars(spec.estimate),
        **({"aside": dict(spec.aside)} if spec.aside else {}),
        "made": {"versions": digests.versions(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        | digests.who_and_where(),
    }


def read_plan(folder: Path) -> Plan:
    """Read a run's plan and check it against its own digest.

    Raises
    ------
    InputError : not a run folder, or one written by another format
    CorruptError : plan.json was changed or cut off
    """
    path = folder / PLAN
    if not path.is_file():
        raise InputError(f"not a run folder (no plan.json): {folder}", fix="give the folder made with -o")
    _private(folder)
    try:
        raw = json.loads(path.read_bytes())
        if raw["format"] != FORMAT:
            raise InputError(
                f"{path} has format {raw['format']!r}, this version reads {FORMAT!r}", fix="plan the run again"
            )
        stages = tuple(
            Stage(s["name"], tuple(Shard(i, a, b) for i, (a, b) in enumerate(s["shards"]))) for s in raw["stages"]
        )
        plan = Plan(
            folder=folder.absolute(),
            command=raw["command"],
            params=raw["params"],
            inputs=raw["inputs"],
            stages=stages,
            threads=raw["threads"],
            estimate=Estimate(**raw["estimate"]),
            digest=raw["digest"],
            aside=raw.get("aside", {}),
        )
        intact = digests.digest(_identity(plan)) == plan.digest
        for record in plan.inputs.values():
            intact = intact and {"path", "mtime_ns", "members", "bytes"} <= record.keys()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(f"plan is damaged: {path} ({error})", fix="plan the run again in another folder") from None
    if not intact:
        raise CorruptError(f"plan was changed after it was written: {path}", fix="plan the run again in another folder")
    return plan


def check_inputs(plan: Plan) -> None:
    """Refuse to work on inputs that changed since the plan was made."""
    for name, record in plan.inputs.items():
        digests.check_input(name, record)


def environment_for(threads: int) -> dict[str, str]:
    """Environment variables that pin every library of a worker to ``threads`` threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {name: str(threads) for name in names} | {"BLOSC_NTHREADS": "1", "PYTHONHASHSEED": "0"}


def pin_threads(threads: int, *, compiled: int | None = None) -> None:
    """Pin this process; call before numpy or torch is imported.

    Parameters
    ----------
    compiled : threads of compiled loops, where they differ from those of matrix products
    """
    os.environ.update(environment_for(threads))
    if compiled is not None:
        os.environ["NUMBA_NUM_THREADS"] = str(compiled)
