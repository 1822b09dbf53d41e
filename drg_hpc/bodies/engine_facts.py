"""What a run records of the engines that computed its values."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from drg_hpc.attribution.full import Evaluator, FullEvaluator
from drg_hpc.runs.spec import Part

log = logging.getLogger(__name__)


def engine_facts(used: Sequence[Evaluator], *, batch: int) -> dict[str, Any]:
    """Of a shard: which engines ran, what comparing them with the whole model found, and passes that are smaller than
    planned.

    Parameters
    ----------
    batch : planned mutants of a pass
    """
    smaller = sorted({one.batch for one in used if isinstance(one, FullEvaluator) and one.batch < batch})
    facts = named_facts((one.engine for one in used), (one.deviation for one in used))
    return facts | ({"mutants_of_a_pass": smaller} if smaller else {})


def named_facts(engines: Iterable[str], deviations: Iterable[float | None]) -> dict[str, Any]:
    """Names of engines, and the largest deviation that was found."""
    found = [each for each in deviations if each is not None]
    return {"engines": sorted(set(engines))} | ({"deviation": max(found)} if found else {})


def joined_facts(parts: Sequence[Part]) -> dict[str, Any]:
    """Engines and deviation of all shards, for done.json; a warning where shards had different engines, which each
    worker chooses by the first row that it meets."""
    notes = [note for part in parts if (note := part.receipt.get("notes", {})).get("engines")]
    chosen = sorted({tuple(note["engines"]) for note in notes})
    if len(chosen) > 1:
        log.warning(
            "shards were computed by different engines (%s), whose values differ by rounding; --engine full gives all "
            "of them the same",
            "; ".join(" and ".join(names) for names in chosen),
        )
    return named_facts(
        (name for names in chosen for name in names),
        (float(note["deviation"]) for note in notes if "deviation" in note),
    )
