"""One front for every fan-out command: plan, then (unless told otherwise) work here and merge."""

from __future__ import annotations

import logging
import sys
from typing import Any, NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.config import ClusterFlags, FanoutOptions
from drg_hpc.errors import UsageError
from drg_hpc.files import counted, human_bytes
from drg_hpc.runs.bodies import BODIES, planner
from drg_hpc.runs.devices import choose_gpus
from drg_hpc.runs.image import Inside
from drg_hpc.runs.merge import is_merged
from drg_hpc.runs.outputs import committed
from drg_hpc.runs.plan import Plan, preview_plan, write_plan
from drg_hpc.runs.signals import stop_on_signals
from drg_hpc.runs.site import cluster_settings
from drg_hpc.runs.spec import RunSpec

log = logging.getLogger(__name__)

SHARD_KINDS = ("genome", "regions", "sequences")


def plan_lines(spec: RunSpec, asked: int | None) -> list[str]:
    """The plan in words: shards (``asked``: by --shards), bytes, files, memory."""
    lines = []
    for stage in spec.stages:
        made = len(stage.shards)
        why = f" ({asked} asked: a shard is whole blocks of rows)" if asked is not None and made < asked else ""
        rows = counted(sum(shard.rows for shard in stage.shards), "row")
        lines.append(f"stage {stage.name}: {rows} in {counted(made, 'shard')}{why}")
    estimate = spec.estimate
    lines.append(
        f"about {human_bytes(estimate.bytes)} in {estimate.files} files; "
        f"{human_bytes(estimate.memory)} memory per worker, {spec.threads} threads"
    )
    return [*spec.notes, *lines]


def _finished(plan: Plan, record: dict[str, Any], *, skipped: bool) -> Result:
    outputs = [str(plan.folder / name) for name in record["outputs"]]
    word = "already complete" if skipped else "wrote"
    return {
        "message": f"{word}: {', '.join(outputs)}",
        "run": str(plan.folder),
        "outputs": outputs,
        "summary": record["summary"],
        "skipped": skipped,
    }


def run_fanout(command: str, options: FanoutOptions) -> Result:
    """Plan ``command`` and do as the options say."""
    with stop_on_signals():
        if options.launch != "mpi":
            return _run(command, options, world=None)
        if cluster_settings(options, options.cluster, base=ClusterFlags()).image is not None:
            raise UsageError(
                "--launch mpi starts in the image", fix="mpirun -n 4 apptainer exec IMAGE drg-… --launch mpi"
            )
        from drg_hpc.runs.launch import mpi

        world = mpi.join()
        if world.rank:
            raise SystemExit(mpi.serve(world, device=options.device))
        try:
            return _run(command, options, world=world)
        finally:
            mpi.release(world)


def _run(command: str, options: FanoutOptions, *, world: Any) -> Result:
    if options.calibrate and not options.dry_run:
        raise UsageError("--calibrate goes with --dry-run", fix="add --dry-run, or leave it out")
    spec: RunSpec = planner(command).plan_shards(options)
    if options.dry_run:
        return _dry_run(spec, options)
    by_slurm = options.launch in ("slurm", "submitit")
    if not options.plan_only and not by_slurm:
        choose_gpus(options.device, uses_gpu=BODIES[command][1])  # refused before anything is written
    if by_slurm and not options.plan_only:
        from drg_hpc.runs.launch.scheduler import require_slurm

        require_slurm()
    plan = write_plan(spec, options.out)
    if is_merged(plan):
        return _finished(plan, committed(plan.folder) or {}, skipped=True)
    for line in plan_lines(spec, options.shards):
        log.info("%s", line)
    if options.plan_only:
        message = f"planned: {plan.folder} (drg-work {plan.folder}, then drg-merge {plan.folder})"
        return {"message": message, "run": str(plan.folder)} | _sizes(spec)
    if by_slurm:
        return _submit(plan, options)
    if world is not None:
        from drg_hpc.runs.launch.mpi import run_mpi

        return _finished(plan, run_mpi(plan, world), skipped=False)
    from drg_hpc.runs.launch.local import run_local  # not needed for --help, planning and finished runs

    record = run_local(plan, workers=options.workers, device=options.device, inside=_inside(plan, options))
    return _finished(plan, record, skipped=False)


