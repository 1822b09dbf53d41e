"""The table of perturbation tests: a line for each test, effect and value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.effect_tests import Array, Summary, adjusted_tests, largest, rounding_of, summarise
from drg_hpc.experiments.perturb_sites import MISSING, OVERLAPPING, TESTED, UNPLACEABLE
from drg_hpc.experiments.perturb_tests import Effect, Test
from drg_hpc.results.perturbation import Line


@dataclass(frozen=True)
class _Tested:
    test: Test
    effect: Effect
    track: str
    summary: Summary
    dropped: Mapping[str, int]


class Table:
    """Adds up tests, one after the other.

    Parameters
    ----------
    tracks : names of the values
    seed : of the bootstrap
    before : values of the sequences (n, k), NaN where one was not tested
    labels : 0 or 1 (n, k), NaN where there is none; None: effects are of values alone
    """

    def __init__(self, tracks: Sequence[str], *, seed: int, before: Array, labels: Array | None = None) -> None:
        self._tracks, self._seed, self._found = list(tracks), seed, list[_Tested]()
        self._before, self._labels = largest(before), labels

    def add(self, test: Test, effect: Effect, status: NDArray[np.uint8], values: Array) -> None:
        """One test on all sequences.

        Parameters
        ----------
        status : (n,) numbers of :data:`drg_hpc.experiments.perturb_sites.STATUSES`
        values : (n, k), NaN where a tested sequence has no label
        """
        counts, tested = np.bincount(status, minlength=UNPLACEABLE + 1).tolist(), status == TESTED
        rounding = rounding_of(self._before + largest(values)).tolist()
        for number, track in enumerate(self._tracks):
            own = values[tested, number]
            if effect != "value" and self._labels is not None:
                own = own[~np.isnan(self._labels[tested, number])]
            stream = f"perturb:bootstrap:{test.name}:{effect}:{track}"
            summary = summarise(own, seed=self._seed, stream=stream, rounding=rounding[number])
            dropped = {
                "missing": counts[MISSING], "overlapping": counts[OVERLAPPING], "unplaceable": counts[UNPLACEABLE],
                "unlabelled": counts[TESTED] - len(own),
            }  # fmt: skip
            self._found.append(_Tested(test, effect, track, summary, dropped))

    def lines(self) -> list[Line]:
        """The table: loss first, tests in their order; q over all tests of one effect."""
        return [line for effect in dict.fromkeys(item.effect for item in self._found) for line in self._of(effect)]

    def _of(self, effect: Effect) -> Iterator[Line]:
        own = [item for item in self._found if item.effect == effect]
        presence = {
            (item.test.motifs[0], item.track): abs(item.summary.mean)
            for item in own
            if item.test.kind == "presence" and item.summary.count
        }
        for item, q in zip(own, adjusted_tests([item.summary for item in own]), strict=True):
            summary = item.summary
            line = Line(
                test=item.test.name, kind=item.test.kind, motifs=item.test.motifs, effect=effect, track=item.track,
                count=summary.count, total=summary.total, mean=summary.mean, p=summary.p, q=q,
                interval=summary.interval, relative=None, relative_interval=None, note=summary.note, **item.dropped,
            )  # fmt: skip
            sizes = [presence.get((name, item.track), 0.0) for name in item.test.motifs]
            yield line if item.test.kind == "presence" or not all(sizes) else _compared(line, float(np.mean(sizes)))


def _compared(line: Line, presence: float) -> Line:
    """A line with its mean and interval as shares of the size of the effect of presence."""
    if line.interval is None:
        return line
    low, high = (each / presence for each in line.interval)
    return replace(line, relative=line.mean / presence, relative_interval=(low, high))
