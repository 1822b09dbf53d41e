"""What a node, an image and a cluster offer: findings with advice. Nothing here is needed to run; nothing is changed.

Light: libraries are asked in processes of their own (:mod:`drg_hpc.runs.doctor_probe`), so that one that is missing,
crashes or hangs is a finding like any other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from drg_hpc.errors import DrgError
from drg_hpc.runs import image as images

Level = Literal["ok", "note", "warn", "fail"]
PROBE_S = 120.0
_NOISE = ("INFO:", "WARNING:", "warn", "W0", "[W", "slurmstepd", "srun: job")


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Parameters
    ----------
    topic : group it is shown under (``GPU``, ``Slurm``, ``run folder`` …)
    level : ``ok``; ``note``: good to know; ``warn``: something will be slow or unsafe; ``fail``: a job cannot run
    what : what was found, with the value
    advice : what to do about it
    facts : the values, for ``--json``
    """

    topic: str
    level: Level
    what: str
    advice: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def line(self) -> str:
        """``ok    GPU: 2 x NVIDIA A100 …``."""
        return f"{self.level:<5} {self.topic}: {self.what}" + (f" -> {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class Place:
    """Where probes run: this process's surroundings, or an image."""

    image: Path | None = None
    binds: tuple[Path | str, ...] = ()
    gpu: bool = False

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Arguments of a Python of this place."""
        if self.image is None:
            return [sys.executable, "-P", *arguments]
        return images.wrap(["python", "-P", *arguments], image=self.image, binds=self.binds, gpu=self.gpu)


@dataclass(frozen=True)
class Answer:
    """What a program said: exit code (None: it did not end in time, or could not be started), stdout, stderr."""

    code: int | None
    out: str
    err: str

    def why(self) -> str:
        """The line of stderr that says most."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        telling = [line for line in lines if not line.startswith(_NOISE)]
        return (telling or lines or [f"it ended with {self.code}"])[-1][:300]


def ask(command: Sequence[str], *, timeout: float = 30.0, **environment: str) -> Answer:
    """Run a program that answers by itself; one that hangs is stopped."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
            stdin=subprocess.DEVNULL, env=os.environ | environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer(None, "", f"{Path(command[0]).name} did not answer within {timeout:.0f} s")
    except OSError as error:
        return Answer(None, "", f"{command[0]}: {error.strerror}")
    return Answer(done.returncode, done.stdout, done.stderr)


def probe(name: str, *arguments: str, place: Place, timeout: float = PROBE_S) -> tuple[dict[str, Any] | None, str]:
    """Run a probe of :mod:`~drg_hpc.runs.doctor_probe`; its values, or None and the reason."""
    try:
        command = place.command(["-m", "drg_hpc.runs.doctor_probe", name, *arguments])
    except DrgError as error:
        return None, str(error)
    return read_answer(ask(command, timeout=timeout))


def read_answer(answer: Answer) -> tuple[dict[str, Any] | None, str]:
    """The JSON object on the last line of a probe's output that holds one."""
    for line in reversed(answer.out.splitlines()):
        if line.startswith("{"):
            try:
                values = json.loads(line)
            except ValueError:
                continue
            return (None, str(values["error"])) if "error" in values else (values, "")
    return None, answer.why()


def examine(checks: Iterable[tuple[str, Callable[[], Iterable[Finding]]]]) -> list[Finding]:
    """Run checks one after the other; what one raises is its finding, the others go on."""
    findings: list[Finding] = []
    for topic, check in checks:
        try:
            findings += check()
        except (DrgError, OSError) as error:
            findings.append(Finding(topic, "fail", str(error)))
    return findings


def worst(findings: Iterable[Finding]) -> Level:
    """The gravest level."""
    order: tuple[Level, ...] = ("ok", "note", "warn", "fail")
    return max((finding.level for finding in findings), key=order.index, default="ok")
