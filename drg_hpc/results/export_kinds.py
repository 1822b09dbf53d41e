"""What attributions can be exported as. Light: plans check it."""

from __future__ import annotations

from collections.abc import Sequence

from drg_hpc.config import nearest
from drg_hpc.errors import UsageError
from drg_hpc.results.attributions_layout import SIZES, Layout

KINDS = ("bigwig", "bed", "modisco", "finemo", "drg")
_LINE = 96  # bytes of a region in a BED file
_NAME = 64  # of a name in an npz file, which takes four bytes a character
_FINEMO_ROW = 2 * _NAME + 12  # contig, name, and three numbers
_BASE = 6  # of a base in a bigWig file: a float32 that hardly shrinks, and its part of the zoom levels
_BASE_TOP = 16  # of a base that stands by itself, with its start and end
_HEADER = 1 << 15  # of a bigWig file, with its index and contigs


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
    if arrays and not (layout.tracks and layout.by_base):
        what = "edits that are no substitutions" if layout.tracks else "attention scores"
        raise UsageError(f"--export {arrays[0]}: {what} are no attributions by base", fix="only bed is possible")
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


def export_bytes(kinds: Sequence[str], layout: Layout, rows: int) -> int:
    """Bytes of some kinds, for the plan: of arrays before compression, which real sequence and sparse values are
    far below; of bigWig where no regions overlap.

    Parameters
    ----------
    layout : of the file that is exported
    rows : of that file
    """
    return sum(_kind_bytes(kind, layout, rows) for kind in kinds)


def _kind_bytes(kind: str, layout: Layout, rows: int) -> int:
    """Of all inputs and tracks."""
    tracks, lengths = len(layout.tracks), [length for _, length in layout.inputs]
    value, bases = SIZES[layout.dtype], sum(lengths)
    if kind == "bed":
        return rows * len(lengths) * _LINE
    if kind == "bigwig":
        of_base = _BASE_TOP if layout.top else _BASE
        held = sum(layout.kept_positions(number) for number in range(len(lengths)))
        return tracks * (rows * held * of_base + len(lengths) * _HEADER)
    if kind == "modisco":
        return rows * (4 * bases * (SIZES["int8"] + tracks * value) + len(lengths) * _LINE)
    if kind == "finemo":
        values = (4 if layout.has_contributions else 1) * value
        return rows * tracks * (bases * (4 * SIZES["int8"] + values) + len(lengths) * _FINEMO_ROW)
    assert kind == "drg"
    maps = sum(
        40 * layout.kept_positions(number) if layout.top else 16 * length for number, length in enumerate(lengths)
    )
    return rows * (tracks * maps + 4 * bases * SIZES["int8"] + 2 * len(lengths) * _NAME)
