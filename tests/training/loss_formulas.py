"""The losses once more, in NumPy: plain vectors of what is there, one row after the other, in the dtype they come in.

``FORMULAS[name](p, y, valid)`` is the objective of outputs p, (rows, tracks[, bins]).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from drg_hpc.training.losses import LOSSES

Array = np.ndarray[Any, Any]
Formula = Callable[[Array, Array, Array], Any]
COUNT_WEIGHT = 0.7


def vectors(p: Array, y: Array, valid: Array, least: int) -> Iterator[tuple[Array, Array]]:
    """What is there on the last axis, where it is enough."""
    for index in np.ndindex(valid.shape[:-1]):
        seen = valid[index]
        if seen.sum() >= least:
            yield p[index][seen], y[index][seen]


def average(values: list[Any]) -> Any:
    return np.sum(values) / len(values) if len(values) else 0.0


def of_values(function: Callable[[Array, Array], Array]) -> Formula:
    """Mean over values of a function of vectors that gives one number a value."""
    return lambda p, y, v: average([x for a, b in vectors(p, y, v, 1) for x in function(a, b)])


def of_rows(function: Callable[[Array, Array], Any], least: int = 1) -> Formula:
    return lambda p, y, v: average([function(a, b) for a, b in vectors(p, y, v, least)])


def of_columns(function: Callable[[Array, Array], Any], least: int) -> Formula:
    """Over the rows of the batch, for each track, or track and bin."""
    turn = lambda x: np.moveaxis(x, 0, -1)  # noqa: E731
    return lambda p, y, v: of_rows(function, least)(turn(p), turn(y), turn(v))


def add(*parts: tuple[float, Formula]) -> Formula:
    return lambda p, y, v: sum(weight * formula(p, y, v) for weight, formula in parts)


def angle(a: Array, b: Array) -> Any:
    size = np.sqrt(np.sum(a**2) * np.sum(b**2))
    return 1 - np.sum(a * b) / size if size > 0 else 1.0


def correlation(a: Array, b: Array) -> Any:
    flat = np.ptp(a) == 0 or np.ptp(b) == 0
    return 1.0 if flat else angle(a - a.sum() / len(a), b - b.sum() / len(b))


def windows(size: int, before: Callable[[Array], Array], after: Callable[[Any], Any]) -> Formula:
    def formula(p: Array, y: Array, v: Array) -> Any:
        width, found = size or p.shape[-1], []
        for first in range(0, p.shape[-1], width):
            part = slice(first, first + width)
            for a, b in vectors(p[..., part], y[..., part], v[..., part], 1):
                found.append((after(before(a).sum() / len(a)) - after(before(b).sum() / len(b))) ** 2)
        return average(found)

    return formula


def totals(p: Array, y: Array, v: Array) -> Any:
    """Correlation over tracks of sums over bins."""
    sums = [np.sum(np.where(v, x, 0), -1) for x in (p, y)]
    return of_rows(correlation, 2)(*sums, v.any(-1))


def turned(formula: Formula) -> Formula:
    """Of the tracks in each bin."""
    return lambda p, y, v: formula(*(np.swapaxes(x, 1, -1) for x in (p, y, v)))


def same(x: Any) -> Any:
    return x


def log1(x: Any) -> Any:
    return np.log(1 + x)


def entropy(p: Array, y: Array) -> Array:
    return -y * np.log(p / p.sum())


def divergence(p: Array, y: Array) -> Array:
    own = np.array([b * np.log(b) if b > 0 else b * 0 for b in y])
    return own + entropy(p, y)


def jensen_shannon(p: Array, y: Array) -> Any:
    a, b = ((x + 1e-8) / (x + 1e-8).sum() for x in (p, y))
    m = (a + b) / 2
    return 0.5 * np.sum(a * np.log2(a / m) + b * np.log2(b / m))


def binary(p: Array, y: Array) -> Array:
    a, b = ((x - x.min() + 1e-8) / (x - x.min() + 1e-8).sum() for x in (p, y))
    rest = np.array([np.log(1 - x) if x < 1 else x * 0 - 100 for x in a])
    return -(b * np.log(a) + (1 - b) * rest)


def profile(x: Array) -> Array:
    raised = x - x.min()
    return raised / raised.sum() if raised.sum() else raised + 1 / len(x)


def multinomial(p: Array, y: Array) -> Any:
    return entropy(p, y).sum() + COUNT_WEIGHT * (log1(y.sum()) - log1(p.sum())) ** 2


def poisson_multinomial(p: Array, y: Array) -> Any:
    e, total = 1e-7, p.sum()
    shape = -np.sum((y + e) * np.log((p + e) / total))
    return (shape + COUNT_WEIGHT * (total - y.sum() * np.log(total + e))) / len(y)


def contrast(distance: Callable[[Any], Any]) -> Formula:
    def function(p: Array, y: Array) -> Array:
        return np.array(
            [average([distance((p[i] - p[j]) - (y[i] - y[j])) for i in range(len(p))]) for j in range(len(p))]
        )

    return of_values(function)


def ratio(p: Array, y: Array, v: Array) -> Any:
    least = min(p[v].min(), y[v].min()) if v.any() else 0

    def function(a: Array, b: Array) -> Array:
        a, b = a - least + 0.1, b - least + 0.1
        return np.array([average([(a[i] / a[j] - b[i] / b[j]) ** 2 for i in range(len(a))]) for j in range(len(a))])

    return of_values(function)(p, y, v)


def ce(p: Array, y: Array) -> Array:
    return -y * np.log(p + 1e-8)


def sce(p: Array, y: Array) -> Array:
    return (ce(p, y) + ce(y, p)) / 2


MSE = of_values(lambda p, y: (p - y) ** 2)
L1 = of_values(lambda p, y: np.abs(p - y))
DATA, CLASS = of_rows(correlation, 2), of_columns(correlation, 2)
BCE_MSE = add((1, of_values(binary)), (10, windows(0, same, log1)))
PROFILES = of_values(lambda p, y: (profile(p) - profile(y)) ** 2)
SQUARES, DISTANCES = contrast(lambda x: x**2), contrast(abs)
FORMULAS: dict[str, Formula] = {
    "mse": MSE,
    "l1": L1,
    "bce": of_values(lambda p, y: -(y * np.log(p) + (1 - y) * np.log(1 - p))),
    "poisson": of_values(lambda p, y: p - y * np.log(p)),
    "log-mse": of_values(lambda p, y: (p - log1(y)) ** 2),
    "d-log-mse": of_values(lambda p, y: (log1(p) - log1(y)) ** 2),
    "log-l1": of_values(lambda p, y: np.abs(log1(p) - log1(y))),
    "ce": of_values(ce),
    "sce": of_values(sce),
    "hce": of_values(lambda p, y: sce(p, y) + 0.33 * y * np.log(y + 1e-8)),
    "multinomial": of_rows(multinomial),
    "poisson-multinomial": of_rows(poisson_multinomial),
    "multinomial-mse": add((1, of_values(entropy)), (10, windows(0, same, same))),
    "cross-entropy": turned(of_rows(lambda p, y: entropy(p, y).sum())),
    "kl": of_values(divergence),
    "jsd": of_rows(jensen_shannon),
    "jensen-shannon": add((1, of_rows(jensen_shannon)), (10, windows(25, same, same))),
    "jensen-shannon-count": add((1, of_rows(jensen_shannon)), (10, windows(0, same, same))),
    "bce-mse": BCE_MSE,
    "bce-mcr": add((1, BCE_MSE), (1, totals)),
    "count-dist": add((1, windows(0, same, same)), (10, PROFILES)),
    "log-count-dist": add((1, windows(0, log1, same)), (10, PROFILES)),
    "correlation-data": DATA,
    "correlation-class": CLASS,
    "correlation-both": add((0.5, DATA), (0.5, CLASS)),
    "correlation-sum-data": totals,
    "correlation-mse": add((0.95, DATA), (0.05, MSE)),
    "mse-correlation": add((0.95, CLASS), (0.05, MSE)),
    "cosine-data": of_rows(angle),
    "cosine-class": of_columns(angle, 1),
    "cosine-both": add((0.5, of_rows(angle)), (0.5, of_columns(angle, 1))),
    "mse-contrast-mse": add((1, MSE), (1, SQUARES)),
    "mse-contrast-ratio": add((1, MSE), (1, ratio)),
    "mse-contrast-correlation": add((1, MSE), (1, DATA)),
    "l1-contrast-l1": add((1, L1), (1, DISTANCES)),
    "l1-contrast-mse": add((1, L1), (1, SQUARES)),
    "l1-contrast-correlation": add((1, L1), (1, DATA)),
}


def outputs(x: Array, link: str) -> Array:
    if link == "identity":
        return x
    if link == "logit":
        return 1 / (1 + np.exp(-x))
    return np.exp(x) if link == "log" else np.log(1 + np.exp(x))


@dataclass(frozen=True)
class Case:
    """A loss on one link and shape, with predictions on the link scale and targets that have gaps."""

    name: str
    link: str
    prediction: Array
    target: Array
    valid: Array

    def expected(self, prediction: Array | None = None) -> Any:
        """The objective, by formula."""
        x = self.prediction if prediction is None else prediction
        y = np.where(self.valid, self.target, 0).astype(x.dtype)
        return FORMULAS[self.name](outputs(x, self.link), y, self.valid)


def make_case(name: str, link: str, shape: tuple[int, ...]) -> Case:
    generator = np.random.default_rng(len(name) + 7 * len(shape) + shape[-1])
    prediction = 0.7 * generator.normal(size=shape)
    kind = LOSSES[name].targets
    kind = "non-negative" if link in ("log", "softplus") and kind == "any" else kind
    if kind == "unit":
        target = generator.random(shape)
    else:
        target = generator.poisson(2, shape) + 0.0 if kind == "non-negative" else generator.normal(size=shape)
    valid = generator.random(shape) < 0.7
    valid[2] = False  # a row without any value, a track with one, and one without any
    valid[:, 1], valid[:, 2] = False, False
    valid[4, 1] = generator.permutation(valid[4, 1].size).reshape(valid[4, 1].shape) == 0
    if len(shape) == 3:
        valid[5, 0] = False
    if name.startswith("bce-m"):  # of two values one has the share 1 - 1e-8: its logarithm's slope is mostly rounding
        valid[valid.sum(-1) == 2] = False
    return Case(name, link, prediction, np.where(valid, target, np.nan), valid)


def cases() -> list[tuple[str, str, tuple[int, ...]]]:
    """Every loss, on all its links and shapes; seven rows."""
    found: list[tuple[str, str, tuple[int, ...]]] = []
    for name, entry in LOSSES.items():
        shapes: list[tuple[int, ...]] = []
        if not entry.bins:
            shapes.append((7, 5))
        if entry.bins is not False:
            shapes.append((7, 4, 2 * entry.window if entry.window else 6))
        found += [(name, link, shape) for shape in shapes for link in entry.links]
    return found
