"""Options of drg-ism checked against each other and against the model. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drg_hpc.attribution.ism_recipe import RATIOS, IsmRecipe, make_ism_recipe
from drg_hpc.attribution.transform_spec import Scale
from drg_hpc.bodies.ism_options import Options
from drg_hpc.config import nearest
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import counted
from drg_hpc.genome.bed import read_bed
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.store.header import known_contigs


def recipe_of(options: Options) -> IsmRecipe:
    """What is to be done to the sequences.

    Raises
    ------
    UsageError : an unknown word, or options without effect
    """
    of_genes = options.gtf is not None
    if of_genes and options.compare in RATIOS:
        raise UsageError(f"--compare {options.compare} with --gtf: statistics of genes are logarithms already",
                         fix="--compare subtract is their log fold change")  # fmt: skip
    recipe = make_ism_recipe(
        compare=options.compare,
        pseudo=None if of_genes else options.pseudo or None,
        projection=options.projection,
        base_freqs=options.base_freqs,
        edits=options.edits,
        screen=options.screen,
        engine=options.engine,
    )
    if not recipe.substitutes and (options.projection != "mean-effect" or options.base_freqs is not None):
        raise UsageError(f"--projection {options.projection} has no effect on --edits {options.edits}",
                         fix="it is made of substitutions: add them to --edits")  # fmt: skip
    return recipe


def scale_of(options: Options, recipe: IsmRecipe) -> Scale | None:
    """Scale of the outputs: asked for, or output for ratios and a user's function; None leaves it to the statistic.

    Raises
    ------
    UsageError : ratios of numbers on the link scale
    """
    own = recipe.compare in RATIOS or recipe.user_compare is not None
    return recipe.scale(options.scale) if own or options.scale is not None else None


def mutated_inputs(options: Options, lengths: Mapping[str, int]) -> dict[str, int]:
    """Length of each input that is mutated.

    Raises
    ------
    UsageError : no such input, or one sequence only
    """
    if options.mutate is None:
        return dict(lengths)
    wanted = [name.strip() for name in options.mutate.split(",")]
    for name in wanted:
        if len(lengths) == 1 or name not in lengths:
            raise UsageError(
                f"--mutate: the model has no input {name!r}" if len(lengths) > 1 else
                f"--mutate {options.mutate}: the model takes one sequence",
                fix=nearest(name, lengths) if len(lengths) > 1 else "leave it out",
            )  # fmt: skip
    return {name: length for name, length in lengths.items() if name in wanted}


def span_of(options: Options, mutated: Mapping[str, int]) -> tuple[int, int | None]:
    """First position and end of the positions of each sequence; None: the end of each.

    Raises
    ------
    UsageError : none is left, or beyond a sequence
    """
    start, end = options.start or 0, options.end
    for name, length in mutated.items():
        last = length if end is None else end
        if not start < last <= length:
            which = f" of input {name!r}" if len(mutated) > 1 else ""
            raise UsageError(f"--start {start} --end {last}: sequences{which} have {length} bases",
                             fix=f"0 <= start < end <= {length}; positions count from 0, the end is not among them"
                             + (", or choose inputs with --mutate" if len(mutated) > 1 else ""))  # fmt: skip
    return start, end


def require_screening(recipe: IsmRecipe, positions: int) -> None:
    """Refuse a screen that keeps all positions of a row, whose gradient would be for nothing.

    Raises
    ------
    UsageError : with both numbers
    """
    if recipe.screen is not None and recipe.screen >= positions:
        there = counted(positions, "position")
        raise UsageError(f"--screen tism:{recipe.screen} leaves nothing out: a row has {there}",
                         fix="give fewer, or leave --screen out")  # fmt: skip


def positions_record(options: Options) -> dict[str, Any] | None:
    """What a plan keeps of --positions: what the input calls contigs that the file calls otherwise.

    Raises
    ------
    InputError : no such file, not a BED, or no contig of the genome
    """
    if options.positions is None:
        return None
    if not options.positions.is_file():
        raise InputError(f"no such file: {options.positions}", fix="check the path")
    names = sorted({region.chrom for region in read_bed(options.positions)})
    store = options.genome or options.input
    known = known_contigs(store) if store is not None and store.is_dir() else None
    if known is None:
        return {"names": {}}
    mapped = map_contigs(names, known, what=str(options.positions))
    return {"names": {name: other for name, other in mapped.items() if name != other}}


def refuse_tsv(
    options: Options, recipe: IsmRecipe, *, rows: int, values: Sequence[tuple[int, str]], mutated: Sequence[str]
) -> None:
    """Refuse what does not fit into one table of positions and bases.

    Raises
    ------
    UsageError : what there is too much of
    """
    h5 = "take --format h5, whose file holds any number"
    if rows != 1:
        raise UsageError(f"--format tsv is a table of one sequence, there are {rows}", fix=f"{h5}, or --limit 1")
    if len(values) != 1:
        raise UsageError(f"--format tsv is a table of one value, there are {len(values)}",
                         fix=f"{h5}, or --tracks {values[0][1]}")  # fmt: skip
    if len(mutated) != 1:
        raise UsageError(f"--format tsv is a table of one sequence, {len(mutated)} inputs are mutated",
                         fix=f"{h5}, or --mutate {mutated[0]}")  # fmt: skip
    if recipe.others or not recipe.substitutes:
        raise UsageError(f"--format tsv is a table of substitutions, not of --edits {options.edits}", fix=h5)
    if options.export is not None:
        raise UsageError(f"--export {options.export} with --format tsv: exports are made of out.h5", fix=h5)