def _inside(plan: Plan, options: FanoutOptions) -> Inside | None:
    """The image asked for on the command line or in the configuration; the site's image is for jobs."""
    settings = cluster_settings(options, options.cluster, base=ClusterFlags())
    return None if settings.image is None else Inside.of(plan, image=settings.image, binds=settings.bind)


def _submit(plan: Plan, options: FanoutOptions) -> Result:
    from drg_hpc.cli.submit import submitted_result
    from drg_hpc.runs.launch.chain import launcher_for, submit_missing

    settings = cluster_settings(options, options.cluster)
    launcher = launcher_for(options.launch)
    result = submit_missing(plan, launcher, settings=settings, device=options.device, workers=options.workers)
    return submitted_result(plan, result)


def _dry_run(spec: RunSpec, options: FanoutOptions) -> Result:
    from drg_hpc.runs import cost

    measured = {}
    if options.calibrate:
        measured = cost.calibrate(spec, device=options.device, inside=lambda plan: _inside(plan, options))
    lines = plan_lines(spec, options.shards)
    result: Result = {"message": f"dry run: nothing written to {options.out}"} | _sizes(spec)
    settings = cluster_settings(options, options.cluster)
    plan = preview_plan(spec, options.out)
    told = cost.estimate(plan, settings=settings, workers=options.workers, shard_s=measured)
    lines += told.lines()
    if options.launch in ("slurm", "submitit"):
        from drg_hpc.runs.launch.slurm import preview

        scripts = preview(plan, settings=settings, workers=options.workers, shard_s=measured)
        lines += scripts
        result["scripts"] = scripts
    return result | {"lines": lines, "cost": told.as_dict()}


def _sizes(spec: RunSpec) -> dict[str, Any]:
    return {
        "shards": {stage.name: len(stage.shards) for stage in spec.stages},
        "bytes": spec.estimate.bytes,
        "files": spec.estimate.files,
        "memory": spec.estimate.memory,
    }


def main(command: str, *, prog: str, arguments: list[str] | None = None) -> NoReturn:
    """Entry point of one fan-out command."""
    module = planner(command)
    run_command(
        prog=prog,
        summary=module.SUMMARY,
        options=module.Options,
        action=lambda options: run_fanout(command, options),
        arguments=arguments,
    )


def ablate() -> NoReturn:
    """drg-ablate."""
    main("ablate", prog="drg-ablate")


def attr() -> NoReturn:
    """drg-attr."""
    main("attr", prog="drg-attr")


def ism() -> NoReturn:
    """drg-ism."""
    main("ism", prog="drg-ism")


def kernels() -> NoReturn:
    """drg-kernels."""
    main("kernels", prog="drg-kernels")


def marginalize() -> NoReturn:
    """drg-marginalize."""
    main("marginalize", prog="drg-marginalize")


def perturb() -> NoReturn:
    """drg-perturb."""
    main("perturb", prog="drg-perturb")


def predict() -> NoReturn:
    """drg-predict."""
    main("predict", prog="drg-predict")


def seqlets() -> NoReturn:
    """drg-seqlets."""
    main("seqlets", prog="drg-seqlets")


def selftest() -> NoReturn:
    """drg-selftest."""
    main("selftest", prog="drg-selftest")


def simulate() -> NoReturn:
    """drg-simulate."""
    main("simulate", prog="drg-simulate")


def variants() -> NoReturn:
    """drg-variants."""
    main("variants", prog="drg-variants")


def shard() -> NoReturn:
    """drg-shard genome|regions|sequences."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in SHARD_KINDS:
        main(f"shard-{arguments[0]}", prog=f"drg-shard {arguments[0]}", arguments=arguments[1:])
    if arguments and arguments[0] == "--version":
        main("shard-sequences", prog="drg-shard", arguments=arguments)
    _shard_overview(arguments)


def _shard_overview(arguments: list[str]) -> NoReturn:
    usage = "usage: drg-shard genome|regions|sequences [options]"
    if arguments[:1] not in (["-h"], ["--help"]):
        wrong = f"unknown kind {arguments[0]!r}" if arguments else "a kind is required"
        print(f"drg-shard: error: {wrong}; {usage}", file=sys.stderr)
        sys.exit(2)
    print(f"{usage}\n\nTurn genomes, regions and sequences into zarr one-hot stores.\n")
    for kind in SHARD_KINDS:
        print(f"  {kind:<10} {planner(f'shard-{kind}').SUMMARY}")
    print("\ndrg-shard KIND --help lists the options of each.")
    sys.exit(0)
