"""The image on a real Apptainer: built, run as root and as a user without network, searched for names, under Slurm."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_helpers import sha256, until
from image_helpers import BED, KEPT, Image, build
from slurm_bed import PATIENCE_S, Bed
from support import EXAMPLES, PROJECT, ROOT, Once, drg, environment

from drg_hpc.runs import image as images
from drg_hpc.runs.plan import read_plan

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

NOBODY = 65534
# Any user may open /dev/fuse where udev runs. Where it is root's alone, as in a bare virtual machine, the user gets an
# open one, in a mount namespace of its own.
OPEN_FUSE = """
set -e
if [ "$(stat -c %a /dev/fuse)" != 666 ]; then
    mount -t tmpfs none /mnt
    mknod -m 666 /mnt/fuse c "$((0x$(stat -c %t /dev/fuse)))" "$((0x$(stat -c %T /dev/fuse)))"
    mount --bind /mnt/fuse /dev/fuse
    umount --lazy /mnt
fi
exec setpriv --reuid=$0 --regid=$0 --clear-groups "$@"
"""
AS_USER = ["unshare", "--mount", "sh", "-c", OPEN_FUSE, str(NOBODY)]
# a network of its own, with nothing but its loopback
NO_NETWORK = ["unshare", "--net", "sh", "-c", 'PATH=$PATH:/usr/sbin ip link set lo up && exec "$@"', "sh"]


@pytest.fixture
def user_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody's user owns and can reach."""
    folder = Path("/var/tmp") / f"drg-user-{os.getpid()}-{tmp_path.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_the_bed_changes_nothing_twice(apptainer: dict[str, str]) -> None:
    program = Path(shutil.which("apptainer", path=apptainer["PATH"]) or "").resolve(strict=True)
    before = program.stat()
    done = subprocess.run([str(BED), "up"], env=apptainer, check=True, capture_output=True, text=True)
    after = program.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert "installing" not in done.stderr


def test_without_network_from_the_cache_and_not_twice(image: Image, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"  # a copy: the work tree may be edited while this runs
    for name in ("drg_hpc", "containers", "bin", "configs", "examples"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "constraints.txt", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, checkout)
    made = Image(tmp_path / "again.sif", image.env | {"DRG_PYTHON": sys.executable})
    build(made.file, made.env, "--offline", before=NO_NETWORK, root=checkout)
    before = made.file.stat()
    build(made.file, made.env, "--offline", before=NO_NETWORK, root=checkout)
    assert made.file.stat().st_ino == before.st_ino
    assert made.run("drg-attr", "--version").stdout.startswith("drg-attr 0.")


def test_another_image_is_not_replaced(image: Image, tmp_path: Path) -> None:
    (tmp_path / "mine.sif").write_text("precious")
    command = [str(ROOT / "bin" / "build-image"), "--base", "debootstrap", "--cache", str(KEPT / "cache"), "--offline"]
    command += ["--out", str(tmp_path / "mine.sif")]
    done = subprocess.run(command, env=image.env, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--force" in done.stderr
    assert (tmp_path / "mine.sif").read_text() == "precious"


def test_labels_help_and_test(image: Image) -> None:
    labels = json.loads(image.run(verb="inspect", flags=("--json",)).stdout)["data"]["attributes"]["labels"]
    assert labels["org.opencontainers.image.version"] == PROJECT["version"]
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", labels["org.opencontainers.image.revision"])
    assert labels["drg_hpc.variant"] == "cpu"
    assert "apptainer run" in image.run(verb="run-help").stdout
    assert "merged" in image.run(verb="test", before=NO_NETWORK).stdout


def test_runscript_dispatches(image: Image) -> None:
    assert "drg-seqlets" in image.run(verb="run", exit_code=2).stderr
    assert image.run("attr", "--version", verb="run").stdout.startswith("drg-attr")
    assert image.run("drg-attr", "--help", verb="run").stdout.startswith("usage: drg-attr")
    assert "no command" in image.run("nonsense", verb="run", exit_code=2).stderr
    assert image.run("drg-status", "/no/such run;", verb="run", exit_code=3).stderr.count("/no/such run;") == 1


def test_host_python_stays_outside(image: Image, tmp_path: Path) -> None:
    (tmp_path / "zarr.py").write_text("raise SystemExit('the host answered')\n")
    code = "import zarr, sys; print(zarr.__version__, sys.prefix)"
    flags = ("--bind", str(tmp_path))
    host = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path)}
    assert "/opt/drg/.venv" in image.run("python", "-c", code, flags=flags, **host).stdout
    done = image.run("python", "-c", code, flags=flags, APPTAINERENV_PYTHONPATH=str(tmp_path), exit_code=1)
    assert "the host answered" in done.stderr


