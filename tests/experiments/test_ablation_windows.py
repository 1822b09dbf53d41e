"""What --windows asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drg_hpc.errors import UsageError
from drg_hpc.experiments.ablation_windows import Windows, parse_windows


def test_windows_side_by_side_and_overlapping() -> None:
    assert parse_windows("20", length=60, start=None, end=None).starts == [0, 20, 40]
    assert parse_windows("20", length=50, start=None, end=None).starts == [0, 20, 30]  # the last one ends at the end
    assert parse_windows("20:15", length=60, start=None, end=None).starts == [0, 15, 30, 40]
    assert parse_windows("5:10", length=42, start=10, end=40).starts == [10, 20, 30]  # with gaps: none is added
    assert parse_windows("7:1", length=9, start=1, end=None) == Windows(7, 1, 1, 9)


@given(
    width=st.integers(1, 40), step=st.integers(1, 60) | st.none(), length=st.integers(1, 120),
    start=st.integers(0, 130) | st.none(), end=st.integers(1, 130) | st.none(),
)  # fmt: skip
def test_any_windows(width: int, step: int | None, length: int, start: int | None, end: int | None) -> None:
    """Either refused, or ascending, within the stretch, and on every base of it where windows leave no gaps."""
    text = str(width) if step is None else f"{width}:{step}"
    first, last = start or 0, length if end is None else end
    if not first < last <= length or width > last - first:
        with pytest.raises(UsageError):
            parse_windows(text, length=length, start=start, end=end)
        return
    found = parse_windows(text, length=length, start=start, end=end)
    starts, apart = found.starts, step or width
    assert starts == sorted(set(starts)) and starts[0] == first and starts[-1] + width <= last
    regular = list(range(first, last - width + 1, apart))
    assert starts[: len(regular)] == regular and len(starts) - len(regular) <= 1
    covered = {base for at in starts for base in range(at, at + width)}
    if apart <= width:
        assert covered == set(range(first, last))
    else:
        assert starts == regular


@given(text=st.text("0123456789:, -.+xW", max_size=8))
def test_what_is_no_window(text: str) -> None:
    parts = text.split(":")
    good = len(parts) <= 2 and all(part.isascii() and part.isdigit() and len(part) <= 6 and int(part) for part in parts)
    if good and int(parts[0]) <= 10**6:
        assert parse_windows(text, length=10**6, start=None, end=None).width == int(parts[0])
        return
    with pytest.raises(UsageError, match="is not known; W or W:STEP"):
        parse_windows(text, length=10**6, start=None, end=None)


@pytest.mark.parametrize(
    ("text", "start", "end", "message"),
    [
        ("41", None, None, "--windows 41: 41 bases, wider than the 40 of the sequences; give fewer"),
        ("11", 10, 20, "--windows 11: 11 bases, wider than the 10 from 10 to 20"),
        ("5", 10, 10, "--start 10 --end 10: sequences have 40 bases; 0 <= start < end <= 40"),
        ("5", 0, 41, "--start 0 --end 41: sequences have 40 bases"),
    ],
)
def test_windows_that_do_not_fit(text: str, start: int | None, end: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_windows(text, length=40, start=start, end=end)
