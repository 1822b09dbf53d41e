"""Options of drg-report; light, so that ``--help`` needs nothing but pydantic."""

from __future__ import annotations

from pathlib import Path

from drg_hpc.config import Options, flag, positional

SUMMARY = "Write one self-contained HTML page about runs, models, evaluations, attributions and motifs."
EPILOG = """\
A file of a finished run, evaluation, model or motif folder is shown when it has the size that its done.json or
motifs.json lists and, up to 1 GiB, the sha256; drg-inspect --verify compares the sha256 of larger ones, too.
"""


class ReportOptions(Options):
    """Options of drg-report."""

    paths: tuple[Path, ...] = positional(help="any runs, models, evaluation and motif folders", metavar="PATH")
    title: str | None = flag(None, help="title of the page (default: from the tracks)", metavar="TEXT")
    examples: int = flag(6, help="attribution logos of the strongest regions", ge=0, le=50, metavar="N")
    max_motifs: int = flag(40, help="motifs and kernels shown, the strongest", ge=1, metavar="N")
    out: Path = flag(
        help="HTML file to write; an older report of that name is replaced, any other file is not",
        metavar="FILE.html",
        short="-o",
    )
