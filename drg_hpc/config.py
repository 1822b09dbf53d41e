"""Validated options: one pydantic model per command, filled from defaults, a TOML file, ``--set`` and flags."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from drg_hpc.errors import InputError, UsageError

_LISTED = 12


class Options(BaseModel):
    """Base of every option and configuration model: unknown keys are errors, values are not coerced silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    group: ClassVar[str] = ""
    """Heading of the class's own flags in ``--help``; without one they come first."""


def positional(default: Any = ..., *, help: str, metavar: str | None = None) -> Any:
    """A field that is a positional argument on the command line."""
    return Field(default, description=help, json_schema_extra={"positional": True, "metavar": metavar})


def flag(
    default: Any = ..., *, help: str, metavar: str | None = None, short: str | None = None, name: str | None = None,
    **rules: Any,
) -> Any:  # fmt: skip
    """A field that is a ``--flag``; ``rules`` are pydantic's (``ge``, ``gt``, ``le``, …).

    Parameters
    ----------
    name : what the flag is called, where a table has the name of the field that it would be
    """
    extra: dict[str, Any] = {"positional": False, "metavar": metavar, "short": short, "name": name}
    return Field(default, description=help, json_schema_extra=extra, **rules)


_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")


def minutes_of(text: str) -> int | None:
    """Minutes of a time as Slurm writes it (``90``, ``1:30:00``, ``2-12``), rounded up; None when it is not one."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    days, *rest = match.groups()
    fields = [int(field) for field in rest if field is not None]
    if days is not None:
        hours, minutes, seconds = (*fields, 0, 0)[:3]
    elif len(fields) == 3:
        hours, minutes, seconds = fields
    else:
        hours, minutes, seconds = 0, *(*fields, 0)[:2]
    total = ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    return -(-total // 60) or None


def megabytes_of(text: str) -> int | None:
    """MiB of a memory as Slurm writes it (``4000``, ``64G``), rounded up; None when it is not one."""
    match = _MEMORY.fullmatch(text)
    if match is None:
        return None
    kib = float(match[1]) * {"K": 1, "M": 1024, "": 1024, "G": 1024**2, "T": 1024**3}[match[2]]
    return int(-(-kib // 1024)) or None


_OWN_FLAGS = {
    **{name: name for name in ("partition", "account", "qos", "time", "mem")},
    "cpus-per-task": "cpus", "gres": "gpus", "gpus": "gpus", "gpus-per-node": "gpus", "gpus-per-task": "gpus",
}  # fmt: skip
"""Options of sbatch that have a flag here."""
_JOBS_OWN = {
    "array", "chdir", "error", "job-name", "kill-on-invalid-dep", "nodes", "ntasks", "open-mode", "output", "parsable",
    "signal", "wait", "wrap",
}  # fmt: skip


class ClusterFlags(Options):
    """What jobs ask a scheduler for: flags, the ``[cluster]`` table of a configuration file, or that of the site."""

    group = "on a cluster"

    partition: str | None = flag(None, help="partition of the jobs", metavar="NAME")
    account: str | None = flag(None, help="account that is charged", metavar="NAME")
    qos: str | None = flag(None, help="quality of service", metavar="NAME")
    time: str | None = flag(None, help="time limit of a task, such as 90 (minutes) or 4:00:00 (default: 1:00:00)")
    gpus: int | None = flag(None, help="GPUs of a task; one worker each (default: none)", metavar="N", ge=0)
    gres: str | None = flag(
        None, help="what the site calls a GPU, as in --gres=gpu:a100:N (default: gpu)", metavar="TYPE"
    )
    cpus: int | None = flag(None, help="CPUs of a task (default: threads times workers)", metavar="N", ge=1)
    mem: str | None = flag(None, help="memory of a task, such as 16G (default: estimated)")
    max_running: int | None = flag(None, help="tasks that may run at once (default: no limit)", metavar="N", ge=1)
    pack: int | None = flag(
        None,
        help="shards of a task (default: as many as take five minutes where their time is known, else 1)",
        metavar="N",
        ge=1,
    )
    retries: int | None = flag(
        None, help="how often jobs submit what is missing again by themselves (default: 2)", metavar="N", ge=0
    )
    image: Path | None = flag(
        None, metavar="FILE.sif",
        help="run workers and merges in this Apptainer image, planning and submitting outside; none: not in the site's",
    )  # fmt: skip
    bind: list[str] = flag([], help="further paths to see in the image", metavar="SOURCE[:TARGET]")
    slurm_arg: list[str] = flag([], help="further options of sbatch, such as constraint=a100", metavar="KEY=VALUE")
    setup: list[str] = flag(
        [], help="shell lines that every job runs first, such as 'module load cuda'", metavar="LINE"
    )

    @field_validator("time")
    @classmethod
    def _is_time(cls, value: str | None) -> str | None:
        if value is not None and minutes_of(value) is None:
            raise ValueError("must be a time such as 90 (minutes), 4:00:00 or 1-12:00:00")
        return value

    @field_validator("mem")
    @classmethod
    def _is_memory(cls, value: str | None) -> str | None:
        if value is not None and megabytes_of(value) is None:
            raise ValueError("must be a size such as 800M or 16G")
        return value

    @field_validator("partition", "account", "qos", "gres")
    @classmethod
    def _is_one_line(cls, value: str | None) -> str | None:
        if value is not None and (not value.isprintable() or not value.strip()):
            raise ValueError("must be a name on one line")
        return value

    @field_validator("slurm_arg")
    @classmethod
    def _are_pairs(cls, values: list[str]) -> list[str]:
        for value in values:
            if not re.fullmatch(r"[a-z][a-z0-9-]*(=.*)?", value) or not value.isprintable():
                raise ValueError(f"{value!r} is not KEY=VALUE, such as constraint=a100")
            key = value.partition("=")[0]
            if key in _OWN_FLAGS:
                raise ValueError(f"{key}: use --{_OWN_FLAGS[key]}")
            if key in _JOBS_OWN:
                raise ValueError(f"{key} is not for the user to choose: the chain of jobs depends on it")
        return values


class FanoutOptions(ClusterFlags):
    """Options that every fan-out command shares."""

    group = "running it"

    out: Path = flag(help="run folder to create or continue", metavar="RUN", short="-o")
    shards: int | None = flag(None, help="split into at most N shards", metavar="N", ge=1)
    shard_size: int | None = flag(None, help="rows per shard, rounded up to whole blocks", metavar="ROWS", ge=1)
    launch: Literal["local", "slurm", "submitit", "mpi"] = flag(
        "local", help="who runs the workers: processes here, jobs of Slurm (sbatch or submitit), or the ranks of mpirun"
    )
    workers: int | None = flag(
        None,
        help="worker processes (default: one per GPU, else one per CPU and --threads; of a job, as many as --cpus "
        "hold)",
        metavar="N",
        ge=1,
    )
    device: str = flag("auto", help="auto, cpu, cuda or cuda:I", metavar="DEVICE")
    seed: int = flag(0, help="seed of every random number; numbers depend on (seed, row) only", metavar="N", ge=0)
    threads: int = flag(1, help="threads per worker; part of the plan, since sums depend on it", metavar="N", ge=1)
    plan_only: bool = flag(False, help="write the plan and stop; then drg-work and drg-merge")
    dry_run: bool = flag(False, help="print the plan, what it will cost, and the sbatch scripts; write nothing")
    calibrate: bool = flag(
        False,
        help="with --dry-run: run a shard here to measure the cost; one of each stage up to the first with several",
    )
    cluster: ClusterFlags = flag(ClusterFlags(), help="the cluster flags as a table")


def changed(options: Options, names: typing.Iterable[str]) -> list[str]:
    """Those of some fields that differ from their defaults: what a user asked for."""
    fields = type(options).model_fields
    return [name for name in names if getattr(options, name) != fields[name].get_default(call_default_factory=True)]


def nearest(key: str, known: typing.Iterable[str]) -> str:
    """``did you mean 'x'?``, or what is known, the first of many."""
    listed = sorted(known)
    close = difflib.get_close_matches(key, listed, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return f"known: {', '.join(listed[:_LISTED])}{more}"


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    InputError : missing, or not TOML (with the line)
    """
    try:
        with open(path, "rb") as handle:
            return tomllib.load(handle)
    except FileNotFoundError:
        raise InputError(f"no such configuration file: {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not valid TOML: {path}: {error}") from None


