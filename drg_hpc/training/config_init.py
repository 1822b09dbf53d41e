"""``[init]``: the weights that a training starts from, and those it leaves as they are. Light: no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from drg_hpc.config import Options, flag
from drg_hpc.errors import UsageError


def _is_map(text: str) -> str:
    ours, colon, theirs = text.partition(":")
    if not colon or ":" in theirs or text == ":":
        raise ValueError(f"{text!r} is not OURS:THEIRS, such as trunk:layers")
    if ours.count("*") != theirs.count("*"):
        raise ValueError(f"{text!r} has {ours.count('*')} * on the left and {theirs.count('*')} on the right")
    return text


LoadMap = Annotated[str, AfterValidator(_is_map)]


class InitTable(Options):
    """``[init]``: initial weights. Names are those of tensors in weights.safetensors; ``*`` of a glob is any text."""

    model: Path | None = flag(
        None, help="MODEL folder to take weights from, and without a [model] table the architecture too"
    )
    load_map: tuple[LoadMap, ...] = flag(
        (), help="OURS:THEIRS: tensors whose names begin with OURS are called THEIRS there; * is one part of a name"
    )
    include: tuple[str, ...] = flag((), help="globs of the tensors to load (default: all)")
    exclude: tuple[str, ...] = flag((), help="globs of tensors that keep their fresh values")
    crop: bool = flag(False, help="where a first dimension differs, cut it off or fill it up with zeros")
    head: Literal["name", "new", "position"] = flag(
        "name",
        help="tensors with rows for each track: name: take the rows of the tracks with the same names; new: keep their "
        "fresh values; position: take them as they are, whatever the tracks are called",
    )
    freeze: tuple[str, ...] = flag(
        (), help="globs of tensors that stay as they are, running statistics of batch norm included"
    )
    motifs: Path | None = flag(None, help="MEME file: kernels of the first convolution begin as its motifs, in order")
    motif_scale: float = flag(1.0, help="factor of their log-odds (natural logarithm, uniform background)", gt=0)
    motif_input: str | None = flag(None, help="input whose first convolution gets them, where there are several")


_OF_MODEL = ("load_map", "include", "exclude", "crop", "head")


def settle_init(table: InitTable, flags: Mapping[str, Any]) -> InitTable:
    """The table with the flags that were given.

    Raises
    ------
    UsageError : a setting without the file that it is about
    """
    settled = table.model_copy(update={key: value for key, value in flags.items() if value})
    defaults = InitTable()
    for keys, needed, option in (
        (_OF_MODEL, "model", "--init MODEL"),
        (("motif_scale", "motif_input"), "motifs", "init.motifs"),
    ):
        changed = [key for key in keys if getattr(settled, key) != getattr(defaults, key)]
        if getattr(settled, needed) is None and changed:
            raise UsageError(
                f"init.{changed[0]} = {_shown(getattr(settled, changed[0]))} without {option}", fix=f"give {option}"
            )
    return settled


def _shown(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else repr(value)
