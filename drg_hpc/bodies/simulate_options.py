"""Options of drg-simulate, and the grammar, background and labels that they ask for. Light."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from drg_hpc.config import FanoutOptions, changed, flag
from drg_hpc.digests import describe_inputs
from drg_hpc.errors import UsageError
from drg_hpc.experiments.background import fasta_of
from drg_hpc.experiments.grammar import Grammar, Rule, Word, check_fit, smoothed, usual_gap
from drg_hpc.experiments.labels import LARGEST, VALUE_TRACK, Effects, LabelKind, read_weights
from drg_hpc.genome.motif_formats import MotifFormat, find_motifs, read_raw

log = logging.getLogger(__name__)

_OF_GAPS = ("min_dist", "max_dist", "gap_mean")
_POSITIVES, _NEAR_MISSES = 0.5, 0.25
_MOST = 0.6
"""A larger share of pairs with one and the same gap is worth a warning. By default it is 0.53, as DRG simulates."""


class Options(FanoutOptions):
    """Options of drg-simulate."""

    num_seqs: int = flag(100, help="sequences", metavar="N", ge=1)
    seq_length: int = flag(200, help="bases of each", metavar="L", ge=1)
    gen_type: Rule = flag(
        "presence",
        help="rule of a positive: presence, all of --pos-motifs are there; order, the first also lies left of the "
        "second; distance, also with a gap of --min-dist to --max-dist bases",
    )
    motif_db: Path = flag(help="motif file: MEME, JASPAR, TRANSFAC, ENCODE, HOCOMOCO; plain or gzip", metavar="FILE")
    motif_format: MotifFormat = flag("auto", help="its format, where the file does not show it")
    pos_motifs: list[str] = flag(
        help="motifs that a positive needs, by name; two for order and distance: left, then right", metavar="NAME"
    )
    motifs: list[str] = flag(
        [], help="all motifs to place, those of a positive among them, each once at most (default: --pos-motifs)",
        metavar="NAME",
    )  # fmt: skip
    background_dist: list[str | float] = flag(
        ["0.25"] * 4,
        help="frequencies of A, C, G, T, or dinuc:FASTA, base given base as in those sequences (default: 0.25 each)",
        metavar="P",
    )
    min_dist: int = flag(0, help="least gap of a pair: bases from the end of a site to the next one", metavar="N", ge=0)
    max_dist: int = flag(20, help="largest gap of a pair", metavar="N", ge=0)
    gap_mean: float = flag(
        20.0, help="gaps are drawn from Poisson's distribution with this mean, and one beyond the range becomes the "
        "nearer end of the range; 0: evenly within it",
        metavar="X", ge=0, le=500,
    )  # fmt: skip
    positives: float | None = flag(
        None, help="share of sequences for which the rule holds (default: order and distance 0.5; presence: as it "
        "comes with a uniform number of the motifs in each)", metavar="F", gt=0, lt=1,
    )  # fmt: skip
    near_misses: float | None = flag(
        None, help="order, distance: share with both motifs and only the order or the distance wrong (default: 0.25); "
        "the rest has a uniform number of the motifs anywhere, and the rule does not hold", metavar="F", ge=0, lt=1,
    )  # fmt: skip
    strands: Literal["forward", "both"] = flag("forward", help="both: each site lies on either strand, by chance")
    starts: list[int] = flag([], help="sites start only at these positions (default: anywhere)", metavar="POSITION")
    pseudocount: float = flag(
        0.001, help="part of the probabilities of a motif that is spread evenly over the bases", metavar="X", ge=0, lt=1
    )
    labels: LabelKind = flag(
        "rule", help="rule: 1 or 0; additive: the weights of the motifs that are there; synergistic: and more where "
        "the rule holds",
    )  # fmt: skip
    weights: Path | None = flag(
        None, help="table of tracks: header 'track', names of motifs, and if wanted 'synergy' and 'noise' (default: "
        f"one track '{VALUE_TRACK}', weight 1 for each of --pos-motifs)", metavar="TSV",
    )  # fmt: skip
    synergy: float | None = flag(None, help="synergistic: added where the rule holds (default: 1)", metavar="X")
    noise: float = flag(0.0, help="standard deviation of noise on additive and synergistic labels", metavar="X", ge=0)
    valid_fraction: float = flag(0.15, help="share of sequences that validate", metavar="F", ge=0, lt=1)
    test_fraction: float = flag(0.15, help="share of sequences that test", metavar="F", ge=0, lt=1)

    @field_validator("synergy", "noise")
    @classmethod
    def _fits_labels(cls, value: float | None) -> float | None:
        if value is not None and not abs(value) <= LARGEST:
            raise ValueError(f"must be a number that is not beyond {LARGEST:g}, since labels are float32")
        return value


def _refuse_unused(options: Options) -> None:
    """An option that the others leave without effect is a mistake."""
    unused: list[tuple[str, str]] = []
    if options.gen_type == "presence":
        unused += [(name, "--gen-type presence") for name in changed(options, (*_OF_GAPS, "near_misses"))]
    elif options.starts:
        names = _OF_GAPS if options.gen_type == "order" else ("gap_mean",)
        unused += [(name, "--starts") for name in changed(options, names)]
    if options.labels == "rule":
        unused += [(name, "--labels rule") for name in changed(options, ("weights", "synergy", "noise"))]
    elif options.labels == "additive":
        unused += [(name, "--labels additive") for name in changed(options, ("synergy",))]
    if unused:
        name, why = unused[0]
        raise UsageError(f"--{name.replace('_', '-')} has no use with {why}", fix="leave it out")


def _names(options: Options) -> list[str]:
    """Names of all motifs.

    Raises
    ------
    UsageError : a name twice, one of a positive that is not among them, or not two of a pair
    """
    needed, names = options.pos_motifs, options.motifs or options.pos_motifs
    for flag_name, listed in (("--pos-motifs", needed), ("--motifs", names)):
        twice = next((name for name in listed if listed.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"{flag_name}: {twice} stands twice", fix="each motif is placed once at most")
    missing = next((name for name in needed if name not in names), None)
    if missing is not None:
        raise UsageError(f"--pos-motifs {missing} is not among --motifs", fix="name it there too")
    if options.gen_type != "presence" and len(needed) != 2:
        raise UsageError(
            f"--gen-type {options.gen_type} is about two motifs, --pos-motifs has {len(needed)}",
            fix="give the left one, then the right one",
        )
    return names


def _shares(options: Options) -> tuple[float | None, float]:
    if options.gen_type == "presence":
        return options.positives, 0.0
    positives = _POSITIVES if options.positives is None else options.positives
    near = min(_NEAR_MISSES, (1 - positives) / 2) if options.near_misses is None else options.near_misses
    if positives + near > 1:
        raise UsageError(f"--positives {positives:g} and --near-misses {near:g} are more than all sequences")
    return positives, near


def make_grammar(options: Options) -> Grammar:
    """The grammar of the options, with its motifs read.

    Raises
    ------
    UsageError : options that exclude each other or do not fit into the sequences
    InputError : a faulty motif file, or a motif that is not in it
    """
    _refuse_unused(options)
    names = _names(options)
    if options.min_dist > options.max_dist:
        raise UsageError(f"--min-dist {options.min_dist} is above --max-dist {options.max_dist}")
    starts = sorted(set(options.starts))
    if len(starts) < len(options.starts) or (starts and starts[0] < 0):
        raise UsageError(f"--starts {' '.join(map(str, options.starts))}: positions from 0, each once")
    positives, near_misses = _shares(options)
    found = find_motifs(read_raw(options.motif_db, options.motif_format), names, path=options.motif_db)
    words = [Word(name, smoothed(raw.rows, options.pseudocount)) for name, raw in zip(names, found, strict=True)]
    grammar = Grammar(
        rule=options.gen_type, length=options.seq_length, words=tuple(words),
        needed=tuple(names.index(name) for name in options.pos_motifs),
        min_gap=options.min_dist, max_gap=options.max_dist, gap_mean=options.gap_mean,
        positives=positives, near_misses=near_misses, both_strands=options.strands == "both", starts=tuple(starts),
    )  # fmt: skip
    check_fit(grammar)
    return grammar


def make_effects(options: Options, grammar: Grammar) -> list[Effects]:
    """What makes the values of each track; empty for labels by the rule.

    Raises
    ------
    InputError : a faulty table of weights
    """
    if options.labels == "rule":
        return []
    motifs = [word.name for word in grammar.words]
    synergy = (1.0 if options.synergy is None else options.synergy) if options.labels == "synergistic" else 0.0
    if options.weights is not None:
        return read_weights(options.weights, motifs, options.labels, synergy=synergy, noise=options.noise)
    weights = tuple(float(i in grammar.needed) for i in range(len(motifs)))
    return [Effects(VALUE_TRACK, weights, synergy, options.noise)]


def split_counts(options: Options) -> dict[str, int]:
    """Sequences of each split; the first rows train, the last ones test (rows are drawn alike).

    Raises
    ------
    UsageError : none is left to train on
    """
    counts = [round(options.num_seqs * share) for share in (options.valid_fraction, options.test_fraction)]
    train = options.num_seqs - sum(counts)
    if train < 1:
        shares = f"--valid-fraction {options.valid_fraction:g} and --test-fraction {options.test_fraction:g}"
        raise UsageError(f"{shares} of {options.num_seqs} sequences leave none to train on", fix="give smaller ones")
    return {"train": train, "valid": counts[0], "test": counts[1], "excluded": 0}


def source_files(options: Options) -> dict[str, dict[str, Any]]:
    """Descriptions of the files that the run is made from."""
    background = fasta_of(options.background_dist)
    files = {"motifs": options.motif_db, "background": background, "weights": options.weights}
    return describe_inputs({name: path for name, path in files.items() if path is not None})


def describe(grammar: Grammar, effects: Sequence[Effects], counts: dict[str, int]) -> list[str]:
    """The plan in words."""
    names = ", ".join(f"{word.name} ({word.width})" for word in grammar.words)
    parts = [f"{count} {split}" for split, count in counts.items() if count]
    lines = [f"{grammar.length} bases, {grammar.rule}, motifs {names}: {', '.join(parts)}"]
    if effects:
        lines.append(f"{len(effects)} tracks of values: {', '.join(item.track for item in effects[:5])}")
    return lines


def warn_of_gaps(grammar: Grammar) -> None:
    """Say so where most pairs of a range of gaps have one and the same."""
    if not grammar.is_pair or grammar.starts or grammar.min_gap == grammar.max_gap:
        return
    gap, share = usual_gap(grammar)
    if share > _MOST:
        log.warning(
            "%.1f %% of positives have a gap of %d bases: Poisson's distribution with mean %g (--gap-mean), and a gap "
            "beyond the range of %d to %d becomes the nearer end of it; --gap-mean 0 draws gaps evenly",
            100 * share, gap, grammar.gap_mean, grammar.min_gap, grammar.max_gap,
        )  # fmt: skip
