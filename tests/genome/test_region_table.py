from __future__ import annotations

import csv
import logging
import re
from pathlib import Path

import pytest
from genome.region_text import CONTIGS, ENDS, NAMES, NUMBERS, STRANDS, agrees, outcome, write
from hypothesis import given
from hypothesis import strategies as st

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.region_table import read_table
from drg_hpc.genome.regions import Region
from drg_hpc.genome.selection import Selection

WANTED = [Region("chr1", 5, 20, "a", "-"), Region("2", 0, 7, "b", ".")]


@pytest.mark.parametrize(
    "text",
    [
        "chrom,start,end,name,strand\nchr1,5,20,a,-\n2,0,7,b,.\n",
        "Strand\tName\tEND\tStart\tChr\r\n-\ta\t20\t5\tchr1\r\n\t b \t7\t0\t2\r\n",
        '# made by hand\n\n"",seqnames,start,end,strand,gene\n1,"chr1",5,20,-,"a"\n# again\n2,2,0,7,*,b\n',
        "#chromosome;start;end;id;strand\nchr1;5;20;a;-\n2;0;7;b;*\n",
        "chr start end name strand\nchr1 5  20 a -\n2 0 7 b .",
        "a,chr1,5,20,-\nb,2,0,7,.\n",
        "a\tchr1\t5\t20\t-\nb\t2\t0\t7\t.\n",
        'a chr1 5 20 -\n# a "comment\nb 2 0 7 .\n',
        '# a "quoted\tcomment\na\tchr1\t5\t20\t-\nb\t2\t0\t7\t.\n',
    ],
)
def test_forms(tmp_path: Path, text: str) -> None:
    for name in ("x.csv", "x.tsv.gz"):
        assert list(read_table(write(tmp_path, text, name))) == WANTED


def test_names_lines_and_one_based(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, "seqnames,start,end,id\nchr1,1,5,\nchr1,7,7,NA\nchr1,9,10,x y\n", "x.csv")
    found = list(read_table(path, one_based=True))
    assert [(r.start, r.end, r.name, r.line) for r in found] == [
        (0, 5, "chr1:0-5", 2), (6, 7, "chr1:6-7", 3), (8, 10, "x y", 4),
    ]  # fmt: skip
    assert not caplog.records
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(InputError, match="line 3: end 7 is not above start 7; is the"),
    ):
        list(read_table(path))
    assert "GRanges" in caplog.text


def test_headerless_tables_may_have_more_columns(tmp_path: Path) -> None:
    assert list(read_table(write(tmp_path, "a,chr1,5,20,0.5,x\n", "x.csv"))) == [Region("chr1", 5, 20, "a", ".")]


def test_selection_by_any_column(tmp_path: Path) -> None:
    path = write(tmp_path, "chrom,start,end,name,Class\nchr1,1,5,a,up\nchr2,1,5,b,down\nchr3,1,5,c,up\n", "x.csv")
    for conditions, names in (
        ([("class", ["up"])], ["a", "c"]), ([("class", ["up"]), ("chrom", ["chr3", "chr2"])], ["c"]),
        ([("name", ["b"])], ["b"]), ([("Class", ["none"])], []),
    ):  # fmt: skip
        selection = Selection(conditions)
        assert [r.name for r in read_table(path, selection=selection)] == names
        assert (selection.seen, selection.chosen) == (3, len(names))
    with pytest.raises(UsageError, match=r"--select tissue=….*no column 'tissue'"):
        list(read_table(path, selection=Selection([("tissue", ["x"])])))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t5\t20\n", "line 1: neither a header .*; a file of .* is called .bed"),
        ("chr1\t5\t20\tname\n", "line 1: neither a header .*; a file of .* is called .bed"),
        ("name,chr,begin\na,chr1,5\n", "line 1: neither a header"),
        ("chrom,start,start,end\nchr1,1,1,5\n", "line 1: the header has 'start' twice"),
        ("chrom,start,end\nchr1,1,5,x\n", "line 2: 4 columns, the header has 3"),
        ("a,chr1,5,20\nb,chr1,5\n", "line 2: 3 columns, the first row has 4"),
        ("chrom,start,end\nchr1,5,x\n", "line 2: start and end must be whole numbers"),
        ("chrom,start,end\nchr1,-5,6\n", "line 2: negative start -5"),
        ("chrom,start,end\nchr1,6,5\n", "line 2: end 5 is not above start 6"),
        ('chrom,start,end,name\nchr1,1,5,"a\n', "line 2: faulty quotes"),
        ("chrom,start,end,strand\nchr1,1,5,up\n", "line 2: strand must be"),
        ("chrom,start,end\n,1,5\n", "line 2: the contig name is empty"),
        ("chrom,start,end\n", "no regions"),
        ("", "no regions"),
    ],
)
def test_faults(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text, "x.csv")
    with pytest.raises(InputError, match=message) as caught:
        list(read_table(path))
    assert str(path) in str(caught.value)


