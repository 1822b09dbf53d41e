"""Effects of perturbation tests on a block of sequences: every changed copy is predicted once, for all tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.background import Background
from drg_hpc.experiments.perturb_copies import Codes, moved, replaced, slid, swapped
from drg_hpc.experiments.perturb_effects import (
    Array,
    interaction_effects,
    loss_effects,
    signed,
    value_effects,
    value_interaction,
)
from drg_hpc.experiments.perturb_sites import TESTED, BlockSites
from drg_hpc.experiments.perturb_tests import Effect, Part, Test
from drg_hpc.experiments.tables import Ints
from drg_hpc.results.attributions_blocks import require_defined
from drg_hpc.rng import row_keys

Predict = Callable[[Codes], Array]
"""Values (n, models, k) of sequences (n, L)."""
_AT_ONCE = 128 << 20
"""Bytes of copies that are made before they are predicted."""


@dataclass(frozen=True)
class Perturbation:
    """How copies are made.

    Attributes
    ----------
    background : of what replaces a site
    copies : per sequence and change; swapped sites give one
    """

    background: Background
    copies: int = 5
    seed: int = 0

    def make(self, codes: Codes, sites: BlockSites, part: Part, used: Ints, *, rows: Ints) -> Codes:
        """Copies (k, count, L) of some sequences of a block.

        Random numbers depend on the seed, the row, the change and its motifs alone.

        Parameters
        ----------
        codes : of the block, (n, L)
        used : (k,) numbers in the block
        rows : (n,) numbers that random numbers depend on
        """
        own = codes[used]
        keys = row_keys(self.seed, rows[used], part.stream)
        if part.change == "replace":
            offsets, spans = sites.all_of(part.motifs, used)
            return replaced(own, offsets, spans, self.background, keys=keys, count=self.copies)
        left, right = sites.pair(part.motifs, used)
        if part.change == "swap":
            return swapped(own, left, right)
        if part.change == "slide":
            return slid(own, left, right, keys=keys, count=self.copies)
        return moved(own, left, right, keys=keys, count=self.copies, excluded=part.excluded)


@dataclass(frozen=True)
class TestValues:
    """A test on a block.

    Attributes
    ----------
    status : (n,) numbers of :data:`drg_hpc.experiments.perturb_sites.STATUSES`
    effects : (n, k) each, means over models; NaN where the sequence was not tested, or has no label
    """

    __test__ = False  # not one of pytest's

    status: NDArray[np.uint8]
    effects: Mapping[Effect, Array]


@dataclass(frozen=True)
class BlockValues:
    """All tests on a block.

    Attributes
    ----------
    before : values of the sequences (n, k), means over models; NaN of those that are in no test
    tests : in their order
    """

    before: Array
    tests: list[TestValues]


class _Predicted:
    """Values of the sequences of a block and of their copies, by the numbers of the sequences."""

    def __init__(self, original: Array, parts: Mapping[Part, Array], place: Mapping[Part, Ints]) -> None:
        self.original, self._parts, self._place = original, parts, place

    def after(self, part: Part, used: Ints) -> Array:
        """Of the copies (k, count, models, values) of some sequences."""
        return self._parts[part][self._place[part][used]]


def block_values(
    predict: Predict,
    codes: Codes,
    labels: Array | None,
    sites: BlockSites,
    tests: Sequence[Test],
    how: Perturbation,
    *,
    rows: Ints,
    effects: Sequence[Effect],
    names: Sequence[str],
) -> BlockValues:
    """All tests on some sequences.

    Parameters
    ----------
    codes : (n, L)
    labels : 0 or 1 for each value, (n, k), NaN where there is none; None: ``effects`` are of values alone
    rows : (n,) numbers that random numbers depend on
    names : of the k values

    Raises
    ------
    InputError : a value of a sequence or of a copy that is not finite
    """
    statuses = [sites.status(test) for test in tests]
    wanted: dict[Part, NDArray[np.bool_]] = {}
    for test, status in zip(tests, statuses, strict=True):
        for part in test.parts:
            wanted[part] = wanted.get(part, np.zeros(len(codes), np.bool_)) | (status == TESTED)
    predicted = _predict(predict, codes, sites, wanted, how, rows, names)
    found = []
    for test, status in zip(tests, statuses, strict=True):
        used = np.flatnonzero(status == TESTED)
        whole = {name: np.full((len(codes), len(names)), np.nan) for name in effects}
        if len(used):
            own = None if labels is None else labels[used]
            for name in effects:
                whole[name][used] = _effect(name, test, predicted, used, own).mean(axis=1)
        found.append(TestValues(status, whole))
    return BlockValues(predicted.original.mean(axis=1), found)


def _predict(
    predict: Predict, codes: Codes, sites: BlockSites, wanted: Mapping[Part, NDArray[np.bool_]], how: Perturbation,
    rows: Ints, names: Sequence[str],
) -> _Predicted:  # fmt: skip
    """Values of every sequence that is tested, and of its copies, many at a time."""
    length, place, shapes, copied = codes.shape[1], {}, [], []
    any_of = np.flatnonzero(np.any([*wanted.values(), np.zeros(len(codes), np.bool_)], axis=0))
    waiting, values = [codes[any_of]], []
    for part, mask in wanted.items():
        used = np.flatnonzero(mask)
        place[part] = np.cumsum(mask) - 1
        copies = how.make(codes, sites, part, used, rows=rows)
        shapes.append(copies.shape[:2])
        copied.append(np.repeat(rows[used], copies.shape[1]))
        waiting.append(copies.reshape(-1, length))
        if sum(each.nbytes for each in waiting) > _AT_ONCE:
            values.append(predict(np.concatenate(waiting)))
            waiting = []
    if waiting:
        values.append(predict(np.concatenate(waiting)))
    flat = np.concatenate(values)
    require_defined(flat[: len(any_of)], names, rows=rows[any_of])
    if copied:
        what = "prediction of a changed copy"
        require_defined(flat[len(any_of) :], names, rows=np.concatenate(copied), of=what)
    original = np.full((len(codes), *flat.shape[1:]), np.nan)
    original[any_of] = flat[: len(any_of)]
    ends = np.cumsum([len(any_of), *(sequences * copies for sequences, copies in shapes)])
    parts = {
        part: flat[first:last].reshape(*shape, *flat.shape[1:])
        for part, shape, first, last in zip(wanted, shapes, ends[:-1], ends[1:], strict=True)
    }
    return _Predicted(original, parts, place)


def _effect(name: Effect, test: Test, predicted: _Predicted, used: Ints, labels: Array | None) -> Array:
    """One effect of some sequences by each model, (k, models, values)."""
    original = predicted.original[used]
    after = [predicted.after(part, used) for part in test.parts]
    if name == "value":
        return value_interaction(original, *after) if test.kind == "interaction" else value_effects(original, after[0])
    assert labels is not None
    own = labels[:, None]
    if name == "loss":
        if test.kind == "interaction":
            return interaction_effects(original, *after, labels=own)
        return loss_effects(original, after[0], own)
    plain = value_interaction(original, *after) if test.kind == "interaction" else value_effects(original, after[0])
    return signed(plain, own)
