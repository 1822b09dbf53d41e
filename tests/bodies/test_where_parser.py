"""The grammar of --where and its three truth values, against a slow reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.bodies.where import Column, holds, quantile
from drg_hpc.bodies.where_parser import Comparison, Condition, Joined, Name, Not, Quantile, parse
from drg_hpc.config import nearest
from drg_hpc.errors import UsageError

NAMES = ["pearson", "jsd:class:T cells, CD4+", "pearson@mean", "q1", "not", "target.a-b", "chrom", 'say "x"']
SIGNS = ["<", "<=", ">", ">=", "==", "!="]


class Columns:
    """A table in memory."""

    def __init__(self, columns: dict[str, Sequence[Any]]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def has(self, name: str) -> bool:
        return name in self.columns

    def column(self, name: str) -> Column:
        if name not in self.columns:
            raise UsageError(f"--where: no column {name!r}", fix=nearest(name, self.columns))
        return self.columns[name]


names = st.sampled_from(NAMES).map(Name)
numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)
quantiles = st.sampled_from([0.0, 2.5, 50.0, 100.0]).map(Quantile)
comparisons = st.builds(Comparison, names, st.sampled_from(SIGNS), names | numbers | quantiles) | st.builds(
    Comparison, numbers | quantiles, st.sampled_from(SIGNS), names
)


def _joined(parts: list[Condition], word: str) -> Joined:
    return Joined(word, tuple(parts))


conditions: st.SearchStrategy[Condition] = st.recursive(
    comparisons,
    lambda inner: (
        inner.map(Not) | st.builds(_joined, st.lists(inner, min_size=2, max_size=3), st.sampled_from(["and", "or"]))
    ),
    max_leaves=8,
)


def spelled(condition: Condition, draw: Any) -> str:
    """One of the texts that say a condition."""
    blank = draw(st.sampled_from(["", " ", "  "]))
    if isinstance(condition, Comparison):
        sides = [_side(side, draw) for side in (condition.left, condition.right)]
        sign = draw(st.sampled_from(["=", "=="])) if condition.sign == "==" else condition.sign
        return blank.join([sides[0], sign, sides[1]])
    if isinstance(condition, Not):
        return f"{draw(st.sampled_from(['not', 'NOT']))} {_within(condition.of, draw)}"
    word = draw(st.sampled_from([condition.word, condition.word.upper()]))
    return f" {word} ".join(_within(part, draw) for part in condition.parts)


def _side(side: Any, draw: Any) -> str:
    if isinstance(side, Quantile):
        return f"q{side.percent:g}"
    if isinstance(side, float):
        return repr(side)
    if side.text in ("pearson", "chrom", "pearson@mean") and draw(st.booleans()):
        return str(side.text)
    return f"`{side.text}`"


def _within(condition: Condition, draw: Any) -> str:
    text = spelled(condition, draw)
    bare = isinstance(condition, Comparison) or (isinstance(condition, Not) and draw(st.booleans()))
    return text if bare else f"({text})"


@given(conditions, st.data())
def test_a_condition_is_read_as_it_was_meant(condition: Condition, data: st.DataObject) -> None:
    assert parse(spelled(condition, data.draw)) == condition


@given(st.text(alphabet="ab q9.5<>=!()'\"`@:-+eandortx&|", max_size=30))
def test_any_text_is_a_condition_or_an_error_of_ours(text: str) -> None:
    try:
        parse(text)
    except UsageError as error:
        assert str(error).startswith("--where")


def truth(condition: Condition, table: Columns, row: int) -> bool | None:
    """What holds in one row, by the definition: unknown where both answers of the missing values are possible."""
    if isinstance(condition, Not):
        inner = truth(condition.of, table, row)
        return None if inner is None else not inner
    if isinstance(condition, Joined):
        parts = [truth(part, table, row) for part in condition.parts]
        answers = set()
        for bits in range(1 << len(parts)):
            filled = [bool(bits >> i & 1) if part is None else part for i, part in enumerate(parts)]
            answers.add(all(filled) if condition.word == "and" else any(filled))
        return answers.pop() if len(answers) == 1 else None
    sides = []
    for side, other in ((condition.left, condition.right), (condition.right, condition.left)):
        if isinstance(side, Name):
            sides.append(table.columns[side.text][row])
        elif isinstance(side, Quantile):
            assert isinstance(other, Name)
            known = [value for value in table.columns[other.text] if value is not None]
            sides.append(float(np.quantile(known, side.percent / 100)) if known else None)
        else:
            sides.append(side)
    if None in sides:
        return None
    return bool(eval(f"a {condition.sign} b", {"a": sides[0], "b": sides[1]}))


cells = st.none() | st.sampled_from([-1.0, 0.0, 0.5, 1.0, 3.25])


@settings(max_examples=200)
@given(conditions, st.lists(st.tuples(*[cells] * len(NAMES)), min_size=1, max_size=6))
def test_every_row_is_judged_as_by_definition(condition: Condition, rows: list[tuple[float | None, ...]]) -> None:
    table = Columns({name: [row[i] for row in rows] for i, name in enumerate(NAMES)})
    assert holds(condition, table) == [truth(condition, table, row) for row in range(len(rows))]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0, 100))
def test_quantiles_are_numpys(values: list[float], percent: float) -> None:
    assert math.isclose(quantile(values, percent), np.quantile(values, percent / 100), rel_tol=1e-12, abs_tol=1e-9)
    assert (quantile(values, 0), quantile(values, 100)) == (min(values), max(values))


TABLE = Columns({
    "pearson": [0.9, None, 0.2, 0.6],
    "max_target": [1.0, 2.0, 3.0, 4.0],
    "chrom": ["chr1", "chr8", None, "chr8"],
    "pearson:class:T cells": [0.1, 0.2, 0.3, None],
    "pearson@mean": [0.0, 0.0, 1.0, 1.0],
    "nothing": [None, None, None, None],
})  # fmt: skip


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("pearson>0.5", [0, 3]),
        ("not pearson>0.5", [2]),
        ("pearson > .5 and max_target > q50", [3]),
        ("0.1<pearson<=6e-1", [2, 3]),
        ("q25 <= max_target < q75", [1, 2]),
        ("max_target>=q100 or pearson@mean<1", [0, 1, 3]),
        ('"pearson:class:T cells" < 0.25', [0, 1]),
        ("`pearson:class:T cells` < 0.25 or 'pearson@mean' = 1", [0, 1, 2, 3]),
        ('chrom == "chr8"', [1, 3]),
        ("chrom != 'chr8'", [0]),
        ("max_target > pearson and not (max_target = 3 or chrom = 'chr1')", [3]),
        ("NOT max_target>2 AND chrom='chr1'", [0]),
        ("nothing > q50 or max_target=2", [1]),
        ("nothing = 'x' or nothing < 1 or max_target=2", [1]),
        ("max_target > -1", [0, 1, 2, 3]),
    ],
)
def test_examples(text: str, rows: list[int]) -> None:
    assert [row for row, value in enumerate(holds(parse(text), TABLE)) if value] == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a column or a number is needed where the end stands"),
        ("pearson", "a comparison such as > is needed where the end stands"),
        ("pearson >", "a column or a number is needed where the end stands"),
        ("pearson > 0.5 and", "a column or a number is needed where the end"),
        ("(pearson > 0.5", r"'\)' is needed where the end stands"),
        ("pearson > 0.5)", r"and, or, or the end is needed where '\)' stands"),
        ("pearson > 0.5 max_target > 2", "and, or, or the end is needed where 'max_target > 2' stands"),
        ("pearson > 0.5 & max_target > 2", "cannot read '& max_target > 2'; and, or, not are words"),
        ("jsd-class > 1", "cannot read '-class > 1'; column names with other characters stand in quotes"),
        ("pearson > 5x", "cannot read '5x'"),
        ("pearson > q101", "quantiles go from q0 to q100"),
        ("pearsn > 0.5", "no column 'pearsn'; did you mean 'pearson'"),
        ("'pearson:class:Tcells' > 0.5", "no column 'pearson:class:Tcells'; did you mean 'pearson:class:T cells'"),
        ("chrom = chr8", "no column 'chr8'"),
        ("chrom > 'chr1'", "texts are equal"),
        ("chrom = 8", "a number is compared with a text"),
        ("chrom = pearson", "a number is compared with a text"),
        ("chrom = q50", "q50 is compared with a column of texts"),
        ("1 < 2", "one side of each comparison has to be a column"),
        ("q50 < 2", "one side of each comparison has to be a column"),
        ("'a' = 'b'", "no column 'a'"),
        ("(" * 200 + "pearson>1" + ")" * 200, "more than 100 levels"),
        ("not " * 2000 + "pearson>1", "more than 100 levels"),
    ],
)
def test_faults(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        holds(parse(text), TABLE)
