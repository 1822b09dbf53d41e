"""Hot loops: one typed decorator for compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile with numba and keep the machine code on disk.

    No ``fastmath``: sums must not be reordered, or results would depend on the processor.
    """
    from numba import njit

    return cast(F, njit(cache=True)(function))
