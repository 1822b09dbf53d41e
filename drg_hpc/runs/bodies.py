"""The fixed table of fan-out commands. A plan names its command; nothing is imported by a path read from a plan."""

from __future__ import annotations

import importlib
from types import ModuleType

from drg_hpc.errors import CorruptError
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import Body

# command -> (module stem, whether its work runs on a GPU)
BODIES = {
    "shard-genome": ("shard_genome", False),
    "shard-regions": ("shard_regions", False),
    "shard-sequences": ("shard_sequences", False),
    "predict": ("predict", True),
    "attr": ("attr", True),
    "ism": ("ism", True),
    "ablate": ("ablate", True),
    "seqlets": ("seqlets", False),
    "kernels": ("kernels", True),
    "marginalize": ("marginalize", True),
    "perturb": ("perturb", True),
    "simulate": ("simulate", False),
    "train": ("train", True),
    "variants": ("variants", True),
    "selftest": ("selftest", False),
}
RESUMABLE = frozenset({"train"})
"""Commands whose attempts at a shard go on where the one before was stopped; their shards may take hours."""


def planner(command: str) -> ModuleType:
    """The light ``*_plan`` module of a command: ``SUMMARY``, ``Options``, ``plan_shards(options)``."""
    return importlib.import_module(f"drg_hpc.bodies.{BODIES[command][0]}_plan")


def _entry(plan: Plan) -> tuple[str, bool]:
    """The table's line for a plan.

    Raises
    ------
    CorruptError : no such command in this version
    """
    if plan.command not in BODIES:
        raise CorruptError(f"{plan.folder / 'plan.json'}: unknown command {plan.command!r}", fix="update drg_hpc")
    return BODIES[plan.command]


def uses_gpu(plan: Plan) -> bool:
    """Whether a plan's work runs on a GPU where there is one."""
    return _entry(plan)[1]


def is_resumable(plan: Plan) -> bool:
    """Whether an attempt at a shard goes on from the state that the one before has left."""
    return plan.command in RESUMABLE


def load_body(plan: Plan) -> Body:
    """The body that does a plan's work; imports the heavy libraries."""
    module = importlib.import_module(f"drg_hpc.bodies.{_entry(plan)[0]}_work")
    body: Body = module.Body(plan)
    return body