def test_machine_code_is_in_the_image(image: Image, tmp_path: Path) -> None:
    code = "import numpy as np; from memelite import tomtom; a = [np.full((4, 9), .25)]; tomtom(a, a * 100, n_jobs=1)"
    home = ("--containall", "--home", f"{tmp_path}:/home/someone")
    said = image.run("python", "-W", "ignore", "-c", code, flags=home, APPTAINERENV_NUMBA_DEBUG_CACHE="1").stdout
    assert "data loaded from" in said and "data saved to" not in said
    assert list((tmp_path / ".cache" / "drg_hpc").glob("numba-*"))
    none = image.run(
        "python", "-W", "ignore", "-c", code, flags=("--containall", "--no-home"), APPTAINERENV_NUMBA_DEBUG_CACHE="1",
        APPTAINERENV_HOME="/nowhere",
    ).stdout  # fmt: skip
    assert "data loaded from" in none and "data saved to" not in none


def private_names(env: dict[str, str]) -> list[str]:
    """Hosts and folders of this machine that must not be found in an image."""
    shown = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, env=env, check=False
    ).stdout
    text = "\n".join([*(value for name, value in env.items() if name.startswith("PIP_")), shown])
    names = set(re.findall(r"(?:https?|file)://[^\s'\"]+|/opt/[^\s'\"]+", text))
    names |= {re.sub(r"^\w+://(?:[^@/]*@)?([^/:]+).*", r"\1", name) for name in names if name.startswith("http")}
    for file in Path("/etc/apt").rglob("*"):
        if file.is_file() and file.suffix in (".sources", ".list"):
            found = re.findall(r"^(?:URIs:|deb\s(?:\[.*\])?)\s*https?://([^\s/]+)", file.read_text(), re.MULTILINE)
            names |= set(found)
    return sorted({name for name in names if len(name) > 6} | {str(KEPT), str(ROOT)})


def test_no_name_of_this_machine_is_inside(image: Image) -> None:
    names = private_names(image.env)
    said = image.run(verb="inspect", flags=("--json", "--labels", "--deffile", "--environment")).stdout
    assert not [name for name in names if name in said]
    # /etc/hosts is the host's at run time; apt's own set-up dialogue names Debian's public archive
    skip = [f"--exclude-dir={name}" for name in ("proc", "sys", "dev", "methods")] + ["--exclude=hosts"]
    words = [part for name in names for part in ("-e", name)]
    found = image.run("grep", "-rlFs", *skip, *words, "/", flags=("--containall",), exit_code=1)
    assert not found.stdout


@pytest.fixture(scope="module")
def root_quickstart(image: Image, once: Once) -> Path:
    def make(out: Path) -> None:
        done = image.run(
            "quickstart", "--small", "--out", out / "q", verb="run", before=NO_NETWORK,
            flags=("--containall", "--bind", str(out)), APPTAINERENV_OMP_NUM_THREADS="1",
        )  # fmt: skip
        assert "report.html" in done.stdout

    return once("root", make) / "q"


def test_quickstart_as_a_user_gives_the_same_bytes(image: Image, root_quickstart: Path, user_folder: Path) -> None:
    assert "usage: drg-attr" in image.run("drg-attr", "--help", before=[*NO_NETWORK, *AS_USER]).stdout
    image.run(
        "quickstart", "--small", "--out", user_folder / "q", before=[*NO_NETWORK, *AS_USER],
        flags=("--bind", str(user_folder), "--home", str(user_folder)), HOME=str(user_folder), OMP_NUM_THREADS="1",
    )  # fmt: skip
    for name in ("model/weights.safetensors", "attributions/out.h5", "seqlets/out.h5", "motifs/out.h5"):
        assert sha256(user_folder / "q" / name) == sha256(root_quickstart / name), name


def test_inside_and_outside_give_the_same_bytes(root_quickstart: Path, tmp_path: Path) -> None:
    model, store = root_quickstart / "model", root_quickstart / "store"
    drg("drg-attr", model, store, "--split", "test", "--method", "deepshap", "-o", tmp_path / "attributions")
    assert sha256(tmp_path / "attributions" / "out.h5") == sha256(root_quickstart / "attributions" / "out.h5")
    drg("drg-seqlets", tmp_path / "attributions", "-o", tmp_path / "seqlets")
    assert sha256(tmp_path / "seqlets" / "out.h5") == sha256(root_quickstart / "seqlets" / "out.h5")


