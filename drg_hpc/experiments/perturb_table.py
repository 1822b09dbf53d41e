"""The table of perturbation tests: a line for each test, effect and value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drg_hpc.experiments.perturb_effects import Array, Summary, adjusted, summarise
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
    """

    def __init__(self, tracks: Sequence[str], *, seed: int) -> None:
        self._tracks, self._seed, self._found = list(tracks), seed, list[_Tested]()

    def add(self, test: Test, effect: Effect, status: NDArray[np.uint8], values: Array) -> None:
        """One test on all sequences.

        Parameters
        ----------
        status : (n,) numbers of :data:`drg_hpc.experiments.perturb_sites.STATUSES`
        values : (n, k), NaN where a tested sequence has no label
        """
        counts = np.bincount(status, minlength=UNPLACEABLE + 1).tolist()
        for number, track in enumerate(self._tracks):
            own = values[status == TESTED, number]
            labelled = own[~np.isnan(own)]
            dropped = {
                "missing": counts[MISSING], "overlapping": counts[OVERLAPPING], "unplaceable": counts[UNPLACEABLE],
                "unlabelled": len(own) - len(labelled),
            }  # fmt: skip
            summary = summarise(labelled, seed=self._seed, name=f"{test.name}:{effect}:{track}")
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
        for item, q in zip(own, adjusted([item.summary for item in own]), strict=True):
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
