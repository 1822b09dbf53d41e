"""The validated description of a user's own network. Light: nothing of the user's is imported here."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import field_validator

from drg_hpc.config import Options, flag

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class UserConfig(Options):
    """A network of the user's own, made by calling a function or class of an importable Python package."""

    architecture: Literal["user"] = flag("user", help="name of the architecture")
    factory: str = flag(help="package.module:name of a function or class that returns a torch module")
    kwargs: dict[str, Any] = flag({}, help="keyword arguments of the call, as the table [model.kwargs]")

    @field_validator("factory")
    @classmethod
    def _check_factory(cls, value: str) -> str:
        if not _FACTORY.fullmatch(value):
            raise ValueError("must be package.module:name")
        return value

    @field_validator("kwargs")
    @classmethod
    def _check_plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "shape" in value:
            raise ValueError("shape is given to the factory by itself, where it has a parameter of that name")
        try:
            plain: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError):
            raise ValueError("must be text, numbers, true, false, and lists and tables of them") from None
        return plain


def as_table(value: Any) -> Any:
    """``[model]`` as people may write it: ``"package.module:name"``, or a table with a factory and no architecture."""
    if isinstance(value, str):
        return {"architecture": "user", "factory": value}
    if isinstance(value, dict) and "factory" in value and "architecture" not in value:
        return {"architecture": "user", **value}
    return value
