"""VCF files, plain, gzip or bgzip: a row per alternative allele, positions from 0. Standard library only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from drg_hpc.errors import InputError
from drg_hpc.genome.compressed import text_blocks, text_kind
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.genome.row_checks import LARGEST, contig_name, is_number, row_name
from drg_hpc.genome.text import columns, numbered_lines

SYMBOLIC, MISSING, UNKNOWN, SAME = "symbolic allele", "no alternative", "unknown bases", "equal to the reference"
CONTIG, LONG = "unknown contig", "longer than half a window"
_REMEDIES = {CONTIG: "take the assembly that the VCF was called on", LONG: "take a model of longer windows"}
_IUPAC = frozenset("ACGTNRYSWKMBDHVU")
_BASES = frozenset("ACGT")


@dataclass(frozen=True, slots=True)
class Variant:
    """One alternative allele.

    Attributes
    ----------
    start : first base of the reference allele, from 0
    ref, alt : alleles as the file has them, in capitals
    line : of the file, from 1
    """

    chrom: str
    start: int
    name: str
    ref: str
    alt: str
    line: int

    @property
    def prefix(self) -> int:
        """Bases at the beginning that both alleles share, once those that they share at their end are taken off."""
        shortest = min(len(self.ref), len(self.alt)) - self.suffix
        return next((i for i in range(shortest) if self.ref[i] != self.alt[i]), shortest)

    @property
    def suffix(self) -> int:
        """Bases at the end that both alleles share."""
        shortest = min(len(self.ref), len(self.alt))
        return next((i for i in range(shortest) if self.ref[-1 - i] != self.alt[-1 - i]), shortest)

    def trimmed(self) -> Variant:
        """Without the bases that both alleles share at their ends; one of the alleles may become empty."""
        if len(self.ref) == len(self.alt) == 1 and self.ref != self.alt:
            return self
        first, last = self.prefix, self.suffix
        ref, alt = self.ref[first : len(self.ref) - last], self.alt[first : len(self.alt) - last]
        return replace(self, start=self.start + first, ref=ref, alt=alt)


def read_vcf(path: Path, skipped: Counter[str]) -> Iterator[Variant]:
    """Every alternative allele that is spelt out in A, C, G, T, in the order of the file; several of one line one after
    the other.

    Parameters
    ----------
    skipped : gets the number of alleles left out by reason: symbolic ones, breakends and ``*``; ``.``; those with
        unknown bases in them or in the reference allele; those equal to the reference allele

    Raises
    ------
    InputError : missing or unreadable file, a pipe, BCF, an index; with the line: fewer than five columns, no position,
        no alleles
    """
    if path.exists() and not path.is_dir() and (not path.is_file() or path.is_relative_to("/dev")):
        raise InputError(f"{path} is not a file that can be read twice", fix="write the VCF to disk")
    _refuse_binary(path)
    for number, line in numbered_lines(path):
        if line[:1] == "#" or not line.strip():
            continue
        at = f"{path}: line {number}"
        fields = columns(line)
        if len(fields) < 5:
            raise InputError(f"{at}: {len(fields)} columns, a VCF row has at least CHROM, POS, ID, REF, ALT")
        chrom, start = contig_name(fields[0], at), _position(fields[1], at)
        ref = _reference(fields[3], at)
        name = "" if fields[2] in ("", ".") else row_name(fields[2], at)
        for text in fields[4].split(","):
            alt = text.upper()
            reason = _left_out(ref, alt, at)
            if reason:
                skipped[reason] += 1
            elif start < 0:
                raise InputError(f"{at}: position 0, positions count from 1")
            else:
                yield Variant(chrom, start, name or f"{chrom}:{start + 1}:{ref}>{alt}", ref, alt, number)


def _refuse_binary(path: Path) -> None:
    """Say what BCF files and indices are, which are no text."""
    start = b""
    with suppress(InputError):  # told with its line by what reads the file
        start = next(text_blocks(path, text_kind(path)), (0, b""))[1][:4]
    if start[:3] == b"BCF":
        raise InputError(f"{path} is BCF, the binary form of VCF", fix=f"bcftools view -Oz -o variants.vcf.gz {path}")
    if start in (b"TBI\1", b"CSI\1"):
        raise InputError(f"{path} is the index of a VCF", fix="give the VCF itself; its index is not needed")


def _position(text: str, at: str) -> int:
    """0-based; -1 for POS 0, the telomere."""
    if not is_number(text) or len(text) > 14 or int(text) > LARGEST:
        raise InputError(f"{at}: POS must be a whole number up to 2^40, got {text[:40]!r}")
    return int(text) - 1


def _reference(text: str, at: str) -> str:
    ref = text.upper()
    if not ref or not _IUPAC.issuperset(ref):
        raise InputError(f"{at}: REF {text[:40]!r} is not a sequence of bases", fix="is the file a VCF?")
    return ref


def _left_out(ref: str, alt: str, at: str) -> str:
    """Why an allele is not scored; empty if it is."""
    if alt == "*" or (alt[:1] == "<" and alt[-1:] == ">") or any(mark in alt for mark in "[]"):
        return SYMBOLIC
    if alt == ".":
        return MISSING
    if "." in (alt[:1], alt[-1:]) and len(alt) > 1 and _IUPAC.issuperset(alt.strip(".")):
        return SYMBOLIC  # a single breakend
    if not alt or not _IUPAC.issuperset(alt):
        raise InputError(f"{at}: ALT {alt[:40]!r} is no sequence of bases, no symbolic allele and no breakend")
    if not _BASES.issuperset(ref) or not _BASES.issuperset(alt):
        return UNKNOWN
    return SAME if ref == alt else ""


def select_variants(path: Path, contigs: Mapping[str, int], *, length: int) -> tuple[list[Variant], Counter[str]]:
    """The alleles that windows of ``length`` bases of a genome can hold, contigs named as the genome's, and how many
    were left out for which reason.

    Raises
    ------
    InputError : as :func:`read_vcf`; nothing is left; with the line: a reference allele beyond the end of its contig
    """
    skipped: Counter[str] = Counter()
    found = list(read_vcf(path, skipped))
    names = map_contigs({variant.chrom for variant in found}, contigs, what=str(path)) if found else {}
    kept = []
    for variant in found:
        chrom = names.get(variant.chrom)
        if chrom is None:
            skipped[CONTIG] += 1
            continue
        if variant.start + len(variant.ref) > contigs[chrom]:
            raise InputError(
                f"{path}: line {variant.line}: {variant.name[:60]} ends beyond {chrom}, which has {contigs[chrom]} "
                "bases",
                fix="is the VCF of another assembly?",
            )
        core = variant.trimmed()
        if max(len(core.ref), len(core.alt)) > length - length // 2:
            skipped[LONG] += 1
            continue
        kept.append(variant if chrom == variant.chrom else replace(variant, chrom=chrom))
    if not kept:
        most = max(skipped, key=lambda reason: skipped[reason], default="")
        fix = _REMEDIES.get(most, "check its REF and ALT columns") if skipped else "it has no rows"
        raise InputError(f"no variants that can be scored in {path}{_counts(skipped)}", fix=fix)
    return kept, skipped


def _counts(skipped: Counter[str]) -> str:
    text = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
    return f" (left out: {text})" if text else ""
