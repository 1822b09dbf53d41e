"""Effects of perturbed motifs on a model's values.

``z`` is the logit of label 1; of a softmax over two classes, the difference of their logits. The loss of a label y is
the cross entropy log(1 + exp(-s z)) with s = 2 y - 1. Convention of the perturbation seed: a loss effect is the loss
of the sequence minus the mean loss of its perturbed copies, so that negative means that what was perturbed matters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
