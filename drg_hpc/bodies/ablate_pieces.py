"""Which pieces drg-ablate replaces and by what, as far as the plan knows it. Light."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drg_hpc.attribution.reference_spec import parse_frequencies
from drg_hpc.bodies.ablate_options import PieceOptions
from drg_hpc.bodies.bed_lines import Lines
from drg_hpc.bodies.perturb_sites import sites_of
from drg_hpc.bodies.selected import Selection
from drg_hpc.config import changed, nearest
from drg_hpc.errors import InputError, UsageError
from drg_hpc.experiments.ablation_windows import parse_windows
from drg_hpc.files import counted, read_json
from drg_hpc.genome.bed import read_bed
from drg_hpc.runs.outputs import read_done, resolve_output

WINDOWS, SPANS, SEQLETS, MOTIFS = "windows", "spans", "seqlets", "motifs"
PIECES = "pieces"
"""Key of the file of pieces among the inputs of a plan."""
BACKGROUND = "background"
_BACKGROUND = f"{BACKGROUND}:"
_HDF5 = b"\x89HDF\r\n\x1a\n"
"""First bytes of a file of HDF5."""
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
    certainty : what the count is: about, at most, or (nothing better is known) of one piece a sequence
    """

    kind: str
    file: Path | None
    params: dict[str, Any]
    count: int
    words: str
    certainty: str = "about"


def find_pieces(options: PieceOptions, chosen: Selection, *, length: int) -> PieceSource:
    """What ``--windows``, ``--spans`` or ``--seqlets`` asks for.

    Parameters
    ----------
    chosen : the sequences
    length : of them

    Raises
    ------
    UsageError : none or several of them, windows that do not fit, or that no shuffle changes
    InputError : nothing there, or something else, or lines none of which lies within a sequence
    CorruptError : not the file that its folder lists
    """
    given = [name for name in (WINDOWS, SPANS, SEQLETS) if getattr(options, name) is not None]
    if len(given) != 1:
        what = " and ".join(f"--{name}" for name in given) if given else "no pieces"
        raise UsageError(f"{what}: pieces are of one source", fix="give one of --windows, --spans and --seqlets")
    if options.windows is not None:
        tiled = parse_windows(options.windows, length=length, start=options.start, end=options.end)
        _require_change(options.replace, tiled.width)
        each = len(tiled.starts)
        params = {"width": tiled.width, "step": tiled.step, "start": tiled.start, "end": tiled.end}
        words = f"{counted(each, 'window')} of {counted(tiled.width, 'base')} a sequence"
        return PieceSource(WINDOWS, None, params, each * chosen.rows, words)
    if unused := changed(options, ("start", "end")):
        raise UsageError(f"--{unused[0]} has no use without --windows", fix="leave it out")
    if options.spans is not None:
        lines = Lines(options.spans, list(read_bed(options.spans)))
        words, count = f"{counted(len(lines.found), 'line')} of {options.spans}", len(lines.found)
        if chosen.regions is not None:
            count = lines.count_within(chosen.regions, length=length)
        return PieceSource(SPANS, options.spans, {}, count, words)
    assert options.seqlets is not None
    if (options.seqlets / "motifs.json").is_file():
        return _motifs(options.seqlets)
    return _seqlets(options.seqlets, chosen.rows)


def _require_change(replace: str, width: int) -> None:
    """Refuse windows in which a shuffle has one order alone: of pairs, both ends and their neighbours stay."""
    least = {"mono": 2, "dinuc": 4}.get(replace, 1)
    if width < least:
        others = "--replace background:a,c,g,t" if replace == "mono" else "--replace mono or background:a,c,g,t"
        raise UsageError(f"windows of {counted(width, 'base')} with --replace {replace}: a shuffle changes nothing",
                         fix=f"give wider windows ({least} bases or more), or {others}")  # fmt: skip


def _motifs(folder: Path) -> PieceSource:
    """Seqlets that lie on one site are one piece, so that there may be fewer."""
    count = sum(int(motif["n_seqlets"]) for motif in read_json(folder / "motifs.json")["motifs"])
    return PieceSource(MOTIFS, sites_of(folder), {}, count, f"sites of the motifs in {folder}", "at most")


def _seqlets(path: Path, rows: int) -> PieceSource:
    """Of a run, what done.json says; a file by itself is looked into by the workers."""
    file, done = resolve_output(path, "out.h5"), read_done(path)
    if file.is_dir():
        raise InputError(f"{path} has no seqlets: it is no run of drg-seqlets and no folder of drg-motifs")
    if done is not None and done.get("command") != "seqlets":
        raise InputError(f"{path} is a run of drg-{done.get('command')}, seqlets are wanted",
                         fix="give a run of drg-seqlets or a folder of drg-motifs")  # fmt: skip
    with file.open("rb") as handle:
        if handle.read(len(_HDF5)) != _HDF5:
            raise InputError(f"{file} is not an HDF5 file, seqlets are wanted",
                             fix="give a run of drg-seqlets or its out.h5, or --spans BED")  # fmt: skip
    if done is None:
        return PieceSource(SEQLETS, file, {}, rows, f"seqlets of {path}", "with one piece a sequence")
    return PieceSource(SEQLETS, file, {}, int(done["summary"]["rows"]), f"seqlets of {path}", "at most")


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
