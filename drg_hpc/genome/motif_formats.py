"""Motif collections in the formats people have: MEME, JASPAR, TRANSFAC, ENCODE, HOCOMOCO. Light: plans name motifs.

JASPAR: ``>ID NAME``, then a row of counts for each of A, C, G, T, with or without letters and brackets.
TRANSFAC: records of two-letter tags, closed by ``//``; the matrix begins at ``P0`` or ``PO``.
ENCODE (Kheradpour and Kellis 2014, 10.1093/nar/gkt1249): ``>NAME source``, then a row ``IUPAC A C G T`` a position.
HOCOMOCO: ``>NAME``, then a row of four counts or probabilities a position.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from drg_hpc.errors import InputError
from drg_hpc.genome.motif_text import RawMotif, fault, from_counts, numbers, parse_meme, probabilities, read_lines

MotifFormat = Literal["auto", "meme", "jaspar", "transfac", "encode", "hocomoco"]
_NAMES = " ".join(get_args(MotifFormat)[1:])
_TAG = re.compile(r"[A-Z][A-Z0-9](\s|$)|//")
_IUPAC = frozenset("ACGTURYSWKMBDHVN")
_SHOWN = 5


@dataclass(frozen=True)
class _Block:
    """A line that begins with ``>``, and the words of each line below it."""

    name: str
    alternate: str
    line: int
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def _blocks(path: Path, lines: Sequence[str]) -> list[_Block]:
    found: list[_Block] = []
    header: tuple[str, str, int] | None = None
    rows: list[tuple[int, tuple[str, ...]]] = []
    for number, line in enumerate([*lines, ">"], 1):
        text = line.strip()
        if text.startswith(">"):
            if header is not None:
                found.append(_Block(*header, tuple(rows)))
            if number > len(lines):
                break
            titles = text[1:].split(maxsplit=1)
            if not titles:
                raise fault(path, number, "'>' without a name")
            header, rows = (titles[0], titles[1].strip() if len(titles) > 1 else "", number), []
        elif text and text[0] != "#":
            if header is None:
                raise fault(path, number, f"a row before the first '>' line: {text[:40]!r}")
            words = re.sub(r"[\[\]]", " ", text).split()
            if not words:
                raise fault(path, number, f"an empty row: {text[:40]!r}")
            rows.append((number, tuple(words)))
    for block in found:
        if not block.rows:
            raise fault(path, block.line, f"motif {block.name} has no matrix")
    return found


def _lettered(words: Sequence[str]) -> bool:
    return words[0].upper() in _IUPAC


def _may_be(block: _Block) -> set[str]:
    """The formats whose shape a block has."""
    rows = [words for _, words in block.rows]
    if all(_lettered(words) for words in rows):
        letters, counts = [words[0].upper() for words in rows], {len(words) - 1 for words in rows}
        found = {"encode"} if counts == {4} else set()
        return found | ({"jaspar"} if sorted(letters) == list("ACGT") and len(counts) == 1 else set())
    if any(_lettered(words) for words in rows):
        return set()
    counts = {len(words) for words in rows}
    found = {"hocomoco"} if counts == {4} else set()
    return found | ({"jaspar"} if len(rows) == 4 and len(counts) == 1 else set())


def _detect_blocks(path: Path, blocks: Sequence[_Block], brackets: bool) -> str:
    shapes = [_may_be(block) for block in blocks]
    possible = set.intersection(*shapes)
    if brackets:
        possible = {"jaspar"}
    if len(possible) > 1:
        raise InputError(
            f"{path}: every matrix is 4 by 4, so that {' and '.join(sorted(possible))} cannot be told apart",
            fix=f"say which it is with --motif-format {sorted(possible)[0]}",
        )
    if possible:
        return possible.pop()
    # Most motifs have the shape of one format; the reader of that one says which line does not.
    likely = {name: sum(name in shape for shape in shapes) for name in ("jaspar", "encode", "hocomoco")}
    return max(likely, key=lambda name: likely[name])


def _detect(path: Path, lines: Sequence[str]) -> str:
    """The format of a file, from its first line and the shape of its matrices.

    Raises
    ------
    InputError : none that is known, or several fit
    """
    first = next((line.strip() for line in lines if line.strip() and line.strip()[0] != "#"), "")
    if first.startswith("MEME version"):
        return "meme"
    if first.startswith(">"):
        blocks = _blocks(path, lines)
        return _detect_blocks(path, blocks, any("[" in line for line in lines if not line.startswith(">")))
    if _TAG.match(first):
        return "transfac"
    raise InputError(f"not a motif file of a known format: {path}, first line {first[:40]!r}", fix=f"formats: {_NAMES}")


def _jaspar(path: Path, lines: list[str]) -> Iterator[RawMotif]:
    for block in _blocks(path, lines):
        if len(block.rows) != 4:
            raise fault(path, block.line, f"motif {block.name}: {len(block.rows)} rows, one for each of A, C, G, T")
        letters = "".join(words[0].upper() for _, words in block.rows)
        with_letters = any(_lettered(words) for _, words in block.rows)
        if with_letters and sorted(letters) != list("ACGT"):
            raise fault(path, block.line, f"motif {block.name}: rows are of {letters}, wanted A, C, G and T")
        order = letters if with_letters else "ACGT"
        width = len(block.rows[0][1]) - with_letters
        values = {
            letter: numbers(path, line, words[with_letters:], block.name, expected=width)
            for letter, (line, words) in zip(order, block.rows, strict=True)
        }
        positions = ((block.line, counts) for counts in zip(*(values[letter] for letter in "ACGT"), strict=True))
        yield from_counts(path, block.name, positions, alternate=block.alternate, line=block.line)


def _encode(path: Path, lines: list[str]) -> Iterator[RawMotif]:
    for block in _blocks(path, lines):
        for line, words in block.rows:
            if not _lettered(words):
                raise fault(path, line, f"motif {block.name}: a row is a letter and four numbers, not {words[0]!r} …")
        rows = tuple(probabilities(path, line, words[1:], block.name) for line, words in block.rows)
        yield RawMotif(block.name, rows, block.alternate, line=block.line)


def _hocomoco(path: Path, lines: list[str]) -> Iterator[RawMotif]:
    for block in _blocks(path, lines):
        rows = ((line, numbers(path, line, words, block.name)) for line, words in block.rows)
        yield from_counts(path, block.name, rows, alternate=block.alternate, line=block.line)


def _transfac(path: Path, lines: list[str]) -> Iterator[RawMotif]:
    tags: dict[str, str] = {}
    rows: list[tuple[int, Sequence[float]]] = []
    letters, begin = "", 0
    for number, line in enumerate([*lines, "//"], 1):
        words = line.split()
        if not words:
            continue
        name = tags.get("AC") or tags.get("ID") or tags.get("NA", "")
        if words[0] == "//":
            if letters:
                others = [tags[tag] for tag in ("ID", "NA") if tags.get(tag) and tags[tag] != name]
                yield from_counts(path, name, rows, alternate=others[0] if others else "", line=begin)
            tags, rows, letters = {}, [], ""
        elif words[0] in ("P0", "PO"):
            letters, begin = "".join(words[1:]).upper(), number
            if sorted(letters) != list("ACGT"):
                raise fault(path, number, f"columns {' '.join(words[1:])!r}, wanted A, C, G and T")
            if not name:
                raise fault(path, number, "a matrix without AC, ID or NA before it")
        elif words[0].isdigit() and letters:
            last = len(words) == 6 and words[5].upper() in _IUPAC
            counts = numbers(path, number, words[1:5] if last else words[1:], name)
            rows.append((number, [counts[letters.index(letter)] for letter in "ACGT"]))
        elif words[0].isdigit():
            raise fault(path, number, "a row of a matrix before its line P0")
        elif len(words) > 1:
            tags.setdefault(words[0], words[1])


_READERS: dict[str, Callable[[Path, list[str]], Iterator[RawMotif]]] = {
    "meme": parse_meme, "jaspar": _jaspar, "transfac": _transfac, "encode": _encode, "hocomoco": _hocomoco,
}  # fmt: skip


def read_raw(path: Path, format: MotifFormat = "auto") -> list[RawMotif]:
    """Every motif of a file, in its order.

    Raises
    ------
    InputError : missing, of no known format, a faulty line (its number is in the message), a name that stands twice
    """
    lines = read_lines(path)
    chosen = _detect(path, lines) if format == "auto" else format
    found: dict[str, RawMotif] = {}
    for motif in _READERS[chosen](path, lines):
        if motif.name in found:
            raise fault(path, motif.line, f"motif {motif.name} stands twice (first on line {found[motif.name].line})")
        found[motif.name] = motif
    if not found:
        raise InputError(f"no motif in {path} (read as {chosen})", fix=f"formats: {_NAMES}")
    return list(found.values())


def _nearest_names(name: str, known: Sequence[str]) -> list[str]:
    """The few known names that begin with one, or are most like it."""
    by_lower = {item.lower(): item for item in reversed(known)}
    begun = sorted((item for item in by_lower if item.startswith(name.lower())), key=lambda item: (len(item), item))
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=_SHOWN, cutoff=0.6)
    return [by_lower[item] for item in dict.fromkeys([*begun, *close])][:_SHOWN]


def find_motifs(motifs: Sequence[RawMotif], names: Sequence[str], *, path: Path | str) -> list[RawMotif]:
    """Motifs by name, or by second name where that is of one motif only, in the order of ``names``.

    Parameters
    ----------
    path : where they are from, for messages

    Raises
    ------
    InputError : no such motif (the nearest names are given), or several with that second name
    """
    by_name = {motif.name: motif for motif in motifs}
    found = []
    for name in names:
        if name in by_name:
            found.append(by_name[name])
            continue
        seconds = [motif for motif in motifs if motif.alternate and motif.alternate == name]
        if len(seconds) > 1:
            listed = ", ".join(motif.name for motif in seconds[:_SHOWN])
            raise InputError(f"{len(seconds)} motifs of {path} are called {name!r}", fix=f"choose one: {listed}")
        if not seconds:
            near = _nearest_names(name, [*by_name, *(motif.alternate for motif in motifs if motif.alternate)])
            more = " …" if len(by_name) > _SHOWN else ""
            shown = f"nearest: {', '.join(near)}" if near else f"it has {', '.join(list(by_name)[:_SHOWN])}{more}"
            raise InputError(f"no motif {name!r} among the {len(motifs)} of {path}", fix=shown)
        found.append(seconds[0])
    return found
