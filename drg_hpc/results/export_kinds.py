"""What attributions can be exported as. Light: plans check it."""

from __future__ import annotations

from collections.abc import Sequence

from drg_hpc.config import nearest
from drg_hpc.errors import UsageError
from drg_hpc.results.attributions_layout import Layout

KINDS = ("bigwig", "bed", "modisco", "finemo", "drg")


def parse_exports(text: str | None) -> tuple[str, ...]:
    """``bigwig,bed`` as kinds, each once, in the order of :data:`KINDS`.

    Raises
    ------
    UsageError : no such kind, or none at all
    """
    if text is None:
        return ()
    wanted = [item.strip() for item in text.split(",") if item.strip()]
    for item in wanted:
        if item not in KINDS:
            raise UsageError(f"--export: no kind {item!r}", fix=nearest(item, KINDS))
    if not wanted:
        raise UsageError("--export names nothing", fix=f"kinds: {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in wanted)


def check_exports(kinds: Sequence[str], layout: Layout, *, contigs: bool) -> None:
    """Refuse before the run what could not be exported after it.

    Parameters
    ----------
    contigs : lengths of contigs will be known

    Raises
    ------
    UsageError : which kind, and what it lacks
    """
    arrays = [kind for kind in kinds if kind != "bed"]
    if arrays and not layout.tracks:
        raise UsageError(
            f"--export {arrays[0]}: attention scores are no attributions by base", fix="only bed is possible"
        )
    if "bigwig" in kinds and not contigs:
        raise UsageError("--export bigwig needs the lengths of contigs, which the input does not know",
                         fix="drg-export makes it afterwards, with --genome")  # fmt: skip
    for kind in ("modisco", "finemo"):
        if kind in kinds and layout.top:
            raise UsageError(f"--export {kind} needs all positions", fix="leave --top out")
    if "modisco" in kinds and not layout.has_contributions:
        raise UsageError(
            "--export modisco needs a form of all four bases that is a contribution",
            fix="--keep hypothetical with --output hypothetical, corrected or raw, or a single track",
        )
