"""The datasets of a run of drg-attr, from its parameters. Light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drg_hpc.attribution.catalogue import ATTENTION
from drg_hpc.attribution.genes import COVERED, GENE_TEXT
from drg_hpc.attribution.recipe import Recipe
from drg_hpc.results.attributions_layout import Attention, Layout

GENE_COLUMNS = (*GENE_TEXT, COVERED)
"""Columns of ``regions`` that rows of genes have besides."""


def layout_of(params: Mapping[str, Any], *, models: int) -> Layout:
    """What the file of a run holds.

    Parameters
    ----------
    params : of the plan
    models : that are averaged
    """
    shared: dict[str, Any] = {
        "inputs": tuple((name, length) for name, length in params["sequences"]),
        "tracks": tuple((index, name) for index, name in params["tracks"]),
        "dtype": params["store_dtype"],
        "unkept": params["unkept"],
        "columns": GENE_COLUMNS if "genes" in params else (),
    }
    if params["method"] == ATTENTION:
        found = params["attention"]
        scores = Attention(tuple(found["layers"]), found["heads"], found["positions"])
        return Layout(**shared, form="raw", keep_form=False, form_is_contribution=True, attention=scores)
    recipe = Recipe.from_params(params)
    return Layout(
        **shared,
        form=recipe.form,
        keep_form=params["keep"] == "hypothetical",
        form_is_contribution=recipe.form_is_contribution,
        delta=recipe.method in ("integrated-gradients", "deeplift", "deepshap"),
        deviations=models > 1,
        top=params["top"],
    )
