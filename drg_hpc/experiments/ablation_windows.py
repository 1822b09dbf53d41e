"""Windows over a sequence, as ``--windows`` of drg-ablate asks for them. Light."""

from __future__ import annotations

import re
from dataclasses import dataclass

from drg_hpc.errors import UsageError

_FORM = re.compile(r"(\d{1,6})(?::(\d{1,6}))?")
_FIX = "W or W:STEP, such as 20 (side by side) or 20:5 (one every 5 bases)"


@dataclass(frozen=True)
class Windows:
    """Windows of ``width`` bases, one every ``step`` bases of the stretch from ``start`` to ``end``."""

    width: int
    step: int
    start: int
    end: int

    @property
    def starts(self) -> list[int]:
        """First base of each, ascending. Where bases remain after the last one, and windows leave no gaps, one more
        ends at ``end``, so that every base of the stretch lies in a window."""
        last = self.end - self.width
        found = list(range(self.start, last + 1, self.step))
        if found[-1] < last and self.step <= self.width:
            found.append(last)
        return found


def parse_windows(text: str, *, length: int, start: int | None, end: int | None) -> Windows:
    """``W[:STEP]``; the step is the width unless said.

    Parameters
    ----------
    length : bases of a sequence
    start, end : of the stretch (default: all of the sequence)

    Raises
    ------
    UsageError : another form, no base in a window or step, a stretch beyond the sequence, or a window wider than it
    """
    match = _FORM.fullmatch(text)
    if match is None or not int(match[1]) or (match[2] is not None and not int(match[2])):
        raise UsageError(f"--windows {text!r} is not known", fix=_FIX)
    width, step = int(match[1]), int(match[2] or match[1])
    first, last = start or 0, length if end is None else end
    if not first < last <= length:
        raise UsageError(
            f"--start {first} --end {last}: sequences have {length} bases",
            fix=f"0 <= start < end <= {length}; positions count from 0, the end is not among them",
        )
    if width > last - first:
        what = f"from {first} to {last}" if (first, last) != (0, length) else "of the sequences"
        raise UsageError(f"--windows {text}: {width} bases, wider than the {last - first} {what}", fix="give fewer")
    return Windows(width, step, first, last)
