"""Verify every part, reduce stages, write the outputs and commit them with done.json."""

from __future__ import annotations

import logging
import shlex
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drg_hpc import digests
from drg_hpc.errors import CorruptError, DrgError, IncompleteError
from drg_hpc.files import (
    disk_full,
    failpoint,
    fsync_tree,
    replace_path,
    sha256_file,
    walk_files,
    write_json,
)
from drg_hpc.runs import parts
from drg_hpc.runs.bodies import load_body
from drg_hpc.runs.heartbeat import HEARTBEAT, beating
from drg_hpc.runs.outputs import DONE, committed
from drg_hpc.runs.plan import Plan, Reduction, read_reduction, write_reduction
from drg_hpc.runs.signals import check_stop, signals_held
from drg_hpc.runs.spec import Body, Part, Stage

log = logging.getLogger(__name__)

FORMAT = "drg-done/1"
_HASHING_THREADS = 4


@dataclass
class Faults:
    """What stands in the way of a merge, over all stages."""

    missing: dict[str, list[int]] = field(default_factory=dict)
    damaged: dict[str, dict[int, parts.Fault]] = field(default_factory=dict)


def find_faults(plan: Plan, stage: Stage, *, hashes: bool = True) -> tuple[list[int], dict[int, parts.Fault]]:
    """Missing ids and damaged ids with the reason, of one stage."""
    listing = parts.list_parts(plan, stage)
    stage_input = parts.stage_input_digest(plan, stage)
    present = [s for s in stage.shards if s.id in listing.done or s.id in listing.links]
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:  # hashing releases the GIL
        faults = pool.map(lambda s: parts.find_fault(plan, stage, s, stage_input=stage_input, hashes=hashes), present)
        damaged = {shard.id: fault for shard, fault in zip(present, faults, strict=True) if fault is not None}
    here = {shard.id for shard in present}
    return [s.id for s in stage.shards if s.id not in here], damaged


def _parts_digest(loaded: list[Part]) -> str:
    return digests.digest([parts.content_digest(dict(part.receipt)) for part in loaded])


def is_reduced(plan: Plan, stage: Stage) -> bool:
    """Whether a stage's reduced file is there, whole, and committed."""
    record = read_reduction(plan.folder, stage.name)
    return record is not None and record.sha256 == sha256_file(record.file)


