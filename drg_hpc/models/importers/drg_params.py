"""Read DRG's ``_model_params.dat``: one ``key : value`` a line, as its program wrote the attributes of the network.

Format: lines that begin with ``_`` (torch's own attributes) and ``outname`` are left out; blanks are removed; a line is
split at its first colon, or at its first equals sign where it has both. Values: true, false and none in any case; lists
and tuples; integers; numbers; everything else is text.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from drg_hpc.errors import InputError

T = TypeVar("T")
_CONSTANTS = {"true": True, "false": False, "none": None}
_LIMIT = 1 << 24  # bytes; the files have three thousand


def parse_value(text: str) -> Any:
    """The value of a text without blanks; nothing is evaluated but literals.

    Raises
    ------
    ValueError : it begins like a list or tuple and is none
    """
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    if text.startswith(("[", "(")):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise ValueError("not a list") from None
    for number in (int, float):
        try:
            value = number(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text


def parse_params(text: str, *, source: str) -> dict[str, Any]:
    """Keys and values of the text of a ``.dat`` file.

    Raises
    ------
    InputError : a line without a key, or with a damaged list
    """
    found: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        packed = "".join(line.split())
        if not packed or packed.startswith(("_", "outname")):
            continue
        separator = "=" if "=" in packed and ":" in packed else ":"
        key, found_it, value = packed.partition(separator)
        if not found_it or not key:
            raise InputError(f"{source}, line {number}: {line.strip()[:60]!r} is not 'key : value'",
                             fix="give DRG's _model_params.dat")  # fmt: skip
        try:
            found[key] = parse_value(value)
        except ValueError:
            raise InputError(f"{source}, line {number}: {key} = {value[:60]!r} is not a list") from None
    return found


class Params:
    """The settings of a ``.dat`` file, with DRG's defaults for keys that an older one lacks.

    Raises
    ------
    InputError : on reading a value of another kind than asked for
    """

    def __init__(self, values: Mapping[str, Any], *, source: str) -> None:
        self.values, self.source = dict(values), source

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def fault(self, key: str, reason: str, *, fix: str = "") -> InputError:
        """The error that says why a setting cannot be taken."""
        return InputError(f"{self.source}: {key} = {self.values.get(key)!r}: {reason}", fix=fix)

    def raw(self, key: str, default: Any) -> Any:
        """A value as it is, or the default where the key is missing or None."""
        found = self.values.get(key)
        return default if found is None else found

    def integer(self, key: str, default: int = 0) -> int:
        """A whole number of 0 or more; True and False are 1 and 0."""
        value = self.raw(key, default)
        if isinstance(value, float) and value == int(value):
            value = int(value)
        if not isinstance(value, int) or value < 0:
            raise self.fault(key, "must be a whole number")
        return int(value)

    def number(self, key: str, default: float) -> float:
        """A number."""
        value = self.raw(key, default)
        if not isinstance(value, int | float):
            raise self.fault(key, "must be a number")
        return float(value)

    def yes(self, key: str, default: bool = False) -> bool:
        """True or False; a number other than 0 is true."""
        value = self.raw(key, default)
        if not isinstance(value, bool | int | float):
            raise self.fault(key, "must be True or False")
        return bool(value)

    def text(self, key: str, default: str) -> str:
        """A word."""
        value = self.raw(key, default)
        if not isinstance(value, str):
            raise self.fault(key, "must be a word")
        return value

    def each(self, key: str, default: T, *, count: int, kind: Callable[[Any], bool]) -> list[T]:
        """One value for all of ``count``, or a list with one each.

        Parameters
        ----------
        kind : says whether a value is fit
        """
        value = self.raw(key, default)
        values = list(value) if isinstance(value, list | tuple) else [value] * count
        values = [default if item is None else item for item in values]
        if len(values) != count:
            raise self.fault(key, f"has {len(values)} values for {count}")
        if not all(kind(item) for item in values):
            raise self.fault(key, "holds a value of the wrong kind")
        return values


def is_count(value: Any) -> bool:
    """A whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_number(value: Any) -> bool:
    """A number above 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def is_word(value: Any) -> bool:
    """A text."""
    return isinstance(value, str)


def read_params(path: Path) -> Params:
    """The settings of a ``.dat`` file.

    Raises
    ------
    InputError : no such file, or not one of DRG's
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    if path.stat().st_size > _LIMIT:
        raise InputError(f"{path} is too large for settings", fix="give DRG's _model_params.dat first, then the .pth")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text", fix="give DRG's _model_params.dat first, then the .pth") from None
    values = parse_params(text, source=str(path))
    for key in ("num_kernels", "l_seqs", "n_classes"):
        if values.get(key) is None:
            raise InputError(f"{path}: {key} is missing", fix="give DRG's _model_params.dat")
    return Params(values, source=str(path))
