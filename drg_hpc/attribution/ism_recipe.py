"""What in-silico mutagenesis (ISM) is to do, checked. Light: plans read it on login nodes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from drg_hpc.attribution.edit_spec import EditSpec as EditSpec
from drg_hpc.attribution.edit_spec import parse_edits as parse_edits
from drg_hpc.attribution.reference_spec import parse_frequencies
from drg_hpc.attribution.transform_spec import Scale
from drg_hpc.config import nearest
from drg_hpc.errors import UsageError
from drg_hpc.models.user_packages import is_ours

Compare = Literal["subtract", "divide", "log2fc", "none"]
COMPARES: tuple[Compare, ...] = ("subtract", "divide", "log2fc", "none")
RATIOS = ("divide", "log2fc")
PROJECTIONS = ("mean-effect", "centred", "hypothetical")
ENGINES = ("auto", "incremental", "full")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class IsmRecipe:
    """ISM with everything that determines its numbers, checked.

    Attributes
    ----------
    compare : of mutant and reference: subtract, divide, log2fc, none (the mutant's value), or a user's
        ``package.module:function``
    pseudo : added to both before they are divided
    projection : key of :data:`PROJECTIONS`
    base_freqs : of the hypothetical projection, A, C, G, T
    edits : kinds of edits
    screen : positions of a row that are mutated, the strongest by TISM; None for all
    engine : auto, incremental or full
    """

    compare: str = "subtract"
    pseudo: float = 0.0
    projection: str = "mean-effect"
    base_freqs: tuple[float, ...] | None = None
    edits: tuple[EditSpec, ...] = (EditSpec("substitutions"),)
    screen: int | None = None
    engine: str = "auto"

    @property
    def user_compare(self) -> str | None:
        """The user's function, where there is one."""
        return self.compare if ":" in self.compare else None

    @property
    def substitutes(self) -> bool:
        """Whether substitutions are among the edits."""
        return any(spec.kind == "substitutions" for spec in self.edits)

    @property
    def others(self) -> tuple[EditSpec, ...]:
        """Edits but substitutions, each with a dataset of its own."""
        return tuple(spec for spec in self.edits if spec.kind != "substitutions")

    @property
    def random(self) -> bool:
        """Whether the seed has an effect."""
        return any(spec.fill in ("random", "shuffle", "dinuc") for spec in self.edits)

    def scale(self, asked: Scale | None) -> Scale:
        """The scale of the outputs that are compared: asked for, or by default link; output for ratios and for a
        user's function.

        Raises
        ------
        UsageError : ratios of numbers on the link scale
        """
        if self.compare in RATIOS and asked == "link":
            raise UsageError(f"--scale link with --compare {self.compare}: ratios are of outputs",
                             fix="leave --scale out, or take --compare subtract")  # fmt: skip
        by_default: Scale = "output" if self.compare in RATIOS or self.user_compare else "link"
        return asked or by_default

    def edits_of_row(self, positions: Sequence[int]) -> int:
        """Edits of a row with so many positions in a row of each input; a screen is not looked at."""
        return sum(spec.count(here) for spec in self.edits for here in positions)

    def check_lengths(self, lengths: Mapping[str, int]) -> None:
        """Refuse edits that fit into no position of a sequence.

        Parameters
        ----------
        lengths : of each input, by its name

        Raises
        ------
        UsageError : with the edit
        """
        name, length = min(lengths.items(), key=lambda item: item[1])
        for spec in self.edits:
            if spec.size > length:
                which = f" of input {name!r}" if len(lengths) > 1 else ""
                raise UsageError(f"--edits {spec.text}: sequences{which} have {length} bases",
                                 fix=f"at most {length} bases can be changed at once")  # fmt: skip

    def params(self) -> dict[str, Any]:
        """Plain values for a plan, read back by :meth:`from_params`."""
        return {
            "compare": self.compare,
            "pseudo": self.pseudo,
            "projection": self.projection,
            "base_freqs": None if self.base_freqs is None else list(self.base_freqs),
            "edits": [spec.text for spec in self.edits],
            "screen": self.screen,
            "engine": self.engine,
        }

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> IsmRecipe:
        """What :meth:`params` wrote."""
        values = {name: params[name] for name in cls.__dataclass_fields__}
        frequencies = values["base_freqs"]
        values["base_freqs"] = None if frequencies is None else tuple(frequencies)
        return cls(**values | {"edits": parse_edits(",".join(values["edits"]))})


def make_ism_recipe(
    *,
    compare: str = "subtract",
    pseudo: float | None = None,
    projection: str = "mean-effect",
    base_freqs: str | None = None,
    edits: str = "substitutions",
    screen: str | None = None,
    engine: str = "auto",
) -> IsmRecipe:
    """Check what is asked for, each as the text of its option, and fill in what was left open.

    Raises
    ------
    UsageError : an unknown word, or an option without effect
    """
    for option, value, known in (("--projection", projection, PROJECTIONS), ("--engine", engine, ENGINES)):
        if value not in known:
            raise UsageError(f"unknown {option} {value!r}", fix=nearest(value, known))
    _check_compare(compare)
    if pseudo is not None and compare not in RATIOS:
        raise UsageError(f"--pseudo has no effect on --compare {compare}", fix="it belongs to divide and log2fc")
    if pseudo is not None and not (pseudo >= 0 and math.isfinite(pseudo)):
        raise UsageError(f"--pseudo {pseudo:g}: a number from 0 on is needed")
    if base_freqs is not None and projection != "hypothetical":
        raise UsageError(f"--base-freqs has no effect on --projection {projection}",
                         fix="it belongs to --projection hypothetical")  # fmt: skip
    frequencies = None
    if projection == "hypothetical":
        frequencies = parse_frequencies(base_freqs or "0.25,0.25,0.25,0.25", option="--base-freqs")
    return IsmRecipe(
        compare=compare,
        pseudo=pseudo or 0.0,
        projection=projection,
        base_freqs=frequencies,
        edits=parse_edits(edits),
        screen=None if screen is None else _screen(screen),
        engine=engine,
    )


def _check_compare(compare: str) -> None:
    if compare in COMPARES:
        return
    if _FUNCTION.fullmatch(compare) is None:
        raise UsageError(f"unknown --compare {compare!r}", fix=nearest(compare, [*COMPARES, "package.module:function"]))
    if is_ours(compare.partition(":")[0]):
        raise UsageError(f"--compare {compare}: a function must be in a package of your own",
                         fix="write a function that calls it, in a module of yours")  # fmt: skip


def _screen(text: str) -> int:
    """``tism:K``."""
    match = re.fullmatch(r"tism:(\d{1,9})", text)
    if match is None or not int(match[1]):
        raise UsageError(f"--screen {text!r} is not known", fix="tism:K with K, the positions of a row to be mutated")
    return int(match[1])