def oracle(text: str, mark: str) -> tuple[list[tuple[object, ...]], int | None]:
    """Rows of a table with the header strand, end, name, start, chrom, by plain rules; the first faulty line."""
    rows: list[tuple[object, ...]] = []
    for number, line in enumerate(text.split("\n")[1:], 2):
        line = line.rstrip("\r")
        if not line.strip() or line[0] == "#":
            continue
        cells = [cell.strip(" ") for cell in next(csv.reader([line], delimiter=mark))]
        if len(cells) != 5:
            return rows, number
        strand, end, name, start, chrom = cells
        good = (
            re.fullmatch(r"[!-~]+", chrom)
            and re.fullmatch(r"-?[0-9]{1,16}", start)
            and re.fullmatch(r"[0-9]{1,16}", end)
            and 0 <= int(start) < int(end) <= 2**40
            and strand in ("", "+", "-", ".", "*")
            and not re.search("[\x07\u2028]", name)
        )
        if not good:
            return rows, number
        label = name if name not in ("", ".", "NA") else f"{chrom}:{int(start)}-{int(end)}"
        rows.append((chrom, int(start), int(end), label, strand if strand in ("+", "-") else ".", number))
    return rows, None


_GOOD = st.tuples(STRANDS, st.integers(10, 99).map(str), NAMES, st.integers(0, 9).map(str), CONTIGS).map(list)
_ODD = st.tuples(STRANDS, NUMBERS, NAMES, NUMBERS, CONTIGS, NAMES).map(list)


@given(
    cells=st.lists(st.one_of(_GOOD, _GOOD, st.tuples(_ODD, st.integers(1, 6)).map(lambda r: r[0][: r[1]])), max_size=4),
    noise=st.lists(st.sampled_from(["", "#x,y", "  "]), max_size=2),
    mark=st.sampled_from("\t,;"),
    end=ENDS,
)
def test_odd_tables_are_read_or_refused_as_plain_rules_say(
    tmp_path_factory: pytest.TempPathFactory, cells: list[list[str]], noise: list[str], mark: str, end: str
) -> None:
    lines = ["strand,end,name,start,chrom".replace(",", mark), *(mark.join(row) for row in cells)]
    text = end.join([*lines[:2], *noise, *lines[2:]])
    path = write(tmp_path_factory.mktemp("table"), text, "x.csv")
    assert agrees(outcome(lambda: read_table(path)), *oracle(text, mark))


@given(data=st.binary(max_size=60), header=st.booleans())
def test_any_bytes_have_an_answer(tmp_path_factory: pytest.TempPathFactory, data: bytes, header: bool) -> None:
    start = b"chrom,start,end\n" if header else b"a,chr1,1,5\n"
    path = write(tmp_path_factory.mktemp("table"), start + data, "x.csv")
    found = outcome(lambda: read_table(path))
    assert isinstance(found, list) or str(path) in found
