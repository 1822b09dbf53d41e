"""DRG's settings files: what is written as Python writes it comes back, and nothing else breaks the reader."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.drg_files import CASES, files

from drg_hpc.errors import InputError
from drg_hpc.models.importers.drg_params import Params, is_count, parse_params, read_params

KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True).filter(lambda key: not key.startswith("outname"))
WORDS = st.sampled_from(["GELU", "EXPmax", "Correlationmse", "max", "Models/x_y.z"])
PLAIN = st.one_of(
    st.booleans(), st.none(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False), WORDS
)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4), max_leaves=6)


@given(st.dictionaries(KEYS, VALUES, max_size=8))
@settings(max_examples=200, deadline=None)
def test_what_python_writes_comes_back(values: dict[str, object]) -> None:
    lines = ["_modules : {}", "outname : a=b:c", *(f"{key} : {value}" for key, value in values.items()), ""]
    assert parse_params("\n".join(lines), source="f") == values


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_params(text, source="f")
    except InputError as error:
        assert "line" in str(error)
    else:
        assert all(key and not key.startswith("_") for key in found)


@pytest.mark.parametrize(
    "value", ["[__import__('os').getcwd()]", "[1, 2", "(" * 5000, "[" * 100_000, "[1,2]+[3]", "(lambda:0)()"]
)
def test_lists_are_literals(value: str) -> None:
    with pytest.raises(InputError, match=r"line 1: key = .* is not a list"):
        parse_params(f"key : {value}", source="f")


def test_separators() -> None:
    text = "a : 1\nb=2:3\nkwargs : {'warm_up_epochs': 5}\nc : x = y\n"
    assert parse_params(text, source="f") == {
        "a": 1, "b": "2:3", "kwargs": "{'warm_up_epochs':5}", "c:x": "y",
    }  # fmt: skip
    with pytest.raises(InputError, match="line 2: 'b=2' is not"):
        parse_params("a : 1\nb=2", source="f")


def test_numbers_and_lists_by_kind() -> None:
    params = Params({"n": 3, "f": 2.0, "l": [1, 2], "w": "x", "none": None, "flag": True}, source="f")
    assert (params.integer("n"), params.integer("f"), params.integer("none", 4), params.integer("flag")) == (3, 2, 4, 1)
    assert params.each("l", 1, count=2, kind=is_count) == [1, 2]
    assert params.each("n", 1, count=2, kind=is_count) == [3, 3]
    assert params.number("f", 0) == 2.0
    assert params.text("w", "") == "x"
    with pytest.raises(InputError, match=r"f: l = \[1, 2\]: has 2 values for 3"):
        params.each("l", 1, count=3, kind=is_count)
    for read in (params.integer, params.yes):
        with pytest.raises(InputError, match="w = 'x': must be"):
            read("w")
    with pytest.raises(InputError, match="wrong kind"):
        params.each("w", 1, count=2, kind=is_count)


@pytest.mark.parametrize("case", ["calderon", *CASES])
def test_real_files(case: str) -> None:
    params = read_params(files(case)[0])
    assert params.integer("num_kernels") == {"calderon": 256, "1e_combined_difference": 12, "1x_transformer": 12}.get(
        case, 16
    )
    assert "outname" not in params
    assert not any(key.startswith("_") for key in params.values)