def apply_set(values: dict[str, Any], assignment: str) -> None:
    """Apply one ``--set table.key=value``; the value is read as TOML, else as text."""
    name, equals, text = assignment.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"--set wants table.key=value, got {assignment!r}")
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, key = name.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise UsageError(f"--set {name}: {table} is not a table")
    values[key.replace("-", "_")] = value


def _submodels(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field may hold: one for a table, several for a choice of tables."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated, tuple, list, dict):
        return [found for item in typing.get_args(annotation) for found in _submodels(item)]
    return []


def _locate(model: type[BaseModel], location: tuple[Any, ...]) -> tuple[str, list[str]]:
    """The key at a pydantic location as people write it, and the keys known in its table.

    Where a field is a choice of tables, pydantic puts the chosen one's tag into the location.
    """
    candidates: list[type[BaseModel]] = [model]
    names: list[str] = []
    known: list[str] = []
    keyed = False
    for part in location:
        if isinstance(part, int) or keyed:  # which item of a list of tables, or of tables by name
            names.append(str(part))
            keyed = False
            continue
        tagged = [m for m in candidates if any(part in typing.get_args(f.annotation) for f in m.model_fields.values())]
        if len(candidates) > 1 and tagged:
            candidates = tagged
            continue
        names.append(str(part))
        known = [name for m in candidates for name in m.model_fields]
        fields = [m.model_fields[part] for m in candidates if part in m.model_fields]
        candidates = [found for field in fields for found in _submodels(field.annotation)]
        keyed = any(typing.get_origin(field.annotation) is dict for field in fields)
    return ".".join(names), known


def _as_typed(model: type[BaseModel], key: str) -> str:
    """A top-level key as it is given on the command line: ``-o/--out``, or a positional's name."""
    extra = model.model_fields[key].json_schema_extra if key in model.model_fields else None
    if not isinstance(extra, dict) or "positional" not in extra:
        return repr(key)
    if extra["positional"]:
        return str(extra.get("metavar") or key.upper())
    name = str(extra.get("name") or key.replace("_", "-"))
    return "/".join(filter(None, [str(extra.get("short") or ""), f"--{name}"]))


def _list_of(value: Any) -> str:
    """How a value would be written as a TOML list: ``64`` -> ``[64]``, ``"64,32"`` -> ``[64,32]``."""
    try:
        tomllib.loads(f"v = [{value}]")
    except tomllib.TOMLDecodeError:
        return json.dumps([value], default=str)
    return f"[{value}]"


def _wording(fault: Mapping[str, Any]) -> str:
    """A fault of pydantic's in the words of a configuration file."""
    kind, message = fault["type"], str(fault["msg"]).removeprefix("Value error, ")
    if kind in ("tuple_type", "list_type"):
        return f"a list is needed, such as {_list_of(fault['input'])}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "must be a table"
    if kind == "path_type":
        return "must be a path"
    message = (
        message.partition(", unable to")[0]
        .replace("Input should be", "must be")
        .replace("a valid ", "a ")
        .replace("a integer", "an integer")
    )
    return message[:1].lower() + message[1:]


M = typing.TypeVar("M", bound=BaseModel)


def build(model: type[M], values: Mapping[str, Any], *, source: str) -> M:
    """Validate ``values``; the first fault becomes one line that names key, value and fix.

    Parameters
    ----------
    model : the pydantic model of the command or file
    values : plain values, as TOML or the command line give them
    source : what to call the origin in messages (a file name, ``command line``)

    Raises
    ------
    UsageError : unknown key, wrong type, value out of range, or a clash between keys
    """
    try:
        return model.model_validate({key.replace("-", "_"): value for key, value in values.items()})
    except ValidationError as error:
        # An unknown key explains a missing one (a misspelling), so it is reported first.
        fault = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        location = fault["loc"]
        key, known = _locate(model, location)
        if fault["type"] == "extra_forbidden":
            hint = nearest(str(location[-1]), known)
            raise UsageError(f"{source}: unknown key {key!r}", fix=hint) from None
        if fault["type"] == "missing":
            name = _as_typed(model, key) if len(location) == 1 else repr(key)
            raise UsageError(f"{source}: {name} is required") from None
        if fault["type"] == "union_tag_invalid":
            name, tag = fault["ctx"]["discriminator"].strip("'"), fault["ctx"]["tag"]
            tags = [text.strip("' ") for text in fault["ctx"]["expected_tags"].split(",")]
            close = difflib.get_close_matches(tag, tags, n=1, cutoff=0.5)
            hint = f"known: {', '.join(tags)}" + (f"; did you mean {close[0]!r}?" if close else "")
            raise UsageError(f"{source}: {key}: unknown {name} {tag!r}", fix=hint) from None
        wording = _wording(fault)
        if not location:
            raise UsageError(f"{source}: {wording}") from None
        raise UsageError(f"{source}: {key} = {fault.get('input')!r}: {wording}") from None
