"""Effects of perturbed motifs on a model's values, and tests of them.

``z`` is the logit of label 1; of a softmax over two classes, the difference of their logits. The loss of a label y is
the cross entropy log(1 + exp(-s z)) with s = 2 y - 1. Convention of the perturbation seed: a loss effect is the loss
of the sequence minus the mean loss of its perturbed copies, so that negative means that what was perturbed matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from drg_hpc.genome.random_words import below, compiled
from drg_hpc.rng import row_keys

Array = NDArray[np.float64]
LEAST = 6
"""Values that a test needs: a two-sided signed-rank test of five cannot give p < 0.05."""
_RESAMPLES = 2000
_MANY = 50_000
"""Values from which on their mean is as good as normal, and resampling them tells nothing more."""


@dataclass(frozen=True)
class Summary:
    """A test of one motif or pair.

    Attributes
    ----------
    count, total, mean : of the values
    p : two-sided, Wilcoxon's signed-rank test; None where ``note`` says why there is none
    interval : of the mean, 95 % (percentile bootstrap; of very many values mean +- 1.96 standard errors); None as p
    note : empty, or why it was not tested
    """

    count: int
    total: float
    mean: float
    p: float | None
    interval: tuple[float, float] | None
    note: str = ""


def cross_entropy(z: Array, labels: Array) -> Array:
    """Loss of each logit, in nats; ``labels`` (0 or 1; NaN: none) as it broadcasts against ``z``."""
    with np.errstate(invalid="ignore"):
        loss: Array = np.logaddexp(0.0, (1 - 2 * labels) * z)
    return loss


def loss_effects(original: Array, perturbed: Array, labels: Array) -> Array:
    """Loss effect of each sequence, (n, …).

    Parameters
    ----------
    original : logits (n, …)
    perturbed : logits (n, copies, …)
    labels : 0 or 1, as they broadcast against ``original``
    """
    after: Array = cross_entropy(perturbed, labels[:, None]).mean(axis=1)
    effects: Array = cross_entropy(original, labels) - after
    return effects


def value_effects(original: Array, perturbed: Array) -> Array:
    """Mean value of the perturbed copies (n, copies, …) minus that of the sequence, (n, …)."""
    effects: Array = perturbed.mean(axis=1) - original
    return effects


def value_interaction(original: Array, one: Array, other: Array, both: Array) -> Array:
    """Change with both motifs replaced beyond the sum of the changes with one of them, (n, …); arguments as of
    :func:`interaction_effects`."""
    effects: Array = both.mean(axis=1) - one.mean(axis=1) - other.mean(axis=1) + original
    return effects


def signed(changes: Array, labels: Array) -> Array:
    """Changes of logits times 1 for label 1 and -1 for label 0: negative means that what was perturbed speaks for the
    label. Without the sign both labels would cancel."""
    return (2 * labels - 1) * changes


def interaction_effects(original: Array, one: Array, other: Array, both: Array, *, labels: Array) -> Array:
    """Loss with both motifs replaced minus the loss if their effects on the logit were additive, (n, …).

    Parameters
    ----------
    original : logits (n, …)
    one, other, both : logits (n, copies, …) with the first, the second and both motifs replaced
    """
    additive = one.mean(axis=1) + other.mean(axis=1) - original
    effects: Array = cross_entropy(both.mean(axis=1), labels) - cross_entropy(additive, labels)
    return effects


def summarise(values: Array, *, seed: int, name: str) -> Summary:
    """Test whether the values of some sequences lie around 0.

    Parameters
    ----------
    values : (n,), finite
    name : of the test and its motifs; resamples depend on it and the seed alone
    """
    count, total = len(values), float(values.sum())
    mean = total / count if count else 0.0
    if count < LEAST:
        return Summary(count, total, mean, None, None, f"{count} sequences, a test needs {LEAST}")
    p = float(stats.wilcoxon(values).pvalue) if values.any() else 1.0
    return Summary(count, total, mean, p, _interval(values, mean, seed=seed, name=name))


def _interval(values: Array, mean: float, *, seed: int, name: str) -> tuple[float, float]:
    count = len(values)
    if count >= _MANY:
        half = 1.96 * float(values.std(ddof=1)) / math.sqrt(count)
        return mean - half, mean + half
    totals = np.empty(_RESAMPLES)
    _resample(values, row_keys(seed, range(_RESAMPLES), f"perturb:bootstrap:{name}"), totals)
    low, high = np.quantile(totals / count, [0.025, 0.975]).tolist()
    return low, high


@compiled
def _resample(values: Array, keys: NDArray[np.uint64], totals: Array) -> None:
    """Add up as many values as there are, drawn with replacement; one random stream for each total."""
    state = np.empty(1, np.uint64)
    for number in range(len(totals)):
        state[0] = keys[number]
        total = 0.0
        for _ in range(len(values)):
            total += values[below(state, len(values))]
        totals[number] = total


def adjusted(tests: Sequence[Summary]) -> list[float | None]:
    """Benjamini-Hochberg q of each test of a table; None for those that were not tested, which do not count."""
    known = [test.p for test in tests if test.p is not None]
    found = iter(stats.false_discovery_control(known).tolist() if known else [])
    return [None if test.p is None else float(next(found)) for test in tests]
