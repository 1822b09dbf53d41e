"""What kernels must be like for an analysis of them: known to plans, so light."""

from __future__ import annotations

from drg_hpc.errors import UsageError

WIDEST = 32
"""Bases of a k-mer in one number of 64 bits."""


def require_countable(width: int) -> None:
    """Refuse ``--unique`` of kernels whose k-mers are too wide to be told apart by numbers.

    Raises
    ------
    UsageError : wider than 32 bases
    """
    if width > WIDEST:
        raise UsageError(f"--unique with kernels of {width} bases, at most {WIDEST} are possible",
                         fix="leave it out: such k-mers hardly ever occur twice")  # fmt: skip
