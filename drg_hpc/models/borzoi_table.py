"""A table of a foreign description of a model, every key of which has to be accounted for. Light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drg_hpc.errors import InputError

# What only training needs, and the table's own name.
_NO_EFFECT = {"name", "l2_scale", "mha_l2_scale", "kernel_initializer", "mha_initializer", "bn_momentum"}


class Table:
    """One table of a description, every key of which has to be accounted for."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.where, self._left = where, {key: value for key, value in values.items() if key not in _NO_EFFECT}

    def take(self, key: str, default: Any = ...) -> Any:
        """The value of a key.

        Raises
        ------
        InputError : it is not there, and has no default
        """
        if key not in self._left and default is ...:
            raise InputError(f"{self.where}: {key} is missing")
        return self._left.pop(key, default)

    def number(self, key: str, default: Any = ...) -> int:
        """A whole number above 0."""
        value = self.take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{self.where}: {key} = {value!r} must be a whole number above 0")
        return value

    def need(self, key: str, *allowed: Any, default: Any = ...) -> None:
        """Refuse a setting that would make another network.

        Raises
        ------
        InputError : the value is none of those allowed
        """
        value = self.take(key, default)
        if value not in allowed:
            known = " or ".join(map(repr, allowed))
            raise InputError(f"{self.where}: {key} = {value!r} is not supported, only {known}")

    def end(self) -> None:
        """Refuse keys that nobody asked for."""
        if self._left:
            raise InputError(f"{self.where}: unknown settings {', '.join(map(repr, self._left))}")
