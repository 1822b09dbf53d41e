"""How the value of a mutant is compared with that of the sequence; names and formulas as gReLU's ``compare_func``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.attribution.ism_recipe import IsmRecipe
from drg_hpc.errors import DrgError, UsageError
from drg_hpc.models.user import find_factory

Values = NDArray[Any]
Comparison = Callable[[Values, Values], Values]
"""Of mutants (E, k) and of the sequence (k,): (E, k)."""


def make_comparison(recipe: IsmRecipe, function: Callable[..., Any] | None = None) -> Comparison:
    """What a recipe compares with: subtract m - r, divide (m + pseudo) / (r + pseudo), log2fc the base-2 logarithm of
    that, none m; a division by zero gives inf or NaN, as in numpy.

    Parameters
    ----------
    function : a user's, instead of the recipe's

    Raises
    ------
    UsageError : a user's function that is not there; when called: an error in it, or another shape
    """
    if function is not None:
        return _Users(function, getattr(function, "__qualname__", repr(function)))
    if recipe.user_compare is not None:
        return _Users(find_factory(recipe.user_compare, role="compare"), recipe.user_compare)
    pseudo = recipe.pseudo

    def ratio(mutant: Values, reference: Values) -> Values:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found: Values = (mutant + mutant.dtype.type(pseudo)) / (reference + reference.dtype.type(pseudo))
        return found

    def log_ratio(mutant: Values, reference: Values) -> Values:
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Values = np.log2(ratio(mutant, reference))
        return found

    known: dict[str, Comparison] = {
        "subtract": np.subtract,
        "divide": ratio,
        "log2fc": log_ratio,
        "none": lambda mutant, _: mutant,
    }
    return known[recipe.compare]


class _Users:
    """A user's function of mutant and reference, held to its word."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function, self._name = function, f"compare function {name!r}"

    def __call__(self, mutant: Values, reference: Values) -> Values:
        shown = f"on arrays {mutant.shape} and {reference.shape}"
        try:
            found = np.asarray(self._function(mutant, reference))
        except DrgError:
            raise
        except Exception as error:  # theirs, whatever it is
            raise UsageError(f"{self._name} failed {shown}: {type(error).__name__}: {error}") from error
        if found.shape != mutant.shape or found.dtype.kind not in "biuf":
            raise UsageError(
                f"{self._name} gives {found.dtype} {found.shape} {shown}",
                fix=f"numbers of shape {mutant.shape} are needed, each of its mutant and its reference alone",
            )
        return found.astype(mutant.dtype)
