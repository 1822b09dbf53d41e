"""Which positions of a row are worth exact mutagenesis: the strongest by its first-order Taylor estimate (TISM)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.attribution.engine import Engine
from drg_hpc.attribution.recipe import make_recipe
from drg_hpc.attribution.targets import Statistic
from drg_hpc.attribution.views import View

Masks = list[NDArray[np.bool_]]


class Screen:
    """Finds the strongest positions of a row, all its inputs together.

    Parameters
    ----------
    statistics : of each model; estimates are means over views and models
    keep : positions of a row that are kept
    inputs : names of the model's inputs; None where there is one
    vjps : gradients computed at once
    """

    def __init__(
        self,
        statistics: Sequence[Statistic],
        keep: int,
        *,
        views: Sequence[View] = (View(),),
        inputs: Sequence[str] | None = None,
        vjps: int = 1,
    ) -> None:
        self._keep = keep
        # passes of one row, as mutants of other rows share no pass either
        self._engine = Engine(statistics, make_recipe("tism"), views=views, batch=1, inputs=inputs, vjps=vjps)

    def strongest(self, xs: Sequence[NDArray[Any]], row: int, *, scored: Sequence[NDArray[np.bool_]]) -> Masks:
        """The positions to keep, (L,) of each input.

        A position's strength is its largest |mean effect of a substitution| over values, each as a share of that
        value's largest in the row. Of equal ones the first is kept. Unknown bases have none.

        Parameters
        ----------
        xs : (4, L) of each input
        scored : positions that are asked for, (L,) of each input; the others are not looked at
        """
        asked = np.concatenate(list(scored))
        strength = np.zeros(len(asked))
        for result in self._engine.block([np.asarray(x)[None] for x in xs], [row]):
            # TISM's projection is the mean over four bases, 3/4 of that over three: the same order
            effect = np.abs(np.concatenate([one.projected[0] for one in result.inputs], dtype=np.float64))
            effect = np.where(asked & np.isfinite(effect), effect, 0)
            if effect.max(initial=0) > 0:
                strength = np.maximum(strength, effect / effect.max())
        order = np.argsort(np.where(asked, -strength, np.inf), kind="stable")
        kept = np.zeros(len(asked), np.bool_)
        kept[order[: self._keep]] = True
        return np.split(kept & asked, np.cumsum([len(each) for each in scored])[:-1])
