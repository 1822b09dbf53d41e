"""drg-doctor: each finding against a machine made for it, and the command as a user runs it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import environment

from drg_hpc.cli import doctor
from drg_hpc.cli.doctor import srun_flags
from drg_hpc.config import ClusterFlags
from drg_hpc.errors import InputError
from drg_hpc.runs import doctor_files, doctor_node, doctor_slurm
from drg_hpc.runs.doctor import Answer, Finding, Place, ask, examine, probe, read_answer, worst
from drg_hpc.runs.site import read_site

CONFIG = """\
Configuration data as of 2026-11-21T11:00:00
AccountingStorageType   = accounting_storage/slurmdbd
ClusterName             = lab
DefMemPerCPU            = 256
JobRequeue              = 1
MaxArraySize            = 1001
MaxJobCount             = 10000
MpiDefault              = none
PreemptMode             = REQUEUE
PreemptType             = preempt/partition_prio
SLURM_VERSION           = 22.05.8
SlurmctldParameters     = preempt_send_user_signal
"""
SINFO = """\
cpu|up|infinite|2|idle|4|4096|(null)
gpu|up|1:00:00|1|mixed|4|4096|gpu:2
gpu|up|1:00:00|1|down*|4|4096|gpu:2
"""
Fake = Callable[..., None]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a program on a PATH that holds nothing else but sh and cat."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cat"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, out: str = "", *, code: int = 0, err: str = "") -> None:
        (folder / f"{name}.out").write_text(out)
        (folder / f"{name}.err").write_text(err)
        script = f'#!/bin/sh\ncat "{folder}/{name}.out"\ncat "{folder}/{name}.err" >&2\nexit {code}\n'
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)

    return make


def slurm(fake: Fake, config: str = CONFIG, **changes: str) -> dict[str, Finding]:
    """Findings on a cluster, by a word of what they say."""
    lines = [f"{name} = {changes.pop(name)}" for name in list(changes)]
    kept = [line for line in config.splitlines() if line.partition("=")[0].strip() not in str(lines)]
    fake("scontrol", "\n".join([*kept, *lines]))
    fake("sinfo", SINFO)
    fake("srun", err="MPI plugin types are...\n\tpmi2\n\tpmix\n\tnone\n")
    for name in ("sbatch", "squeue", "sacct"):
        fake(name)
    found = list(doctor_slurm.check_slurm())
    words = ("on cluster", "partition cpu", "partition gpu", "MaxArraySize", "preempt", "requeue", "account", "--mpi")
    return {word: finding for word in words for finding in found if word in finding.what}


def test_slurm_as_it_should_be(fake: Fake) -> None:
    found = slurm(fake)
    assert {finding.level for finding in found.values()} == {"ok"}
    assert found["on cluster"].facts["MaxArraySize"] == "1001"
    assert "gpu:2" in found["partition gpu"].what and "1 down*" in found["partition gpu"].what
    assert "pmi2, pmix" in found["--mpi"].what


def test_slurm_without_what_helps(fake: Fake) -> None:
    found = slurm(
        fake, MaxArraySize="10", PreemptMode="CANCEL", JobRequeue="0", AccountingStorageType="accounting_storage/none"
    )
    assert found["MaxArraySize"].level == "note"
    assert found["preempt"].level == "warn" and "drg-submit" in found["preempt"].advice
    assert found["requeue"].level == "warn"  # of preemption, the first to say the word
    assert found["account"].level == "note"
    assert slurm(fake, SlurmctldParameters="(null)")["preempt"].level == "note"
    assert slurm(fake, PreemptType="preempt/none")["preempt"].level == "ok"


def test_slurm_that_does_not_answer(fake: Fake) -> None:
    slurm(fake)
    fake("scontrol", code=1, err="slurm_load_ctl_conf error: Unable to contact slurm controller")
    (finding,) = doctor_slurm.check_slurm()
    assert finding.level == "warn" and "Unable to contact" in finding.what


def test_no_slurm_and_half_of_it(fake: Fake) -> None:
    (finding,) = doctor_slurm.check_slurm()
    assert finding.level == "note"
    fake("srun")
    (finding,) = doctor_slurm.check_slurm()
    assert finding.level == "warn" and "sbatch" in finding.what


def test_all_nodes_down(fake: Fake) -> None:
    slurm(fake)
    fake("sinfo", "cpu|up|infinite|2|down*|4|4096|(null)\n")
    assert any(f.level == "warn" and "sinfo -R" in f.advice for f in doctor_slurm.check_slurm())


def test_compute_node_answers(fake: Fake) -> None:
    (finding,) = doctor_slurm.on_compute_node(["x"], flags=[], timeout=5)
    assert "needs srun" in finding.what
    inner = {"host": "node1", "findings": [Finding("GPU", "warn", "two", "three", {"a": 1}).as_dict()]}
    fake("srun", f"noise\n{json.dumps(inner)}\n", code=3)
    assert doctor_slurm.on_compute_node(["x"], flags=[], timeout=5) == [
        Finding("node1: GPU", "warn", "two", "three", {"a": 1})
    ]
    fake("srun", code=1, err="srun: error: invalid partition specified: x\n")
    (finding,) = doctor_slurm.on_compute_node(["x"], flags=[], timeout=5)
    assert finding.level == "fail" and "invalid partition" in finding.what


def test_srun_asks_for_what_the_site_says() -> None:
    cluster = ClusterFlags(
        partition="gpu",
        account="a b",
        time="1-00",
        gpus=2,
        gres="gpu:a100",
        cpus=4,
        mem="8G",
        slurm_arg=["constraint=x y"],
    )
    assert srun_flags(cluster) == [
        "--time=10", "--partition=gpu", "--account=a b", "--mem=8G", "--cpus-per-task=4", "--gres=gpu:a100:2",
        "--constraint=x y",
    ]  # fmt: skip
    assert srun_flags(ClusterFlags(time="5")) == ["--time=5", "--mem=4G"]
    assert srun_flags(ClusterFlags(slurm_arg=["mem-per-cpu=2G"])) == ["--time=10", "--mem-per-cpu=2G"]


def test_the_compute_node_has_what_every_job_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.toml").write_text("[cluster]\nsetup = [\"export MODULE='loaded; $(it)'\"]\n")
    monkeypatch.setenv("DRG_SITE", str(tmp_path / "site.toml"))
    monkeypatch.setattr(doctor, "on_compute_node", lambda command, **_: [Finding("x", "ok", json.dumps(command))])
    checks = dict(doctor._cluster(doctor.DoctorOptions(submit=True), read_site()))
    (finding,) = checks["compute node"]()
    command = json.loads(finding.what)
    said = subprocess.run([*command[:4], "printenv", "MODULE"], capture_output=True, text=True, check=True).stdout
    assert said == "loaded; $(it)\n"
    assert command[4] == sys.executable and "drg_hpc.cli.doctor" in command


def gpus(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, visible: str | None, torch: dict[str, Any] | None
) -> list[Finding]:
    fake("nvidia-smi", "0, NVIDIA H100, 81559, 550.54\n1, NVIDIA H100, 81559, 550.54\n")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(doctor_node, "probe", lambda name, place: (torch, "" if torch else "it crashed"))
    return list(doctor_node.check_gpus(Place()))


def test_gpus_that_torch_uses_or_not(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = doctor_node.check_gpus(Place())
    assert finding.level == "note"
    good = {"version": "2.13.0", "built_for": "12.8", "devices": [{"computes": True}]}
    assert [f.level for f in gpus(fake, monkeypatch, "1", good)] == ["ok", "ok"]
    cpu_build = gpus(fake, monkeypatch, "1", good | {"built_for": None, "devices": []})[1]
    assert cpu_build.level == "fail" and "CUDA build" in cpu_build.advice
    assert gpus(fake, monkeypatch, "0,1", good)[1].level == "fail"
    assert "it crashed" in gpus(fake, monkeypatch, "0,1", None)[1].what
    (hidden,) = gpus(fake, monkeypatch, "", good)
    assert hidden.level == "note" and "--gpus 1" in hidden.advice
    fake("nvidia-smi", code=9, err="Failed to initialize NVML: Driver/library version mismatch")
    (ill,) = doctor_node.check_gpus(Place())
    assert ill.level == "fail" and "mismatch" in ill.what


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("mpirun (Open MPI) 4.1.4", "Open MPI"),
        ("HYDRA build details:\n    Version: 4.2", "MPICH"),
        ("Intel(R) MPI Library for Linux* OS, Version 2021.9", "Intel MPI"),
        ("MVAPICH2 Version: 2.3.7", "MPICH"),
        ("something else", "unknown"),
    ],
)
def test_mpi_families(text: str, family: str) -> None:
    assert doctor_node.mpi_family(text) == family


def test_mpi_of_two_families(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("mpirun", "mpirun (Open MPI) 4.1.4")
    mpich = {"mpi4py": "4.1.2", "library": "MPICH Version: 5.0.2"}
    monkeypatch.setattr(doctor_node, "probe", lambda name, place: (mpich, ""))
    outside, inside = doctor_node.check_mpi(Place(image=Path("/x.sif")))
    assert outside.level == "warn" and inside.level == "warn" and "pmi2" in inside.advice
    fake("mpirun", "HYDRA build details")
    assert [f.level for f in doctor_node.check_mpi(Place(image=Path("/x.sif")))] == ["ok", "ok"]


def test_memory_limits_of_both_cgroup_versions(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    groups.write_text("0::/job_1/step_0\n")
    inner = tmp_path / "job_1" / "step_0"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    assert doctor_node.memory_limit(tmp_path, groups) is None
    (inner.parent / "memory.max").write_text("4096\n")
    assert doctor_node.memory_limit(tmp_path, groups) == 4096
    groups.write_text("9:cpu:/x\n8:memory:/slurm/job_1\n")
    v1 = tmp_path / "memory" / "slurm" / "job_1"
    v1.mkdir(parents=True)
    (v1 / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert doctor_node.memory_limit(tmp_path, groups) is None
    (v1 / "memory.limit_in_bytes").write_text("1024\n")
    assert doctor_node.memory_limit(tmp_path, groups) == 1024


def folder(tmp_path: Path, *, scratch: bool = False) -> dict[str, Finding]:
    findings = list(doctor_files.check_folder("run folder", tmp_path, scratch=scratch, place=Place()))
    words = ("rename", "link", "flock", "clock", "MB/s", "HDF5", "free", "cannot", "no such", "everybody")
    assert not list(tmp_path.glob(".drg-doctor*"))
    return {word: finding for word in words for finding in findings if word in finding.what}


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_files, "SPEED_BYTES", 4 << 20)
    monkeypatch.setattr(doctor_files, "probe", lambda *arguments, place: ({"right": True, "hdf5": "2.0.0"}, ""))


@pytest.mark.usefixtures("little")
def test_a_good_folder(tmp_path: Path) -> None:
    found = folder(tmp_path)
    assert {found[word].level for word in ("rename", "link", "flock", "clock", "HDF5")} == {"ok"}
    assert found["MB/s"].facts["write_bytes_s"] > 0


@pytest.mark.usefixtures("little")
def test_a_file_system_that_breaks_the_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "rename", lambda source, target: None)
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(doctor_files, "probe", lambda *arguments, place: (None, "BlockingIOError: unable to lock"))
    found = folder(tmp_path)
    assert found["rename"].level == "fail" and "another file system" in found["rename"].advice
    assert found["link"].level == "note"
    assert found["flock"].level == "warn"
    assert found["HDF5"].level == "warn" and "HDF5_USE_FILE_LOCKING" in found["HDF5"].advice


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize(("ahead", "level"), [(0.0, "ok"), (10.0, "note"), (300.0, "note")])
def test_clocks_that_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float, level: str) -> None:
    real = doctor_files.time.time
    monkeypatch.setattr(doctor_files.time, "time", lambda: real() + ahead)
    assert folder(tmp_path)["clock"].level == level


@pytest.mark.usefixtures("little")
def test_folders_not_fit_for_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder(tmp_path / "no")["no such"].level == "fail"
    tmp_path.chmod(0o777)
    assert folder(tmp_path)["everybody"].level == "warn"
    small = os.statvfs_result((4096, 4096, 100, 50, 50, 100, 50, 50, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: small)
    assert folder(tmp_path)["free"].level == "warn"
    monkeypatch.setattr(Path, "mkdir", lambda *a, **k: (_ for _ in ()).throw(OSError(errno.EROFS, "read-only")))
    assert folder(tmp_path)["cannot"].level == "fail"


def test_file_system_type_is_of_the_deepest_mount() -> None:
    assert doctor_files.file_system(Path("/proc/self")) == ("proc", "/proc")


def test_libraries_that_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    light = {"versions": {"python": "3.11.7", "drg_hpc": "0.1.0"}}
    monkeypatch.setattr(doctor_node, "probe", lambda name, place: (light, ""))
    (finding,) = doctor_node.check_libraries(Place())
    assert finding.level == "fail" and "--image" in finding.advice
    first, image = doctor_node.check_libraries(Place(image=tmp_path / "x.sif"))
    assert (first.level, image.level) == ("ok", "fail") and "no such image" in image.what


@pytest.mark.parametrize(
    ("why", "advice"),
    [("Requesting capability set 0x1", "APPTAINER_USERNS"), ("fuse: permission denied", "--sandbox"), ("?", "exec")],
)
def test_an_image_that_does_not_run(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, why: str, advice: str
) -> None:
    fake("apptainer")
    (tmp_path / "x.sif").write_text("")
    here = {"versions": dict.fromkeys(("torch", "numpy", "h5py", "zarr"), "1")}
    monkeypatch.setattr(doctor_node, "probe", lambda name, place: (None, why) if place.image else (here, ""))
    *_, finding = doctor_node.check_libraries(Place(image=tmp_path / "x.sif"))
    assert finding.level == "fail" and advice in finding.advice


def test_programs_that_hang_crash_or_chatter() -> None:
    assert ask([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.5).code is None
    assert "No such file" in ask(["/no/such/program"]).err
    assert read_answer(Answer(0, 'chatter\n{"a": 1}\nbye', "")) == ({"a": 1}, "")
    assert read_answer(Answer(3, '{"error": "ImportError: x"}', "")) == (None, "ImportError: x")
    assert read_answer(Answer(1, "{half", "INFO: noise\nreal reason\nINFO: more")) == (None, "real reason")
    assert read_answer(Answer(1, "", "")) == (None, "it ended with 1")


def test_an_unknown_probe_and_an_absent_library() -> None:
    values, why = probe("nothing", place=Place())
    assert values is None and "KeyError" in why


def test_a_check_that_fails_is_a_finding() -> None:
    def bad() -> list[Finding]:
        raise InputError("no such file", fix="look")

    found = examine([("a", bad), ("b", lambda: [Finding("b", "ok", "good")])])
    assert [f.level for f in found] == ["fail", "ok"]
    assert worst(found) == "fail" and worst([]) == "ok"
    assert found[0].line() == "fail  a: no such file; look"


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "drg_hpc.cli.doctor", "--folder", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300, check=False)
    report = json.loads(done.stdout)
    topics = {finding["topic"]: finding["level"] for finding in report["findings"]}
    assert done.returncode == 0, report
    assert topics["collectives"] == "ok" and topics["run folder"] == "ok" and topics["libraries"] == "ok"
    assert report["verdict"] != "fail" and report["host"]
    command[4] = str(tmp_path / "no")
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300, check=False)
    assert done.returncode == 3
    assert "no such folder" in json.loads(done.stdout)["message"]
