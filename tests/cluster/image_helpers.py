"""The test image: how it is built and run.

It is built once and kept (DRG_TEST_IMAGES, default /var/tmp/drg-test-images); a change of the code rebuilds its last
step only. DRG_TEST_IMAGE names an image to be taken as it is.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from support import ROOT

KEPT = Path(os.environ.get("DRG_TEST_IMAGES", "/var/tmp/drg-test-images"))
BED = ROOT / "tests" / "cluster" / "apptainer_bed.sh"


@dataclass(frozen=True)
class Image:
    """A built image and the environment that runs it."""

    file: Path
    env: dict[str, str]

    def run(
        self, *command: object, verb: str = "exec", flags: tuple[str, ...] = (), before: list[str] | None = None,
        exit_code: int = 0, **changes: str,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """A command in the image; its exit code must be the expected one."""
        words = [*(before or []), "apptainer", "--silent", verb, *flags, str(self.file), *map(str, command)]
        done = subprocess.run(
            words, env=self.env | changes, capture_output=True, text=True, timeout=900, check=False, cwd="/"
        )
        assert done.returncode == exit_code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


def build(out: Path, env: dict[str, str], *more: str, before: list[str] | None = None, root: Path = ROOT) -> float:
    """bin/build-image of the CPU image on a debootstrap base; returns its seconds."""
    command = [*(before or []), str(root / "bin" / "build-image"), "--cpu", "--base", "debootstrap"]
    command += ["--cache", str(KEPT / "cache"), "--squash=-comp zstd -Xcompression-level 1", "--out", str(out), *more]
    started = time.monotonic()
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return time.monotonic() - started
