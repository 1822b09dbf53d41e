"""drg-doctor on Slurm: what the cluster allows, and the same examination on a compute node through srun."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from drg_hpc.runs.doctor import Answer, Finding, ask, read_answer

_TOPIC = "Slurm"
_NEEDED = ("sbatch", "squeue", "sinfo", "scontrol", "srun")
_SMALL_ARRAY = 1001  # Slurm's own default


def parse_config(text: str) -> dict[str, str]:
    """``scontrol show config`` as a table; lines without ``=`` are headings."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, equals, value in pairs if equals and name.strip()}


def check_slurm() -> Iterator[Finding]:
    """Version, partitions, limits, preemption, requeue, accounting."""
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if len(missing) == len(_NEEDED):
        advice = "on the login node of a cluster, module load slurm; elsewhere use --launch local"
        yield Finding(_TOPIC, "note", "no Slurm commands on PATH", advice)
        return
    if missing:
        advice = "submit from a login node, outside the image"
        yield Finding(_TOPIC, "warn", f"without {', '.join(missing)}", advice)
        return
    shown = ask(["scontrol", "show", "config"])
    if shown.code != 0:
        yield Finding(_TOPIC, "warn", f"the controller does not answer: {shown.why()}", "scontrol ping says more")
        return
    config = parse_config(shown.out)
    version = config.get("SLURM_VERSION", "of unknown version")
    yield Finding(_TOPIC, "ok", f"{version} on cluster {config.get('ClusterName', '?')}", facts=_facts(config))
    yield from _partitions()
    yield from _limits(config)
    yield from _preemption(config)
    yield _accounting(config)
    yield _mpi_types(config)


def _facts(config: dict[str, str]) -> dict[str, Any]:
    names = (
        "SLURM_VERSION", "ClusterName", "MaxArraySize", "MaxJobCount", "PreemptType", "PreemptMode", "JobRequeue",
        "AccountingStorageType", "SlurmctldParameters", "PreemptParameters", "KillWait", "MpiDefault", "DefMemPerCPU",
        "DefMemPerNode", "GresTypes", "MinJobAge",
    )  # fmt: skip
    return {name: config[name] for name in names if name in config}


def _partitions() -> Iterator[Finding]:
    listed = ask(["sinfo", "--noheader", "--format", "%R|%a|%l|%D|%T|%c|%m|%G"])
    if listed.code != 0:
        yield Finding(_TOPIC, "warn", f"sinfo fails: {listed.why()}")
        return
    rows = [line.split("|") for line in listed.out.splitlines() if line.count("|") == 7]
    lines: dict[str, list[str]] = {}
    useful = 0
    for name, up, limit, nodes, state, cpus, memory, gres in rows:
        extra = "" if gres in ("(null)", "") else f" {gres}"
        lines.setdefault(name, []).append(f"{nodes} {state} ({cpus} CPUs, {memory} MB{extra}, {up}, limit {limit})")
        useful += int(nodes) if up == "up" and re.match(r"idle|mixed|alloc|completing|planned", state) else 0
    for name, parts in lines.items():
        yield Finding(_TOPIC, "ok", f"partition {name}: {'; '.join(parts)}")
    if not useful:
        yield Finding(_TOPIC, "warn", "no partition has a node that takes jobs", "sinfo -R says why nodes are down")


def _limits(config: dict[str, str]) -> Iterator[Finding]:
    size = int(config.get("MaxArraySize", "0") or 0)
    if 0 < size < _SMALL_ARRAY:
        advice = "large runs are split over several arrays; pack short shards into one task"
        yield Finding(_TOPIC, "note", f"MaxArraySize {size}", advice)
    else:
        yield Finding(_TOPIC, "ok", f"MaxArraySize {size}, MaxJobCount {config.get('MaxJobCount', '?')}")
    if all(config.get(name, "UNLIMITED") in ("UNLIMITED", "0") for name in ("DefMemPerCPU", "DefMemPerNode")):
        yield Finding(_TOPIC, "note", "a job that asks for no memory gets a node's all", "set mem in site.toml")


def _preemption(config: dict[str, str]) -> Iterator[Finding]:
    kind, mode = config.get("PreemptType", ""), config.get("PreemptMode", "")
    parameters = f"{config.get('SlurmctldParameters', '')},{config.get('PreemptParameters', '')}"
    if kind in ("preempt/none", "(null)", ""):
        yield Finding(_TOPIC, "ok", "no preemption")
    elif "CANCEL" in mode:
        advice = "drg-submit RUN submits what is missing again; finished shards are kept"
        yield Finding(_TOPIC, "warn", f"preempted jobs are cancelled ({kind}, {mode}); requeue does nothing", advice)
    elif "send_user_signal" in parameters:
        yield Finding(_TOPIC, "ok", f"preempted jobs get the signal they asked for ({kind}, {mode})")
    else:
        advice = "shards restart by themselves; a training loses what it did since its last checkpoint"
        yield Finding(_TOPIC, "note", f"preempted jobs get no signal of their choice ({kind}, {mode})", advice)
    if config.get("JobRequeue", "1").startswith("0"):
        advice = "jobs ask for it themselves (--requeue); if the site forbids that, use drg-submit again"
        yield Finding(_TOPIC, "note", "JobRequeue is off", advice)
    else:
        yield Finding(_TOPIC, "ok", "jobs may be requeued")


def _accounting(config: dict[str, str]) -> Finding:
    kind = config.get("AccountingStorageType", "")
    if "none" in kind or kind in ("", "(null)"):
        text = (
            f"no accounting: states come from squeue and scontrol, for {config.get('MinJobAge', '300 sec')} after a job"
        )
        return Finding(_TOPIC, "note", text, "nothing to do; receipts say what is done")
    answer = ask(["sacct", "--noheader", "--format", "JobID", "--starttime", "now"])
    if answer.code != 0:
        advice = "states come from squeue and scontrol instead"
        return Finding(_TOPIC, "warn", f"accounting is on, but sacct fails: {answer.why()}", advice)
    return Finding(_TOPIC, "ok", f"accounting is on ({kind})")


def _mpi_types(config: dict[str, str]) -> Finding:
    answer = ask(["srun", "--mpi=list"])
    kinds = re.findall(r"\b(pmi2|pmix\w*|cray_shasta|none)\b", answer.out + answer.err)
    names = ", ".join(sorted(set(kinds))) or "unknown"
    return Finding(_TOPIC, "ok", f"srun --mpi: {names} (default {config.get('MpiDefault', '?')})", facts={"mpi": kinds})


def on_compute_node(command: Sequence[str], *, flags: Sequence[str], timeout: float) -> list[Finding]:
    """Run ``drg-doctor --json`` on a compute node and take its findings over.

    Parameters
    ----------
    command : the doctor's own argument list, as it runs there
    flags : srun's (partition, account, …)
    timeout : seconds to wait, the queue's included
    """
    if shutil.which("srun") is None:
        return [Finding("compute node", "warn", "--submit needs srun, which is not here", "run it on a login node")]
    answer: Answer = ask(["srun", "--ntasks=1", "--job-name=drg-doctor", *flags, *command], timeout=timeout)
    values, why = read_answer(answer)
    if values is None or "findings" not in values:
        advice = "check partition, account, time and setup in site.toml, or the queue (squeue --me)"
        if "Killed" in why or "emory" in why:
            advice = "more memory: mem in site.toml"
        return [Finding("compute node", "fail", f"srun brought no answer: {why}", advice)]
    where = values["host"]
    return [Finding(**entry | {"topic": f"{where}: {entry['topic']}"}) for entry in values["findings"]]
