"""Matching contig names of two sources: ``chr1`` is ``1`` only when the mapping is one-to-one and lengths agree."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from drg_hpc.errors import InputError

log = logging.getLogger(__name__)
_SHOWN = 60
"""Letters of a name in a message."""


def _alias(name: str) -> str:
    """The other common spelling: chr1 and 1, chrM and MT."""
    if name.startswith("chr"):
        return "MT" if name == "chrM" else name[3:]
    return "chrM" if name == "MT" else f"chr{name}"


def _examples(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(name[:_SHOWN] for name in listed[:3]) + (" …" if len(listed) > 3 else "")


_said: set[tuple[str, str]] = set()


def _say(what: str, name: str, target: str) -> None:
    """Once per process and pair of names: a thousand bigWig files of one naming are one line."""
    if (name, target) not in _said:
        _said.add((name, target))
        log.info("contig names of %s are mapped to the genome's, such as %s to %s", what, name, target)


def map_contigs(
    wanted: Iterable[str],
    known: Mapping[str, int],
    *,
    what: str,
    lengths: Mapping[str, int] | None = None,
) -> dict[str, str]:
    """Name in ``known`` for each wanted name that has one; names without one are left out.

    Parameters
    ----------
    wanted : contig names of a BED or bigWig file
    known : name -> length of the genome
    what : the source of ``wanted``, for messages
    lengths : lengths of the wanted contigs, where the source has them

    Raises
    ------
    InputError : no name is known (three of each side are shown), two names would be one contig, or lengths differ
    """
    names = list(dict.fromkeys(wanted))
    mapping = {name: name for name in names if name in known}
    aliased = {name: _alias(name) for name in names if name not in known and _alias(name) in known}
    taken = set(mapping)
    for name, target in aliased.items():
        if target in taken:
            raise InputError(
                f"{what}: {name[:_SHOWN]} and {target[:_SHOWN]} would be the same contig", fix="use one naming"
            )
        taken.add(target)
        mapping[name] = target
    if names and not mapping:
        raise InputError(
            f"{what} shares no contig with the genome: {_examples(names)} against {_examples(known)}",
            fix="use the same assembly and naming",
        )
    for name, target in mapping.items():
        if lengths is not None and lengths[name] != known[target]:
            raise InputError(
                f"{what}: contig {name} has length {lengths[name]}, the genome's {target} {known[target]}",
                fix="use the same assembly",
            )
    if aliased:
        _say(what, *next(iter(aliased.items())))
    return mapping
