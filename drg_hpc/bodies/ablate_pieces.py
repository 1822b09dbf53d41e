"""Which pieces drg-ablate replaces and by what, as far as the plan knows it. Light."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc.attribution.reference_spec import parse_frequencies
from drg_hpc.bodies.ablate_options import PieceOptions
from drg_hpc.bodies.perturb_sites import EFFECTS_FILE
from drg_hpc.config import changed, nearest
from drg_hpc.errors import InputError, UsageError
from drg_hpc.experiments.ablation_windows import parse_windows
from drg_hpc.genome.bed import read_bed
from drg_hpc.runs.outputs import committed, resolve_output

WINDOWS, SPANS, SEQLETS, MOTIFS = "windows", "spans", "seqlets", "motifs"
PIECES = "pieces"
"""Key of the file of pieces among the inputs of a plan."""
BACKGROUND = "background"
_BACKGROUND = f"{BACKGROUND}:"
REPLACE = ("mono", "dinuc", f"{_BACKGROUND}a,c,g,t")


@dataclass(frozen=True)
class PieceSource:
    """Where pieces come from.

    Attributes
    ----------
    kind : windows, spans, seqlets or motifs
    file : that is read; None of windows
    params : for the plan
    count : pieces of all rows, as far as it is known
    words : for people
    """

    kind: str
    file: Path | None
    params: dict[str, Any]
    count: int
    words: str


def find_pieces(options: PieceOptions, *, rows: int, length: int) -> PieceSource:
    """What ``--windows``, ``--spans`` or ``--seqlets`` asks for.

    Parameters
    ----------
    rows, length : of the sequences

    Raises
    ------
    UsageError : none or several of them, or windows that do not fit
    InputError : nothing there, or something else
    """
    given = [name for name in (WINDOWS, SPANS, SEQLETS) if getattr(options, name) is not None]
    if len(given) != 1:
        what = " and ".join(f"--{name}" for name in given) if given else "no pieces"
        raise UsageError(f"{what}: pieces are of one source", fix="give one of --windows, --spans and --seqlets")
    if options.windows is not None:
        tiled = parse_windows(options.windows, length=length, start=options.start, end=options.end)
        each = len(tiled.starts)
        params = {"width": tiled.width, "step": tiled.step, "start": tiled.start, "end": tiled.end}
        words = f"{each} windows of {tiled.width} bases a sequence"
        return PieceSource(WINDOWS, None, params, each * rows, words)
    if unused := changed(options, ("start", "end")):
        raise UsageError(f"--{unused[0]} has no use without --windows", fix="leave it out")
    if options.spans is not None:
        count = sum(1 for _ in read_bed(options.spans))
        return PieceSource(SPANS, options.spans, {}, count, f"{count} lines of {options.spans}")
    assert options.seqlets is not None
    if (options.seqlets / "motifs.json").is_file():
        return _motifs(options.seqlets, rows)
    return _seqlets(options.seqlets, rows)


def _motifs(folder: Path, rows: int) -> PieceSource:
    file = folder / EFFECTS_FILE
    if not file.is_file():
        raise InputError(f"{folder} has no sites of its motifs", fix="run drg-motifs with --effects")
    return PieceSource(MOTIFS, file, {}, rows, f"sites of the motifs in {folder}")


def _seqlets(path: Path, rows: int) -> PieceSource:
    """Of a run, what done.json says; a file by itself is looked into by the workers."""
    file, done = resolve_output(path, "out.h5"), committed(path)
    if file.is_dir():
        raise InputError(f"{path} has no seqlets: it is no run of drg-seqlets and no folder of drg-motifs")
    if done is not None and done.get("command") != "seqlets":
        raise InputError(f"{path} is a run of drg-{done.get('command')}, seqlets are wanted",
                         fix="give a run of drg-seqlets or a folder of drg-motifs")  # fmt: skip
    count = rows if done is None else int(done["summary"]["rows"])
    return PieceSource(SEQLETS, file, {}, count, f"seqlets of {path}")


def parse_replace(text: str) -> tuple[str, list[float] | None]:
    """Kind of replacement, and frequencies of the background.

    Raises
    ------
    UsageError : no such kind, or not four frequencies that sum to 1
    """
    if text.startswith(_BACKGROUND):
        found = parse_frequencies(text.removeprefix(_BACKGROUND), option=f"--replace {_BACKGROUND}")
        return BACKGROUND, [value / sum(found) for value in found]
    if text not in REPLACE[:2]:
        raise UsageError(f"--replace {text!r} is not known", fix=nearest(text, REPLACE))
    return text, None
