"""What drg-marginalize puts in, and where: motifs, sequences and designs, settled in the plan. Light."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from drg_hpc.bodies.marginalize_options import Options
from drg_hpc.config import changed
from drg_hpc.errors import DrgError, InputError, UsageError
from drg_hpc.experiments.marginal_designs import Designs, Item, consensus
from drg_hpc.experiments.marginal_words import parse_numbers, parse_orientations, parse_sequence
from drg_hpc.files import counted
from drg_hpc.genome.motif_formats import find_motifs, read_raw
from drg_hpc.genome.motif_text import RawMotif

_ALL = "all"
_MOST = 5_000_000
Named = tuple[Item, str]
"""Something to put in, and its second name, which may be empty."""
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
    InputError : no such motif, or one name of two things
    """
    for name in changed(options, _ONLY_WITH):
        if options.by != _ONLY_WITH[name]:
            raise UsageError(f"--{name.replace('_', '-')} has no use with --by {options.by}",
                             fix=f"--by {_ONLY_WITH[name]}, or leave it out")  # fmt: skip
    given = _given(options)
    paired = _paired(options, given)
    items = _distinct(options, [item for item, _ in given if not paired or item.name in paired])
    _require_width(options, items, length)
    designs = _pairs(options, items, paired, length) if options.by == "spacing" else _single(options, items, length)
    if len(designs) > _MOST:
        raise UsageError(f"{len(designs):,} designs, at most {_MOST:,} are made at once",
                         fix="name fewer motifs, positions or spacings")  # fmt: skip
    return designs


def _given(options: Options) -> list[Named]:
    """Motifs in the order asked for, else of their files; then sequences.

    Raises
    ------
    UsageError : nothing to put in, or flags of motifs without a file
    InputError : as :func:`_motifs`
    """
    if not options.motif_db and (unused := changed(options, ("motifs", "motif_format", "sites"))):
        raise UsageError(f"--{unused[0].replace('_', '-')} without --motif-db, the file that motifs are in",
                         fix="give --motif-db FILE, or leave it out")  # fmt: skip
    found = _motifs(options) if options.motif_db else []
    found += [(parse_sequence(text), "") for text in options.sequences]
    if not found:
        raise UsageError("nothing to put in", fix="give --motif-db FILE, or --sequences ACGT")
    return found


def _paired(options: Options, given: Sequence[Named]) -> list[str]:
    """First names of what ``--pairs`` names, left, right, left, right.

    Raises
    ------
    UsageError : one without a partner
    InputError : a name that nothing has (with the nearest ones)
    """
    if len(options.pairs) % 2:
        raise UsageError(f"--pairs: {counted(len(options.pairs), 'name')}, {options.pairs[-1]} has no partner",
                         fix="give left, right, left, right, …")  # fmt: skip
    known = {item.name: RawMotif(item.name, (), second) for item, second in given}
    found = find_motifs(list(known.values()), options.pairs, path="what is put in (--pairs)")
    return [each.name for each in found]


def _distinct(options: Options, items: Sequence[Item]) -> tuple[Item, ...]:
    """Items; errors where two have one name."""
    seen: dict[str, Item] = {}
    for item in items:
        if seen.setdefault(item.name, item) is not item:
            raise _clash(options, seen[item.name], item)
    return tuple(items)


def _clash(options: Options, one: Item, other: Item) -> DrgError:
    """What is wrong where two items have one name."""
    name, files = one.name, options.motif_db
    if other.file is None and one.file is None:
        return UsageError(f"--sequences: {name} stands twice", fix="give each once, with a name of its own")
    if other.file is None or one.file is None:
        motif, sequence = (one, other) if other.file is None else (other, one)
        return InputError(f"a motif of {files[motif.file or 0]} and a given sequence are both called {name!r}",
                          fix=f"give the sequence another name, NAME={sequence.letters}")  # fmt: skip
    if one.file == other.file:
        return UsageError(f"--motifs: {name} is named twice", fix="give it once, by its first or its second name")
    return InputError(f"{files[one.file]} and {files[other.file]} both have a motif {name!r}",
                      fix="give one of the files")  # fmt: skip


def _require_width(options: Options, items: Sequence[Item], length: int) -> None:
    """Refuse what is longer than the sequences.

    Raises
    ------
    UsageError : the first such, and how many motifs fit where all are taken
    """
    wide = [item for item in items if item.width > length]
    if not wide:
        return
    first, fix = wide[0], "leave it out"
    if first.file is not None and options.motifs in ([], [_ALL]) and not options.pairs:
        fitting = sum(item.width <= length for item in items)
        fix = f"name some that fit with --motifs: {fitting} of {len(items)} do"
    raise UsageError(f"{first.name} has {first.width} positions, the model takes {length} bases", fix=fix)


def _motifs(options: Options) -> list[Named]:
    """Motifs of the databases.

    Raises
    ------
    UsageError : one file twice, or names beside all
    InputError : a faulty file, or no motif of that name in any of them
    """
    for number, path in enumerate(options.motif_db):
        if path.absolute() in [other.absolute() for other in options.motif_db[:number]]:
            raise UsageError(f"--motif-db: {path} is given twice", fix="give it once")
    if _ALL in options.motifs[1:] or options.motifs[:1] == [_ALL] != options.motifs:
        raise UsageError(f"--motifs {' '.join(options.motifs)}: all stands by itself", fix="--motifs all, or names")
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
            find_motifs(together, [name], path=" and ".join(map(str, options.motif_db)))
        found += [_item(find_motifs(raws, [name], path=options.motif_db[number])[0], number) for number, raws in own]
    return found


def _item(raw: RawMotif, file: int) -> Named:
    return Item(raw.name, consensus(raw.rows), file), raw.alternate


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


def _pairs(options: Options, items: tuple[Item, ...], paired: Sequence[str], length: int) -> Designs:
    """Designs of pairs, those of ``paired`` or all; errors as :func:`find_designs`."""
    if options.strands != "forward":
        raise UsageError("--strands both has no use with --by spacing", fix="--orientations says the strands of pairs")
    number = {item.name: i for i, item in enumerate(items)}
    named = [number[name] for name in paired]
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
