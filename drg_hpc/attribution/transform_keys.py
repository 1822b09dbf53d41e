"""Keys of a transform, ``kind:key=value:key=value``. Light."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from drg_hpc.attribution.transform_tracks import Outputs, chosen_bins, tracks_of
from drg_hpc.config import nearest
from drg_hpc.errors import UsageError

FUNCTIONS = ("sum", "mean", "min", "max")
KEYS = {
    "aggregate": ("tracks", "except", "bins", "over-bins", "over-tracks", "weight", "name"),
    "specificity": (
        "on", "off", "on-fn", "off-fn", "off-weight", "off-threshold", "compare", "bins", "over-bins", "name",
    ),
    "profile-shape": ("tracks", "bins", "joint", "name"),
}  # fmt: skip
KEY = re.compile(r":(?=[A-Za-z_][\w-]*=)")


class Keys:
    """Keys of a transform of ours, and what they may be."""

    def __init__(self, text: str) -> None:
        kind, *parts = KEY.split(text)
        self.text, self.given = text, dict[str, str]()
        kind, _, other = kind.partition(":")
        for part in [*filter(None, [other]), *parts]:
            key, _, value = part.partition("=")
            if key not in KEYS[kind]:
                raise self.fault(f"unknown key {key!r}", fix=nearest(key, KEYS[kind]))
            if not value or key in self.given:
                raise self.fault(f"{key}= is {'there twice' if value else 'empty'}")
            self.given[key] = value

    def fault(self, what: str, *, fix: str = "") -> UsageError:
        """The error of this transform."""
        return UsageError(f"--transform {self.text}: {what}", fix=fix)

    def option(self, key: str) -> str:
        """What to call a key in messages."""
        return f"--transform {self.text}: {key}"

    def one_of(self, key: str, known: Sequence[str], default: str) -> str:
        """A word."""
        value = self.given.get(key, default).lower()
        if value not in known:
            raise self.fault(f"{key}={value}", fix=f"one of {', '.join(known)}")
        return value

    def number(self, key: str, default: float | None) -> float | None:
        """A finite number."""
        if key not in self.given:
            return default
        try:
            value = float(self.given[key])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.fault(f"{key}={self.given[key]} is no number")
        return value

    def tracks(self, outputs: Outputs, key: str, default: str = "all") -> list[int]:
        """Numbers of tracks."""
        return tracks_of(outputs, self.given.get(key, default), option=self.option(key))

    def names(self, outputs: Outputs, tracks: Sequence[int], *, alone: bool, fix: str) -> list[str]:
        """Names of the values: a value of its own for each track, or ``alone`` one of them all."""
        name = self.given.get("name")
        if name is not None and not alone and len(tracks) > 1:
            raise self.fault(f"name= for {len(tracks)} values", fix=f"leave it out, or add {fix}")
        if alone or name is not None:
            return [name or self.text]
        return [outputs.names[track] for track in tracks]

    def bins(self, outputs: Outputs) -> tuple[dict[str, Any], list[int] | None]:
        """``bins`` and ``over_bins`` of a record, and the bins that are values of their own (None: none are)."""
        bins = chosen_bins(outputs, self.given.get("bins"), option=self.option("bins"))
        over = self.one_of("over-bins", (*FUNCTIONS, "none"), "sum")
        if not outputs.bins and "over-bins" in self.given:
            raise self.fault(f"over-bins={over}, but the model has one value a track")
        alone = (bins if bins is not None else list(range(outputs.bins))) if over == "none" and outputs.bins else None
        return {"bins": bins, "over_bins": None if over == "none" else over}, alone
