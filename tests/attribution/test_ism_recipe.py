"""What in-silico mutagenesis may be asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drg_hpc.attribution.ism_recipe import EditSpec, IsmRecipe, make_ism_recipe, parse_edits
from drg_hpc.errors import UsageError

_MOTIF = st.text("ACGT", min_size=1, max_size=12)
_SIZE = st.integers(1, 999)
_SPECS = st.one_of(
    st.just(EditSpec("substitutions")),
    st.builds(lambda size: EditSpec("deletions", size), _SIZE),
    st.builds(lambda size: EditSpec("insertions", size, "random"), _SIZE),
    st.builds(lambda bases: EditSpec("insertions", len(bases), "bases", bases), _MOTIF),
    st.builds(lambda size, stride: EditSpec("windows", size, "n", stride=stride), _SIZE, _SIZE),
    st.builds(lambda bases, stride: EditSpec("windows", len(bases), "bases", bases, stride=stride), _MOTIF, _SIZE),
    st.builds(
        lambda size, fill, copies, stride: EditSpec("windows", size, fill, copies=copies, stride=stride),
        _SIZE, st.sampled_from(["shuffle", "dinuc"]), st.integers(1, 999), _SIZE,
    ),
)  # fmt: skip


@given(st.lists(_SPECS, min_size=1, max_size=5, unique_by=lambda spec: spec.slug))
def test_edits_are_read_back_from_their_text(specs: list[EditSpec]) -> None:
    assert parse_edits(",".join(spec.text for spec in specs)) == tuple(specs)


@given(st.text("substiuonwd:/,3ACGTn", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_edits(text)
    except UsageError as error:
        assert "--edits" in str(error)
    else:
        assert parse_edits(",".join(spec.text for spec in found)) == found


def test_names_of_datasets() -> None:
    text = "substitutions,deletions:3,insertions:AC,insertions:3,windows:20:shuffle,windows:8:n,windows:motif/2:TGAC"
    slugs = ["substitution", "deletion_3", "insertion_AC", "insertion_3", "window_20_shuffle", "window_8_n",
             "window_TGAC"]  # fmt: skip
    assert [spec.slug for spec in parse_edits(text)] == slugs
    assert parse_edits("windows:20:shuffle")[0].copies == 10


def test_a_recipe_goes_through_a_plan() -> None:
    recipe = make_ism_recipe(
        compare="log2fc", pseudo=0.5, projection="hypothetical", base_freqs="0.3,0.2,0.2,0.3",
        edits="substitutions,windows:9/3:dinuc:4", screen="tism:50", engine="full",
    )  # fmt: skip
    assert IsmRecipe.from_params(recipe.params()) == recipe and recipe.screen == 50 and recipe.random
    assert make_ism_recipe() == IsmRecipe() and IsmRecipe.from_params(IsmRecipe().params()) == IsmRecipe()
    assert not IsmRecipe().random and IsmRecipe().substitutes and not IsmRecipe().others


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"compare": "substract"}, "unknown --compare.*subtract"),
        ({"compare": "numpy:subtract"}, "package of your own"),
        ({"pseudo": 1.0}, "--pseudo has no effect"),
        ({"pseudo": -1.0, "compare": "divide"}, "from 0 on"),
        ({"pseudo": float("nan"), "compare": "divide"}, "from 0 on"),
        ({"projection": "centered"}, "unknown --projection.*centred"),
        ({"base_freqs": "0.3,0.2,0.2,0.3"}, "--base-freqs has no effect"),
        ({"engine": "fast"}, "unknown --engine"),
        ({"screen": "tism:0"}, "tism:K"),
        ({"screen": "50"}, "tism:K"),
        ({"edits": "deletions"}, "not known"),
        ({"edits": "deletions:0"}, "begin at 1"),
        ({"edits": "windows:5:shuffle:0"}, "begin at 1"),
        ({"edits": "windows:5:shuffle:3,windows:5:shuffle:4"}, "window_5_shuffle twice"),
        ({"edits": "insertions:AN"}, "not known"),
    ],
)
def test_what_means_nothing_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_ism_recipe(**given)  # type: ignore[arg-type]


def test_blanks_between_edits_mean_nothing() -> None:
    assert make_ism_recipe(edits="substitutions, deletions:2") == make_ism_recipe(edits="substitutions,deletions:2")


def test_ratios_are_of_outputs() -> None:
    assert make_ism_recipe().scale(None) == "link" and make_ism_recipe().scale("output") == "output"
    assert make_ism_recipe(compare="log2fc").scale(None) == "output"
    assert make_ism_recipe(compare="mine.module:fn").scale(None) == "output"
    with pytest.raises(UsageError, match="ratios are of outputs"):
        make_ism_recipe(compare="divide").scale("link")


def test_edits_must_fit_and_are_counted() -> None:
    recipe = make_ism_recipe(edits="substitutions,deletions:3,windows:10/4:shuffle:5")
    assert recipe.edits_of_row([8, 5]) == 24 + 15 + 8 + 5 + 5 * (2 + 2)
    recipe.check_lengths({"a": 10, "b": 400})
    with pytest.raises(UsageError, match="sequences of input 'a' have 9 bases; at most 9 "):
        recipe.check_lengths({"a": 9, "b": 400})


def test_recipes_need_no_numpy() -> None:
    code = "import sys, drg_hpc.attribution.ism_recipe; assert not {'numpy', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
