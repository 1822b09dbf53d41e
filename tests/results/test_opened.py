"""Opening merged files by their format."""

from __future__ import annotations

from pathlib import Path

import pytest

from drg_hpc.errors import CorruptError, DrgError, InputError
from drg_hpc.results import h5
from drg_hpc.results.opened import open_result


def test_opened_where_all_is_there(tmp_path: Path) -> None:
    with h5.create(tmp_path / "x.h5") as handle:
        h5.set_attributes(handle, {"format": "drg-test/1"})
        h5.write_array(handle, "group/values", [1, 2])
    with open_result(tmp_path / "x.h5", "drg-test/1", what="w", command="c", needed=["group", "group/values"]) as found:
        assert found["group/values"][()].tolist() == [1, 2]
    cases: list[tuple[str, str, type[DrgError], str]] = [
        ("drg-test/2", "group", InputError,
         r"x.h5 has format 'drg-test/1', tests \(drg-test/2\) are wanted; give a run of drg-test"),
        ("drg-test/1", "group/other", CorruptError, r"x.h5 has no group/other; write it again \(a run's: drg-merge\)"),
    ]  # fmt: skip
    for kind, needed, error, message in cases:
        with (
            pytest.raises(error, match=message),
            open_result(tmp_path / "x.h5", kind, what="tests", command="drg-test", needed=[needed]),
        ):
            pass
    with pytest.raises(InputError), open_result(tmp_path / "no.h5", "k", what="w", command="c", needed=[]):
        pass
