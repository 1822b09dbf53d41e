"""Matrices of labels: text, npz, parquet, against pandas."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from stores import load_matrix
from support import ROOT, environment

from drg_hpc.errors import InputError
from drg_hpc.genome.counts import MatrixInfo, join_hint, load_rows, scan_matrix


def write(folder: Path, text: str, name: str = "x.tsv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def shape(path: Path, *, allow_missing: bool = False) -> tuple[list[str], list[str], int]:
    info = scan_matrix(path, allow_missing=allow_missing)
    return list(info.names), list(info.tracks), info.bins


def test_all_forms_read_alike(tmp_path: Path) -> None:
    names, tracks, values = ["a", "b"], ["t-1", "t+1"], np.array([[1.5, -2], [0, 1e30]])
    write(tmp_path, "#name,t-1,t+1\na,1.5,-2\nb,0,1e30\n", "m.csv")
    write(tmp_path, "t-1\tt+1\r\na\t1.5\t-2\r\nb\t0\t1e30\r\n", "m.tsv")
    write(tmp_path, "x;t-1;t+1\na;1.5;-2\n\nb;0;1e30", "semicolon.csv")
    write(tmp_path, "t-1  t+1\na 1.5 -2\nb   0 1e30\n", "blanks.txt")
    (tmp_path / "m.csv.gz").write_bytes(gzip.compress((tmp_path / "m.csv").read_bytes()))
    np.savez(tmp_path / "m.npz", counts=values, names=names, celltypes=tracks)
    np.savez_compressed(tmp_path / "v.npz", values=values, names=np.array(names, "S"), columns=tracks)
    np.savez(tmp_path / "fortran.npz", counts=np.asfortranarray(values), names=names, celltypes=tracks)
    frame = pd.DataFrame(values, index=names, columns=tracks)
    frame.to_parquet(tmp_path / "index.parquet")
    frame.rename_axis("gene").to_parquet(tmp_path / "named.parquet")
    frame.reset_index().to_parquet(tmp_path / "column.parquet", index=False)
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert len(files) == 11
    for path in files:
        assert shape(path) == (names, tracks, 0), path
        found, loaded = load_matrix(path)
        assert found == names and loaded.dtype == np.float32
        np.testing.assert_array_equal(loaded, values.astype(np.float32))
        np.testing.assert_array_equal(load_rows(path, ["b", "a", "b"]), values[[1, 0, 1]].astype(np.float32))


def test_bins_and_integers_in_npz(tmp_path: Path) -> None:
    counts = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    np.savez(tmp_path / "m.npz", counts=counts, names=["a", "b"])
    assert shape(tmp_path / "m.npz") == (["a", "b"], ["C0", "C1", "C2"], 4)
    np.testing.assert_array_equal(load_rows(tmp_path / "m.npz", ["b"]), counts[1:])


@pytest.mark.parametrize("label", ["nan", "", "NA", "x", "inf", "1e39", "1_0", "１", "0x1"])
def test_bad_labels_name_line_row_and_column(tmp_path: Path, label: str) -> None:
    path = write(tmp_path, f"n\tt0\tt1\nr0\t1\t2\nr1\t3\t{label}\n")
    with pytest.raises(InputError, match=r"line 3: row 'r1', column 't1': label '.*' is not a finite number"):
        scan_matrix(path, allow_missing=False)


def test_bad_labels_of_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", counts=np.array([[0, np.nan]]), names=["r"])
    with pytest.raises(InputError, match="row 'r', column 'C1': label 'nan'"):
        scan_matrix(tmp_path / "m.npz", allow_missing=False)
    assert scan_matrix(tmp_path / "m.npz", allow_missing=True).tracks == ("C0", "C1")
    np.savez(tmp_path / "i.npz", counts=np.array([[[0, 1], [2, -np.inf]]]), names=["r"])
    with pytest.raises(InputError, match="row 'r', column 'C1': label '-inf'"):
        scan_matrix(tmp_path / "i.npz", allow_missing=True)
    np.savez(tmp_path / "h.npz", counts=np.array([[np.inf]], np.float16), names=["r"])
    with pytest.raises(InputError, match="row 'r', column 'C0': label 'inf'"):
        scan_matrix(tmp_path / "h.npz", allow_missing=True)
    pd.DataFrame({"n": ["a", "b"], "t": [1.0, 1e39]}).to_parquet(tmp_path / "m.parquet", index=False)
    with pytest.raises(InputError, match=r"row 'b', column 't': label '1e\+39'"):
        scan_matrix(tmp_path / "m.parquet", allow_missing=True)


def test_the_limit_is_where_float32_rounds_to_infinity(tmp_path: Path) -> None:
    path = write(tmp_path, "n\tt\nr0\t3.4028235e38\nr1\t-3.4028235677973362e38\n")
    scan_matrix(path, allow_missing=False)
    assert np.isfinite(load_matrix(path)[1]).all()
    path = write(tmp_path, "n\tt\nr0\t3.4028235677973366e38\n")
    with pytest.raises(InputError, match="row 'r0'"):
        scan_matrix(path, allow_missing=False)
    with np.errstate(over="ignore"):
        assert np.isinf(np.float32("3.4028235677973366e38"))


def test_missing_labels_when_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, "n\tt0\tt1\nr0\t\tNA\nr1\t3\t4\nr2\t.\t5\n")
    scan_matrix(path, allow_missing=True)
    np.testing.assert_array_equal(load_matrix(path)[1], [[np.nan, np.nan], [3, 4], [np.nan, 5]])
    pd.DataFrame({"n": ["a", "b"], "t": [1, None], "u": [True, None]}).to_parquet(tmp_path / "m.parquet")
    scan_matrix(tmp_path / "m.parquet", allow_missing=True)
    np.testing.assert_array_equal(load_rows(tmp_path / "m.parquet", ["a", "b"]), [[1, 1], [np.nan, np.nan]])
    with pytest.raises(InputError, match="row 'b', column 't'"):
        scan_matrix(tmp_path / "m.parquet", allow_missing=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n\tt\na\t1\na\t2\n", "line 3: row 'a' occurs twice"),
        ("n\tt\tt\na\t1\t2\n", r"track 't' occurs twice \(tracks 1 and 2\)"),
        ("n\tt\na\t1\nb\t1\t2\n", "line 3: 3 columns, the header has 2"),
        ("n\tt\tu\na\t1\t2\nb\t1\n", "line 3: 2 columns, the header has 3"),
        ("n\tt\na\t1\nb\n", "line 3: no values, the header has 1"),
        ("n\tt\na\t1\n\t1\n", "line 3: no name"),
        ("a\t1\nb\t2\n", "line 1: no header line"),
        ("n\t\tu\na\t1\t2\n", "line 1: column 2 has no name"),
        ("n\tt\t\na\t1\t\n", "line 1: column 3 has no name; .*end of the line"),
        ("n\tt\n", "no labels"),
        ("# only\n\n", "no labels"),
        ("", "no labels"),
        ("n\na\n", "line 1: the header has 1 columns, the first row 1"),
        ("n\tt\tu\na\t1\n", r"line 1: the header has 3 columns, the first row 2 \(columns end with a tab\)"),
        ('n\tt\n"a\t1\n', "line 2: quotes that do not match"),
        ("n\tt\na\t1,5\n", "label '1,5' is not a finite number; write a decimal point"),
        ("n\tt\ra\t1\r", "carriage returns only"),
        ("n\tchr1:0-9\tchr2:0-9\ncell\t1\t2\n", "looks transposed: columns are named chr1:0-9 …, rows cell"),
    ],
)
def test_faults_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        scan_matrix(write(tmp_path, text), allow_missing=False)
    assert "\n" not in str(caught.value) and str(tmp_path / "x.tsv") in str(caught.value)


def test_headers_and_comments(tmp_path: Path) -> None:
    values = "a\t1\t2\n# in between\nb\t3\t4\n"
    for head, tracks in (
        ("# made by x\nn\tt\tu\n", ["t", "u"]),
        ("# made by x\n#n\tt\tu\n", ["t", "u"]),
        ("#n\t0\t1\n", ["0", "1"]),  # numbers as names: only after #
        ("# made by x, y\n# z\nt\tu\n# c\n", ["t", "u"]),
    ):
        assert shape(write(tmp_path, head + values)) == (["a", "b"], tracks, 0), head


def test_quotes(tmp_path: Path) -> None:
    text = '"name","a,b","c""d"\n"chr1:1,000-2,000","1",2\nplain,3,"4"\n'
    assert shape(write(tmp_path, text, "x.csv")) == (["chr1:1,000-2,000", "plain"], ["a,b", 'c"d'], 0)
    np.testing.assert_array_equal(load_matrix(tmp_path / "x.csv")[1], [[1, 2], [3, 4]])


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    for name in ("absent.tsv", "absent.npz", "absent.parquet"):
        with pytest.raises(InputError, match="no such file"):
            scan_matrix(tmp_path / name, allow_missing=True)
    np.savez(tmp_path / "o.npz", counts=np.array([[{}]], dtype=object), names=["r"])
    with pytest.raises(InputError, match="counts holds pickled Python objects"):
        scan_matrix(tmp_path / "o.npz", allow_missing=True)
    np.savez(tmp_path / "k.npz", seqfeatures=np.zeros((1, 2, 4)))
    with pytest.raises(InputError, match="has no labels, only seqfeatures"):
        scan_matrix(tmp_path / "k.npz", allow_missing=True)
    np.savez(tmp_path / "s.npz", counts=np.array([["x"]]), names=["r"])
    with pytest.raises(InputError, match="counts is <U1"):
        scan_matrix(tmp_path / "s.npz", allow_missing=True)
    np.savez(tmp_path / "w.npz", counts=np.zeros((2, 2)), names=["r"])
    with pytest.raises(InputError, match=r"counts is float64 \(2, 2\) for 1 names"):
        scan_matrix(tmp_path / "w.npz", allow_missing=True)
    np.savez(tmp_path / "c.npz", counts=np.zeros((1, 2)), names=["r"], celltypes=["only"])
    with pytest.raises(InputError, match="1 celltypes for 2 columns of counts"):
        scan_matrix(tmp_path / "c.npz", allow_missing=True)
    for name in ("x.npz", "x.parquet"):
        (tmp_path / name).write_bytes(b"nothing of the kind" * 9)
        with pytest.raises(InputError, match="cannot read"):
            scan_matrix(tmp_path / name, allow_missing=True)
    pd.DataFrame({"t": [1.0], "u": [2.0]}).to_parquet(tmp_path / "n.parquet")
    with pytest.raises(InputError, match="no column of row names"):
        scan_matrix(tmp_path / "n.parquet", allow_missing=True)
    pd.DataFrame({"t": ["1"]}, index=["a"]).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"column 't' holds .*string, not numbers"):
        scan_matrix(tmp_path / "t.parquet", allow_missing=True)


def test_every_truncation_of_an_npz_is_noticed(tmp_path: Path) -> None:
    np.savez_compressed(
        tmp_path / "m.npz", counts=np.random.default_rng(0).normal(size=(9, 3)), names=list("abcdefghi")
    )
    whole = (tmp_path / "m.npz").read_bytes()
    for size in range(0, len(whole), 7):
        (tmp_path / "cut.npz").write_bytes(whole[:size])
        with pytest.raises(InputError):
            scan_matrix(tmp_path / "cut.npz", allow_missing=True)
    for at in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[at] ^= 0x20
        (tmp_path / "flip.npz").write_bytes(damaged)
        try:
            _, values = load_matrix(tmp_path / "flip.npz")
        except InputError:
            continue
        np.testing.assert_array_equal(values, load_matrix(tmp_path / "m.npz")[1])


def test_rows_that_are_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, "n\tt\na\t1\n")
    with pytest.raises(InputError, match="has no row 'b'; did the file change"):
        load_rows(path, ["a", "b"])


def test_join_hints() -> None:
    info = MatrixInfo(("cell1", "cell2", "x", "y"), ("p1", "p2", "p3"), 0)
    assert "transposed" in join_hint(info, ["p1", "p2"])
    assert "upper and lower case" in join_hint(info, ["CELL1"])
    assert join_hint(info, ["q"]) == "its names look like cell1, cell2, x"


_NAME = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=6)
_CLEAN = _NAME.map(str.strip).filter(lambda name: name and name[0] not in "#\"'" and not _numeric(name))
_VALUE = st.floats(-1e6, 1e6, width=32) | st.integers(-99, 99) | st.none()


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.lower() in ("", "na", "n/a", "<na>", "null", "none", ".", "#n/a")
    return True


@settings(deadline=None)
@given(
    names=st.lists(_CLEAN, min_size=1, max_size=6, unique=True),
    tracks=st.lists(_CLEAN, min_size=1, max_size=4, unique=True),
    data=st.data(),
    separator=st.sampled_from("\t,;"),
    end=st.sampled_from(["\n", "\r\n"]),
    corner=st.sampled_from([None, "name", ""]),
)
def test_any_table_reads_as_pandas_wrote_it(
    tmp_path_factory: pytest.TempPathFactory,
    names: list[str],
    tracks: list[str],
    data: st.DataObject,
    separator: str,
    end: str,
    corner: str | None,
) -> None:
    # a comma in every name of a table with semicolons leaves nothing to tell the two apart by
    assume(separator != ";" or not any("," in name for name in (*names, *tracks)))
    row = st.lists(_VALUE, min_size=len(tracks), max_size=len(tracks))
    rows = data.draw(st.lists(row, min_size=len(names), max_size=len(names)))
    frame = pd.DataFrame(rows, index=names, columns=tracks, dtype="float64")
    text = frame.to_csv(sep=separator, lineterminator=end, na_rep="NA", index_label=False if corner is None else corner)
    if data.draw(st.booleans()):
        text = f"# a comment{end}{end}" + text
    path = tmp_path_factory.mktemp("m") / ("x.csv" if separator == "," else "x.tsv")
    path.write_bytes(text.encode())
    assert shape(path, allow_missing=True) == (names, tracks, 0)
    np.testing.assert_array_equal(load_rows(path, names), frame.to_numpy(np.float32))
    backwards = names[::-1]
    np.testing.assert_array_equal(load_rows(path, backwards), frame.loc[backwards].to_numpy(np.float32))


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text('ab\t,;"#\n\r 01.-eE', max_size=80).map(str.encode))
def test_any_bytes_are_a_matrix_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("b") / "x.csv"
    path.write_bytes(content)
    try:
        info = scan_matrix(path, allow_missing=True)
    except InputError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return
    values = load_rows(path, info.names)
    assert values.shape == (len(info.names), len(info.tracks)) and not np.isinf(values).any()


def test_text_is_not_held_as_python_objects(tmp_path: Path) -> None:
    rows, tracks = 2000, 200
    values: NDArray[np.float32] = np.random.default_rng(0).normal(size=(rows, tracks)).astype(np.float32)
    frame = pd.DataFrame(values, index=[f"r{i}" for i in range(rows)], columns=[f"t{i}" for i in range(tracks)])
    frame.to_csv(tmp_path / "m.tsv", sep="\t")
    tracemalloc.start()
    info = scan_matrix(tmp_path / "m.tsv", allow_missing=False)
    scanned = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    loaded = load_rows(tmp_path / "m.tsv", info.names)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(loaded, values)
    block = 6 << 20  # of the text reader: a block, and its lines
    assert scanned < block + 200 * rows and peak < block + 1.5 * values.nbytes + 400 * rows
    assert loaded.nbytes + 24 * rows * tracks > block  # a list of floats would have failed


def test_scan_of_text_needs_the_standard_library_only(tmp_path: Path) -> None:
    path = write(tmp_path, "n\tt\na\t1\n")
    code = (
        "import sys\nfor name in ('numpy', 'pandas', 'pyarrow'):\n    sys.modules[name] = None\n"
        "from pathlib import Path\nfrom drg_hpc.errors import InputError\n"
        "from drg_hpc.genome.counts import scan_matrix\n"
        f"print(scan_matrix(Path({str(path)!r}), allow_missing=False).tracks)\n"
        "for name in ('x.npz', 'x.parquet'):\n"
        "    try:\n        scan_matrix(Path(name), allow_missing=False)\n"
        "    except InputError as error:\n        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), cwd=ROOT, check=True
    )
    assert done.stdout.splitlines()[0] == "('t',)"
    assert "reading .npz needs numpy, which is not installed here" in done.stdout
    assert "reading .parquet needs numpy, which is not installed here" in done.stdout


def test_oracle_of_quoting() -> None:
    """What the tests above take for granted of pandas' writer."""
    frame = pd.DataFrame([[1.0]], index=["a,b"], columns=['c"d'])
    assert frame.to_csv() == ',"c""d"\n"a,b",1.0\n'
    assert pd.read_csv(io.StringIO(frame.to_csv()), index_col=0).equals(frame)
