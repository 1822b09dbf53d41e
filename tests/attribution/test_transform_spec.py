"""--tracks and --transform as people type them, against a model's header."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drg_hpc.attribution.transform_spec import Target, plan_target
from drg_hpc.attribution.transform_tracks import Outputs, chosen_bins, chosen_tracks
from drg_hpc.errors import DrgError, UsageError

NAMES = ["a", "b", "DNASE:CD14-positive, monocyte", "c"]
GROUPS = {"blood": (0, 2), "T cells, CD4+": (1, 3)}


def header(bins: int = 0, links: tuple[str, ...] = ("log",) * 4) -> dict[str, Any]:
    return {"tracks": NAMES, "bins": bins, "heads": [{"name": link, "tracks": 1, "link": link} for link in links]}


def plan(text: str, *, bins: int = 8, **options: Any) -> Target:
    return plan_target(header(bins, **options.pop("head", {})), transform=text, groups=GROUPS, **options)


def test_tracks_and_groups() -> None:
    assert plan_target(header()).record() == {
        "kind": "tracks", "names": NAMES, "scale": "link", "tracks": [0, 1, 2, 3],
    }  # fmt: skip
    assert plan_target(header(), tracks="c, a", scale="output").values == {"tracks": [0, 3]}
    assert plan_target(header(), tracks="DNASE:CD14-positive, monocyte,b").names == ("b", NAMES[2])
    found = plan_target(header(), tracks="group:T cells, CD4+,a,group:blood", groups=GROUPS)
    assert (found.kind, found.names) == ("groups", ("group:T cells, CD4+", "a", "group:blood"))
    assert found.values == {"groups": [[1, 3], [0], [0, 2]]}


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ("bb", "no track 'bb'; did you mean 'b'"),
        ("a,,x", "no track 'x'"),
        (" , ", "no track in ' , '"),
        ("group:blod", "no group 'blod'; did you mean 'blood'"),
        ("group:blood,group:blood", "'group:blood' twice"),
    ],
)
def test_wrong_tracks(tracks: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_target(header(), tracks=tracks, groups=GROUPS)


def test_groups_need_groups_and_one_link() -> None:
    with pytest.raises(UsageError, match="give --groups FILE"):
        plan_target(header(), tracks="group:x")
    mixed = header(links=("log", "log", "logit", "log"))
    with pytest.raises(UsageError, match="links log and logit have no common link scale; add --scale output"):
        plan_target(mixed, tracks="group:blood", groups=GROUPS)
    assert plan_target(mixed, tracks="group:blood", groups=GROUPS, scale="output").scale == "output"


def test_aggregate() -> None:
    found = plan(
        "aggregate:tracks=a,group:blood:except=b:bins=6,0-2:over-bins=mean:over-tracks=max:weight=-.5:name=x y"
    )
    assert found.record() == {
        "kind": "aggregate", "names": ["x y"], "scale": "link", "tracks": [0, 2], "bins": [0, 1, 6],
        "over_bins": "mean", "over_tracks": "max", "weight": -0.5,
    }  # fmt: skip
    assert plan("aggregate").names == tuple(NAMES)
    assert plan("aggregate:tracks=a,b:over-bins=none:bins=3-5").names == ("a@3", "a@4", "b@3", "b@4")
    assert plan("aggregate:over-tracks=sum:over-bins=none").names[-1] == "aggregate:over-tracks=sum:over-bins=none@7"
    assert plan("aggregate:over-tracks=sum", bins=0).names == ("aggregate:over-tracks=sum",)
    assert plan("aggregate:tracks=DNASE:CD14-positive, monocyte").values["tracks"] == [2]


def test_specificity() -> None:
    found = plan("specificity:on=a,b")
    assert found.record() == {
        "kind": "specificity", "names": ["specificity:on=a,b"], "scale": "output", "on": [0, 1], "off": [2, 3],
        "bins": None, "over_bins": "sum", "compare": "divide", "on_fn": "mean", "off_fn": "mean", "off_weight": 1.0,
        "off_threshold": None,
    }  # fmt: skip
    found = plan("specificity:on=a:off=a,c:compare=subtract:off-weight=2:off-threshold=1e-1:off-fn=max:name=s")
    assert (found.scale, found.names, found.values["off"]) == ("link", ("s",), [3])
    assert (found.values["off_weight"], found.values["off_threshold"], found.values["off_fn"]) == (2, 0.1, "max")
    assert plan("specificity:on=a:compare=log2FC").scale == "output"
    assert plan("specificity:on=a:compare=subtract", scale="output").scale == "output"


def test_profile_shape() -> None:
    assert plan("profile-shape").names == tuple(NAMES)
    found = plan("profile-shape:tracks=a,b:joint=yes:bins=2-8")
    assert found.values == {"tracks": [0, 1], "bins": [2, 3, 4, 5, 6, 7], "joint": True}
    assert (found.scale, found.names) == ("link", ("profile-shape:tracks=a,b:joint=yes:bins=2-8",))


def test_a_users_factory() -> None:
    found = plan("mine.parts:make:width=3:names-of=[1, 2]:kind=soft:flag=true:values=up,down")
    assert found.record() == {
        "kind": "user", "names": ["up", "down"], "scale": "output", "factory": "mine.parts:make",
        "kwargs": {"width": 3, "names_of": [1, 2], "kind": "soft", "flag": True},
    }  # fmt: skip
    assert plan("mine:make", scale="link").record() == {
        "kind": "user", "names": ["mine:make"], "scale": "link", "factory": "mine:make", "kwargs": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aggregat:tracks=a", "no transform 'aggregat'; did you mean 'aggregate'"),
        ("sum", "no transform 'sum'"),
        ("aggregate:track=a", "unknown key 'track'; did you mean 'tracks'"),
        ("aggregate:a", "unknown key 'a'"),
        ("aggregate:tracks=a:over-bin=sum", "unknown key 'over-bin'; did you mean 'over-bins'"),
        ("aggregate:tracks=", "tracks= is empty"),
        ("aggregate:tracks=a:tracks=b", "tracks= is there twice"),
        ("aggregate:tracks=d", "tracks: no track 'd'"),
        ("aggregate:except=a,b,c,group:blood", "no track is left"),
        ("aggregate:over-tracks=median", "over-tracks=median; one of sum, mean, min, max, none"),
        ("aggregate:weight=heavy", "weight=heavy is no number"),
        ("aggregate:weight=inf", "weight=inf is no number"),
        ("aggregate:name=x", "name= for 4 values; leave it out, or add over-tracks=mean"),
        ("aggregate:bins=7-9", "7-9 is empty or outside the model's 8 bins"),
        ("aggregate:bins=3-3", "3-3 is empty"),
        ("aggregate:bins=a", "'a' is neither a bin nor a range"),
        ("specificity:off=a", "on= is needed"),
        ("specificity:on=group:blood,b,c", "no track is left for off"),
        ("specificity:on=a:compare=ratio", "compare=ratio; one of divide, subtract, log2fc"),
        ("profile-shape:joint=maybe", "joint=maybe; one of yes, no"),
        ("profile-shape:over-bins=sum", "unknown key 'over-bins'"),
        ("torch.nn:Linear:in=3", "a factory must be in a package of your own"),
        ("mine:make:values=a,a", "values= has a name twice"),
        ("mine:make:x=1:x=2", "a key is empty, or there twice"),
        ("mine:make:x=nan", "nan is no plain value"),
    ],
)
def test_wrong_transforms(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan(text)


def test_what_means_nothing() -> None:
    with pytest.raises(UsageError, match="ratios are of outputs; leave --scale out, or take compare=subtract"):
        plan("specificity:on=a", scale="link")
    with pytest.raises(UsageError, match="the shape is taken on the link scale"):
        plan("profile-shape", scale="output")
    with pytest.raises(UsageError, match="one value a track, which has no shape"):
        plan("profile-shape", bins=0)
    for text in ("aggregate:bins=1", "specificity:on=a:bins=0", "aggregate:over-bins=sum"):
        with pytest.raises(UsageError, match="the model has one value a track"):
            plan(text, bins=0)
    with pytest.raises(UsageError, match="separate yes-or-no answers"):
        plan("profile-shape:tracks=c", head={"links": ("log", "log", "log", "logit")})
    for text in ("aggregate:over-tracks=mean", "specificity:on=a:compare=subtract", "profile-shape:joint=yes"):
        with pytest.raises(UsageError, match="no common link scale"):
            plan(text, head={"links": ("log", "log", "log", "softplus")})
    with pytest.raises(UsageError, match="say in the transform which tracks"):
        plan("aggregate", tracks="a")


TRACK_NAMES = st.text(alphabet="ab, :@=-", min_size=1, max_size=6).map(str.strip).filter(bool)


@given(st.lists(TRACK_NAMES, min_size=1, unique=True), st.data())
def test_every_list_of_names_is_found_again(names: list[str], data: st.DataObject) -> None:
    """Names with commas, colons and blanks; a list is ambiguous only where two ways to cut it give names."""
    plain = [name for name in names if "," not in name and name != "all"]
    outputs = Outputs(names, ["log"] * len(names), 0, {})
    if not plain:
        return
    chosen = data.draw(st.lists(st.sampled_from(plain), min_size=1, max_size=4))
    found = chosen_tracks(outputs, ",".join(chosen), option="--tracks")
    joined = [",".join(chosen[i:j]) for i in range(len(chosen)) for j in range(i + 2, len(chosen) + 1)]
    if not set(joined) & set(names):
        assert [name for name, _ in found] == chosen
        assert [numbers for _, numbers in found] == [(names.index(name),) for name in chosen]


@given(st.sets(st.integers(0, 30), min_size=1))
def test_bins_in_ranges(bins: set[int]) -> None:
    outputs = Outputs(["a"], ["log"], 31, {})
    assert chosen_bins(outputs, ",".join(map(str, bins)), option="bins") == sorted(bins)
    low, high = min(bins), max(bins)
    assert chosen_bins(outputs, f"{low}-{high + 1}", option="bins") == list(range(low, high + 1))


@given(st.text(alphabet="agrespcifty:-=,0123 .x_ø\"'", max_size=40))
def test_any_text_is_a_target_or_an_error_of_ours(text: str) -> None:
    for start in ("", "aggregate:", "specificity:on=a:", "profile-shape:", "m:f:"):
        try:
            found = plan(start + text)
        except DrgError as error:
            assert "\n" not in str(error)
        else:
            assert found.names