def ensure_reduced(plan: Plan, stage: Stage, body: Body | None = None) -> None:
    """Write the small file that the next stage starts from, unless it is there and made from these parts.

    Several workers may do this at once: the file is a function of the parts and appears by one rename.

    Parameters
    ----------
    body : the run's body, where the caller has one already

    Raises
    ------
    IncompleteError, CorruptError : parts of the stage are missing or damaged
    """
    _refuse(plan, _stage_faults(plan, stage, hashes=False))
    loaded = [parts.load_part(plan, stage, shard) for shard in stage.shards]
    made_from = _parts_digest(loaded)
    record = read_reduction(plan.folder, stage.name)
    if record is not None and record.parts == made_from and is_reduced(plan, stage):
        return
    _refuse(plan, _stage_faults(plan, stage, hashes=True))
    with _staging(plan.folder / "stages" / f".{stage.name}.{uuid.uuid4().hex}") as staging:
        with beating(staging):
            (body or load_body(plan)).merge(stage.name, loaded, staging)
            (name,) = (name for name in walk_files(staging) if name != HEARTBEAT)
            fsync_tree(staging)
            checksum = sha256_file(staging / name)
        failpoint("reduce.before_rename")
        target = plan.folder / "stages" / name
        replace_path(staging / name, target)
        write_reduction(plan.folder, stage.name, Reduction(target, checksum, made_from))


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A private folder that is removed at the end, whatever happens; a full disk is one line."""
    folder.mkdir(parents=True)
    try:
        yield folder
    except (OSError, RuntimeError) as error:
        raise disk_full(error, folder) or error from None
    finally:
        with signals_held():
            shutil.rmtree(folder, ignore_errors=True)


def _stage_faults(plan: Plan, stage: Stage, *, hashes: bool) -> Faults:
    missing, damaged = find_faults(plan, stage, hashes=hashes)
    return Faults({stage.name: missing} if missing else {}, {stage.name: damaged} if damaged else {})


def _refuse(plan: Plan, faults: Faults) -> None:
    """Set damaged parts aside and raise, naming every shard that is damaged or missing."""
    lines: list[str] = []
    for name, damaged in faults.damaged.items():
        stage = plan.stage(name)
        for shard_id, fault in damaged.items():
            parts.set_aside(plan, stage, stage.shards[shard_id], fault)
        reasons = "; ".join(f"{name}/{parts.part_name(i)}: {fault}" for i, fault in list(damaged.items())[:3])
        lines.append(f"{len(damaged)} damaged in stage {name} ({parts.format_ids(list(damaged))}): {reasons}")
    for name, missing in faults.missing.items():
        total = len(plan.stage(name).shards)
        lines.append(f"{len(missing)} of {total} missing in stage {name}: {parts.format_ids(missing)}")
    if not lines:
        return
    kind: type[DrgError] = CorruptError if faults.damaged else IncompleteError
    aside = "damaged parts were moved to damaged/; " if faults.damaged else ""
    again = f"drg-work {shlex.quote(str(plan.folder))} does them again"
    raise kind(f"cannot merge {plan.folder}: {'; '.join(lines)}", fix=aside + again)


def merge_run(plan: Plan) -> dict[str, Any]:
    """Verify all parts, reduce stages that need it, write outputs, commit. Returns what done.json holds.

    Doing it again with nothing changed verifies everything and writes nothing.

    Raises
    ------
    IncompleteError : shards are missing; all are listed
    CorruptError : parts do not match their receipts; all are listed and set aside
    """
    started = time.monotonic()
    record = committed(plan.folder)
    if record is not None and record.get("parts_removed") and output_fault(plan, record, hashes=True) is None:
        log.info("already merged, parts removed: every output verified")
        return record
    loaded = _verify_stages(plan)
    made_from = _parts_digest([part for stage_parts in loaded.values() for part in stage_parts])
    if record is not None and record.get("parts") == made_from and output_fault(plan, record, hashes=True) is None:
        log.info("already merged: every part and output verified")
        return record
    with _staging(plan.folder / f".merge.{uuid.uuid4().hex}") as staging:
        with beating(staging):
            check_stop()
            summary = load_body(plan).merge(plan.stages[-1].name, loaded[plan.stages[-1].name], staging)
            check_stop()
            with ThreadPoolExecutor(1) as pool:  # the disk is flushed while the outputs are hashed
                flushed = pool.submit(fsync_tree, staging)
                record = _done_record(plan, loaded, staging, summary=summary, parts_digest=made_from)
                flushed.result()
        failpoint("merge.written")
        done = plan.folder / DONE
        done.unlink(missing_ok=True)  # readers refuse the run until the new outputs are all in place
        for path in sorted(staging.iterdir()):
            replace_path(path, plan.folder / path.name)
            failpoint("merge.renamed")
        record["seconds"]["merge"] = round(time.monotonic() - started, 3)
        write_json(done, record)
    return record


def _verify_stages(plan: Plan) -> dict[str, list[Part]]:
    faults, loaded = Faults(), {}
    complete = True
    for stage in plan.stages:
        before = plan.stages.index(stage) - 1
        if complete or (before >= 0 and is_reduced(plan, plan.stages[before])):
            missing, damaged = find_faults(plan, stage)
        else:
            missing, damaged = [s.id for s in parts.missing_shards(plan, stage)], {}
        if missing:
            faults.missing[stage.name] = missing
        if damaged:
            faults.damaged[stage.name] = damaged
        complete = complete and not missing and not damaged
        if complete:
            loaded[stage.name] = [parts.load_part(plan, stage, shard) for shard in stage.shards]
            if stage is not plan.stages[-1]:
                ensure_reduced(plan, stage)
    _refuse(plan, faults)
    return loaded


def _describe_output(path: Path) -> dict[str, Any]:
    """Bytes and sha256 of a file; of a folder the total, and the digest of the sha256 of all its files."""
    if path.is_file():
        return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    names = walk_files(path)
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        hashes = dict(zip(names, pool.map(lambda name: sha256_file(path / name), names), strict=True))
    total = sum((path / name).stat().st_size for name in names)
    return {"bytes": total, "files": len(names), "sha256": digests.digest(hashes)}


def _outputs(staging: Path) -> list[Path]:
    return sorted(path for path in staging.iterdir() if path.name != HEARTBEAT)


def _done_record(
    plan: Plan, loaded: dict[str, list[Part]], staging: Path, *, summary: dict[str, Any], parts_digest: str
) -> dict[str, Any]:
    receipts = [part.receipt for stage_parts in loaded.values() for part in stage_parts]
    kinds = Counter(str(r["notes"].get("device", r["device"])) for r in receipts)
    if len(kinds) > 1:
        log.warning("parts come from different devices (%s): equal to 1e-6, not bit for bit", ", ".join(kinds))
    here = digests.versions()
    other = {f"{k} {v}" for r in receipts for k, v in r["versions"].items() if here.get(k, v) != v}
    if other:
        log.warning("parts were made with other versions: %s", ", ".join(sorted(other)))
    retreats = [note for r in receipts for note in r["notes"].get("retreats", ())]
    if retreats:
        log.warning("%d blocks ran out of memory and were computed in smaller passes: equal to 1e-6, not bit for bit",
                    len(retreats))  # fmt: skip
    return {
        "format": FORMAT,
        "command": plan.command,
        "plan": plan.digest,
        "parts": parts_digest,
        "outputs": {path.name: _describe_output(path) for path in _outputs(staging)},
        "summary": summary,
        "params": plan.params,
        "inputs": {name: {"path": r["path"], "sha256": r["sha256"]} for name, r in plan.inputs.items()},
        "devices": dict(sorted(kinds.items())),
        "retreats": retreats,
        "faint": sorted({str(name) for r in receipts for name in r["notes"].get("faint", ())}),
        "hosts": sorted({str(r["host"]) for r in receipts}),
        "shards": {name: len(stage_parts) for name, stage_parts in loaded.items()},
        "seconds": {"work": round(sum(float(r["seconds"]) for r in receipts), 3)},
        "versions": here,
        "other_versions": sorted(other),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "by": digests.who_and_where(),
    }


def output_fault(plan: Plan, record: dict[str, Any], *, hashes: bool) -> str | None:
    """Why committed outputs are not what done.json says, or None. Without ``hashes`` sizes are compared."""
    if record.get("plan") != plan.digest:
        return "done.json belongs to another plan"
    for name, expected in record["outputs"].items():
        path = plan.folder / name
        if not path.exists():
            return f"{name} is missing"
        if hashes:
            if _describe_output(path) != expected:
                return f"{name} does not match done.json"
        elif path.is_file() and path.stat().st_size != expected["bytes"]:
            return f"{name} has {path.stat().st_size} bytes, done.json says {expected['bytes']}"
    return None


def is_merged(plan: Plan) -> bool:
    """Whether the outputs are committed and of the right size; no bytes are read."""
    record = committed(plan.folder)
    return record is not None and output_fault(plan, record, hashes=False) is None
