"""What the gene statistics and their choices are called. Light: ``--help`` needs no more."""

from __future__ import annotations

from typing import Literal

GeneStat = Literal["expression", "polya", "splice"]
Junction = Literal["acceptor", "donor", "both"]
Order = Literal["new", "old", "none"]
Counts = tuple[int, int]
"""Bases on the covered and on the other side of a place."""
