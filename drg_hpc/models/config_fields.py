"""Kinds of values that several architectures' descriptions have. Light: no torch here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Size = Annotated[int, Field(ge=1)]


def odd(value: int) -> int:
    """A width that keeps positions centred, or a fault for pydantic."""
    if value % 2 == 0:
        raise ValueError("must be odd, so that the layer keeps positions centred")
    return value
