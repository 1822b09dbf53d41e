"""The datasets of a run of drg-ism, from its parameters, and what its numbers are. Light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drg_hpc.attribution.ism_recipe import IsmRecipe
from drg_hpc.bodies.attr_layout import GENE_COLUMNS
from drg_hpc.results.attributions_layout import ISM, Layout, Mutagenesis

METHOD = "ism"
"""What ``method`` is in the parameters of these runs."""
_COMPARED = {
    "subtract": "mutant - sequence",
    "divide": "(mutant + pseudo) / (sequence + pseudo)",
    "log2fc": "log2((mutant + pseudo) / (sequence + pseudo))",
    "none": "the mutant's value",
}
_PROJECTED = {
    "mean-effect": "minus the mean of D over the three substitutions",
    "centred": "minus the mean of D over the four bases",
    "hypothetical": "minus the mean of D over the four bases, weighted by base_freqs",
}


def layout_of(params: Mapping[str, Any], *, models: int) -> Layout:
    """What the file of a run holds.

    Parameters
    ----------
    params : of the plan
    models : that are averaged
    """
    recipe = IsmRecipe.from_params(params)
    return Layout(
        inputs=tuple((name, length) for name, length in params["sequences"]),
        tracks=tuple((index, name) for index, name in params["tracks"]),
        form=ISM,
        keep_form=True,
        form_is_contribution=False,
        dtype=params["store_dtype"],
        deviations=models > 1,
        unkept=params["unkept"],
        columns=GENE_COLUMNS if "genes" in params else (),
        mutagenesis=Mutagenesis(substitutions=recipe.substitutes, edits=tuple(spec.slug for spec in recipe.others)),
        block_rows=params["block_rows"],
    )


def conventions(recipe: IsmRecipe) -> dict[str, Any]:
    """What the numbers of a file are, for its root attributes."""
    compared = _COMPARED.get(recipe.compare, f"{recipe.compare}(mutant, sequence)")
    return {
        "bases": "ACGT",
        "coordinates": "0-based, half-open",
        "ism": f"of each base at each position: {compared}; "
        "at the base that is there: the sequence compared with itself; at an unknown base all four are mutants; NaN "
        "where nothing was mutated (scored is 0)",
        "D": "ism minus its value at the base that is there",
        "projected": f"of the base that is there: {_PROJECTED[recipe.projection]}; 0 at unknown bases and where "
        "scored is 0",
        "shap/seq": "the same of every base, counted as if it were there: D less that mean",
        "edits": "other kinds of edits, compared alike, at the first base that they change; NaN where none was made",
        "views": "values are means over strands and shifts, edit by edit, before they are compared",
        "models": "means and standard deviations of compared values",
        "statistic": "one track; with bins its total over them: link scale of a log link: log of the summed rates",
    }
