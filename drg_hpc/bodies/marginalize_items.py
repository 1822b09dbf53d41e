"""What drg-marginalize puts in, and where: motifs, sequences and designs, settled in the plan. Light."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from drg_hpc.bodies.marginalize_options import Options
from drg_hpc.config import changed, nearest
from drg_hpc.errors import InputError, UsageError
from drg_hpc.experiments.marginal_designs import Designs, Item, consensus
from drg_hpc.experiments.marginal_words import parse_numbers, parse_orientations, parse_sequence
from drg_hpc.genome.motif_formats import find_motifs, read_raw
from drg_hpc.genome.motif_text import RawMotif

_ALL = "all"
_MOST = 5_000_000
_ONLY_WITH = {
    "positions": "position", "pairs": "spacing", "both_orders": "spacing", "spacings": "spacing",
    "orientations": "spacing",
}  # fmt: skip


def find_designs(options: Options, *, length: int) -> Designs:
    """All designs that the flags ask for.

    Parameters
    ----------
    length : bases of the backgrounds

    Raises
    ------
    UsageError : flags that do not go together, nothing to put in, or what does not fit
    InputError : no such motif, or one name twice
    """
    for name in changed(options, _ONLY_WITH):
        if options.by != _ONLY_WITH[name]:
            raise UsageError(f"--{name.replace('_', '-')} has no use with --by {options.by}",
                             fix=f"--by {_ONLY_WITH[name]}, or leave it out")  # fmt: skip
    items = _items(options)
    for item in items:
        if item.width > length:
            raise UsageError(f"{item.name} has {item.width} positions, the model takes {length} bases",
                             fix="leave it out")  # fmt: skip
    designs = _pairs(options, items, length) if options.by == "spacing" else _single(options, items, length)
    if len(designs) > _MOST:
        raise UsageError(f"{len(designs):,} designs, at most {_MOST:,} are made at once",
                         fix="name fewer motifs, positions or spacings")  # fmt: skip
    return designs


def _items(options: Options) -> tuple[Item, ...]:
    """Motifs in the order asked for, else of their files; then sequences.

    Raises
    ------
    UsageError : nothing to put in, or flags of motifs without a file
    InputError : as :func:`_motifs`, or one name twice
    """
    if not options.motif_db and (unused := changed(options, ("motifs", "motif_format", "sites"))):
        raise UsageError(f"--{unused[0].replace('_', '-')} without --motif-db, the file that motifs are in")
    found = [*(_motifs(options) if options.motif_db else []), *map(parse_sequence, options.sequences)]
    if not found:
        raise UsageError("nothing to put in", fix="give --motif-db FILE, or --sequences ACGT")
    seen: dict[str, Item] = {}
    for item in found:
        if item.name in seen:
            raise InputError(f"two things to put in are called {item.name!r}: {_origin(options, seen[item.name])} and "
                             f"{_origin(options, item)}", fix="give each name once")  # fmt: skip
        seen[item.name] = item
    return tuple(found)


def _origin(options: Options, item: Item) -> str:
    return "a given sequence" if item.file is None else f"that of {options.motif_db[item.file]}"


def _motifs(options: Options) -> list[Item]:
    """Motifs of the databases.

    Raises
    ------
    InputError : a faulty file, or no motif of that name in any of them
    """
    files = [read_raw(path, options.motif_format) for path in options.motif_db]
    if options.motifs in ([], [_ALL]):
        return [_item(raw, number) for number, raws in enumerate(files) for raw in raws]
    found = []
    for name in options.motifs:
        own = [
            (number, raws) for number, raws in enumerate(files)
            if any(name in (raw.name, raw.alternate) for raw in raws)
        ]  # fmt: skip
        if not own:
            together = [raw for raws in files for raw in raws]
            shown = Path(" and ".join(map(str, options.motif_db)))
            find_motifs(together, [name], path=shown)
        found += [_item(find_motifs(raws, [name], path=options.motif_db[number])[0], number) for number, raws in own]
    return found


def _item(raw: RawMotif, file: int) -> Item:
    return Item(raw.name, consensus(raw.rows), file)


def _single(options: Options, items: tuple[Item, ...], length: int) -> Designs:
    """Designs of one site each; errors as :func:`find_designs`."""
    strands = ("+", "-") if options.strands == "both" else ("+",)
    if options.by == "motif":
        return Designs("motif", length, items, strands)
    if options.positions is None:
        raise UsageError("--by position needs --positions, such as 0:200:10")
    widest = max(items, key=lambda item: item.width)
    why = f"{widest.name} has {widest.width} positions, the model takes {length} bases"
    places = parse_numbers(options.positions, flag="--positions", end=length - widest.width + 1, why=why)
    return Designs("position", length, items, strands, places)


def _pairs(options: Options, items: tuple[Item, ...], length: int) -> Designs:
    """Designs of pairs; errors as :func:`find_designs`."""
    if options.strands != "forward":
        raise UsageError("--strands both has no use with --by spacing", fix="--orientations says the strands of pairs")
    number = {item.name: i for i, item in enumerate(items)}
    if len(options.pairs) % 2:
        raise UsageError(f"--pairs: {len(options.pairs)} names, {options.pairs[-1]} has no partner")
    for name in options.pairs:
        if name not in number:
            raise UsageError(f"--pairs: {name!r} is not among what is put in", fix=nearest(name, number))
    named = [number[name] for name in options.pairs]
    pairs = list(zip(named[::2], named[1::2], strict=True)) or list(combinations(range(len(items)), 2))
    if not pairs:
        raise UsageError(f"--by spacing: of pairs, and there is only {items[0].name}",
                         fix=f"give another, or --pairs {items[0].name} {items[0].name}")  # fmt: skip
    if options.both_orders:
        pairs = [each for left, right in pairs for each in ((left, right), (right, left))]
    pairs = list(dict.fromkeys(pairs))
    left, right = max(pairs, key=lambda pair: items[pair[0]].width + items[pair[1]].width)
    widths = items[left].width + items[right].width
    why = f"{items[left].name} and {items[right].name} have {widths} positions, the model takes {length} bases"
    if widths > length:
        raise UsageError(f"--pairs: {why}", fix="leave them out")
    spacings = parse_numbers(options.spacings, flag="--spacings", end=length - widths + 1, why=why)
    orientations = parse_orientations(options.orientations)
    return Designs("spacing", length, items, (), (), tuple(pairs), orientations, spacings)
