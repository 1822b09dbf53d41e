from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drg_hpc.errors import UsageError
from drg_hpc.genome.negatives import Negatives, parse_negatives


def test_forms() -> None:
    assert parse_negatives(None) is None
    assert parse_negatives("dinuc:1") == Negatives("dinuc", 1)
    assert parse_negatives("dinuc-compat:20") == Negatives("dinuc-compat", 20)
    assert parse_negatives("gc:1000") == Negatives("gc", 1000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dinuc:0", "how many for each row, from 1 to 1000"),
        ("dinuc", "how many for each row"),
        ("gc:1001", "from 1 to 1000"),
        ("gc:-1", "how many"),
        ("gc:1.5", "how many"),
        ("gc:٣", "how many"),
        ("dinuc:1,gc:1", "one kind only"),
        ("dinucl:1", "did you mean 'dinuc'"),
        ("GC:1", "did you mean 'gc'|known"),
        ("", "no kind ''"),
    ],
)
def test_other_forms_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        parse_negatives(text)
    assert "dinuc:R, dinuc-compat:R or gc:R" in str(error.value)


@given(st.text(max_size=12) | st.from_regex(r"(dinuc|gc|dinuc-compat):\d{1,5}", fullmatch=True))
def test_any_text_has_a_defined_answer(text: str) -> None:
    try:
        found = parse_negatives(text)
    except UsageError as error:
        assert "\n" not in str(error)
        return
    assert found is not None
    assert text.strip().startswith(f"{found.kind}:")
    assert 1 <= found.per_row <= 1000
