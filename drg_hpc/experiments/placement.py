"""Where the motifs of a simulated sequence lie: compiled, one random stream a row.

Every arrangement of the chosen motifs without overlap is equally likely: their order is a random permutation, and the
free bases are dealt to the stretches between them as a random combination.
"""

from __future__ import annotations

import numpy as np

from drg_hpc.experiments.tables import (
    DISTANCE,
    HOLDS,
    MISSING,
    ORDER,
    PRESENCE,
    WRONG_DISTANCE,
    WRONG_ORDER,
    Ints,
    Tables,
)
from drg_hpc.genome.random_words import State, below, compiled, uniform


@compiled
def outcome(t: Tables, starts: Ints) -> int:
    """What the rule says of the starts (motifs,) of one sequence, as a number of ``OUTCOMES``."""
    for i in range(len(t.needed)):
        if starts[t.needed[i]] < 0:
            return MISSING
    if t.rule == PRESENCE:
        return HOLDS
    first, second = t.needed[0], t.needed[1]
    if starts[first] > starts[second]:
        return WRONG_ORDER
    if t.rule == ORDER:
        return HOLDS
    gap = starts[second] - starts[first] - t.widths[first]
    return HOLDS if t.min_gap <= gap <= t.max_gap else WRONG_DISTANCE


@compiled
def _choose(state: State, items: Ints, count: int) -> None:
    """The first ``count`` of ``items`` become a random choice of them in random order."""
    for i in range(count):
        j = i + below(state, len(items) - i)
        items[i], items[j] = items[j], items[i]


@compiled
def _spread(state: State, items: Ints, widths: Ints, length: int, starts: Ints) -> None:
    """Give each of ``items`` a start, in their order, without overlap.

    Starts correspond to combinations of k out of free + k; one is drawn by Floyd's method, kept sorted.
    """
    count = len(items)
    free = length
    for i in range(count):
        free -= widths[items[i]]
    chosen = np.empty(count, np.int64)
    for i in range(count):
        drawn = below(state, free + i + 1)
        for j in range(i):
            if chosen[j] == drawn:
                drawn = free + i
                break
        at = i
        while at > 0 and chosen[at - 1] > drawn:
            chosen[at] = chosen[at - 1]
            at -= 1
        chosen[at] = drawn
    used = 0
    for i in range(count):
        starts[items[i]] = chosen[i] - i + used
        used += widths[items[i]]


@compiled
def _copy(source: Ints, target: Ints, first: int) -> None:
    """Write one array into another; a loop, since the assignment of slices takes numba seconds to compile."""
    for i in range(len(source)):
        target[first + i] = source[i]


@compiled
def _put(state: State, t: Tables, items: Ints, widths: Ints, starts: Ints) -> None:
    """Give each of ``items``, which are in random order, a start."""
    if len(t.starts) == 0:
        _spread(state, items, widths, t.length, starts)
        return
    places = np.empty(len(t.starts), np.int64)
    _copy(t.starts, places, 0)
    _choose(state, places, len(items))
    for i in range(len(items)):
        starts[items[i]] = places[i]


@compiled
def _free(state: State, t: Tables, starts: Ints) -> None:
    """A uniform number of the motifs, from none to all."""
    items = np.empty(len(starts), np.int64)
    for i in range(len(items)):
        items[i] = i
        starts[i] = -1
    count = below(state, len(items) + 1)
    _choose(state, items, count)
    _put(state, t, items[:count], t.widths, starts)


@compiled
def _with_others(state: State, t: Tables, given: int) -> Ints:
    """Numbers of a uniform number of the motifs that are not needed, behind room for ``given`` more."""
    items = np.empty(given + len(t.others), np.int64)
    _copy(t.others, items, given)
    count = below(state, len(t.others) + 1)
    _choose(state, items[given:], count)
    return items[: given + count]


@compiled
def _all_needed(state: State, t: Tables, starts: Ints) -> None:
    """All motifs that are needed, and a uniform number of the others."""
    items = _with_others(state, t, len(t.needed))
    _copy(t.needed, items, 0)
    _choose(state, items, len(items))
    starts[:] = -1
    _put(state, t, items, t.widths, starts)


@compiled
def _pair(state: State, t: Tables, left: int, right: int, gap: int, starts: Ints) -> None:
    """Two motifs with a gap, as one block, and a uniform number of the others left and right of it."""
    block = len(starts)
    items = _with_others(state, t, 1)
    items[0] = block
    _choose(state, items, len(items))
    widths = np.empty(block + 1, np.int64)
    _copy(t.widths, widths, 0)
    widths[block] = widths[left] + gap + widths[right]
    found = np.empty(block + 1, np.int64)
    found[:] = -1
    _spread(state, items, widths, t.length, found)
    _copy(found[:block], starts, 0)
    starts[left] = found[block]
    starts[right] = found[block] + widths[left] + gap


@compiled
def _pair_at(state: State, t: Tables, left: int, right: int, pairs: Ints, starts: Ints) -> None:
    """Two motifs at one of some pairs of the allowed starts, and a uniform number of the others at the rest."""
    drawn = below(state, len(pairs))
    i, j = pairs[drawn, 0], pairs[drawn, 1]
    others = _with_others(state, t, 0)
    places = np.empty(len(t.starts) - 2, np.int64)
    at = 0
    for k in range(len(t.starts)):
        if k != i and k != j:
            places[at] = t.starts[k]
            at += 1
    _choose(state, places, len(others))
    starts[:] = -1
    for k in range(len(others)):
        starts[others[k]] = places[k]
    starts[left], starts[right] = t.starts[i], t.starts[j]


@compiled
def _gap(state: State, t: Tables, right_distance: bool) -> int:
    if right_distance:
        u = uniform(state)
        for i in range(len(t.gaps) - 1):
            if u < t.gaps[i]:
                return int(t.min_gap + i)
        return int(t.max_gap)
    drawn = below(state, t.wrong_gaps)
    return int(drawn if drawn < t.min_gap else t.max_gap + 1 + drawn - t.min_gap)


@compiled
def _wanted_pair(state: State, t: Tables, kind: int, starts: Ints) -> None:
    """Both motifs of the pair, for which the rule says ``kind``."""
    left, right = t.needed[0], t.needed[1]
    if kind == WRONG_ORDER:
        left, right = right, left
    if len(t.starts):
        pairs = t.holds if kind == HOLDS else t.turned if kind == WRONG_ORDER else t.far
        _pair_at(state, t, left, right, pairs, starts)
    else:
        _pair(state, t, left, right, _gap(state, t, kind != WRONG_DISTANCE), starts)


@compiled
def place(state: State, t: Tables, starts: Ints) -> None:
    """Draw the start of each motif of one sequence, -1 where it is not there.

    Shares of a pair: positives, near-misses (of a distance, half have the order wrong and half the distance), and
    otherwise free draws for which the rule does not hold. Shares of presence: positives, otherwise free draws without.
    """
    drawn = uniform(state)
    if t.asked and drawn < t.positives:
        if t.rule == PRESENCE:
            _all_needed(state, t, starts)
        else:
            _wanted_pair(state, t, HOLDS, starts)
        return
    if t.rule != PRESENCE and drawn < t.positives + t.near_misses:
        kind = WRONG_ORDER
        if t.rule == DISTANCE and below(state, 2):
            kind = WRONG_DISTANCE
        _wanted_pair(state, t, kind, starts)
        return
    _free(state, t, starts)
    while t.asked and outcome(t, starts) == HOLDS:
        _free(state, t, starts)
