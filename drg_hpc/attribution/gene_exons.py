"""Which exon of a gene a splice statistic is of. Light."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drg_hpc.errors import UsageError
from drg_hpc.genome.gff3 import Chains
from drg_hpc.genome.gtf import Gene, Transcript
from drg_hpc.genome.gtf_rows import Feature, dialect_of, read_features
from drg_hpc.genome.regions import Interval
from drg_hpc.genome.selection import without_version
from drg_hpc.rng import row_key

Side = Literal["acceptor", "donor"]
ExonIds = Mapping[tuple[str, str, str], frozenset[Interval]]
"""(exon id without version, contig, strand) -> its intervals."""
_CANONICAL = ("MANE_Select", "Ensembl_canonical")
_PLACE = re.compile(r"(?P<chrom>.+):(?P<start>[\d,]+)-(?P<end>[\d,]+)")
_NUMBER = re.compile(r"(?:(?P<transcript>.+):)?(?P<number>[1-9]\d*)")
_STREAM = "exon"


@dataclass(frozen=True, slots=True)
class Exon:
    """An exon with the introns beside it in one transcript.

    Attributes
    ----------
    number : from 1 at the 5' end of the transcript; 0 where it is none of its exons
    introns : the 5' one (the exon is its acceptor) and the 3' one (its donor), None where the transcript ends
    """

    start: int
    end: int
    number: int
    transcript: str
    introns: tuple[Interval | None, Interval | None]

    def intron(self, side: Side) -> Interval | None:
        """The intron on one side."""
        return self.introns[0 if side == "acceptor" else 1]


@dataclass(frozen=True)
class ExonChoice:
    """What ``--exon`` asks for.

    Attributes
    ----------
    text : as given
    seed : of a random choice
    places : contigs with intervals
    numbers : transcripts (or an empty text: the gene's own) with numbers
    ids : of exons, without versions
    """

    text: str
    every: bool = False
    seed: int | None = None
    places: tuple[tuple[str, Interval], ...] = ()
    numbers: tuple[tuple[str, int], ...] = ()
    ids: tuple[str, ...] = ()


def parse_exon(text: str) -> ExonChoice:
    """``all``, ``random:SEED``, or several, separated by commas, of ``N``, ``TRANSCRIPT:N``, ``chrom:start-end``
    (0-based, half-open) and identifiers of exons.

    Raises
    ------
    UsageError : another form
    """
    if text == "all":
        return ExonChoice(text, every=True)
    kind, colon, seed = text.partition(":")
    if kind == "random":
        if not colon or not seed.isdigit():
            raise UsageError(f"--exon {text}: a seed is needed", fix="such as --exon random:0")
        return ExonChoice(text, seed=int(seed))
    places, numbers, ids = [], [], []
    for item in (item.strip() for item in text.split(",")):
        if not item or item.startswith("random") or item == "all":
            raise UsageError(f"--exon {text!r}: {item!r} cannot stand in a list",
                             fix="N, TRANSCRIPT:N, chrom:start-end, an exon's id, all, or random:SEED")  # fmt: skip
        if place := _PLACE.fullmatch(item):
            interval = int(place["start"].replace(",", "")), int(place["end"].replace(",", ""))
            if interval[0] >= interval[1]:
                raise UsageError(f"--exon {item}: the end is not above the start", fix="0-based, half-open")
            places.append((place["chrom"], interval))
        elif number := _NUMBER.fullmatch(item):
            numbers.append((number["transcript"] or "", int(number["number"])))
        else:
            ids.append(without_version(item))
    return ExonChoice(text, places=tuple(places), numbers=tuple(numbers), ids=tuple(ids))


def exon_ids(path: Path, wanted: Sequence[str]) -> ExonIds:
    """Where exons lie that are asked for by their exon_id.

    Raises
    ------
    UsageError : one that the file does not have
    """
    found: dict[tuple[str, str, str], set[Interval]] = {}
    rows: Iterable[Feature]
    if dialect_of(path) == "gff3":
        rows = (row for role, row in Chains(path).features() if role == "exon")
    else:
        rows = read_features(path, types=("exon",))
    asked = set(wanted)
    for row in rows:
        for name in row.attributes.get("exon_id", ()):
            if (plain := without_version(name)) in asked:
                found.setdefault((plain, row.chrom, row.strand), set()).add((row.start, row.end))
    known = {name for name, _, _ in found}
    if missing := [name for name in wanted if name not in known]:
        raise UsageError(f"--exon: no exon {missing[0]!r} in {path}", fix="an exon_id of the file, with or without "
                         "version")  # fmt: skip
    return {key: frozenset(intervals) for key, intervals in found.items()}


def own_transcript(gene: Gene) -> Transcript:
    """MANE Select, else Ensembl's canonical one, else the one of most exonic bases, of several the file's first."""
    for tag in _CANONICAL:
        for transcript in gene.transcripts:
            if tag in transcript.tags:
                return transcript
    return max(gene.transcripts, key=lambda transcript: transcript.length)


def _in_order(transcript: Transcript) -> list[Interval]:
    """Exons from the 5' end."""
    return list(transcript.exons[::-1] if transcript.strand == "-" else transcript.exons)


def exon_of(transcript: Transcript, interval: Interval) -> Exon:
    """An interval as an exon of a transcript: its introns reach to the next exons that do not overlap it."""
    start, end = interval
    left = max((e for _, e in transcript.exons if e <= start), default=start)
    right = min((s for s, _ in transcript.exons if s >= end), default=end)
    sides = [(left, start) if left < start else None, (end, right) if right > end else None]
    if transcript.strand == "-":
        sides.reverse()
    exons = _in_order(transcript)
    number = exons.index(interval) + 1 if interval in exons else 0
    return Exon(start, end, number, transcript.id, (sides[0], sides[1]))


def _holder(gene: Gene, interval: Interval) -> Transcript:
    """The gene's own transcript where it has the exon; else the longest that has it; else its own."""
    own = own_transcript(gene)
    holders = [transcript for transcript in gene.transcripts if interval in transcript.exons]
    return own if own in holders or not holders else max(holders, key=lambda transcript: transcript.length)


def all_exons(gene: Gene) -> list[Exon]:
    """Exons of the gene's own transcript, from its 5' end."""
    own = own_transcript(gene)
    return [exon_of(own, interval) for interval in _in_order(own)]


def random_number(count: int, gene: Gene, seed: int) -> int:
    """A number below ``count``, by (seed, gene): other genes, orders and passes do not change it."""
    return row_key(seed, 0, f"{_STREAM}/{gene.id}/{gene.chrom}/{gene.strand}") % count


def chosen_exons(gene: Gene, choice: ExonChoice, ids: ExonIds, *, chrom: str) -> list[Exon]:
    """The exons of a gene that a list asks for, in its order; each once.

    Parameters
    ----------
    chrom : the genome's name of the gene's contig
    """
    found: dict[Interval, Exon] = {}

    def take(exons: Iterable[Exon]) -> None:
        for exon in exons:
            found.setdefault((exon.start, exon.end), exon)

    for transcript_id, number in choice.numbers:
        if (transcript := _named(gene, transcript_id)) and number <= len(transcript.exons):
            take([exon_of(transcript, _in_order(transcript)[number - 1])])
    for contig, (start, end) in choice.places:
        if contig in (gene.chrom, chrom) and gene.start <= start and end <= gene.end:
            take([exon_of(_holder(gene, (start, end)), (start, end))])
    for name in choice.ids:
        own = {exon for transcript in gene.transcripts for exon in transcript.exons}
        for interval in sorted(ids.get((name, gene.chrom, gene.strand), frozenset()) & own):
            take([exon_of(_holder(gene, interval), interval)])
    return list(found.values())


def _named(gene: Gene, transcript_id: str) -> Transcript | None:
    if not transcript_id:
        return own_transcript(gene)
    plain = without_version(transcript_id)
    return next((t for t in gene.transcripts if transcript_id == t.id or plain == without_version(t.id)), None)
