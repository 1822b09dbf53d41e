"""drg-doctor: what this node, image and cluster offer, with advice."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.config import ClusterFlags, Options, flag, minutes_of
from drg_hpc.errors import EXIT_DONE, EXIT_INPUT, DrgError
from drg_hpc.runs import image as images
from drg_hpc.runs.doctor import Finding, Place, examine, worst
from drg_hpc.runs.doctor_files import check_folder
from drg_hpc.runs.doctor_node import check_collectives, check_cpus, check_gpus, check_libraries, check_mpi
from drg_hpc.runs.doctor_slurm import check_slurm, on_compute_node
from drg_hpc.runs.launch.sbatch import replaces, setup_lines
from drg_hpc.runs.site import SiteFile, node_scratch, read_site, site_path

Check = tuple[str, Callable[[], Iterable[Finding]]]
_JOB_MINUTES = 10
_JOB_MEM = "4G"


class DoctorOptions(Options):
    """Options of drg-doctor."""

    folder: Path = flag(Path(), help="where runs will be (default: the current folder)", metavar="DIR")
    scratch: Path | None = flag(
        None, help="scratch of a node (default: the site's, else TMPDIR or the system's folder for it)", metavar="DIR"
    )
    image: Path | None = flag(None, help="the image that workers will run in (default: the site's)", metavar="FILE.sif")
    bind: list[str] = flag([], help="further paths to see in the image", metavar="SOURCE[:TARGET]")
    submit: bool = flag(False, help="also examine a compute node, through srun with the site's settings")
    timeout: int = flag(600, help="seconds to wait for --submit, the queue's included", metavar="SECONDS", ge=1)


def srun_flags(cluster: ClusterFlags) -> list[str]:
    """The site's settings as options of srun, for one short task."""
    flags = [f"--time={min(minutes_of(cluster.time or '') or _JOB_MINUTES, _JOB_MINUTES)}"]
    for name in ("partition", "account", "qos"):
        if value := getattr(cluster, name):
            flags.append(f"--{name}={value}")
    if not any(replaces(pair.partition("=")[0], "mem") for pair in cluster.slurm_arg):
        flags.append(f"--mem={cluster.mem or _JOB_MEM}")
    if cluster.cpus:
        flags.append(f"--cpus-per-task={cluster.cpus}")
    if cluster.gpus:
        flags.append(f"--gres={cluster.gres or 'gpu'}:{cluster.gpus}")
    return [*flags, *(f"--{pair}" for pair in cluster.slurm_arg)]


def _checks(options: DoctorOptions, site: SiteFile) -> list[Check]:
    folder = options.folder.absolute()
    image = None if images.inside() else options.image or site.cluster.image
    place = Place(
        image, (folder, *site.cluster.bind, *options.bind), image is not None and Path("/dev/nvidiactl").exists()
    )
    return [
        ("CPU", check_cpus),
        ("libraries", partial(check_libraries, place)),
        ("GPU", partial(check_gpus, place)),
        ("collectives", partial(check_collectives, place)),
        ("MPI", partial(check_mpi, place)),
        ("run folder", partial(check_folder, "run folder", folder, scratch=False, place=place)),
        ("scratch", partial(_check_scratch, options, place)),
    ]


def _check_scratch(options: DoctorOptions, place: Place) -> Iterable[Finding]:
    found = options.scratch or node_scratch() or Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
    return check_folder("scratch", found, scratch=True, place=place)


def _cluster(options: DoctorOptions, site: SiteFile) -> list[Check]:
    checks: list[Check] = [("site", _site), ("Slurm", check_slurm)]
    if options.submit:
        command = [sys.executable, "-P", "-m", "drg_hpc.cli.doctor", "--json", "--quiet"]
        command += ["--folder", str(options.folder.absolute())]
        command += ["--scratch", str(options.scratch)] if options.scratch else []
        command += ["--image", str(options.image.absolute())] if options.image else []
        command += ["--bind", *options.bind] if options.bind else []
        flags = srun_flags(site.cluster)
        if setup := setup_lines(site.cluster, environment={}):  # as every job has it
            command = ["bash", "-c", "\n".join([*setup, 'exec "$@"']), "drg-doctor", *command]
        checks.append(("compute node", partial(on_compute_node, command, flags=flags, timeout=options.timeout)))
    return checks


def _site() -> list[Finding]:
    path = site_path()
    if path is None:
        advice = "write partition, account and scratch into configs/site.toml, or let DRG_SITE name a file"
        return [Finding("site", "note", "no site settings", advice)]
    return [Finding("site", "ok", f"settings from {path}")]


def _findings(options: DoctorOptions) -> list[Finding]:
    try:
        site, faults = read_site(), []
    except DrgError as error:
        site, faults = SiteFile(), [Finding("site", "fail", str(error))]
    checks = _checks(options, site)
    if "SLURM_JOB_ID" not in os.environ and images.inside() is None:
        checks += _cluster(options, site)
    elif options.submit:
        advice = "run it on a login node, outside of jobs and images"
        faults.append(Finding("compute node", "warn", "--submit does nothing inside a job or an image", advice))
    return examine(checks) + faults


def _doctor(options: DoctorOptions) -> Result:
    findings = _findings(options)
    verdict = worst(findings)
    failed = [finding for finding in findings if finding.level == "fail"]
    counts = {level: sum(f.level == level for f in findings) for level in ("ok", "note", "warn", "fail")}
    summary = ", ".join(f"{count} {level}" for level, count in counts.items() if count)
    if failed:
        message = f"a job cannot run here as it is: {failed[0].topic}: {failed[0].what} ({summary})"
    else:
        message = f"a job can run here ({summary})"
    return {
        "message": message,
        "lines": [finding.line() for finding in findings],
        "host": os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        "verdict": verdict,
        "findings": [finding.as_dict() for finding in findings],
        "exit_code": EXIT_INPUT if failed else EXIT_DONE,
    }


def main() -> NoReturn:
    """drg-doctor."""
    run_command(
        prog="drg-doctor",
        summary="Say what this node, image and cluster offer. Exit 0 when a job can run, else 3.",
        options=DoctorOptions,
        action=_doctor,
    )


if __name__ == "__main__":
    main()
