"""What is attributed, checked against a model's header: tracks, means of groups, transforms. Light.

A transform is its name and keys, with a colon before each: ``aggregate:tracks=a,b:over-tracks=mean``. A colon begins a
key only where ``word=`` follows, so names of tracks may hold colons. The torch half is
:mod:`drg_hpc.attribution.targets_transform` and :mod:`drg_hpc.attribution.targets_make`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from drg_hpc.attribution.transform_keys import FUNCTIONS, KEY, KEYS, Keys
from drg_hpc.attribution.transform_tracks import Outputs, chosen_bins, chosen_tracks, listed
from drg_hpc.config import nearest
from drg_hpc.errors import UsageError
from drg_hpc.models.user_packages import is_ours

Scale = Literal["link", "output"]
Record = dict[str, Any]
COMPARISONS = ("divide", "subtract", "log2fc")
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Target:
    """A checked statistic of the tracks.

    Attributes
    ----------
    names : one per value
    scale : of the outputs that it is computed from
    values : what :func:`drg_hpc.attribution.targets_make.make_statistic` needs besides, as plain JSON values
    """

    kind: Literal["tracks", "groups", "aggregate", "specificity", "profile-shape", "user"]
    names: tuple[str, ...]
    scale: Scale
    values: Mapping[str, Any]

    def record(self) -> Record:
        """For a plan."""
        return {"kind": self.kind, "names": list(self.names), "scale": self.scale, **self.values}


def plan_target(
    header: Mapping[str, Any],
    *,
    tracks: str = "all",
    transform: str | None = None,
    groups: Mapping[str, Sequence[int]] | None = None,
    scale: Scale | None = None,
) -> Target:
    """The statistic that ``--tracks`` and ``--transform`` ask for.

    Parameters
    ----------
    header : of the model
    tracks : ``all``, or names and ``group:NAME`` separated by commas; a group stands for the mean of its tracks
    groups : numbers of the tracks of each group, by its name
    scale : asked for; None for the default: output for ratios and for a user's transform, else link

    Raises
    ------
    UsageError : no such track, group, bin, key or transform, or one that means nothing on this scale
    """
    outputs = Outputs.of(header, groups or {})
    if transform is None:
        return _plain(outputs, tracks, scale or "link")
    if tracks != "all":
        raise UsageError(
            f"--tracks {tracks} with --transform", fix="say in the transform which tracks it takes, as in tracks=A,B"
        )
    make = {"aggregate": _aggregate, "specificity": _specificity, "profile-shape": _profile_shape}
    kind = transform.partition(":")[0]
    return make[kind](outputs, Keys(transform), scale) if kind in make else _user(transform, scale)


def _plain(outputs: Outputs, text: str, scale: Scale) -> Target:
    """Tracks, or where a group is among them means of groups (a track is a group of one)."""
    found = chosen_tracks(outputs, text, option="--tracks")
    if all(len(tracks) == 1 and name == outputs.names[tracks[0]] for name, tracks in found):
        numbers = sorted({tracks[0] for _, tracks in found})
        return Target("tracks", tuple(outputs.names[i] for i in numbers), scale, {"tracks": numbers})
    for name, tracks in found:
        outputs.require_one_link(tracks, scale, what=f"--tracks {name}")
    names = [name for name, _ in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"--tracks: {twice!r} twice", fix="give each once")
    return Target("groups", tuple(names), scale, {"groups": [list(tracks) for _, tracks in found]})


def _with_bins(names: Sequence[str], bins: Sequence[int] | None) -> tuple[str, ...]:
    return tuple(names) if bins is None else tuple(f"{name}@{number}" for name in names for number in bins)


def _aggregate(outputs: Outputs, keys: Keys, asked: Scale | None) -> Target:
    left_out = keys.tracks(outputs, "except") if "except" in keys.given else []
    tracks = [track for track in keys.tracks(outputs, "tracks") if track not in left_out]
    if not tracks:
        raise keys.fault("no track is left")
    scale: Scale = asked or "link"
    bins, alone = keys.bins(outputs)
    over = keys.one_of("over-tracks", (*FUNCTIONS, "none"), "none")
    if over != "none":
        outputs.require_one_link(tracks, scale, what=f"--transform {keys.text}")
    names = keys.names(outputs, tracks, alone=over != "none", fix="over-tracks=mean")
    values = {"tracks": tracks, **bins, "over_tracks": None if over == "none" else over}
    return Target("aggregate", _with_bins(names, alone), scale, values | {"weight": keys.number("weight", 1.0)})


def _specificity(outputs: Outputs, keys: Keys, asked: Scale | None) -> Target:
    if "on" not in keys.given:
        raise keys.fault("on= is needed", fix="as in specificity:on=A,B")
    on = keys.tracks(outputs, "on")
    off = [track for track in keys.tracks(outputs, "off") if track not in on]
    if not off:
        raise keys.fault("no track is left for off", fix="name tracks that are not in on=")
    compare = keys.one_of("compare", COMPARISONS, "divide")
    if compare != "subtract" and asked == "link":
        raise keys.fault(
            f"--scale link with compare={compare}: ratios are of outputs",
            fix="leave --scale out, or take compare=subtract",
        )
    scale: Scale = asked or ("link" if compare == "subtract" else "output")
    outputs.require_one_link([*on, *off], scale, what=f"--transform {keys.text}")
    bins, alone = keys.bins(outputs)
    values = {"on": on, "off": off, **bins, "compare": compare}
    values |= {f"{side}_fn": keys.one_of(f"{side}-fn", FUNCTIONS, "mean") for side in ("on", "off")}
    values |= {"off_weight": keys.number("off-weight", 1.0), "off_threshold": keys.number("off-threshold", None)}
    names = keys.names(outputs, on, alone=True, fix="")
    return Target("specificity", _with_bins(names, alone), scale, values)


def _profile_shape(outputs: Outputs, keys: Keys, asked: Scale | None) -> Target:
    if not outputs.bins:
        raise keys.fault("the model has one value a track, which has no shape")
    if asked == "output":
        raise keys.fault("--scale output: the shape is taken on the link scale", fix="leave --scale out")
    tracks = keys.tracks(outputs, "tracks")
    if logits := [outputs.names[track] for track in tracks if outputs.links[track] == "logit"]:
        raise keys.fault(f"bins of track {logits[0]!r} are separate yes-or-no answers, no profile")
    joint = keys.one_of("joint", ("yes", "no"), "no") == "yes"
    if joint:
        outputs.require_one_link(tracks, "link", what=f"--transform {keys.text}")
    bins = chosen_bins(outputs, keys.given.get("bins"), option=keys.option("bins"))
    names = keys.names(outputs, tracks, alone=joint, fix="joint=yes")
    return Target("profile-shape", tuple(names), "link", {"tracks": tracks, "bins": bins, "joint": joint})


def _user(text: str, asked: Scale | None) -> Target:
    """``package.module:factory`` with keyword arguments, read as TOML values where they are, else as text."""
    factory, *parts = KEY.split(text)
    if _FACTORY.fullmatch(factory) is None:
        known = [*KEYS, "package.module:factory"]
        raise UsageError(f"no transform {factory!r}", fix=nearest(factory.partition(":")[0], known))
    if is_ours(factory.partition(":")[0]):
        raise UsageError(f"--transform {factory}: a factory must be in a package of your own",
                         fix="write a function that calls it, in a module of yours")  # fmt: skip
    given = dict(part.partition("=")[::2] for part in parts)
    if len(given) < len(parts) or not all(given.values()):
        raise UsageError(f"--transform {text}: a key is empty, or there twice")
    names = listed(given.pop("values")) if "values" in given else [factory]
    if len(set(names)) < len(names):
        raise UsageError(f"--transform {text}: values= has a name twice")
    kwargs = {key.replace("-", "_"): _toml_value(value, text) for key, value in given.items()}
    return Target("user", tuple(names), asked or "output", {"factory": factory, "kwargs": kwargs})


def _toml_value(text: str, transform: str) -> Any:
    try:
        value = tomllib.loads(f"v = {text}")["v"]
        json.dumps(value, allow_nan=False)
    except tomllib.TOMLDecodeError:
        return text
    except (TypeError, ValueError):
        raise UsageError(f"--transform {transform}: {text} is no plain value", fix="put a text into quotes") from None
    return value