def test_worker_in_the_image_control_plane_outside(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", image.env["PATH"])
    data = tmp_path / 'da,ta:"1"'
    data.mkdir()
    shutil.copy(EXAMPLES / "ctcf" / "peaks.fa.gz", data)
    made = [data / "peaks.fa.gz", "--negatives", "dinuc:1", "--valid", "chr8", "--test", "chr9"]
    for name in ("inside", "outside"):
        drg("drg-shard", "sequences", *made, "-o", tmp_path / name, "--plan-only")
    plan, scratch = read_plan(tmp_path / "inside"), tmp_path / "scratch"
    scratch.mkdir()
    binds = images.run_binds(plan, scratch=scratch)
    assert {data, plan.folder, scratch} == set(binds)
    command = images.wrap(["drg-work", str(plan.folder)], image=image.file, binds=binds, folder=plan.folder)
    command.insert(3, "--no-mount=tmp,cwd,home")  # a site that binds nothing, and lets no variable in
    crossing = images.forwarded({"DRG_LOG_FORMAT": "json", "TMPDIR": str(scratch)})
    done = subprocess.run(
        command, env=image.env | crossing | {"APPTAINER_CLEANENV": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"level"' in done.stderr
    drg("drg-merge", tmp_path / "inside")
    drg("drg-work", tmp_path / "outside")
    drg("drg-merge", tmp_path / "outside")
    manifests = [(tmp_path / name / "out.zarr" / "manifest.json").read_bytes() for name in ("inside", "outside")]
    assert manifests[0] == manifests[1]


def test_a_stop_signal_reaches_the_worker(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", image.env["PATH"])
    drg("drg-selftest", "-o", tmp_path / "run", "--rows", 640, "--seconds", 2, "--plan-only")
    plan = read_plan(tmp_path / "run")
    command = images.wrap(["drg-work", str(plan.folder)], image=image.file, binds=images.run_binds(plan))
    with subprocess.Popen(command, env=image.env, stderr=subprocess.PIPE, text=True) as worker:
        until("it works on a shard", lambda: list(plan.folder.glob("parts/rows/.0*")))
        worker.send_signal(signal.SIGTERM)
        said = worker.stderr.read() if worker.stderr else ""
    assert worker.returncode == 143, said
    assert "stopped by SIGTERM" in said
    assert not list(plan.folder.glob("parts/rows/.0*"))


def test_the_image_under_srun_on_two_nodes(image: Image, plain_bed: Bed, tmp_path: Path) -> None:
    drg("drg-selftest", "-o", tmp_path / "here", "--rows", 640, "--shards", 10)
    drg("drg-selftest", "-o", tmp_path / "there", "--rows", 640, "--shards", 10, "--plan-only")
    plan = read_plan(tmp_path / "there")
    command = images.wrap(
        ["drg-work", str(plan.folder)], image=image.file, binds=images.run_binds(plan), container="apptainer"
    )
    plain_bed.run("srun", "-N2", "--ntasks-per-node=1", "--mem=1G", *command, env=image.env | plain_bed.env)
    drg("drg-merge", plan.folder)
    assert sha256(tmp_path / "here" / "out.h5") == sha256(plan.folder / "out.h5")
    receipts = [json.loads(path.read_text()) for path in plan.folder.glob("parts/*/*/receipt.json")]
    assert len(receipts) == 11


RING = """
from mpi4py import MPI
import os
everybody = MPI.COMM_WORLD
total = everybody.allreduce(everybody.rank)
large = everybody.allgather(bytes(300_000))
nodes = everybody.allgather(os.environ["SLURMD_NODENAME"])
if everybody.rank == 0:
    print(total, len(large), *sorted(nodes))
"""


def test_mpi_with_a_container_for_each_rank(image: Image, plain_bed: Bed, tmp_path: Path) -> None:
    (tmp_path / "ring.py").write_text(RING)
    inner = images.wrap(
        ["python", str(tmp_path / "ring.py")], image=image.file, binds=[tmp_path], container="apptainer"
    )
    flags = ["--mpi=pmi2", "-N2", "--ntasks-per-node=2", "--mem=1G", "--time=2"]
    said = plain_bed.run("srun", *flags, *inner, env=image.env | plain_bed.env)
    assert said.split() == ["6", "4", "node1", "node1", "node2", "node2"]


def test_doctor_of_image_and_compute_node(image: Image, plain_bed: Bed, tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text('[cluster]\npartition = "high"\ngpus = 1\nmem = "3G"\n')
    command = [sys.executable, "-m", "drg_hpc.cli.doctor", "--folder", str(tmp_path), "--image", str(image.file)]
    done = subprocess.run(
        [*command, "--submit", "--json"], capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env=environment(**image.env, **plain_bed.env, DRG_SITE=str(site)),
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    found = {finding["topic"]: finding for finding in report["findings"]}
    assert found["image"]["level"] == "ok"
    assert found["Slurm"]["facts"]
    remote = {topic for topic in found if topic.startswith("node")}
    assert {topic.partition(": ")[2] for topic in remote} >= {"CPU", "image", "run folder", "scratch"}, found
