"""Where the motifs of drg-perturb are, as far as the plan knows it: names, widths, files. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drg_hpc.bodies.bed_lines import Lines
from drg_hpc.bodies.perturb_options import Options
from drg_hpc.config import changed
from drg_hpc.errors import InputError, UsageError
from drg_hpc.experiments.background import Background, fasta_of, read_background
from drg_hpc.experiments.grammar import Grammar, grammar_of
from drg_hpc.files import read_json
from drg_hpc.genome.bed import read_bed
from drg_hpc.genome.motif_formats import find_motifs, read_raw
from drg_hpc.genome.motif_text import RawMotif
from drg_hpc.runs.outputs import PLAN, check_files, resolve_output
from drg_hpc.store.header import find_store

SIMULATION, SCAN, BED, MOTIFS = "simulation", "scan", "bed", "motifs"
SITES, BACKGROUND = "sites", "background"
"""Keys of inputs of a plan."""
SITES_FILE, EFFECTS_FILE = "sites.h5", "effects.h5"
OF_SCAN = ("motif_format", "max_p", "scan_strands")


@dataclass(frozen=True)
class SiteSource:
    """Where sites come from.

    Attributes
    ----------
    kind : simulation, scan, bed or motifs
    file : that is read
    motifs : names, those asked for
    widths : of each, where they are known
    grammar, background : of a simulation
    """

    kind: str
    file: Path
    motifs: list[str]
    widths: Mapping[str, int] = field(default_factory=dict)
    grammar: Grammar | None = None
    background: Background | None = None


def find_source(options: Options) -> SiteSource:
    """What ``--sites`` asks for.

    Raises
    ------
    UsageError : flags of a scan without one, no motifs named, or one twice
    InputError : no such file, or a motif that is not there (with the nearest names)
    """
    twice = next((name for name in options.motifs if options.motifs.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"--motifs: {twice} stands twice", fix="give each once")
    if options.sites != SCAN and (unused := changed(options, ("motif_db", *OF_SCAN))):
        raise UsageError(
            f"--{unused[0].replace('_', '-')} has no use without --sites scan", fix="add it, or leave it out"
        )
    if options.sites in (None, SIMULATION):
        return _simulation(options)
    if not options.motifs:
        raise UsageError("--motifs is needed: which of the motifs are tested, and all pairs of them")
    if options.sites == SCAN:
        return _scan(options)
    path = Path(str(options.sites))
    return _folder(options, path) if path.is_dir() else _bed(options, path)


def _simulation(options: Options) -> SiteSource:
    fix = "give the RUN of drg-simulate, or --sites scan --motif-db FILE, --sites BED, or --sites MOTIFS"
    if options.input is not None and not options.input.exists():
        raise InputError(f"no such file or folder: {options.input}", fix="give a dataset store or a FASTA file")
    if options.input is None or not options.input.is_dir():
        raise UsageError("where are the motifs? These sequences were not simulated", fix=fix)
    run = find_store(options.input).absolute().parent
    record = read_json(run / PLAN) if (run / PLAN).is_file() else {}
    if record.get("command") != "simulate":
        raise InputError(f"{options.input} is not of drg-simulate, so nothing says where its motifs are", fix=fix)
    file = resolve_output(run, SITES_FILE)
    grammar = grammar_of(record["params"]["grammar"])
    words = [RawMotif(word.name, word.rows) for word in grammar.words]
    names = [word.name for word in find_motifs(words, options.motifs, path=run)] or [word.name for word in words]
    widths = {word.name: word.width for word in grammar.words}
    background = Background.from_params(record["params"]["background"])
    return SiteSource(SIMULATION, file, names, widths, grammar, background)


def _scan(options: Options) -> SiteSource:
    if options.motif_db is None:
        raise UsageError("--sites scan needs --motif-db, the motifs to scan for")
    found = find_motifs(read_raw(options.motif_db, options.motif_format), options.motifs, path=options.motif_db)
    return SiteSource(SCAN, options.motif_db, options.motifs, {
        name: len(raw.rows) for name, raw in zip(options.motifs, found, strict=True)
    })  # fmt: skip


def _bed(options: Options, path: Path) -> SiteSource:
    names = dict.fromkeys(region.name for region in read_bed(path))
    _require(options.motifs, list(names), path)
    return SiteSource(BED, path, options.motifs)


def lines_of(path: Path, motifs: Sequence[str]) -> Lines:
    """Lines of a BED file that are named by a motif.

    Raises
    ------
    InputError : as :func:`drg_hpc.genome.bed.read_bed`
    """
    known = set(motifs)
    lines = [line for line in read_bed(path) if line.name in known]
    return Lines(path, lines, f" of {', '.join(motifs)}")


def _folder(options: Options, folder: Path) -> SiteSource:
    if not (folder / "motifs.json").is_file():
        raise InputError(f"{folder} is no folder of drg-motifs", fix="give one, a BED file, scan or simulation")
    file = sites_of(folder)
    _require(options.motifs, [str(item["motif"]) for item in read_json(folder / "motifs.json")["motifs"]], folder)
    return SiteSource(MOTIFS, file, options.motifs)


def sites_of(folder: Path) -> Path:
    """The file of the sites of motifs in a folder of drg-motifs.

    Raises
    ------
    InputError : it has none
    CorruptError : it is not the one that motifs.json lists
    """
    file = folder / EFFECTS_FILE
    if not file.is_file():
        raise InputError(f"{folder} has no sites of its motifs", fix="run drg-motifs with --effects")
    listed = read_json(folder / "motifs.json").get("files", {})
    check_files(folder, {name: record for name, record in listed.items() if name == EFFECTS_FILE})
    return file


def _require(wanted: Sequence[str], known: Sequence[str], path: Path) -> None:
    find_motifs([RawMotif(name, ()) for name in known], wanted, path=path)


def background_of(options: Options, source: SiteSource) -> tuple[Background, Path | None]:
    """What replaces a site, and the FASTA that it is from.

    Raises
    ------
    UsageError : not four frequencies that sum to 1
    InputError : a faulty FASTA
    """
    if not options.background_dist and source.background is not None:
        return source.background, None
    given = options.background_dist or ["0.25"] * 4
    return read_background(given), fasta_of(given)


def excluded_gaps(
    options: Options, source: SiteSource, *, length: int, distance: bool
) -> tuple[tuple[int, int] | None, frozenset[str] | None]:  # fmt: skip
    """Gaps that a moved pair does not get, and the pair that they are of (None: every pair).

    Parameters
    ----------
    length : bases of the sequences
    distance : this is among the tests

    Raises
    ------
    UsageError : no range, or one that no gap fits into, or every gap that fits
    """
    given = {"--min-dist": options.min_dist, "--max-dist": options.max_dist}
    if missing := [name for name, value in given.items() if value is None]:
        if len(missing) == 1:
            raise UsageError(f"{missing[0]} is needed too: gaps of the rule are a range")
        grammar = source.grammar
        if grammar is None or grammar.rule != "distance":
            return None, None
        return (grammar.min_gap, grammar.max_gap), frozenset(grammar.words[i].name for i in grammar.needed)
    assert options.min_dist is not None and options.max_dist is not None
    if not distance:
        raise UsageError("--min-dist and --max-dist have no use without the test distance", fix="leave them out")
    if options.min_dist > options.max_dist:
        raise UsageError(f"--min-dist {options.min_dist} is above --max-dist {options.max_dist}")
    widths = sorted(source.widths[name] for name in source.motifs if name in source.widths)[:2]
    longest = length - sum(widths)
    if options.min_dist > longest:
        raise UsageError(
            f"no gap of --min-dist {options.min_dist} to --max-dist {options.max_dist} fits into {length} bases: with "
            f"the motifs ({sum(widths)} bases) gaps are 0 to {longest}",
            fix="give distances that fit, or leave them out",
        )
    if options.min_dist == 0 and options.max_dist >= longest:
        raise UsageError(
            f"every gap that fits into {length} bases (0 to {longest}) is within --min-dist 0 and --max-dist "
            f"{options.max_dist}: a pair cannot be moved out of them",
            fix="give a narrower range",
        )
    return (options.min_dist, options.max_dist), None


def require_width(source: SiteSource, length: int) -> None:
    """Refuse a motif that is longer than the sequences.

    Raises
    ------
    UsageError : which
    """
    for name in source.motifs:
        if source.widths.get(name, 0) > length:
            raise UsageError(f"motif {name} has {source.widths[name]} positions, the sequences have {length} bases",
                             fix="leave it out")  # fmt: skip
