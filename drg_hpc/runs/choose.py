"""Which shard next: those nobody works on first, those with a fresh heartbeat last."""

from __future__ import annotations

import random
import threading
import time

from drg_hpc.runs.attempt import claimed
from drg_hpc.runs.plan import Plan
from drg_hpc.runs.spec import Shard, Stage

_LOOK_EVERY_S = 2.0


class Chooser:
    """Hands out the shards of a stage, each to one caller in this process; safe to share between threads.

    Parameters
    ----------
    tries : how often a shard may be handed out
    """

    def __init__(self, plan: Plan, stage: Stage, shards: list[Shard], *, tries: int) -> None:
        self._plan, self._stage, self._tries = plan, stage, tries
        self._left = {shard.id: shard for shard in shards}
        self._handed: dict[int, int] = {}
        self._busy: set[int] = set()
        self._looked = -_LOOK_EVERY_S
        self._lock = threading.Lock()

    def take(self) -> Shard | None:
        """The next shard, or None when all have been handed out."""
        with self._lock:
            if not self._left:
                return None
            if time.monotonic() - self._looked >= _LOOK_EVERY_S:
                # Shards handed out here are claimed too, but no longer in _left.
                self._busy = claimed(self._plan, self._stage) & self._left.keys()
                self._looked = time.monotonic()
            busy = self._busy & self._left.keys()
            if busy:  # others are at work: a random choice avoids meeting them at the next shard
                chosen = random.choice([i for i in self._left if i not in busy] or list(self._left))
            else:
                chosen = next(iter(self._left))
            self._handed[chosen] = self._handed.get(chosen, 0) + 1
            return self._left.pop(chosen)

    def put_back(self, shard: Shard) -> bool:
        """Hand a shard out once more; False when it has had all its tries."""
        with self._lock:
            if self._handed[shard.id] >= self._tries:
                return False
            self._left[shard.id] = shard
            return True
