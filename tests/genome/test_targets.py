"""The targets table: its settings, and a line number for every fault."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import TINY, WINDOWS

from drg_hpc.errors import InputError
from drg_hpc.genome.targets import Target, read_targets

HEAD = "\tidentifier\tfile\tclip\tclip_soft\tscale\tsum_stat\tstrand_pair\tdescription\n"


def table(folder: Path, text: str) -> Path:
    for name in ("a.bw", "b.bw"):
        (folder / name).touch()
    path = folder / "targets.tsv"
    path.write_bytes(text.encode())
    return path


def test_settings() -> None:
    targets = read_targets(WINDOWS / "targets_original.tsv")
    lines = (WINDOWS / "targets_original.tsv").read_text().splitlines()[1:]
    for i, (target, line) in enumerate(zip(targets, lines, strict=True)):
        index, name, file, clip, soft, scale, stat, pair, description = line.split("\t")
        assert int(index) == i and target.line == i + 2 and target.strand_partner == int(pair)
        assert (target.name, target.file, target.description) == (name, WINDOWS / file, description)
        assert (target.clip, target.clip_soft, target.scale, target.stat) == (
            float(clip),
            float(soft),
            float(scale),
            stat,
        )
    assert len(read_targets(TINY / "targets.tsv")) == 3


def test_columns_in_another_order_and_absent_ones(tmp_path: Path) -> None:
    text = "index\tfile\tclip_soft\tidentifier\tsum_stat\r\n7\ta.bw\t\tx+\tavg_sqrt\r\n9\tb.bw\t5\tx-\t\r\n"
    first, second = read_targets(table(tmp_path, text))
    assert first == Target("x+", tmp_path / "a.bw", 0, "", stat="mean_sqrt", line=2)
    assert second == Target("x-", tmp_path / "b.bw", 1, "", clip_soft=5.0, line=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no targets in"),
        (HEAD, "no targets in"),
        ("\tidentifier\n0\ta\n", "line 1: no column 'file'"),
        ("identifier\tfile\nx\ta.bw\n", "line 1: column 'identifier' stands first; the first column is the index"),
        ("\tidentifier\tfile\tfile\n0\tx\ta.bw\tb.bw\n", "line 1: column 'file' occurs twice"),
        (HEAD + "0\tx\ta.bw\n", "line 2: 3 columns, the header has 9"),
        (HEAD + "0\tx\tc.bw\t1\t1\t1\tsum\t0\t\n", "line 2: no such file: .*c.bw; paths are relative to the table"),
        (HEAD + "0\ta.bw\tx\t1\t1\t1\tsum\t0\t\n", "line 2: no such file: .*x"),
        (HEAD + "0\tx\ta.bw\t1\t1\tsum\t1\t0\t\n", "line 2: scale 'sum' is not a number|sum_stat '1' is unknown"),
        (HEAD + "0\tx\ta.bw\t1\t1\t0\tsum\t0\t\n", "line 2: scale '0' must be a number above 0"),
        (HEAD + "0\tx\ta.bw\tinf\t1\t1\tsum\t0\t\n", "line 2: clip 'inf' must be a number above 0"),
        (HEAD + "0\tx\ta.bw\t1\t-3\t1\tsum\t0\t\n", "line 2: clip_soft '-3' must be"),
        (HEAD + "0\tx\ta.bw\t1\t1\t1\tsums\t0\t\n", "line 2: sum_stat 'sums' is unknown; one of sum, mean, sum_sqrt"),
        (HEAD + "0\tx\ta.bw\t1\t1\t1\tsum\t5\t\n", "line 2: strand_pair '5' is no index of this table"),
        (HEAD + "0\tx\ta.bw\t1\t1\t1\tsum\t1\t\n1\ty\ta.bw\t1\t1\t1\tsum\t1\t\n", "line 2: .*not mutual.* is '1'"),
        (HEAD + "0\tx\ta.bw\t1\t1\t1\tsum\t0\t\n\n0\ty\ta.bw\t1\t1\t1\tsum\t0\t\n", "line 4: index '0' .* line 2"),
        (HEAD + "0\tx\ta.bw\t1\t1\t1\tsum\t0\t\n1\tx\ta.bw\t1\t1\t1\tsum\t1\t\n", "line 3: identifier 'x' .* line 2"),
        (HEAD + "0\t\ta.bw\t1\t1\t1\tsum\t0\t\n", "line 2: no identifier"),
    ],
)
def test_faults(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_targets(table(tmp_path, text))
    assert "\n" not in str(caught.value)


CELLS = st.sampled_from(
    ["0", "1", "x", "a.bw", "", "mean", "-1", "1e400", "nan", "é", "9" * 400, " ", "a\x00b", ".", "a.bw/x"]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(CELLS, min_size=9, max_size=9), max_size=3), end=st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_any_table_is_read_or_refused(tmp_path: Path, rows: list[list[str]], end: str) -> None:
    try:
        targets = read_targets(table(tmp_path, end.join([HEAD.rstrip("\n"), *map("\t".join, rows)])))
    except InputError as error:
        assert "targets.tsv" in str(error)
    else:
        assert targets and all(target.file.is_file() and target.scale > 0 for target in targets)
