"""Workers inside an Apptainer (or Singularity) image, while the control plane stays outside.

Nothing is forced on the container program: its own settings (APPTAINER_USERNS, APPTAINER_CLEANENV, a site's bind list)
count as the user or the site gave them. What a worker must see is bound by name, since a site may bind nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc.errors import IncompleteError, InputError, Stopped, UsageError, from_exit_code
from drg_hpc.runs.outputs import committed
from drg_hpc.runs.plan import Plan, environment_for
from drg_hpc.runs.spec import Stage

PROGRAMS = ("apptainer", "singularity")
_FORWARDED = ("CUDA_VISIBLE_DEVICES", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "TMPDIR", "SLURM_JOB_ID")


def program() -> str:
    """Path of apptainer, else of singularity.

    Raises
    ------
    InputError : neither is on PATH
    """
    for name in PROGRAMS:
        if (found := shutil.which(name)) is not None:
            return found
    raise InputError("neither apptainer nor singularity is on PATH", fix="module load one, or leave --image out")


def check_image(image: Path) -> Path:
    """The absolute path of an image file or of an unpacked one (a sandbox folder).

    Raises
    ------
    InputError : it is not there
    """
    if image.is_file() or (image / ".singularity.d").is_dir():
        return image.absolute()
    raise InputError(f"no such image: {image}", fix="bin/build-image makes one; give its path with --image")


def wrap(
    command: Sequence[str],
    *,
    image: Path,
    binds: Iterable[Path | str] = (),
    gpu: bool = False,
    folder: Path | None = None,
    container: str | None = None,
) -> list[str]:
    """The argument list that runs ``command`` in ``image``; a pure function when ``container`` is given.

    Parameters
    ----------
    command : program of the image and its arguments
    binds : a Path is bound to the same place; a text is the container program's own ``source[:target[:options]]``
    gpu : bring the host's NVIDIA driver in (``--nv``); CUDA_VISIBLE_DEVICES stays what it is
    folder : working folder inside (default: the container program's choice)
    container : the container program (default: :func:`program`), such as a bare ``apptainer`` for another node

    Raises
    ------
    InputError : no container program here
    UsageError : a bind that the container program cannot express
    """
    arguments = [container or program(), "--quiet", "exec"]  # without its INFO lines; warnings stay
    if gpu:
        arguments.append("--nv")
    for bind in binds:
        arguments += _bind(bind)
    if folder is not None:
        arguments += ["--pwd", str(folder.absolute())]
    return [*arguments, str(image.absolute()), *command]


def _bind(bind: Path | str) -> list[str]:
    if isinstance(bind, str):
        if bind.startswith("-") or "\n" in bind:
            raise UsageError(f"--bind {bind!r} is not SOURCE[:TARGET[:OPTIONS]]")
        return ["--bind", bind]
    text = str(bind.absolute())
    if not set(text) & set(':,"\n'):
        return ["--bind", text]
    if "\n" in text:
        raise UsageError(f"path cannot be bound into the image: {text!r}", fix="use a path without a line break")
    # --bind has no quoting; --mount takes a line of CSV
    fields = ["type=bind", f"source={text}", f"destination={text}"]
    return ["--mount", ",".join('"' + field.replace('"', '""') + '"' for field in fields)]


def run_binds(plan: Plan, *, scratch: Path | None = None) -> tuple[Path, ...]:
    """Folders that a worker of ``plan`` must see: the run, the folders of its inputs, node scratch.

    Where an input, or a file of it, is a link, the folder it points to is among them. A folder below another one of
    the list is left out.

    Parameters
    ----------
    scratch : node-local scratch; left out where it does not exist (it may exist on other nodes only)
    """
    folders = [plan.folder.absolute()]
    for record in plan.inputs.values():
        path = Path(record["path"])
        members = [path / name for name in record["members"]]
        folders.append(path if members else path.parent)
        folders += [item.resolve().parent for item in (path, *members) if item.resolve() != item]
    if scratch is not None and scratch.is_dir():
        folders.append(scratch.absolute())
    chosen: list[Path] = []
    for folder in sorted(set(folders)):
        if folder == Path("/"):
            raise InputError("an input lies in the root folder, which cannot be bound into an image", fix="move it")
        if not any(above in folder.parents for above in chosen):
            chosen.append(folder)
    return tuple(chosen)


def forwarded(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables of a worker under the names that cross into the image even with ``--cleanenv`` set by a site.

    Parameters
    ----------
    environment : the worker's environment outside; threads, GPU, scratch, job and every ``DRG_`` variable are taken

    Returns
    -------
    ``{"APPTAINERENV_OMP_NUM_THREADS": "1", …}``, for the container program in use (both prefixes)
    """
    names = [name for name in environment if name in _FORWARDED or name.startswith("DRG_")]
    return {f"{prefix}ENV_{name}": environment[name] for prefix in ("APPTAINER", "SINGULARITY") for name in names}


@dataclass(frozen=True)
class Inside:
    """The image that the workers and merges of one run use."""

    plan: Plan
    image: Path
    binds: tuple[Path | str, ...]

    @classmethod
    def of(cls, plan: Plan, *, image: Path, binds: Iterable[str] = (), scratch: Path | None = None) -> Inside:
        """For ``plan``: what it needs is bound, then ``binds`` as the user gave them.

        Raises
        ------
        InputError : no such image, or no container program here
        UsageError : a bind that is none
        """
        program()
        made = cls(plan, check_image(image), (*run_binds(plan, scratch=scratch), *binds))
        made.wrap(["true"])  # a bad bind is said now, not by the first worker
        return made

    def wrap(self, command: Sequence[str], *, gpu: bool = False) -> list[str]:
        """``command`` in the image, from the run folder."""
        return wrap(command, image=self.image, binds=self.binds, gpu=gpu, folder=self.plan.folder)


def python_command(
    inside: Inside | None, arguments: Sequence[str], *, environment: Mapping[str, str], gpu: bool = False
) -> tuple[list[str], dict[str, str]]:
    """Argument list and environment of a Python of this package, here or in the image.

    Parameters
    ----------
    arguments : after ``python -P``, which keeps a random.py in the current folder from standing in for Python's own
    environment : of the process outside
    gpu : in the image: bring the host's NVIDIA driver in
    """
    if inside is None:
        return [sys.executable, "-P", *arguments], dict(environment)
    return inside.wrap(["python", "-P", *arguments], gpu=gpu), {**environment, **forwarded(environment)}


def run_merger(plan: Plan, inside: Inside | None, stage: Stage | None = None) -> int:
    """Merge, or reduce a stage, in a process of its own; its exit code, negative when a signal ended it.

    Raises
    ------
    Stopped : by a signal; the merge has then ended too
    """
    arguments = ["-m", "drg_hpc.runs.merger", str(plan.folder), *([stage.name] if stage is not None else [])]
    command, environment = python_command(inside, arguments, environment=os.environ | environment_for(plan.threads))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment) as child:
        try:
            return child.wait()
        except Stopped:
            child.terminate()
            child.wait()
            raise


def merge_inside(plan: Plan, inside: Inside, stage: Stage | None = None) -> dict[str, Any]:
    """Merge, or reduce a stage, in the image; what done.json then holds (nothing after a stage).

    Raises
    ------
    DrgError : as the merge in the image ended; its own message has gone to stderr
    """
    code = run_merger(plan, inside, stage)
    if code != 0:
        raise from_exit_code(code, f"the merge in {inside.image.name} ended with {code}; its message is above")
    if stage is not None:
        return {}
    record = committed(plan.folder)
    if record is None:
        raise IncompleteError(f"no done.json in {plan.folder} after its merge", fix="is the folder shared?")
    return record


def inside() -> Path | None:
    """The image this process runs in, if it runs in one."""
    name = os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER")
    return Path(name) if name else None
