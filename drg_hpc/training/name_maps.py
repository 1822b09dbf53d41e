"""Names of tensors: globs, translations between two networks, and what to suggest for a name that is not there."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drg_hpc.errors import UsageError

_SHOWN = 6


def shown(names: Sequence[str], count: int = _SHOWN) -> str:
    """The first few names."""
    more = f", and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def suggestion(wanted: str, names: Iterable[str]) -> str:
    """The nearest names, or beginnings of names that end at a dot; else the first ones there are."""
    names = list(names)
    beginnings = {name[: match.start()] for name in names for match in re.finditer(r"\.", name)}
    plain = wanted.replace("*", "").replace("?", "").strip(".")
    close = difflib.get_close_matches(plain, [*names, *sorted(beginnings)], n=3, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {shown(names)}"


def matching(globs: Sequence[str], names: Sequence[str], *, option: str) -> set[str]:
    """Names that fit any of the globs.

    Raises
    ------
    UsageError : a glob that fits none
    """
    found: set[str] = set()
    for glob in globs:
        fits = fnmatch.filter(names, glob) if glob not in names else [glob]
        if not fits:
            raise UsageError(f"{option} {glob!r} fits no tensor", fix=suggestion(glob, names))
        found.update(fits)
    return found


@dataclass(frozen=True)
class _Rule:
    text: str
    ours: re.Pattern[str]
    theirs: str

    @classmethod
    def parse(cls, text: str) -> _Rule:
        ours, _, theirs = text.partition(":")
        pattern = "([^.]*)".join(re.escape(part) for part in ours.split("*"))
        return cls(text, re.compile(rf"{pattern}(?:\.|$)" if ours else ""), theirs)

    def apply(self, name: str) -> str | None:
        match = self.ours.match(name)
        if match is None:
            return None
        parts = iter(match.groups())
        head = re.sub(r"\*", lambda _: next(parts), self.theirs)
        return ".".join(filter(None, [head, name[match.end() :]]))


def translate(names: Sequence[str], maps: Sequence[str], *, theirs: Iterable[str]) -> dict[str, str]:
    """What each of our tensors is called in the other network; the first map that fits a name counts.

    Parameters
    ----------
    maps : ``OURS:THEIRS``, beginnings of names that end at a dot; ``*`` on either side is one part of a name, and an
        empty side is the network itself
    theirs : all names there

    Raises
    ------
    UsageError : a map that fits no name of ours, or gives only names that the other network does not have
    """
    rules, known = [_Rule.parse(text) for text in maps], set(theirs)
    found: dict[str, str] = {}
    results: dict[str, list[str]] = {rule.text: [] for rule in rules}
    for name in names:
        found[name] = name
        for rule in rules:
            if (new := rule.apply(name)) is not None:
                found[name] = new
                results[rule.text].append(new)
                break
    for rule in rules:
        if not results[rule.text]:
            ours = rule.text.partition(":")[0]
            fault = f"--load-map {rule.text!r}: no tensor of the new model begins with {ours!r}"
            raise UsageError(fault, fix=suggestion(ours, names))
        if not known & set(results[rule.text]):
            fault = f"--load-map {rule.text!r}: the other model has no tensor {results[rule.text][0]!r}"
            raise UsageError(fault, fix=suggestion(rule.theirs, sorted(known)))
    return found
